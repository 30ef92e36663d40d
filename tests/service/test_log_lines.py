# SPDX-License-Identifier: BSD-3-Clause
"""Log lines that peers cause, and a standard error that nobody reads."""

from __future__ import annotations

import fcntl
import logging
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.service.log_lines import BURST, WAITING_MAX, RateLimit, Writer

from .conftest import RawClient

ROOT = Path(__file__).parents[2]


def record(text: str, *arguments: object, name: str = "bridge") -> logging.LogRecord:
    return logging.LogRecord(name, logging.WARNING, "", 0, text, arguments, None)


def test_line_that_comes_without_end_is_told_now_and_then() -> None:
    now = 100.0
    limit = RateLimit(lambda: now)
    passed = [limit.filter(record("client %d refused", number)) for number in range(3 * BURST)]
    assert passed == [True] * BURST + [False] * 2 * BURST
    assert limit.filter(record("something else"))
    now += 1
    last = record("client %d refused", 7)
    assert limit.filter(last)
    assert last.getMessage() == f"client 7 refused ({2 * BURST} more like it before)"
    assert not limit.filter(record("client %d refused", 8))


def test_kinds_of_lines_do_not_pile_up() -> None:
    limit = RateLimit()
    for number in range(10_000):
        assert limit.filter(record(f"kind {number}"))
    assert len(limit._kinds) < 1000


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """With room for one page."""
    ends = os.pipe()
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 4096)
    yield ends
    os.close(ends[0])


def test_nobody_waits_for_who_does_not_read(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    writer = Writer(writing)
    writer.handle(record("%04d %s", 0, "x" * 100))
    assert select.select([reading], [], [], 60)[0], "the writer's thread is under way"
    for number in range(1, WAITING_MAX + 2000):
        writer.handle(record("%04d %s", number, "x" * 100))
    writer.flush()  # has a deadline, too
    seen = b""
    while b"lines lost" not in seen:  # with the first line that comes when there is room
        seen += os.read(reading, 4096)
        writer.handle(record("and another"))
    assert seen.startswith(b"0000 xxx")


def test_service_goes_on_when_nobody_reads_its_standard_error(
    tmp_path: Path, pipe: tuple[int, int]
) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[limits]\nconnections = 1\n[[link]]\nurl = "vhost-user:/nowhere/fw.sock"\n')
    path = tmp_path / "control.sock"
    ready, ready_w = os.pipe()
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "bridge.cli", "serve", "--config", str(config)),
            *("--socket", str(path), "--ready-fd", str(ready_w)),
        ],
        pass_fds=(ready_w,),
        stderr=pipe[1],
        cwd=ROOT,
    ) as service:
        os.close(ready_w)
        os.close(pipe[1])
        assert os.read(ready, 100) == b"ready\n"
        os.close(ready)
        client = RawClient.connect(path)
        for _ in range(100):  # 15 KB of log lines
            refused = RawClient.connect(path, hello=False)
            assert refused.receive()[0] is not None
            refused.socket.close()
        assert client.ok("status")["clients"] == 1
        service.terminate()
        assert service.wait(30) == 0
    assert b"limits.connections" in os.read(pipe[0], 4096)
