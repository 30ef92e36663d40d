# SPDX-License-Identifier: BSD-3-Clause
"""Processes that tests started: what they print, and the time that they take."""

from __future__ import annotations

import os
import select
import subprocess
from pathlib import Path

LATE_S = 300.0


def line_of(process: subprocess.Popen[str]) -> str:
    """Return the next line of output, or fail at the deadline."""
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], LATE_S)[0], "no output"
    return process.stdout.readline().rstrip("\n")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
