# SPDX-License-Identifier: BSD-3-Clause
"""Restarts under load on a remote processor, and lines replayed by their policies."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from bridge.bench.rig import Serve
from bridge.client.chip import Chip
from bridge.client.control import Connection
from bridge.client.line_request import LineRequest
from bridge.client.line_settings import LineSettings
from bridge.line import Direction, Value

from .guest import Guest
from .test_remoteproc import CRASH, with_firmware
from .test_rpmsg import CLIENTS, DEADLINE_S, GRACE_S, Client, all_got_on, descriptors, serving
from .uml import in_kernel

GREEN, RED, BLUE = 0, 1, 2
LINK = "rpmsg:remoteproc=m4_0,on_restart.LED_GREEN=restore,on_restart.LED_RED=hold"
HOLDER = "policy test"
# Inside the kernel too: its command line is its environment.
RESTARTS = int(os.environ.get("KERNEL_TEST_RESTARTS", "20"))


class Neighbour(Client):
    """A client of the other controller, which all restarts hit too."""

    chip = "m4_0-1"


@contextlib.contextmanager
def load(socket: str) -> Iterator[list[Client]]:
    clients: list[Client] = [Neighbour(socket, index) for index in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield clients
    finally:
        for client in clients:
            client.stopping = True
        for client in clients:
            client.join(20)


def epoch(connection: Connection) -> Any:
    chips = {chip["name"]: chip["epoch"] for chip in connection.call("chips")["chips"]}
    return chips.get("m4_0-0")


def another(connection: Connection, before: Any) -> bool:
    return epoch(connection) not in (None, before)


def take(serve: Serve, value: Value) -> LineRequest:
    output = LineSettings(direction=Direction.OUTPUT, output_value=Value.INACTIVE)
    with Chip(f"{serve.socket}#m4_0-0") as chip:
        request = chip.request_lines(dict.fromkeys((GREEN, RED, BLUE), output), consumer=HOLDER)
    request.set_values(dict.fromkeys((GREEN, RED, BLUE), value))
    return request


def check_policies(guest: Guest, serve: Serve, value: Value) -> None:
    """What the pins and the lines are, before anybody requests them."""
    assert guest.stub("read LED_GREEN") == str(value.value)
    assert "out" in guest.stub("state LED_GREEN")
    assert "none" in guest.stub("state LED_RED")
    assert "none" in guest.stub("state LED_BLUE")
    with Chip(f"{serve.socket}#m4_0-0") as chip:
        assert not chip.get_line_info(GREEN).used
        assert chip.get_line_info(RED).consumer == HOLDER
        assert not chip.get_line_info(BLUE).used
        with pytest.raises(OSError, match=f'kept for "{HOLDER}"'):
            chip.request_lines({RED: None}, consumer="somebody else")


def rounds(guest: Guest, restart: Callable[[], None]) -> None:
    with serving(LINK) as serve:
        serve.wait_for_chips(2)
        connection = Connection.open(serve.socket)
        before = descriptors(serve.pid)
        with load(serve.socket) as clients:
            for number in range(RESTARTS):
                value = Value.ACTIVE if number % 2 else Value.INACTIVE
                request = take(serve, value)
                done = [client.operations for client in clients]
                guest.until(partial(all_got_on, clients, done), f"load before {number}", 20)
                old = epoch(connection)
                restart()
                guest.until(partial(another, connection, old), f"the chip after {number}", 20)
                with pytest.raises(OSError):
                    request.get_value(GREEN)
                request.release()
                check_policies(guest, serve, value)
        for client in clients:
            assert not client.is_alive()
            assert client.failure is None
            assert client.longest < DEADLINE_S + GRACE_S, "a call outlived its deadline"
        assert sum(client.lost for client in clients) > 0, "no client noticed a restart"
        connection.close()
        guest.until(
            lambda: descriptors(serve.pid) < before + 1,
            f"the service's {before} descriptors, it has {descriptors(serve.pid)}",
        )


def crashes(guest: Guest) -> None:
    """remoteproc's recovery: the devices go, the firmware starts anew, all comes back."""
    with_firmware().start()
    rounds(guest, lambda: guest.stub("restart"))


@pytest.mark.timeout(120 + 3 * RESTARTS)
@in_kernel(
    "demo",
    processors=("m4_0",),
    timeout_s=60 + 3 * RESTARTS,
    parameters=(f"KERNEL_TEST_RESTARTS={RESTARTS}",),
)
def test_crashes_of_a_remote_processor(guest: Guest) -> None:
    crashes(guest)


@pytest.mark.slow
@pytest.mark.timeout(900)
@in_kernel("demo", processors=("m4_0",), timeout_s=800, parameters=("KERNEL_TEST_RESTARTS=200",))
def test_200_crashes_of_a_remote_processor(guest: Guest) -> None:
    assert RESTARTS == 200
    crashes(guest)
