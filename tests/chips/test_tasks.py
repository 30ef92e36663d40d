# SPDX-License-Identifier: BSD-3-Clause
"""Background tasks end together, whatever state they are in."""

from __future__ import annotations

import asyncio

import pytest

from bridge.chips.tasks import Tasks


# A stop that spins keeps every other task of the loop from running, a time-out of asyncio's, too.
@pytest.mark.timeout(100)
def test_stop_takes_tasks_whose_callbacks_have_not_run() -> None:
    async def scenario() -> None:
        tasks = Tasks()
        ended = tasks.spawn(asyncio.sleep(0), "one that ends at once")
        while not ended.done():
            await asyncio.sleep(0)
        await tasks.stop()

    asyncio.run(scenario())


@pytest.mark.timeout(100)
def test_stop_takes_what_is_spawned_by_those_that_it_cancels() -> None:
    async def scenario() -> list[str]:
        tasks = Tasks()
        said: list[str] = []

        async def last_words() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                said.append("last words")

        async def spawns() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                tasks.spawn(last_words(), "spawned at the end")
                await asyncio.sleep(0)

        tasks.spawn(spawns(), "one that spawns")
        await asyncio.sleep(0)
        await tasks.stop()
        return said

    assert asyncio.run(scenario()) == ["last words"]
