# SPDX-License-Identifier: BSD-3-Clause
"""Line requests: values, names, ownership, errors, release."""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

import bridge as gpiod
from bridge import LineSettings
from bridge.bench.rig import Rig
from bridge.line import Bias, Direction, Drive, Edge, Value
from bridge.shim.client import OperationDescriptor, OperationFailed
from firmware_stub import Stub

OUTPUT = LineSettings(direction=Direction.OUTPUT)
INPUT = LineSettings(direction=Direction.INPUT)
ACTIVE, INACTIVE = Value.ACTIVE, Value.INACTIVE


@pytest.fixture(scope="module")
def big_rig() -> Iterator[Rig]:
    """A chip with more lines than one request may hold."""
    with Rig(board='controller 0 channel rpmsg-io-0 label "big" lines 80\n') as running:
        yield running


@pytest.mark.every_firmware
def test_set_and_read_back(rig: Rig) -> None:
    with rig.chip() as chip, chip.request_lines({4: OUTPUT, 5: INPUT}) as request:
        for value in (ACTIVE, INACTIVE, ACTIVE):
            request.set_value(4, value)
            assert rig.stub.read("LOOP_OUT") == value.value
            assert request.get_value(5) is value
        assert request.get_values() == [ACTIVE, ACTIVE]


@pytest.mark.every_firmware
def test_active_low(rig: Rig) -> None:
    out = LineSettings(direction=Direction.OUTPUT, active_low=True, output_value=ACTIVE)
    with rig.chip() as chip, chip.request_lines({4: out, 5: INPUT}) as request:
        assert rig.stub.read("LOOP_OUT") == 0
        assert request.get_values([4, 5]) == [ACTIVE, INACTIVE]
        request.set_value(4, INACTIVE)
        assert rig.stub.read("LOOP_OUT") == 1


def test_by_name(chip: gpiod.Chip, stub: Stub) -> None:
    config = {("LOOP_OUT", 0): OUTPUT, "LOOP_IN": INPUT}
    with chip.request_lines(config) as request:
        assert request.offsets == [4, 0, 5]
        assert request.lines == ["LOOP_OUT", 0, "LOOP_IN"]
        assert request.num_lines == 3
        assert request.chip_name == "fw-0"
        request.set_values({"LOOP_OUT": ACTIVE, "LED_GREEN": ACTIVE})
        assert (stub.read("LOOP_OUT"), stub.read("LED_GREEN")) == (1, 1)
        assert request.get_values(["LOOP_IN", 5, "LED_GREEN"]) == [ACTIVE] * 3
        request.set_values({4: ACTIVE, "LOOP_OUT": INACTIVE})  # one line, the last wins
        assert request.get_value("LOOP_IN") is INACTIVE
    with chip.request_lines({"LOOP_OUT": OUTPUT}) as request:
        request.set_values({"LOOP_OUT": INACTIVE, 4: ACTIVE})  # two names of the only line
        assert stub.read("LOOP_OUT") == 1


def test_numeric_string_is_a_name_of_the_request(chip: gpiod.Chip) -> None:
    with chip.request_lines({"2": INPUT, 3: INPUT}) as request:
        assert request.offsets == [2, 3]
        assert request.get_value("2") is INACTIVE
        with pytest.raises(ValueError, match="unknown line name: 3"):
            request.get_value("3")


@pytest.mark.parametrize("key", [4, (4), (4,), frozenset((4,)), range(4, 5), "LOOP_OUT", "4"])
def test_forms_of_keys(chip: gpiod.Chip, key: object) -> None:
    with chip.request_lines({key: None}) as request:
        assert request.offsets == [4]


def test_all_values_for_any_empty_selection(chip: gpiod.Chip) -> None:
    with chip.request_lines({(10, 11): INPUT}) as request:
        for nothing in (None, [], (), range(0)):
            assert request.get_values(nothing) == [ACTIVE, INACTIVE]
        assert request.get_values([11, 11]) == [INACTIVE, INACTIVE]


