# SPDX-License-Identifier: BSD-3-Clause
"""bridge.aio: values and events on an event loop."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

import bridge as gpiod
from bridge import aio
from bridge.line import Direction, Edge, Value
from tests.sim import SILENT_MS
from tests.sim import Chip as Sim

OUTPUT = gpiod.LineSettings(direction=Direction.OUTPUT)
HIGH = gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value.ACTIVE)
BOTH = gpiod.LineSettings(edge_detection=Edge.BOTH)


@pytest.fixture
def sim() -> Iterator[Sim]:
    """Eight lines, one of them with a name."""
    with Sim(num_lines=8, line_names={5: "foo"}) as made:
        yield made


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run it with a deadline."""
    asyncio.run(asyncio.wait_for(work, 60))


def test_values(sim: Sim) -> None:
    async def main() -> None:
        async with await aio.Chip.open(sim.dev_path) as chip:
            assert chip.get_info().num_lines == 8
            assert await chip.line_offset_from_id("foo") == 5
            request = await chip.request_lines({("foo", 1): OUTPUT}, consumer="me")
            async with request:
                assert (await chip.get_line_info(1)).consumer == "me"
                assert (await chip.get_all_line_info())[5].name == "foo"
                assert (await chip.clock()).samples >= 0
                await request.set_value("foo", Value.ACTIVE)
                assert await request.get_values() == [Value.ACTIVE, Value.INACTIVE]
                assert await request.get_value(5) is Value.ACTIVE
                await request.reconfigure_lines({1: gpiod.LineSettings(Direction.INPUT)})
                with pytest.raises(PermissionError, match="not an output"):
                    await request.set_values({1: Value.ACTIVE})
                with pytest.raises(ValueError):
                    await request.get_value(9)
            assert not request
            with pytest.raises(gpiod.RequestReleasedError):
                await request.get_value(5)
        with pytest.raises(gpiod.ChipClosedError):
            _ = chip.fd

    run(main())


def test_nothing_is_missing() -> None:
    waits = {"wait_info_event", "wait_edge_events"}  # the loop waits
    ours = {"operation_fd", "timeout_ms", "masks_of", "bits_of", "failure"}  # for aio itself
    for face, behind in ((aio.Chip, gpiod.Chip), (aio.LineRequest, gpiod.LineRequest)):
        names = {name for name in vars(behind) if not name.startswith("_")}
        assert names - waits - ours <= set(dir(face))


def test_edges(sim: Sim) -> None:
    async def main() -> None:
        async with await aio.request_lines(sim.dev_path, {0: BOTH}) as request:
            kinds = []
            sim.set_pull(0, Sim.Pull.UP)
            async for event in request.edge_events():
                kinds.append(event.event_type.value)
                if len(kinds) == 4:
                    break
                sim.set_pull(0, Sim.Pull.UP if len(kinds) % 2 == 0 else Sim.Pull.DOWN)
            assert kinds == [1, 2, 1, 2]

    run(main())


def test_many_at_once_and_values_meanwhile(sim: Sim) -> None:
    async def main() -> None:
        async with await aio.request_lines(sim.dev_path, {(0, 1, 2, 3): OUTPUT}) as request:

            async def toggle(line: int) -> None:
                for number in range(20):
                    await request.set_value(line, Value(number % 2))
                    assert await request.get_value(line) is Value(number % 2)

            await asyncio.gather(*(toggle(line) for line in range(4)))

    run(main())


def test_the_loop_runs_while_the_firmware_is_silent() -> None:
    sim = Sim(timeout_ms=SILENT_MS)

    async def main() -> None:
        async with await aio.request_lines(sim.dev_path, {0: OUTPUT}) as request:
            sim.stub.fault("stall", "on")
            asking = asyncio.ensure_future(request.get_value(0))
            await asyncio.sleep(0)
            assert not asking.done()
            with pytest.raises(TimeoutError):
                await asking
            sim.stub.fault("stall", "off")
            assert await request.get_value(0) is Value.INACTIVE

    with sim:
        run(main())


