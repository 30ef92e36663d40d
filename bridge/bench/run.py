# SPDX-License-Identifier: BSD-3-Clause
"""The measurements of gpio-bridge bench run: what a program under `run` gets.

`python -m bridge.bench.run` is that program: it opens /dev/gpiochipN as any other does.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from typing import Any

from bridge.bench.measure import Tell, percentile, pinned, silent

_LINES = 8
_BOARD = f"controller 0 label bench lines {_LINES}\n"
_TIMEOUT_S = 20.0
_ROUNDS_PER_S = 5000
_WARM_UP = 200
_PASSES = 4
_HOUR_NS = 3600 * 10**9


def measure_run(
    seconds: float, edges: int, pin: bool = True, tell: Tell = silent
) -> dict[str, Any]:
    """Return the figures of a get and of bursts of edges under `gpio-bridge run`.

    Args:
        seconds: that the gets take.
        edges: of the burst.
        pin: keep all processes on one CPU.
        tell: is told of each part.

    Raises:
        OSError: stub, service or program do not start, or edges stop coming.
    """
    from bridge.bench.rig import Rig

    with pinned(pin), Rig(board=_BOARD) as rig:
        tell("gets")
        with _program(rig.serve.socket) as program:
            gets = _ask(program, "get", rig.serve.socket, seconds)
            tell("edges")
            _ask(program, "watch", "", 0)
            for line in range(_LINES):
                rig.stub.wait_armed(f"0/{line}")
            pulses = edges // _LINES // 2
            assert program.stdin is not None
            print("edges", "-", 2 * pulses * _LINES, file=program.stdin, flush=True)
            start = time.perf_counter_ns()
            for line in range(_LINES):
                rig.stub.pulse(f"0/{line}", pulses, 0)
            counted = _answer(program)
            elapsed_s = (time.perf_counter_ns() - start) / 1e9
    if not counted["received"]:
        raise OSError(errno.ETIMEDOUT, f"no edge arrived in {_TIMEOUT_S:g} s")
    return {
        "get": gets,
        "edges": {
            "per_s": round(counted["received"] / elapsed_s),
            "count": counted["received"],
            "lost": 2 * pulses * _LINES - counted["received"],
            "unannounced": counted["disordered"] + 2 * pulses * _LINES - counted["last"],
        },
    }


def _program(socket: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "bridge.cli", "run", "--socket", socket, "--"]
    return subprocess.Popen(
        [*words, sys.executable, "-m", "bridge.bench.run"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _ask(program: subprocess.Popen[str], what: str, socket: str, number: float) -> dict[str, Any]:
    assert program.stdin is not None
    print(what, socket or "-", number, file=program.stdin, flush=True)
    return _answer(program)


def _answer(program: subprocess.Popen[str]) -> dict[str, Any]:
    assert program.stdout is not None
    line = program.stdout.readline()
    if not line:
        raise OSError(errno.ECHILD, "the program under gpio-bridge run ended")
    answer: dict[str, Any] = json.loads(line)
    return answer


# ---- the program ------------------------------------------------------------------


def _get(path: str, socket: str, seconds: float) -> dict[str, Any]:
    """The same get by the kernel's uAPI and by our own client in C, one after the other."""
    from bridge.bench.native._native import ffi, lib
    from bridge.client.chip import Chip
    from bridge.client.line_settings import LineSettings

    rounds = max(500, int(seconds * _ROUNDS_PER_S / 2 / _PASSES))
    samples = ffi.new("uint32_t[]", rounds)
    uapi: list[int] = []
    client: list[int] = []
    for _ in range(_PASSES):
        _check(lib.gb_bench_uapi_get(path.encode(), 0, rounds, samples))
        uapi += ffi.unpack(samples, rounds)[_WARM_UP:]
        with (
            Chip(f"{socket}#fw-0") as chip,
            chip.request_lines({0: LineSettings()}, "bench") as request,
        ):
            us = ffi.new("struct gb_bench_client *", {"operation_fd": request.operation_fd})
            _check(lib.gb_bench_client_get(us, _HOUR_NS, rounds, samples))
        client += ffi.unpack(samples, rounds)[_WARM_UP:]
    ours, theirs = percentile(client, 50), percentile(uapi, 50)
    return {
        "p50_us": round(theirs / 1000, 2),
        "p99_us": round(percentile(uapi, 99) / 1000, 2),
        "client_p50_us": round(ours / 1000, 2),
        "ratio_p50": round(theirs / ours, 2),
        "rounds": len(uapi),
    }


def _check(status: int) -> int:
    if status < 0:
        raise OSError(-status, os.strerror(-status))
    return status


def main() -> None:
    """Do what the lines of stdin say; answer each with a line of JSON."""
    from bridge.bench.native._native import ffi, lib

    path = "/dev/fw-0"
    fd = -1
    for line in sys.stdin:
        what, socket, number = line.split()
        answer: dict[str, Any] = {}
        if what == "get":
            answer = _get(path, socket, float(number))
        elif what == "watch":
            fd = _check(lib.gb_bench_uapi_watch(path.encode(), _LINES))
        else:
            found = ffi.new("struct gb_bench_edges_read *")
            _check(lib.gb_bench_uapi_edges(fd, int(number), int(_TIMEOUT_S * 1000), found))
            answer = {name: getattr(found, name) for name in ("received", "last", "disordered")}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