def test_output_values_override_the_settings(chip: gpiod.Chip, stub: Stub) -> None:
    settings = LineSettings(direction=Direction.OUTPUT, output_value=ACTIVE)
    with chip.request_lines({(0, 1): settings}):
        assert (stub.read("LED_GREEN"), stub.read("LED_RED")) == (1, 1)
    with chip.request_lines({(0, 1): settings}, output_values={"LED_RED": ACTIVE, 9: ACTIVE}):
        assert (stub.read("LED_GREEN"), stub.read("LED_RED")) == (0, 1)
    with pytest.raises(FileNotFoundError):
        chip.request_lines({0: settings}, output_values={"NOTHING": ACTIVE})
    with pytest.raises(ValueError):
        chip.request_lines({0: settings}, output_values={16: ACTIVE})


def test_consumer(chip: gpiod.Chip) -> None:
    long = (("x" * 40, "x" * 31), ("x" * 5000, "x" * 31), ("é" * 40, "é" * 15))
    for given, shown in (("foobar", "foobar"), ("", "?"), (None, "?"), *long):
        with chip.request_lines({0: None}, consumer=given):
            assert chip.get_line_info(0).consumer == shown
    with pytest.raises(TypeError):
        chip.request_lines({0: None}, consumer=3)  # type: ignore[arg-type]


def test_wrong_configs(chip: gpiod.Chip) -> None:
    for config in ("foobar", None):
        with pytest.raises(AttributeError):
            chip.request_lines(config)  # type: ignore[arg-type]
    for config in ({None: None}, {1.5: None}, {((1, 2), 3): None}):
        with pytest.raises(TypeError):
            chip.request_lines(config)
    with pytest.raises(TypeError):
        chip.request_lines()  # type: ignore[call-arg]
    for config in ({}, {(): None}):
        with pytest.raises(ValueError, match="no lines"):
            chip.request_lines(config)
    with pytest.raises(ValueError, match="no line 16"):
        chip.request_lines({(0, 16): None})
    with pytest.raises(ValueError):
        chip.request_lines({-1: None})
    with pytest.raises(FileNotFoundError, match="NOTHING"):
        chip.request_lines({"NOTHING": None})
    for config in ({(1, 1): None}, {1: None, (2, 1): None}, {(0, "LED_GREEN"): None}):
        with pytest.raises(ValueError, match=r"configured exactly once - offset [01] repeats"):
            chip.request_lines(config)


@pytest.mark.parametrize(
    "settings",
    [
        LineSettings(direction=Direction.OUTPUT, edge_detection=Edge.BOTH),
        LineSettings(direction=Direction.INPUT, drive=Drive.OPEN_DRAIN),
        LineSettings(bias=Bias.PULL_UP),
        LineSettings(debounce_period=timedelta(milliseconds=1)),
    ],
)
def test_settings_that_exclude_each_other(chip: gpiod.Chip, settings: LineSettings) -> None:
    with pytest.raises(ValueError):
        chip.request_lines({0: settings})
    assert not chip.get_line_info(0).used


def test_event_buffer_size(chip: gpiod.Chip) -> None:
    with pytest.raises(OverflowError):
        chip.request_lines({0: None}, event_buffer_size=-1)
    with pytest.raises(TypeError):
        chip.request_lines({0: None}, event_buffer_size="1")  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        chip.request_lines({0: LineSettings(edge_detection=Edge.BOTH)}, event_buffer_size=1)


def test_65_lines(big_rig: Rig) -> None:
    with big_rig.chip() as chip:
        with chip.request_lines({tuple(range(64)): INPUT}) as request:
            assert request.get_values() == [INACTIVE] * 64
        with pytest.raises(OSError, match="65 lines in one request: 64 is the most") as error:
            chip.request_lines({tuple(range(65)): INPUT})
        assert error.value.errno == errno.E2BIG


def test_too_many_attributes(big_rig: Rig) -> None:
    config = {
        offset: LineSettings(
            direction=Direction.INPUT, debounce_period=timedelta(microseconds=offset + 1)
        )
        for offset in range(11)
    }
    with big_rig.chip() as chip, pytest.raises(OSError, match="11 different") as error:
        chip.request_lines(config)
    assert error.value.errno == errno.E2BIG