def test_a_cancelled_operation_does_not_answer_the_next_one(sim: Sim) -> None:
    async def main() -> None:
        async with await aio.request_lines(sim.dev_path, {(0, 1): OUTPUT}) as request:
            await request.set_value(1, Value.ACTIVE)
            asking = asyncio.ensure_future(request.get_value(0))
            await asyncio.sleep(0)
            asking.cancel()
            assert await request.get_value(1) is Value.ACTIVE

    run(main())


def test_info_events(sim: Sim) -> None:
    async def main() -> None:
        async with await aio.Chip.open(sim.dev_path) as chip:
            await chip.watch_line_info("foo")
            async with await chip.request_lines({"foo": None}):
                pass
            kinds = []
            async for event in chip.info_events():
                kinds.append(event.event_type.value)
                if len(kinds) == 2:
                    break
            await chip.unwatch_line_info("foo")
            assert kinds == [1, 2]

    run(main())


def test_release_ends_a_wait(sim: Sim) -> None:
    async def main() -> None:
        request = await aio.request_lines(sim.dev_path, {0: BOTH})
        waiting = asyncio.ensure_future(request.read_edge_events())
        await asyncio.sleep(0)
        await request.release()
        with pytest.raises(gpiod.RequestReleasedError):
            await waiting

    run(main())


def test_the_chip_goes(sim: Sim) -> None:
    async def main() -> None:
        async with (
            await aio.Chip.open(sim.dev_path) as chip,
            await chip.request_lines({0: BOTH}) as request,
        ):
            waits = [
                asyncio.ensure_future(work)
                for work in (request.read_edge_events(), chip.read_info_event())
            ]
            await asyncio.sleep(0)
            sim.stub.kill()
            for wait in waits:
                with pytest.raises(OSError) as error:
                    await wait
                assert error.value.errno == errno.ENODEV
            with pytest.raises(OSError) as error:
                await request.get_value(0)
            assert error.value.errno == errno.ENODEV

    run(main())


def test_edges_that_were_not_looked_at_stay(sim: Sim) -> None:
    async def main() -> None:
        async with await aio.request_lines(sim.dev_path, {0: BOTH}) as request:
            for pull in (Sim.Pull.UP, Sim.Pull.DOWN, Sim.Pull.UP, Sim.Pull.DOWN):
                sim.set_pull(0, pull)
            sim.stub.wait_armed("0/0")
            seen = []
            for _ in range(4):  # each time only the first one, of those that wait
                async for event in request.edge_events():
                    seen.append(event.line_seqno)
                    break
            assert seen == [1, 2, 3, 4]

    run(main())


def test_a_cancelled_reconfiguration_is_waited_for_by_the_next_operation(sim: Sim) -> None:
    async def main() -> None:
        async with await aio.request_lines(sim.dev_path, {(0, 1): OUTPUT}) as request:
            for _ in range(10):
                sim.stub.fault("stall", "on")
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(request.reconfigure_lines({0: HIGH}), 0.05)
                asking = asyncio.ensure_future(request.get_value(0))
                await asyncio.sleep(0.05)
                sim.stub.fault("stall", "off")
                assert await asking is Value.ACTIVE
                await request.set_value(0, Value.INACTIVE)

    run(main())


def test_a_release_that_is_cancelled_ends_a_wait_all_the_same(sim: Sim) -> None:
    async def main() -> None:
        request = await aio.request_lines(sim.dev_path, {0: BOTH})
        waiting = asyncio.ensure_future(request.read_edge_events())
        await asyncio.sleep(0)
        sim.stub.fault("stall", "on")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(request.release(), 0.05)
        sim.stub.fault("stall", "off")
        with pytest.raises(gpiod.RequestReleasedError):
            await asyncio.wait_for(waiting, 30)
        await request.release()

    run(main())
