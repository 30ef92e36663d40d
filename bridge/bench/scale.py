# SPDX-License-Identifier: BSD-3-Clause
"""Whether a client pays for the others: one alone, and one among 200 with 1000 requests."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from bridge.bench.measure import Tell, percentile, pinned, silent
from bridge.bench.rig import Rig
from bridge.client.chip import Chip
from bridge.client.line_settings import LineSettings
from bridge.line import Direction
from bridge.service.service import raise_file_limit

__all__ = ["measure_scale"]

_CLIENTS = 200
_REQUESTS = 1000
_CHIPS = 64
# Lines of a chip of firmware_stub/boards/scale.board; the last one is for the measurement.
_LINES = 32
_WARM_UP = 20

_INPUT = LineSettings(direction=Direction.INPUT)


def measure_scale(rounds: int, tell: Tell = silent) -> dict[str, Any]:
    """Return medians in us of `rounds` measurements each, alone and among many clients.

    Everything is pinned to one CPU, `tell` is told of each part. Raises OSError
    when stub or service do not start.
    """
    raise_file_limit()
    with pinned(True), Rig(board="scale") as rig:
        tell("one client alone")
        before = _measure(rig, rounds)
        with ExitStack() as stack:
            tell("200 clients that come")
            started = time.perf_counter()
            clients, requests = _crowd(rig, stack)
            set_up_us = (time.perf_counter() - started) / len(requests) * 1e6
            tell("one client among them")
            many = _measure(rig, rounds)
        tell("one client alone again")
        # Alone once more, so that a machine that speeds up or slows down in between does
        # not tilt the ratio.
        after = _measure(rig, rounds)
    one = {key: before[key] + after[key] for key in before}
    figures_one, figures_many = _figures(one), _figures(many)
    return {
        "one": figures_one,
        "many": {**figures_many, "set_up_us": round(set_up_us, 1)},
        "ratio": round(figures_many["request_us"] / figures_one["request_us"], 2),
        "clients": len(clients),
        "requests": len(requests),
        "chips": _CHIPS,
        "rounds": rounds,
    }


def _figures(samples: dict[str, list[float]]) -> dict[str, float]:
    return {f"{key}_us": round(percentile(times, 50), 1) for key, times in samples.items()}


def _crowd(rig: Rig, stack: ExitStack) -> tuple[list[Chip], list[Any]]:
    """Clients with their own connection, watches and requests, spread over the chips."""
    clients = [stack.enter_context(rig.chip(n % _CHIPS)) for n in range(_CLIENTS)]
    requests = []
    for number in range(_REQUESTS):
        client = clients[number % _CLIENTS]
        # Which request of its chip this is: no two may ask for the same line.
        line = number // _CLIENTS * -(-_CLIENTS // _CHIPS) + number % _CLIENTS // _CHIPS
        assert line < _LINES - 1
        client.watch_line_info(line)
        request = client.request_lines({line: _INPUT}, consumer=f"client {number % _CLIENTS}")
        requests.append(stack.enter_context(request))
    return clients, requests


def _measure(rig: Rig, rounds: int) -> dict[str, list[float]]:
    line = _LINES - 1
    with rig.chip(_CHIPS - 1) as chip:

        def request() -> None:
            chip.request_lines({line: _INPUT}, consumer="bench").release()

        def watch() -> None:
            chip.watch_line_info(line)
            chip.unwatch_line_info(line)

        def lookup() -> None:
            chip.line_offset_from_id("IN")

        return {
            "request": _times(request, rounds),
            "watch": _times(watch, rounds),
            "lookup": _times(lookup, rounds),
        }


def _times(work: Callable[[], None], rounds: int) -> list[float]:
    """Return the time of each of `rounds` calls in us."""
    for _ in range(_WARM_UP):
        work()
    times = []
    for _ in range(rounds):
        before = time.perf_counter_ns()
        work()
        times.append((time.perf_counter_ns() - before) / 1000)
    return times