def test_a_line_in_use_names_its_user(rig: Rig, chip: gpiod.Chip) -> None:
    with chip.request_lines({0: OUTPUT}, consumer="the-first"):
        with rig.chip() as other, pytest.raises(OSError, match="the-first") as error:
            other.request_lines({(1, 0): INPUT})
        assert error.value.errno == errno.EBUSY
        assert not chip.get_line_info(1).used
    with chip.request_lines({0: INPUT}):
        pass


def test_lines_that_are_not_held(chip: gpiod.Chip) -> None:
    with chip.request_lines({(0, 1): OUTPUT}) as request:
        for use in (
            lambda: request.get_value(9),
            lambda: request.get_value("NOTHING"),
            lambda: request.set_value(9, ACTIVE),
            lambda: request.set_value("NOTHING", ACTIVE),
            lambda: request.set_values({0: ACTIVE, 9: ACTIVE}),
            lambda: request.set_values({}),
            lambda: request.get_values([0, 1, 0]),
        ):
            with pytest.raises(ValueError):
                use()
        with pytest.raises(TypeError):
            request.get_values(True)  # type: ignore[arg-type]
        with pytest.raises(OverflowError):
            request.get_value(-1)
        with pytest.raises(AttributeError):
            request.set_value(0, 1)  # type: ignore[arg-type]


def test_value_to_an_input(chip: gpiod.Chip, stub: Stub) -> None:
    with chip.request_lines({0: OUTPUT, 10: INPUT}) as request:
        with pytest.raises(PermissionError, match=r"line 10 of chip fw-0: .*not an output"):
            request.set_value(10, ACTIVE)
        with pytest.raises(PermissionError):
            request.set_values({0: ACTIVE, 10: ACTIVE})
        assert stub.read("LED_GREEN") == 0


def test_survives_its_chip(rig: Rig) -> None:
    with gpiod.request_lines(f"{rig.serve.socket}#fw-0", {10: INPUT}) as request:
        assert request.get_value(10) is ACTIVE
        assert request.chip_name == "fw-0"


def test_released(chip: gpiod.Chip) -> None:
    request = chip.request_lines({0: None})
    assert request
    assert str(request) == (f'<LineRequest chip="fw-0" num_lines=1 offsets=[0] fd={request.fd}>')
    request.release()
    request.release()
    assert not request
    assert str(request) == "<LineRequest RELEASED>"
    for use in (
        lambda: request.fd,
        lambda: request.offsets,
        lambda: request.get_value(0),
        lambda: request.set_value(0, ACTIVE),
        lambda: request.set_values({0: ACTIVE}),
        request.get_values,
        request.wait_edge_events,
        request.read_edge_events,
        request.__enter__,
        lambda: request.reconfigure_lines({}),
    ):
        with pytest.raises(gpiod.RequestReleasedError):
            use()
    assert not chip.get_line_info(0).used


def test_collecting_a_request_releases(chip: gpiod.Chip) -> None:
    request = chip.request_lines({0: OUTPUT})
    del request
    gc.collect()
    with chip.request_lines({0: INPUT}) as again:
        assert again.offsets == [0]


def test_no_descriptor_is_leaked(chip: gpiod.Chip) -> None:
    before = os.listdir("/proc/self/fd")
    for _ in range(20):
        with chip.request_lines({(0, 1): OUTPUT}) as request:
            request.set_value(0, ACTIVE)
        with pytest.raises(ValueError):
            chip.request_lines({99: None})
    assert os.listdir("/proc/self/fd") == before


