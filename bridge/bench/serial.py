# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge bench serial: what a get costs on a UART, beside the time of its bytes."""

from __future__ import annotations

import time
from typing import Any

from bridge.bench.measure import percentile
from bridge.bench.rig import direct_chip
from bridge.client.line_settings import LineSettings
from bridge.line import Direction

BAUD = 115200
_BITS = 10  # a byte on the wire: start, 8 bits, stop
_HEAD, _CRC = 4, 4  # docs/protocol.md 12.1 and 12.2
_COBS = 2  # one code and the delimiter; messages this short need no second code
_REQUEST, _REPLY = 12, 8  # extended form (8.1, 8.2): the stub offers TAG
_WARM_UP = 10
# The firmware is a process of this machine, and its line loses nothing.
_PATIENCE = "&retry=10000&dead=60000"
_LINE = 5  # LOOP_IN of firmware_stub/boards/demo.board


def wire_us(baud: int) -> float:
    """Return the time that a GET_VALUE and its reply take on the wire, in us.

    `baud` is the rate in bits per second. Every byte of the two frames counts, and
    nothing else: the reply acknowledges the request, the next request the reply.
    """
    framing = 2 * (_HEAD + _CRC + _COBS)
    return (framing + _REQUEST + _REPLY) * _BITS * 1e6 / baud


def measure_serial(seconds: float, baud: int = BAUD) -> dict[str, Any]:
    """Time get_value() over a pty whose bytes take their time, for about `seconds`.

    The link lives in this process; `baud` is the rate in bits per second. Raises
    OSError when the stub does not start or stops answering.
    """
    from firmware_stub import Stub

    samples: list[float] = []
    with (
        Stub("demo", transport="serial", baud=baud) as stub,
        direct_chip(f"{stub.serial_url}{_PATIENCE}") as chip,
        chip.request_lines(
            {_LINE: LineSettings(direction=Direction.INPUT)}, consumer="bench"
        ) as request,
    ):
        for _ in range(_WARM_UP):
            request.get_value(_LINE)
        end = time.perf_counter_ns() + int(seconds * 1e9)
        while not samples or time.perf_counter_ns() < end:
            before = time.perf_counter_ns()
            request.get_value(_LINE)
            samples.append((time.perf_counter_ns() - before) / 1000)
    p50, wire = percentile(samples, 50), wire_us(baud)
    return {
        "baud": baud,
        "wire_us": round(wire, 1),
        "get_p50_us": round(p50, 1),
        "get_p99_us": round(percentile(samples, 99), 1),
        "ratio": round(p50 / wire, 3),
        "rounds": len(samples),
    }
