# SPDX-License-Identifier: BSD-3-Clause
"""The measurements of gpio-bridge bench. They give numbers, never the verdict of a test."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.client.chip import Chip
from bridge.client.line_settings import LineSettings
from bridge.line import Direction, Edge

if TYPE_CHECKING:
    from bridge.bench.rig import Rig
    from firmware_stub import Stub

# Lines of controller 0 of firmware_stub/boards/demo.board.
_LOOP_IN = 5
_SENSOR_IRQ = 8

_WARM_UP = 500
_FLOOR_ROUNDS_PER_S = 10_000
_CLIENT_ROUNDS_PER_S = 1_000_000  # room for them
# A burst is as large as the client's buffer, 1024 edges: time in which the scheduler keeps the
# client from reading must not be counted as edges that the path lost.
_PULSES = 512
_EDGE_TIMEOUT_S = 20.0


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile of `samples`, which must not be empty."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


@contextmanager
def pinned(pin: bool) -> Iterator[None]:
    """Keep this process and what it starts on one CPU while the block runs."""
    before = os.sched_getaffinity(0)
    if pin:
        os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


Tell = Callable[[str], None]
"""Is told which part is measured now, for the person who waits."""


def silent(part: str) -> None:
    """Report nothing."""


def measure(seconds: float, pin: bool, tell: Tell = silent) -> dict[str, Any]:
    """Run every measurement once, each for about `seconds`, and return the figures.

    `pin` keeps all processes on one CPU, `tell` is told of each part. Raises
    OSError when stub or service do not start, or edges stop coming.
    """
    from bridge.bench.rig import Rig

    with pinned(pin):
        where = "pinned to one CPU" if pin else "unpinned"
        tell(f"floor, {where}")
        floor_ns = _floor(seconds / 2)
        with Rig() as rig:
            tell(f"service, {where}")
            service_ns = _service(rig, seconds)
            tell(f"service, client in C, {where}")
            service_c_ns = _service_c(rig, seconds / 2)
            tell(f"edges, {where}")
            edges = _edges(rig.stub, rig.chip(), seconds)
            tell(f"idle CPU, {where}")
            idle = _idle(rig)
            rss_mb = peak_mb(rig.serve.pid)
        tell(f"direct, {where}")
        direct_ns = _direct(seconds)
        # The other half of the floor comes last, so that a machine that speeds up or
        # slows down in between does not tilt the ratio.
        floor_ns += _floor(seconds / 2)
    return {
        "floor": _round_trip(floor_ns),
        "direct": _round_trip(direct_ns, floor_ns),
        "service": _round_trip(service_ns, floor_ns),
        "service_c": _round_trip(service_c_ns, floor_ns),
        "edges": edges,
        "idle": idle,
        "rss_mb": rss_mb,
    }


def _us(nanoseconds: float) -> float:
    return round(nanoseconds / 1000, 2)


def _round_trip(samples: list[int], floor: list[int] | None = None) -> dict[str, Any]:
    """What is told of round trips in ns, and of how they compare with those of the floor."""
    figures: dict[str, Any] = {}
    for percent in (50, 99):
        found = percentile(samples, percent)
        figures[f"p{percent}_us"] = _us(found)
        if floor is not None:
            figures[f"ratio_p{percent}"] = round(found / percentile(floor, percent), 2)
    return {**figures, "rounds": len(samples)}


def _floor(seconds: float) -> list[int]:
    """Time the plain C relay: client -> relay -> eventfd peer and back."""
    from bridge.bench.native._native import ffi, lib

    rounds = max(1000, int(seconds * _FLOOR_ROUNDS_PER_S))
    samples = ffi.new("uint32_t[]", rounds)
    status = lib.gb_bench_floor(rounds, samples)
    if status:
        number = abs(status)
        raise OSError(number, f"the floor benchmark failed: {os.strerror(number)}")
    return [int(sample) for sample in ffi.unpack(samples, rounds)]


def round_trips(chip: Chip, seconds: float) -> list[int]:
    """Time get_value() for `seconds`, in ns each."""
    samples = []
    with chip.request_lines(
        {_LOOP_IN: LineSettings(direction=Direction.INPUT)}, consumer="bench"
    ) as request:
        get_value, now = request.get_value, time.perf_counter_ns
        for _ in range(_WARM_UP):
            get_value(_LOOP_IN)
        end = now() + int(seconds * 1e9)
        before = now()
        while before < end:
            get_value(_LOOP_IN)
            after = now()
            samples.append(after - before)
            before = after
    return samples


def _service(rig: Rig, seconds: float) -> list[int]:
    with rig.chip() as chip:
        return round_trips(chip, seconds)


def _service_c(rig: Rig, seconds: float) -> list[int]:
    """The same by the client in C: what is left without Python on this side."""
    from bridge.bench.native._native import ffi, lib

    room = int(seconds * _CLIENT_ROUNDS_PER_S)
    samples = ffi.new("uint32_t[]", room)
    with rig.chip() as chip, chip.request_lines({_LOOP_IN: None}, "bench") as request:
        client = ffi.new("struct gb_bench_client *", {"operation_fd": request.operation_fd})
        count = lib.gb_bench_client_get(client, int(seconds * 1e9), room, samples)
    if count < 0:
        raise OSError(-count, f"the client in C failed: {os.strerror(-count)}")
    return list(ffi.unpack(samples, count))


def _direct(seconds: float) -> list[int]:
    """Time the link inside this process, without a service process."""
    from bridge.bench.rig import direct_chip
    from firmware_stub import Stub

    with Stub("demo") as stub, direct_chip(stub.url) as chip:
        return round_trips(chip, seconds)


def _edges(stub: Stub, chip: Chip, seconds: float) -> dict[str, Any]:
    """Count edges that the firmware fires as fast as the protocol allows without loss."""
    received = sent = 0
    spent_ns = 0
    settings = LineSettings(edge_detection=Edge.BOTH)
    with chip, chip.request_lines({_SENSOR_IRQ: settings}, "bench", 1024) as request:
        while spent_ns < seconds * 1e9:
            stub.wait_armed("SENSOR_IRQ")
            before = time.perf_counter_ns()
            stub.pulse("SENSOR_IRQ", _PULSES, 0)
            sent += 2 * _PULSES
            while received < sent and request.wait_edge_events(_EDGE_TIMEOUT_S):
                received += len(request.read_edge_events(1024))
            spent_ns += time.perf_counter_ns() - before
            if received < sent:
                break
    if not received:
        raise OSError(errno.ETIMEDOUT, f"no edge arrived in {_EDGE_TIMEOUT_S:g} s")
    return {
        "per_s": round(received / (spent_ns / 1e9)),
        "count": received,
        "lost": sent - received,
    }


def _idle(rig: Rig) -> dict[str, Any]:
    """Measure the CPU of the service over 2 s with a client connected and an edge armed."""
    with (
        rig.chip() as chip,
        chip.request_lines({_SENSOR_IRQ: LineSettings(edge_detection=Edge.BOTH)}, "bench"),
    ):
        ticks, nanoseconds = _cpu_ticks(rig.serve.pid), cpu_ns(rig.serve.pid)
        before = time.monotonic_ns()
        time.sleep(2.0)
        elapsed = time.monotonic_ns() - before
        nanoseconds = cpu_ns(rig.serve.pid) - nanoseconds
        ticks = _cpu_ticks(rig.serve.pid) - ticks
    return {
        "cpu_percent": round(100 * nanoseconds / elapsed, 2),
        "cpu_us": round(nanoseconds / 1000),
        "ticks": ticks,
    }


def _cpu_ticks(pid: int) -> int:
    """Return user and system time of a process in clock ticks (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def cpu_ns(pid: int) -> int:
    """Return the time on a CPU of all threads of a process in ns.

    The times are from schedstat; the file of a process there counts only its first thread.
    """
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)


def peak_mb(pid: int) -> float:
    """Return the largest resident set of a process in MiB (proc(5), VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise OSError(errno.ESRCH, f"/proc/{pid}/status has no VmHWM: the service is gone")
