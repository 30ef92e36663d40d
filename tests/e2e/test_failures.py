# SPDX-License-Identifier: BSD-3-Clause
"""When things break: firmware, clients and the service die, and life goes on."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import bridge as gpiod
from bridge.bench.rig import Rig, Serve
from bridge.line import Direction, Edge, Value
from firmware_stub import Stub

Eventually = Callable[[Callable[[], bool], str], None]

OUTPUT = gpiod.LineSettings(direction=Direction.OUTPUT)
BOTH = gpiod.LineSettings(edge_detection=Edge.BOTH)


def chips(rig: Rig) -> list[str]:
    """The names of the chips that are there now."""
    return [info.name for info in gpiod.list_chips(rig.serve.socket)]


@pytest.mark.parametrize("end", ["kill", "stop", "restart"])
def test_firmware_dies_and_comes_back(fresh_rig: Rig, end: str, eventually: Eventually) -> None:
    rig = fresh_rig
    chip = rig.chip()
    request = chip.request_lines({0: OUTPUT, 8: BOTH})
    request.set_value(0, Value.ACTIVE)
    poller = select.poll()
    poller.register(request, select.POLLIN)
    getattr(rig.stub, end)()
    assert poller.poll(30_000)[0][1] & (select.POLLHUP | select.POLLERR)
    assert request.wait_edge_events(0)
    for use in (lambda: request.get_value(0), request.read_edge_events):
        with pytest.raises(OSError, match=r"chip|link|service") as error:
            use()
        assert error.value.errno == errno.ENODEV
    request.release()
    if end != "restart":
        eventually(lambda: chips(rig) == [], "the chips go")
        rig.stub.start()
    rig.serve.wait_for_chips(2)
    with rig.chip() as again, again.request_lines({0: OUTPUT}) as held:
        held.set_value(0, Value.ACTIVE)
        assert rig.stub.read("LED_GREEN") == 1
    chip.close()


HOLDER = """
import sys
import bridge as gpiod
from bridge.line import Direction
chip = gpiod.Chip(sys.argv[1])
request = chip.request_lines(
    {(0, 1, 2): gpiod.LineSettings(direction=Direction.OUTPUT)}, consumer="holder"
)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_client_killed_while_it_holds_lines(rig: Rig) -> None:
    for _ in range(5):
        path = f"{rig.serve.socket}#fw-0"
        with subprocess.Popen(
            [sys.executable, "-c", HOLDER, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with rig.chip() as chip:
                with pytest.raises(OSError, match="holder") as error:
                    chip.request_lines({1: OUTPUT})
                assert error.value.errno == errno.EBUSY
                holder.send_signal(signal.SIGKILL)
                holder.wait()
                # The service may not have noticed the death yet; it must not say busy even so.
                with chip.request_lines({(2, 1, 0): OUTPUT}) as request:
                    request.set_value(1, Value.ACTIVE)
                    assert rig.stub.read("LED_RED") == 1


def test_two_clients_at_once(rig: Rig) -> None:
    """One toggles the loop's output while the other reads other lines; none waits for the other."""
    wrong: list[str] = []

    def use(out: int, value_of: Callable[[], int]) -> None:
        with rig.chip() as chip, chip.request_lines({out: OUTPUT}) as request:
            for number in range(300):
                value = Value(number % 2)
                request.set_value(out, value)
                if request.get_value(out) is not value:
                    wrong.append(f"line {out} was not {value}")
            request.set_value(out, Value.ACTIVE)
            if not value_of():
                wrong.append(f"pin {out} is low")

    with ThreadPoolExecutor() as pool:
        users = [
            pool.submit(use, 0, lambda: rig.stub.read("LED_GREEN")),
            pool.submit(use, 4, lambda: rig.stub.read("LOOP_IN")),
        ]
        for user in users:
            user.result(60)  # raises what it raised, or that it hangs
    assert not wrong


def test_a_client_that_does_not_read_loses_only_its_own(fresh_rig: Rig) -> None:
    rig = fresh_rig  # the pulses of the line that is not read never end
    with rig.chip() as chip:
        lazy = chip.request_lines({8: BOTH}, event_buffer_size=2)
        keen = chip.request_lines({9: BOTH}, event_buffer_size=1024)
        for line in ("SENSOR_IRQ", "PWM_TACHO"):
            rig.stub.wait_armed(line)
            rig.stub.pulse(line, 100, 0)
        seen: list[int] = []
        while len(seen) < 200:
            assert keen.wait_edge_events(30)
            seen += [event.line_seqno for event in keen.read_edge_events()]
        assert seen == list(range(1, 201))
        assert len(lazy.read_edge_events()) <= 2
        lazy.release()
        keen.release()


def test_the_service_goes_away(fresh_rig: Rig) -> None:
    rig = fresh_rig
    chip = rig.chip()
    request = chip.request_lines({0: OUTPUT, 8: BOTH})
    request.set_value(0, Value.ACTIVE)
    assert rig.serve.stop() == 0
    assert request.wait_edge_events(30)
    for use in (
        lambda: request.get_value(0),
        request.read_edge_events,
        lambda: chip.get_line_info(0),
        lambda: chip.request_lines({1: None}),
    ):
        with pytest.raises(OSError, match=r"gone|down|closed|released|service") as error:
            use()
        assert error.value.errno == errno.ENODEV
    request.release()
    chip.close()
    assert rig.stub.read("LED_GREEN") == 1, "a service that stops leaves pins as they are"


def test_a_service_before_its_firmware(tmp_path: Path) -> None:
    socket = tmp_path / "fw.sock"
    with Serve(tmp_path, "--link", f"vhost-user:{socket}") as serve:
        assert gpiod.list_chips(serve.socket) == []
        with Stub("demo", socket=socket):
            assert serve.wait_for_chips(2) == ["fw-0", "fw-1"]


def test_nothing_is_leaked_by_the_service(fresh_rig: Rig, eventually: Eventually) -> None:
    rig = fresh_rig

    def usage() -> tuple[int, int]:
        process = Path(f"/proc/{rig.serve.pid}")
        return len(list((process / "fd").iterdir())), len(list((process / "task").iterdir()))

    with rig.chip() as chip, chip.request_lines({0: OUTPUT}):
        pass
    eventually(lambda: len(os.listdir(f"/proc/{rig.serve.pid}/fd")) > 0, "the service runs")
    before = usage()
    for _ in range(20):
        with rig.chip() as chip:
            kept = chip.request_lines({(0, 1): OUTPUT, 8: BOTH})
            with pytest.raises(OSError, match=r"busy|held|use"):
                chip.request_lines({1: OUTPUT})
        del kept
    eventually(
        lambda: all(now <= then for now, then in zip(usage(), before, strict=True)),
        f"descriptors and threads return to {before}",
    )
