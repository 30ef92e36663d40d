# SPDX-License-Identifier: BSD-3-Clause
"""Restarts under load on a remote processor, and lines replayed by their policies."""

from __future__ import annotations

from functools import partial

import pytest

from bridge.bench.rig import Serve
from bridge.client.chip import Chip
from bridge.client.control import Connection
from bridge.client.line_request import LineRequest
from bridge.client.line_settings import LineSettings
from bridge.line import Direction, Value

from .guest import Guest
from .load import (
    PATIENCE_S,
    RESTARTS,
    Load,
    another_boot,
    descriptors,
    epochs,
    wait_for_descriptors,
)
from .rpmsg import serving
from .test_remoteproc import with_firmware
from .uml import in_kernel

GREEN, RED, BLUE = 0, 1, 2
LINK = "rpmsg:remoteproc=m4_0,on_restart.LED_GREEN=restore,on_restart.LED_RED=hold"
HOLDER = "policy test"


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


def crashes(guest: Guest) -> str:
    """remoteproc's recovery: the devices go, the firmware starts anew, all comes back."""
    with_firmware().start()
    with serving(LINK) as serve:
        serve.wait_for_chips(2)
        connection = Connection.open(serve.socket)
        before = descriptors(serve.pid)
        load = Load(guest, serve.socket, "m4_0-1")  # the policies' lines are on the other
        with load.running():
            for number in range(RESTARTS):
                value = Value.ACTIVE if number % 2 else Value.INACTIVE
                request = take(serve, value)
                load.wait_for_work(f"before crash {number}")
                boots = epochs(connection)
                guest.stub("restart")  # dies with its rings attached: the kernel's to notice
                guest.until(
                    partial(another_boot, connection, boots),
                    f"the chips after crash {number}",
                    PATIENCE_S,
                )
                with pytest.raises(OSError):
                    request.get_value(GREEN)
                request.release()
                check_policies(guest, serve, value)
        connection.close()
        wait_for_descriptors(serve.pid, before)
    return load.summary


@in_kernel("demo", processors=("m4_0",))
def test_crashes_of_a_remote_processor(guest: Guest) -> str:
    return crashes(guest)


@pytest.mark.slow
@pytest.mark.timeout(900)
@in_kernel("demo", processors=("m4_0",), timeout_s=800, parameters=("KERNEL_TEST_RESTARTS=200",))
def test_200_crashes_of_a_remote_processor(guest: Guest) -> str:
    assert RESTARTS == 200
    return crashes(guest)
