# SPDX-License-Identifier: BSD-3-Clause
"""Chips that come and go."""

from __future__ import annotations

import asyncio
import errno
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

import bridge as gpiod
from bridge import aio
from bridge.bench.rig import Rig
from bridge.client.control import Connection
from tests.processes import LATE_S


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """A board whose firmware this file restarts."""
    with Rig() as running:
        yield running


def test_a_chip_is_there_or_it_is_waited_for(rig: Rig) -> None:
    assert gpiod.wait_for_chip("fw-0", 0, rig.serve.socket)
    assert not gpiod.wait_for_chip("fw-7", 0.01, rig.serve.socket)
    rig.stub.kill()
    with ThreadPoolExecutor() as threads:
        waits = threads.submit(gpiod.wait_for_chip, "fw-0", LATE_S, rig.serve.socket)
        rig.stub.start()
        assert waits.result()


def test_chips_are_followed(rig: Rig) -> None:
    chips = gpiod.follow_chips(rig.serve.socket)
    assert [chip.name for chip in next(chips)] == ["fw-0", "fw-1"]
    rig.stub.kill()
    while names(next(chips)):
        continue
    rig.stub.start()
    while names(next(chips)) != ["fw-0", "fw-1"]:
        continue
    chips.close()  # type: ignore[attr-defined]


def test_on_an_event_loop(rig: Rig) -> None:
    async def main() -> None:
        chips = aio.follow_chips(rig.serve.socket)
        assert names(await anext(chips)) == ["fw-0", "fw-1"]
        # More than the loop has threads: each waits in one of its own.
        waits = [
            asyncio.ensure_future(aio.wait_for_chip("fw-7", LATE_S, rig.serve.socket))
            for _ in range(40)
        ]
        assert await aio.wait_for_chip("fw-1", LATE_S, rig.serve.socket)
        for one in waits:
            one.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        assert all(one.cancelled() for one in waits)
        waiting = asyncio.ensure_future(anext(chips))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await chips.aclose()

    before = threading.active_count()
    asyncio.run(asyncio.wait_for(main(), 2 * LATE_S))
    deadline = time.monotonic() + LATE_S
    while threading.active_count() > before:
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.005)


def test_what_is_asked_wrongly_is_said(rig: Rig, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="negative"):
        gpiod.wait_for_chip("fw-0", -1, rig.serve.socket)
    with pytest.raises(TypeError, match="timeout must be"):
        gpiod.wait_for_chip("fw-0", "soon", rig.serve.socket)  # type: ignore[arg-type]
    for wait in (gpiod.wait_for_chip, lambda *_: next(gpiod.follow_chips(f"{tmp_path}/no"))):
        with pytest.raises(FileNotFoundError, match="no service listens"):
            wait("fw-0", 0, f"{tmp_path}/no")


def test_who_waits_is_told_that_the_service_ends() -> None:
    with Rig() as rig, ThreadPoolExecutor() as threads:
        chips = gpiod.follow_chips(rig.serve.socket)
        next(chips)
        follows = threads.submit(lambda: [names(one) for one in chips])
        with closing(Connection.open(rig.serve.socket)) as looks:
            there = looks.call("status")["clients"]
            waits = threads.submit(gpiod.wait_for_chip, "fw-7", None, rig.serve.socket)
            deadline = time.monotonic() + LATE_S
            while looks.call("status")["clients"] == there:
                assert time.monotonic() < deadline
        rig.serve.stop()
        for each in (waits, follows):
            with pytest.raises(OSError) as caught:
                each.result(LATE_S)
            assert caught.value.errno == errno.ENODEV


def names(chips: list[gpiod.ChipInfo]) -> list[str]:
    return [chip.name for chip in chips]
