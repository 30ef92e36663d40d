# SPDX-License-Identifier: BSD-3-Clause
"""The measurements of gpio-bridge bench edges: bursts, timestamps, bulk operations."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from bridge.bench.measure import Tell, pinned, silent
from bridge.bench.rig import Rig
from bridge.client.chip import Chip
from bridge.client.line_request import LineRequest
from bridge.client.line_settings import LineSettings
from bridge.line import Direction, Edge, Value
from firmware_stub import Stub

__all__ = ["measure_edges"]

_LINES = 32
# The coprocessor's clock: hours off and 100 ppm too fast.
_BOARD = f"""\
controller 0 label bench lines {_LINES}
clock-offset 7h
clock-drift 100ppm
"""
_TIMEOUT_S = 20.0
_RECORD = 48
_WORDS = _RECORD // 8

_TIMED_HZ = 4000
_TIMED_S = 3.0
_SAMPLE_S = 0.02
# After so many seconds the bound is compared with its target.
_SETTLED_NS = 1_000_000_000

_BULK_S = 0.5

_INPUT = LineSettings(edge_detection=Edge.BOTH)
_OUTPUT = LineSettings(direction=Direction.OUTPUT)


def measure_edges(edges: int, pin: bool = True, tell: Tell = silent) -> dict[str, Any]:
    """Return the figures of bursts of `edges` edges, of timestamps and of bulk operations.

    `pin` keeps all processes on one CPU, `tell` is told of each part. Raises
    OSError when stub or service do not start, or edges stop coming.
    """
    with pinned(pin):
        tell("floor")
        result: dict[str, Any] = {"floor": {"per_s": round(_floor(edges))}}
        with Rig(board=_BOARD) as rig, rig.chip() as chip:
            tell("a burst on one line")
            result["one"] = _burst(rig.stub, chip, [0], edges)
            tell(f"a burst on {_LINES} lines")
            result["many"] = _burst(rig.stub, chip, list(range(_LINES)), edges)
            tell("timestamps")
            result |= _timestamps(rig.stub, chip)
            tell("bulk operations")
            bulk = result["bulk"] = _bulk(rig.stub, chip)
        with Rig(board=_BOARD, features="config,names,tag,epoch") as rig, rig.chip() as chip:
            single = _line_operations(chip, at_once=True)
    bulk["ratio_pipelined"] = round(bulk["per_s"] / single, 2)
    return result


def _floor(edges: int) -> float:
    """Return the edges a second through an event ring between two C processes."""
    from bridge.bench.native._native import ffi, lib

    elapsed_ns = ffi.new("uint64_t *")
    status = lib.gb_bench_edges(edges, elapsed_ns)
    if status:
        raise OSError(-status, f"the floor benchmark failed: {os.strerror(-status)}")
    return edges / (int(elapsed_ns[0]) / 1e9)


# ---- bursts --------------------------------------------------------------------


def _burst(stub: Stub, chip: Chip, lines: Sequence[int], edges: int) -> dict[str, Any]:
    """Let lines change as fast as the firmware can send it and count what arrives."""
    pulses = edges // len(lines) // 2
    sent = 2 * pulses * len(lines)
    received = gaps = 0
    with chip.request_lines({tuple(lines): _INPUT}, "bench", 1024) as request:
        for line in lines:
            stub.wait_armed(f"0/{line}")
        start = time.perf_counter_ns()
        for line in lines:
            stub.pulse(f"0/{line}", pulses, 0)
        while received < sent and request.wait_edge_events(_TIMEOUT_S):
            batch = request.read_edge_event_array()
            received += len(batch) // _RECORD
            gaps = batch.cast("I")[-_RECORD // 4 + 4] - received  # seqno of the last one
        elapsed_ns = time.perf_counter_ns() - start
    if not received:
        raise OSError(errno.ETIMEDOUT, f"no edge arrived in {_TIMEOUT_S:g} s")
    return {
        "per_s": round(received / (elapsed_ns / 1e9)),
        "count": received,
        "lost": sent - received,
        "gaps": gaps,
        "lines": len(lines),
    }


# ---- timestamps ----------------------------------------------------------------


def _timestamps(stub: Stub, chip: Chip) -> dict[str, Any]:
    """Compare the times of edges with the truth, which the board knows."""
    pulses = int(_TIMED_HZ * _TIMED_S)
    with chip.request_lines({0: _INPUT}, "bench", 1024) as request:
        stub.wait_armed("0/0")
        stub.trace("0/0", 2 * pulses)
        start_ns = time.monotonic_ns()
        stub.pulse("0/0", pulses, _TIMED_HZ)
        numbers, times, bounds, late = _timed_edges(
            chip, request, 2 * pulses, start_ns + _SETTLED_NS
        )
    if not times:
        raise OSError(errno.ETIMEDOUT, f"no edge arrived in {_TIMEOUT_S:g} s")
    truth = stub.times("0/0")
    errors = [abs(seen - truth[n - 1]) for n, seen in zip(numbers, times, strict=True)]
    inside = sum(error <= bound for error, bound in zip(errors, bounds, strict=True))
    clock = chip.clock()
    return {
        "bound_us": round(late / 1000, 2),
        "inside_percent": round(100 * inside / len(errors), 3),
        "error_us": {
            "p50": round(sorted(errors)[len(errors) // 2] / 1000, 3),
            "max": round(max(errors) / 1000, 3),
        },
        "drift_ppm": round(clock.drift_ppb / 1000, 3),
        "by_arrival": clock.by_arrival,
        "untimed": len(truth) - len(times),
    }


def _timed_edges(
    chip: Chip, request: LineRequest, count: int, settled_ns: int
) -> tuple[list[int], list[int], list[int], int]:
    """Return numbers and times of `count` edges, the bound of each, and the largest late bound.

    An edge was stamped between two readings of the bound, so it has the larger one. On a busy
    host some are lost at the source: the firmware does not wait here until it can send them.
    """
    numbers: list[int] = []
    times: list[int] = []
    bounds: list[int] = []
    samples = [_bound(chip)]
    largest = 0
    following = time.monotonic()
    while (not numbers or numbers[-1] < count) and request.wait_edge_events(_TIMEOUT_S):
        batch = request.read_edge_event_array()
        times += batch.cast("Q")[::_WORDS]
        numbers += batch.cast("I")[5 :: _RECORD // 4]  # line_seqno
        if (now := time.monotonic()) < following and numbers[-1] < count:
            continue
        following = now + _SAMPLE_S
        samples.append(_bound(chip))
        if now * 1e9 >= settled_ns:
            largest = max(largest, samples[-1])
        bounds += [max(samples[-2:])] * (len(times) - len(bounds))
    bounds += [samples[-1]] * (len(times) - len(bounds))
    return numbers, times, bounds, largest


def _bound(chip: Chip) -> int:
    clock = chip.clock()
    return clock.bound_ns if clock.known else 0


# ---- bulk ----------------------------------------------------------------------


def _bulk(stub: Stub, chip: Chip) -> dict[str, Any]:
    """Toggle 32 lines by one message, and one after the other."""
    together = _line_operations(chip, at_once=True)
    single = _line_operations(chip, at_once=False)
    return {
        "per_s": round(together),
        "single_per_s": round(single),
        "ratio": round(together / single, 2),
        "same_step": _same_step(stub, chip),
    }


def _line_operations(chip: Chip, at_once: bool) -> float:
    """Return how many lines a second are set: 32 in one call, or one in each."""
    lines: tuple[int | str, ...] = tuple(range(_LINES))
    patterns = [dict.fromkeys(lines, Value.ACTIVE), dict.fromkeys(lines, Value.INACTIVE)]
    rounds = 0
    with chip.request_lines({lines: _OUTPUT}, "bench") as request:
        start = time.perf_counter_ns()
        while (elapsed_ns := time.perf_counter_ns() - start) < _BULK_S * 1e9:
            values = patterns[rounds % 2]
            if at_once:
                request.set_values(values)
            else:
                for line, value in values.items():
                    request.set_value(line, value)
            rounds += 1
    return rounds * _LINES / (elapsed_ns / 1e9)


def _same_step(stub: Stub, chip: Chip) -> bool:
    """Return whether 32 lines changed within the same step of the firmware, each time."""
    lines: tuple[int | str, ...] = tuple(range(_LINES))
    steps = []
    with chip.request_lines({lines: _OUTPUT}, "bench") as request:
        for value in (Value.ACTIVE, Value.INACTIVE) * 4:
            request.set_values(dict.fromkeys(lines, value))
            steps.append({stub.edge(f"0/{line}").step for line in lines})
    return all(len(step) == 1 for step in steps) and all(a != b for a, b in pairwise(steps))