def test_shared_by_threads(chip: gpiod.Chip) -> None:
    with chip.request_lines({(0, 1, 2, 3): OUTPUT}) as request:
        wrong: list[int] = []

        def toggle(line: int) -> None:
            for number in range(200):
                value = Value(number % 2)
                request.set_value(line, value)
                if request.get_value(line) is not value:
                    wrong.append(line)

        threads = [threading.Thread(target=toggle, args=(line,)) for line in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


def test_released_while_others_use_it(chip: gpiod.Chip) -> None:
    request = chip.request_lines({0: OUTPUT})
    started = threading.Barrier(3)
    ends: list[type[BaseException]] = []

    def use() -> None:
        started.wait()
        try:
            while True:
                request.get_value(0)
        except Exception as error:
            ends.append(type(error))

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    started.wait()
    request.release()
    for thread in threads:
        thread.join(30)
    assert ends == [gpiod.RequestReleasedError] * 2


def test_firmware_that_does_not_answer() -> None:
    with (
        Rig(arguments=("--timeout-ms", "2000")) as rig,
        rig.chip() as chip,
        chip.request_lines({10: INPUT}) as request,
    ):
        rig.stub.fault("stall", "on")
        before = time.monotonic()
        with pytest.raises(TimeoutError, match="line 10 of chip fw-0: the firmware did not"):
            request.get_value(10)
        assert time.monotonic() - before > 1.9
        rig.stub.fault("stall", "off")
        assert request.get_value(10) is ACTIVE


def threads_that_run(pid: int) -> list[str]:
    """The threads of a process that SIGSTOP has not stopped yet."""
    states = (
        task.joinpath("stat").read_text().rpartition(")")[2].split()[0]
        for task in Path(f"/proc/{pid}/task").iterdir()
    )
    return [state for state in states if state != "T"]


def test_service_that_does_not_answer(eventually: Callable[..., None]) -> None:
    with (
        Rig(arguments=("--timeout-ms", "2000")) as rig,
        rig.chip() as chip,
        chip.request_lines({(11, 10): INPUT}) as request,
    ):
        os.kill(rig.serve.pid, signal.SIGSTOP)
        try:
            eventually(lambda: not threads_that_run(rig.serve.pid), "the service to stand still")
            with pytest.raises(TimeoutError) as error:
                request.get_value(10)
            assert error.value.strerror == "chip fw-0: the service does not answer"
        finally:
            os.kill(rig.serve.pid, signal.SIGCONT)
        assert request.get_value(10) is ACTIVE


def test_operations_end_though_nobody_takes_them() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    operations = OperationDescriptor(ours.detach(), 1)

    def ask() -> None:
        for _ in range(50):  # more than the socket holds
            with pytest.raises(OperationFailed) as failed:
                operations.get(1)
            assert failed.value.error == errno.ETIMEDOUT

    with ThreadPoolExecutor(1) as pool, theirs:
        pool.submit(ask).result(30)
    operations.close()


def test_a_process_that_leaves_what_it_has_to_its_child(chip: gpiod.Chip) -> None:
    """The parent ends and the child goes on: one closed descriptor does not close the file."""
    script = """
import os, sys
import bridge
from bridge.line import Direction, Edge

chip = bridge.Chip(sys.argv[1])
chip.watch_line_info(1)
os.set_blocking(chip.fd, False)
try:
    chip.read_info_event()
except BlockingIOError:
    pass
edges = bridge.LineSettings(edge_detection=Edge.BOTH)
output = bridge.LineSettings(direction=Direction.OUTPUT)
request = chip.request_lines({5: edges, 4: output}, consumer="heir")
end, parents_end = os.pipe()
if os.fork():
    sys.exit()
os.close(parents_end)
os.read(end, 1)  # the parent is gone
request.set_value(4, bridge.line.Value.ACTIVE)
assert request.wait_edge_events(30)
assert request.read_edge_events()[0].line_offset == 5
with bridge.request_lines(sys.argv[1], {1: None}):
    assert chip.wait_info_event(30)
    assert chip.read_info_event().line_info.offset == 1
print("all is well", flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, chip.path], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("all is well\n", "")


def test_nobody_waits_long_for_another_thread_s_operation(rig: Rig) -> None:
    """reconfigure_lines() may take long; get and set end when they would by themselves."""
    with rig.chip() as chip, chip.request_lines({4: OUTPUT}) as request:
        request._turn._patience_s = 0.05
        with request._turn:
            for operation in (request.get_values, lambda: request.set_value(4, ACTIVE)):
                with pytest.raises(TimeoutError, match="another thread") as caught:
                    operation()
                assert caught.value.errno == errno.ETIMEDOUT
        assert request.get_value(4) is INACTIVE
