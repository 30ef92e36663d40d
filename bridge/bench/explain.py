# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge bench --explain: what a round trip, an edge and a guest's request cost each party."""

from __future__ import annotations

import errno
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bridge import wire
from bridge.bench.measure import Tell, cpu_ns, pinned, silent
from bridge.client.chip import Chip
from bridge.client.line_settings import LineSettings
from bridge.line import Direction, Edge, Value

__all__ = ["measure"]

_ROUNDS = 500
# Of firmware_stub/boards/demo.board, where the first is wired to the second.
_LOOP_OUT, _LOOP_IN = 4, 5
_EXPORTED = "fw-1"
_EDGE_S = 20.0
_ATTACH_S = 20.0

_SWITCHES = re.compile(r"^(?:non)?voluntary_ctxt_switches:\s*(\d+)$", re.M)
# A line of the table of `strace -c`: calls, perhaps errors, and the name.
_CALLS = re.compile(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+)(?: +\d+)? +(\w+)$", re.M)

Parties = Mapping[str, int]
"""Who takes part: its name, and its process id."""


class _Spent(NamedTuple):
    cpu_ns: int
    changes: int


def measure(tell: Tell = silent) -> dict[str, Any]:
    """Count, of each way and party, system calls, changes of process and time on a CPU.

    All processes are on one CPU, `tell` is told of each part. System calls are counted by
    strace, in a pass of its own, and are None without it: ``why`` says so. Raises OSError as
    `bridge.bench.measure.measure`.
    """
    why = None if shutil.which("strace") else "strace, which counts system calls, is not installed"
    ways: dict[str, Any] = {}
    with pinned(True):
        for name, way in (("direct", _direct), ("service", _service), ("guest", _guest)):
            tell(name)
            with way() as operations:
                for operation, (parties, once) in operations.items():
                    ways[operation] = _explain(parties, once, count=why is None)
    return {"rounds": _ROUNDS, "ways": ways, "why": why}


# ---- ways -----------------------------------------------------------------------

_Operations = dict[str, tuple[Parties, Callable[[], object]]]


@contextmanager
def _direct() -> Iterator[_Operations]:
    from bridge.bench.rig import direct_chip
    from firmware_stub import Stub

    with Stub("demo") as stub, direct_chip(stub.url) as chip, _edges(chip) as (get, edge):
        parties = _parties(firmware=stub.pid)
        yield {"direct get": (parties, get), "direct set and edge": (parties, edge)}


@contextmanager
def _service() -> Iterator[_Operations]:
    from bridge.bench.rig import Rig

    with Rig() as rig, rig.chip() as chip, _edges(chip) as (get, edge):
        parties = _parties(service=rig.serve.pid, firmware=rig.stub.pid)
        yield {"service get": (parties, get), "service set and edge": (parties, edge)}


@contextmanager
def _guest() -> Iterator[_Operations]:
    from bridge.bench.guest import LINES, Guest
    from bridge.bench.rig import Rig

    with tempfile.TemporaryDirectory(prefix="gpio-bridge-") as folder:
        socket = f"{folder}/guest.sock"
        export = ("--export", f"vhost-user-gpio:{socket},chip={_EXPORTED}")
        with Rig(arguments=export) as rig, Guest(socket) as guest:
            for line in range(LINES):
                guest.request(wire.MSG_SET_VALUE, line, 0)
                guest.request(wire.MSG_SET_DIRECTION, line, wire.DIRECTION_OUT)
            parties = _parties(service=rig.serve.pid, firmware=rig.stub.pid)
            yield {
                "guest set": (parties, lambda: guest.set_values(1, 1)),
                f"guest set of {LINES} at once": (parties, lambda: guest.set_values(LINES, 1)),
            }


def _parties(**others: int | None) -> Parties:
    return {"client": os.getpid(), **{name: pid for name, pid in others.items() if pid}}


@contextmanager
def _edges(chip: Chip) -> Iterator[tuple[Callable[[], object], Callable[[], object]]]:
    """A get, and a set of an output together with the edge of the input that is wired to it."""
    read = LineSettings(edge_detection=Edge.BOTH)
    with (
        chip.request_lines({_LOOP_OUT: LineSettings(Direction.OUTPUT)}, "bench") as output,
        chip.request_lines({_LOOP_IN: read}, "bench") as edges,
    ):
        level = False

        def edge() -> None:
            nonlocal level
            level = not level
            output.set_value(_LOOP_OUT, Value(level))
            if not edges.wait_edge_events(_EDGE_S):
                raise OSError(errno.ETIMEDOUT, f"no edge arrived in {_EDGE_S:g} s")
            edges.read_edge_events()

        yield lambda: edges.get_value(_LOOP_IN), edge


# ---- counting ---------------------------------------------------------------------


def _explain(parties: Parties, once: Callable[[], object], count: bool) -> dict[str, Any]:
    _repeat(once)
    before = {party: _spent(pid) for party, pid in parties.items()}
    _repeat(once)
    after = {party: _spent(pid) for party, pid in parties.items()}
    calls = _system_calls(parties, once) if count else {}
    return {
        party: {
            "cpu_us": round((after[party].cpu_ns - before[party].cpu_ns) / 1000 / _ROUNDS, 2),
            "changes": round((after[party].changes - before[party].changes) / _ROUNDS, 2),
            "calls": calls.get(party),
        }
        for party in parties
    }


def _repeat(once: Callable[[], object]) -> None:
    for _ in range(_ROUNDS):
        once()


def _spent(pid: int) -> _Spent:
    changes = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        changes += sum(map(int, _SWITCHES.findall((task / "status").read_text())))
    return _Spent(cpu_ns(pid), changes)


def _system_calls(parties: Parties, once: Callable[[], object]) -> dict[str, dict[str, float]]:
    """How many of each a party makes for one operation, those that are rare left out."""
    with tempfile.TemporaryDirectory(prefix="gpio-bridge-") as folder:
        # This process comes last: what it starts then is traced, too, and may not trace.
        order = sorted(parties, key=lambda party: parties[party] == os.getpid())
        tracers = {party: _trace(parties[party], f"{folder}/{party}") for party in order}
        try:
            _repeat(once)
        finally:
            for tracer in tracers.values():
                tracer.send_signal(signal.SIGINT)
                tracer.communicate()
        found = {}
        for party in parties:
            table = _CALLS.findall(Path(f"{folder}/{party}").read_text())
            each = {name: round(int(calls) / _ROUNDS, 1) for calls, name in table}
            each.pop("total", None)
            found[party] = {name: calls for name, calls in each.items() if calls}
        return found


def _trace(pid: int, output: str) -> subprocess.Popen[bytes]:
    tracer = subprocess.Popen(
        ["strace", "-f", "-c", "-o", output, "-p", str(pid)],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert tracer.stderr is not None
    said = b""
    if select.select([tracer.stderr], [], [], _ATTACH_S)[0]:
        said = os.read(tracer.stderr.fileno(), 4096)
    if b"attached" not in said:
        tracer.kill()
        tracer.communicate()
        raise OSError(
            errno.EPERM,
            f"strace cannot attach to process {pid}: {said.decode(errors='replace').strip()}",
        )
    return tracer
