# SPDX-License-Identifier: BSD-3-Clause
"""Link URLs: the service's code inside this process."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bridge as gpiod
from bridge.client import direct
from bridge.client.control import Connection, request_timeout_s
from bridge.line import Direction, Edge, Value
from firmware_stub import Stub

Eventually = Callable[[Callable[[], bool], str], None]


def threads() -> set[str]:
    """The names of this process's threads, those of C too."""
    task = "/proc/self/task"
    return {f"{id} {open(f'{task}/{id}/comm').read().strip()}" for id in os.listdir(task)}


def test_a_link_in_this_process_and_nothing_left(eventually: Eventually) -> None:
    with Stub("demo") as stub, gpiod.Chip(stub.url):
        pass  # a process keeps these from its first link on
    before = threads(), set(os.listdir("/proc/self/fd"))
    with Stub("demo") as stub:
        with gpiod.Chip(stub.url) as chip, gpiod.Chip(f"{stub.url}#1") as second:
            assert chip.get_info().label == "m4-gpioa"
            assert second.get_info().label == "m4-gpiob"
            with gpiod.Chip(f"{stub.url}#{second.get_info().name}") as third:
                assert third.get_info() == second.get_info()
            request = chip.request_lines({0: gpiod.LineSettings(direction=Direction.OUTPUT)})
        request.set_value(0, Value.ACTIVE)  # the link lives as long as the request
        assert stub.read("LED_GREEN") == 1
        request.release()
    # What an earlier test left to the collector may go meanwhile, but nothing may be added.
    eventually(lambda: threads() <= before[0], "the threads to be gone")
    assert set(os.listdir("/proc/self/fd")) <= before[1]


def test_edges_without_a_service_process() -> None:
    settings = gpiod.LineSettings(edge_detection=Edge.RISING)
    with Stub("demo") as stub, gpiod.request_lines(stub.url, {"SENSOR_IRQ": settings}) as request:
        stub.wait_armed("SENSOR_IRQ")
        stub.drive("SENSOR_IRQ", 1)
        assert request.wait_edge_events(30)
        assert [event.line_seqno for event in request.read_edge_events()] == [1]


def test_errors_say_why(eventually: Eventually) -> None:
    alive, descriptors = threads(), set(os.listdir("/proc/self/fd"))
    with Stub("demo") as stub, pytest.raises(OSError, match=r"no chip .nothing. .*fw-0"):
        gpiod.Chip(f"{stub.url}#nothing")
    with pytest.raises(OSError, match=r"no chip came up .*nothing\.sock"):
        gpiod.Chip("vhost-user:/tmp/nothing.sock")
    with pytest.raises((OSError, ValueError), match="nonsense"):
        gpiod.Chip("nonsense:/tmp/nothing.sock")
    # The kernel may still remove a thread after it was joined.
    eventually(lambda: threads() <= alive, "the threads to be gone")
    assert set(os.listdir("/proc/self/fd")) <= descriptors


