# SPDX-License-Identifier: BSD-3-Clause
"""Objects shared by threads (libgpiod's tests_threading); ours need no lock of the caller's."""

from __future__ import annotations

import errno
import gc
import os
import threading
from collections.abc import Callable
from contextlib import suppress

import bridge as gpiod
from bridge.line import Direction, Edge, Value
from tests.sim import Chip as Sim

THREADS = 4
ROUNDS = 20
OUTPUT = gpiod.LineSettings(direction=Direction.OUTPUT)


def in_threads(*works: Callable[[], None]) -> list[BaseException]:
    """Run all at once; return what they raised, and fail when one does not end."""
    failures: list[BaseException] = []
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[], None]) -> None:
        barrier.wait(30)
        try:
            work()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return failures


def test_a_chip_for_each_thread(sim: Sim) -> None:
    def query() -> None:
        for _ in range(ROUNDS):
            with gpiod.Chip(sim.dev_path) as chip:
                assert chip.get_info().num_lines == 8
                assert chip.get_line_info("foo").offset == 5

    assert in_threads(*[query] * THREADS) == []


def test_one_chip_for_all(sim: Sim) -> None:
    with gpiod.Chip(sim.dev_path) as chip:

        def query() -> None:
            for _ in range(ROUNDS):
                assert chip.get_line_info("bar").offset == 7
                assert chip.line_offset_from_id("foo") == 5

        assert in_threads(*[query] * THREADS) == []


def test_watching_one_chip(sim: Sim) -> None:
    with gpiod.Chip(sim.dev_path) as chip:

        def watch() -> None:
            for _ in range(ROUNDS):
                with suppress(OSError):
                    chip.watch_line_info(5)
                assert chip.get_line_info(5).name == "foo"
                with suppress(OSError):
                    chip.unwatch_line_info(5)

        assert in_threads(*[watch] * THREADS) == []


def test_reading_info_events_of_one_chip(sim: Sim) -> None:
    """Every event goes to one reader, while others request lines of the same chip."""
    seen: list[gpiod.InfoEvent] = []
    with gpiod.Chip(sim.dev_path) as chip:
        for line in range(2):
            chip.watch_line_info(line)
        os.set_blocking(chip.fd, False)
        fed = threading.Event()

        def read() -> None:
            while not fed.is_set() or chip.wait_info_event(0):
                with suppress(BlockingIOError):
                    if chip.wait_info_event(0.05):
                        seen.append(chip.read_info_event())

        def feed(line: int) -> None:
            for _ in range(5):
                with chip.request_lines({line: None}) as request:
                    request.reconfigure_lines({line: OUTPUT})

        def feed_both() -> None:
            assert in_threads(lambda: feed(0), lambda: feed(1)) == []
            fed.set()

        assert in_threads(read, read, feed_both) == []
        for line in range(2):
            chip.unwatch_line_info(line)
    assert len(seen) == 30
    for line in range(2):
        kinds = [event.event_type.value for event in seen if event.line_info.offset == line]
        assert sorted(kinds) == 5 * [1] + 5 * [2] + 5 * [3]


def test_a_request_for_each_thread(sim: Sim) -> None:
    """Requests are left to the collector."""

    def toggle(line: int) -> None:
        request = gpiod.request_lines(sim.dev_path, {line: OUTPUT})
        for number in range(ROUNDS):
            request.set_value(line, Value(number % 2))
            assert request.get_value(line) is Value(number % 2)
            request.reconfigure_lines({line: OUTPUT})

    assert in_threads(*[lambda line=line: toggle(line) for line in range(THREADS)]) == []  # type: ignore[misc]
    gc.collect()
    with gpiod.request_lines(sim.dev_path, {tuple(range(THREADS)): OUTPUT}):
        pass


def test_one_request_for_all(sim: Sim) -> None:
    with gpiod.request_lines(sim.dev_path, {(0, 1): OUTPUT}) as request:

        def use() -> None:
            for number in range(ROUNDS):
                request.set_values({0: Value(number % 2), 1: Value.ACTIVE})
                assert request.get_value(1) is Value.ACTIVE

        def change() -> None:
            for _ in range(ROUNDS):
                request.reconfigure_lines({0: OUTPUT})

        assert in_threads(use, use, change, change) == []


def test_released_by_one_of_them(sim: Sim) -> None:
    request = gpiod.request_lines(sim.dev_path, {0: OUTPUT})
    failures = in_threads(*[lambda: (request.get_values(), request.release())[1]] * THREADS)
    assert {type(failure) for failure in failures} <= {gpiod.RequestReleasedError}
    assert not request


def test_closed_by_one_of_them(sim: Sim) -> None:
    chip = gpiod.Chip(sim.dev_path)

    def use_and_close() -> None:
        chip.get_line_info(0)
        chip.close()

    failures = in_threads(*[use_and_close] * THREADS)
    for failure in failures:
        gone = isinstance(failure, OSError) and failure.errno in (errno.ENODEV, errno.EBADF)
        assert gone or isinstance(failure, gpiod.ChipClosedError), failure


def test_pulses_to_two_readers(sim: Sim) -> None:
    settings = gpiod.LineSettings(edge_detection=Edge.BOTH)
    with gpiod.request_lines(sim.dev_path, {(0, 1): settings}, None, 128) as request:
        os.set_blocking(request.fd, False)
        fed = threading.Event()
        seen: list[gpiod.EdgeEvent] = []

        def read() -> None:
            while not fed.is_set() or request.wait_edge_events(0):
                with suppress(BlockingIOError):
                    if request.wait_edge_events(0.05):
                        seen.extend(request.read_edge_events())

        def feed() -> None:
            for pull in 10 * (Sim.Pull.UP, Sim.Pull.DOWN):
                for line in range(2):
                    sim.set_pull(line, pull)
            for line in range(2):
                sim.stub.wait_armed(f"0/{line}")
                request.get_value(line)  # this comes after its events
            fed.set()

        assert in_threads(read, read, feed) == []
    assert sorted(event.global_seqno for event in seen) == list(range(1, 41))
