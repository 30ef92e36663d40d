# SPDX-License-Identifier: BSD-3-Clause
"""The measurement of gpio-bridge bench record: edges to a file, and what of them was lost."""

from __future__ import annotations

import errno
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bridge.bench.measure import Tell, cpu_ns, silent
from bridge.bench.rig import Rig
from bridge.client.control import Connection
from bridge.control_protocol import METRICS

__all__ = ["measure_record"]

_LINES = 32
_PATIENCE_S = 90.0
_WITHOUT_END = 1 << 31
# What is written at most is twice as much.
_FILE_MAX = "64M"
_TOTAL = re.compile(r"(\d+) edges, (\d+) lost")


def measure_record(
    seconds: float, rate: int, lines: int, format: str, tell: Tell = silent
) -> dict[str, Any]:
    """Return the figures of a recording of so many seconds.

    `rate` is that of all edges a second, 0 for as many as the firmware can send; `lines` share it.
    Raises OSError when stub, service or recorder do not start.
    """
    with (
        tempfile.TemporaryDirectory(prefix="gpio-bridge-") as directory,
        Rig(board=f"controller 0 label bench lines {_LINES}\n") as rig,
    ):
        path = Path(directory, f"x.{format}")
        recorder = _start(rig, path, lines)
        try:
            tell(f"a recording of {seconds:g} s")
            figures = _run(rig, recorder, seconds, rate, lines)
            figures["loss_in_buffer"] = _overwritten(rig)
            recorder.send_signal(signal.SIGINT)
            said = recorder.communicate(timeout=_PATIENCE_S)[1]
        finally:
            recorder.kill()
            recorder.wait()
    total = _TOTAL.search(said)
    if total is None:
        raise OSError(errno.EPROTO, f"the recorder ended with: {said.strip() or 'nothing'}")
    figures["count"], figures["lost"] = int(total[1]), int(total[2])
    return {**figures, "lines": lines, "format": format, "load": os.getloadavg()[0]}


def _start(rig: Rig, path: Path, lines: int) -> subprocess.Popen[str]:
    """Start a recorder, and wait until it has its lines."""
    recorder = subprocess.Popen(
        [
            *(sys.executable, "-m", "bridge.cli", "record", "--banner", "-o", str(path)),
            *("--max-size", _FILE_MAX, "--keep", "2", "-c", f"{rig.serve.socket}#{rig.chips[0]}"),
            *map(str, range(lines)),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert recorder.stderr is not None
    if not select.select([recorder.stderr], [], [], _PATIENCE_S)[0]:
        recorder.kill()
        raise OSError(errno.ETIMEDOUT, f"the recorder did not begin in {_PATIENCE_S:g} s")
    said = recorder.stderr.readline()
    if not said.startswith("Recording"):
        recorder.wait()
        raise OSError(errno.ECHILD, f"the recorder did not start: {said.strip()}")
    return recorder


def _run(
    rig: Rig, recorder: subprocess.Popen[str], seconds: float, rate: int, lines: int
) -> dict[str, Any]:
    """Let lines change for some seconds; return the rate, and what an edge cost each process."""
    names = [f"0/{line}" for line in range(lines)]
    pids = {"firmware": rig.stub.pid or 0, "service": rig.serve.pid, "recorder": recorder.pid}

    def now() -> tuple[int, dict[str, int], int]:
        spent = {name: cpu_ns(pid) for name, pid in pids.items()}
        return time.monotonic_ns(), spent, sum(rig.stub.count(name).edges for name in names)

    for name in names:
        rig.stub.wait_armed(name)
    began, spent, edges = now()
    for name in names:
        rig.stub.pulse(name, _WITHOUT_END, rate // lines // 2)
    time.sleep(seconds)
    ended, spent_then, edges_then = now()
    count = max(1, edges_then - edges)
    return {
        "per_s": round(count / ((ended - began) / 1e9)),
        "cpu_us_per_edge": {
            name: round((spent_then[name] - spent[name]) / 1000 / count, 3) for name in pids
        },
        "cpu_percent": round(100 * sum(spent_then[n] - spent[n] for n in pids) / (ended - began)),
    }


def _overwritten(rig: Rig) -> int:
    """The edges that waited for the recorder, and made place for later ones."""
    connection = Connection.open(rig.serve.socket)
    try:
        requests = connection.call(METRICS, chip=rig.chips[0])["requests"]
        return sum(int(request["overwritten"]) for request in requests)
    finally:
        connection.close()