def test_interrupted_request_lets_go_of_its_lines(
    monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """Ctrl-C comes while the answer is on its way, with descriptors that hold the line."""
    original = Connection._receive

    def interrupted(self: Connection, *arguments: Any) -> Any:
        monkeypatch.setattr(Connection, "_receive", original)
        raise KeyboardInterrupt

    with Stub("demo") as stub, gpiod.Chip(stub.url) as chip, gpiod.Chip(stub.url) as other:
        chip.line_offset_from_id(0)
        monkeypatch.setattr(Connection, "_receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            chip.request_lines({0: None})
        eventually(lambda: not other.get_line_info(0).used, "the line to be free")
        assert chip.request_lines({0: None}).offsets == [0]


def test_requests_have_time_for_long_deadlines_of_the_firmware() -> None:
    all_lines = request_timeout_s(0, 64)
    assert all_lines == request_timeout_s(300, 64) >= 64 * 2
    assert request_timeout_s(60_000, 64) == 60 * all_lines
    # Two lines may take as long as seven requests each, but no longer.
    assert 14 <= request_timeout_s(1000, 2) < 20


def test_process_that_is_forked_while_a_link_starts_can_close_its_chips() -> None:
    """The thread that has the lock then does not exist in the child and cannot release it."""
    with Stub("demo") as stub, gpiod.Chip(stub.url) as chip:
        with direct._lock:
            child = os.fork()
            if not child:
                chip.close()
                os._exit(0)
        deadline = time.monotonic() + 30
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                pytest.fail("the child waits for ever")
            time.sleep(0.01)


def test_a_channel_that_two_have_names_neither() -> None:
    board = "".join(f"controller {n} channel rpmsg-raw lines {n + 2}\n" for n in (0, 1))
    with Stub(board) as stub:
        with pytest.raises(OSError, match="2 chips are on channels called rpmsg-raw: say which"):
            gpiod.Chip(f"{stub.url}#rpmsg-raw")
        name = stub.url.rpartition("/")[2].removesuffix(".sock")
        with gpiod.Chip(f"{stub.url}#{name}-1") as chip:
            assert chip.get_info().num_lines == 3


# ---- the calling thread does what the link's thread would --------------------------


def sleeps_of_links() -> int:
    """How often threads of this process other than the calling one have slept so far."""
    count = 0
    for task in set(os.listdir("/proc/self/task")) - {str(threading.get_native_id())}:
        status = Path(f"/proc/self/task/{task}/status").read_text()
        count += int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return count


@pytest.mark.parametrize("transport", ["vhost-user", "serial"])
def test_no_other_thread_has_a_part_in_a_round_trip(transport: str, eventually: Eventually) -> None:
    with Stub("demo", transport=transport) as stub, gpiod.Chip(stub.url) as chip:
        request = chip.request_lines({"LED_GREEN": gpiod.LineSettings(Direction.OUTPUT)})

        def sleeps_in_ten_operations() -> int:
            before = sleeps_of_links()
            for _ in range(5):
                request.set_value("LED_GREEN", Value.ACTIVE)
                assert request.get_value("LED_GREEN") == Value.ACTIVE
            return sleeps_of_links() - before

        # A link has other business, too, and the more the busier the host is: what comes between
        # two operations is its thread's. A part in each of them would be ten sleeps every time.
        eventually(lambda: sleeps_in_ten_operations() < 5, "round trips of one thread alone")
        request.release()


def test_deadlines_and_errors_are_as_through_a_service() -> None:
    output = gpiod.LineSettings(Direction.OUTPUT)
    with Stub("demo") as stub, gpiod.Chip(stub.url) as chip:
        with chip.request_lines({0: output, 5: None}) as request:
            with pytest.raises(PermissionError, match="not an output"):
                request.set_value(5, Value.ACTIVE)
            stub.fault("stall", "on")
            with pytest.raises(TimeoutError, match="firmware"):
                request.get_value(0)
            stub.fault("stall", "off")
            request.set_value(0, Value.ACTIVE)
        with pytest.raises(gpiod.RequestReleasedError):
            request.get_value(0)


def test_firmware_that_dies_ends_the_call_of_a_thread() -> None:
    failed: list[OSError] = []

    def ask(request: gpiod.LineRequest) -> None:
        try:
            while True:
                request.get_value(5)
        except OSError as error:
            failed.append(error)

    with Stub("demo") as stub, gpiod.Chip(stub.url) as chip:
        requests = [chip.request_lines({line: None}) for line in (5, 8)]
        threads = [threading.Thread(target=ask, args=(requests[0],)) for _ in range(2)]
        for thread in threads:
            thread.start()
        stub.crash()
        for thread in threads:
            thread.join(60)
        assert [error.errno for error in failed] == [errno.ENODEV] * 2
        with pytest.raises(OSError, match=r".") as caught:
            requests[1].get_value(8)
        assert caught.value.errno == errno.ENODEV


def test_signals_are_handled_when_the_call_has_ended() -> None:
    handled = 0

    def count(number: int, frame: object) -> None:
        nonlocal handled
        handled += 1

    before = signal.signal(signal.SIGALRM, count)
    try:
        with Stub("demo") as stub, gpiod.request_lines(stub.url, {5: None}) as request:
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            while handled < 50:
                request.get_value(5)
            signal.setitimer(signal.ITIMER_REAL, 0)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
                request.get_value(5)
            request.get_value(5)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_forked_process_asks_the_link_of_its_parent() -> None:
    settings = gpiod.LineSettings(Direction.OUTPUT)
    with Stub("demo") as stub, gpiod.request_lines(stub.url, {"LED_GREEN": settings}) as request:
        request.set_value("LED_GREEN", Value.INACTIVE)
        child = os.fork()
        if not child:
            request.set_value("LED_GREEN", Value.ACTIVE)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert request.get_value("LED_GREEN") == Value.ACTIVE
        request.set_value("LED_GREEN", Value.INACTIVE)


def test_threads_and_edges_at_once() -> None:
    failed: list[BaseException] = []

    def drive(line: str, chip: gpiod.Chip) -> None:
        try:
            with chip.request_lines({line: gpiod.LineSettings(Direction.OUTPUT)}) as request:
                for turn in range(300):
                    value = Value(bool(turn & 1))
                    request.set_value(line, value)
                    assert request.get_value(line) == value
        except BaseException as error:
            failed.append(error)

    edges = gpiod.LineSettings(edge_detection=Edge.BOTH)
    board = "controller 0 lines 4\n" + "".join(f"line 0/{n} L{n}\n" for n in range(4))
    with (
        Stub(board) as stub,
        gpiod.Chip(stub.url) as chip,
        chip.request_lines({"L3": edges}, event_buffer_size=1024) as events,
    ):
        threads = [threading.Thread(target=drive, args=(f"L{n}", chip)) for n in range(3)]
        for thread in threads:
            thread.start()
        seen = []
        for turn in range(200):
            stub.wait_armed("L3")
            stub.drive("L3", 1 - turn % 2)
            assert events.wait_edge_events(30)
            seen += events.read_edge_events()
        for thread in threads:
            thread.join(60)
    assert not failed
    assert [event.line_seqno for event in seen] == list(range(1, 201))
