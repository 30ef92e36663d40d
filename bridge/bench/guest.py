# SPDX-License-Identifier: BSD-3-Clause
"""The measurements of gpio-bridge bench guest."""

from __future__ import annotations

import errno
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bridge import wire
from bridge.bench.measure import Tell, percentile, pinned, silent
from bridge.bench.native._native import ffi, lib
from bridge.bench.rig import Rig
from firmware_stub.signals import SignalsWait

LINES = 8
"""Lines that the guest sets at once, as from as many CPUs."""

_EXPORTED, _COMPARED = "fw-0", "fw-1"
_EDGE_LINE, _EDGE_NAME = 8, "SENSOR_IRQ"
_BATCH = 50
_READY_S = 30.0


class Guest:
    """A lean driver in C (bridge/bench/native/guest.h), as a context manager."""

    def __init__(self, path: str) -> None:
        """Connect to a back-end's socket; raises OSError."""
        self._handle = lib.gb_bench_guest_open(os.fsencode(path))
        if self._handle == ffi.NULL:
            raise OSError(ffi.errno, f"{path}: {os.strerror(ffi.errno)}")

    def __enter__(self) -> Guest:
        """The guest is up already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Disconnect."""
        lib.gb_bench_guest_close(self._handle)

    def request(self, kind: int, gpio: int, value: int) -> None:
        """Send one request, which must succeed; raises OSError."""
        status = lib.gb_bench_guest_request(self._handle, kind, gpio, value)
        if status:
            raise OSError(-status if status < 0 else errno.EIO, f"request {kind} of line {gpio}")

    def set_values(self, lines: int, rounds: int) -> int:
        """Time SET_VALUE of `lines` at once, `rounds` times, in ns; raises OSError."""
        spent: int = lib.gb_bench_guest_set(self._handle, lines, rounds)
        if spent < 0:
            raise OSError(-spent, f"SET_VALUE: {os.strerror(-spent)}")
        return spent

    def arm(self, gpio: int) -> None:
        """Queue the event buffer of a line."""
        lib.gb_bench_guest_arm(self._handle, gpio)

    def event(self) -> int:
        """Wait for an event and return when it came, in ns of CLOCK_MONOTONIC; raises OSError."""
        at: int = lib.gb_bench_guest_event(self._handle)
        if at < 0:
            raise OSError(-at, "no event came")
        return at


def measure(
    seconds: float, pin: bool = True, tell: Tell = silent, peer: str | None = None
) -> dict[str, Any]:
    """Run everything once, each part for about `seconds`; raises OSError.

    `pin` keeps all processes on one CPU, `tell` is told of each part. `peer` is the socket of
    another back-end, which runs already, wherever its owner has put it.
    """
    where = "pinned to one CPU" if pin else "unpinned"
    folder = Path(tempfile.mkdtemp(prefix="gpio-bridge-"))
    try:
        socket = f"{folder}/guest.sock"
        arguments = ("--export", f"vhost-user-gpio:{socket},chip={_EXPORTED}")
        with pinned(pin), Rig(arguments=arguments) as rig:
            with Guest(socket) as guest:
                _outputs(guest)
                tell(f"requests of a guest, {where}")
                ours = _throughput(guest, seconds)
                tell(f"edges to a guest, {where}")
                edges = _edges(rig, guest, seconds)
            other = None
            if peer is not None:
                tell(f"{peer}, {where}")
                with Guest(peer) as guest:
                    _outputs(guest)
                    other = _throughput(guest, seconds)
            tell(f"a back-end in Python, {where}")
            chip = f"{rig.serve.socket}#{_COMPARED}"
            with _python_backend(f"{folder}/python.sock", chip) as path, Guest(path) as guest:
                plain = _throughput(guest, seconds)
            tell(f"Python without firmware, {where}")
            with _python_backend(f"{folder}/local.sock") as path, Guest(path) as guest:
                local = _throughput(guest, seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result = {
        "ops_per_s": ours["at_once"],
        "one_by_one_per_s": ours["one_by_one"],
        "lines": LINES,
        "python_backend": {
            "ops_per_s": plain["at_once"],
            "one_by_one_per_s": plain["one_by_one"],
            "local": {
                "ops_per_s": local["at_once"],
                "one_by_one_per_s": local["one_by_one"],
            },
        },
        "ratio": round(ours["at_once"] / plain["at_once"], 2),
        "ratio_one_by_one": round(ours["one_by_one"] / plain["one_by_one"], 2),
        "edge_p50_us": round(percentile(edges, 50) / 1000, 2),
        "edge_p99_us": round(percentile(edges, 99) / 1000, 2),
        "edges": len(edges),
    }
    if other is not None:
        result["peer"] = {
            "ops_per_s": other["at_once"],
            "one_by_one_per_s": other["one_by_one"],
            "ratio": round(ours["at_once"] / other["at_once"], 2),
            "ratio_one_by_one": round(ours["one_by_one"] / other["one_by_one"], 2),
        }
    return result


def _outputs(guest: Guest) -> None:
    for line in range(LINES):
        guest.request(wire.MSG_SET_VALUE, line, 0)
        guest.request(wire.MSG_SET_DIRECTION, line, wire.DIRECTION_OUT)


def _throughput(guest: Guest, seconds: float) -> dict[str, int]:
    """Return how many SET_VALUE a second, one after the other and several at once."""
    result = {}
    for name, lines in (("one_by_one", 1), ("at_once", LINES)):
        guest.set_values(lines, _BATCH)
        spent = rounds = 0
        while spent < seconds * 1e9:
            spent += guest.set_values(lines, _BATCH)
            rounds += _BATCH
        result[name] = round(lines * rounds / (spent / 1e9))
    return result


def _edges(rig: Rig, guest: Guest, seconds: float) -> list[float]:
    """Return the times from an edge at the pin to the guest, in ns each."""
    guest.request(wire.MSG_SET_DIRECTION, _EDGE_LINE, wire.DIRECTION_IN)
    guest.request(wire.MSG_SET_IRQ_TYPE, _EDGE_LINE, wire.IRQ_TYPE_EDGE_RISING)
    samples = []
    for _ in range(max(100, int(200 * seconds))):
        guest.arm(_EDGE_LINE)
        rig.stub.wait_armed(_EDGE_NAME)
        rig.stub.drive(_EDGE_NAME, 1)
        arrived = guest.event()
        samples.append(float(arrived - rig.stub.edge(_EDGE_NAME).time))
        rig.stub.drive(_EDGE_NAME, 0)
    return samples


@contextmanager
def _python_backend(path: str, *chip: str) -> Iterator[str]:
    process = None
    try:
        with SignalsWait():
            process = subprocess.Popen(
                [sys.executable, "-m", "bridge.bench.python_backend", path, str(LINES), *chip],
                stdout=subprocess.PIPE,
            )
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], _READY_S)[0] or not process.stdout.read(1):
            raise OSError(errno.ETIMEDOUT, "the Python back-end did not start")
        yield path
    finally:
        if process is not None:
            process.terminate()
            process.communicate()
