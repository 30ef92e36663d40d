# SPDX-License-Identifier: BSD-3-Clause
"""The serial link on the kernel's own rpmsg_tty: every byte passes /dev/ttyRPMSG0."""

from __future__ import annotations

import os
import select

from bridge.client.chip import Chip
from bridge.client.line_settings import LineSettings
from bridge.conformance import Options, run
from bridge.conformance.check import all_checks
from bridge.conformance.runner import FAILED, PASSED
from bridge.line import Direction, Edge, Value
from bridge.link.rpmsg_sysfs import Sysfs

from .guest import Guest
from .rpmsg import scenario, second_controller, serving
from .uml import in_kernel

TTY = "/dev/ttyRPMSG0"
URL = f"serial:{TTY}"
CHIPS = ["ttyRPMSG0-0", "ttyRPMSG0-1"]
# On an idle line nothing is written then, not even a late ACK: a write that comes just when the
# channel goes panics this kernel (docs/bring-up.md).
BY_CHANNEL = "serial:rpmsg-tty?ack=0"
NAMES = ["rpmsg-tty-0", "rpmsg-tty-1"]
RESTARTS = 10
BURST = 2000
"""Edges: 16 bytes each, many times what one message carries."""


@in_kernel("demo", transport="rpmsg-tty")
def test_two_controllers_lines_and_edges(guest: Guest) -> None:
    with serving(URL) as serve:
        assert serve.wait_for_chips(2) == CHIPS
        (channel,) = [c for c in Sysfs().channels(Sysfs().processors()[0]) if c.name == "rpmsg-tty"]
        assert channel.driver == "rpmsg_tty"
        scenario(guest, serve, CHIPS[0])
        second_controller(serve, CHIPS[1])


@in_kernel("demo", transport="rpmsg-tty")
def test_a_burst_of_edges_is_complete(guest: Guest) -> None:
    """More bytes than a message, the tty's buffer and the vring's 256 buffers take at once."""
    edges = LineSettings(edge_detection=Edge.BOTH)
    with serving(URL) as serve:
        serve.wait_for_chips(2, 30)
        with (
            Chip(f"{serve.socket}#{CHIPS[0]}") as chip,
            chip.request_lines({"SENSOR_IRQ": edges}, event_buffer_size=BURST) as request,
        ):
            guest.stub("wait-armed SENSOR_IRQ")
            guest.stub(f"pulse SENSOR_IRQ {BURST // 2} hz max")
            got: list[int] = []
            while len(got) < BURST and request.wait_edge_events(20):
                got += [event.line_seqno for event in request.read_edge_events(BURST)]
            assert got == list(range(1, BURST + 1))


@in_kernel("demo", transport="rpmsg-tty")
def test_the_remote_processor_restarts(guest: Guest) -> None:
    """The number of the tty may be another one each time; the channel's name is not."""
    # The kernel's driver may panic at a write while the channel goes. An idle link writes nothing,
    # unless an answer comes so late that it asks again.
    with serving(f"{BY_CHANNEL}&retry=5000") as serve:
        for _ in range(RESTARTS):
            assert serve.wait_for_chips(2, 30) == NAMES
            with (
                Chip(f"{serve.socket}#{NAMES[0]}") as chip,
                chip.request_lines({"LOOP_IN": None}) as request,
            ):
                guest.host("restart", 0)
                hung_up = select.poll()
                hung_up.register(request.fd, 0)
                assert hung_up.poll(30_000), "the chip did not go"
        assert serve.wait_for_chips(2, 30) == NAMES
        scenario(guest, serve, NAMES[0])


@in_kernel("demo", transport="rpmsg-tty")
def test_the_channel_goes_and_comes(guest: Guest) -> None:
    """By the name service, with the processor up all the time."""
    with serving(BY_CHANNEL) as serve:
        serve.wait_for_chips(2, 30)
        guest.stub("fault cable out")
        assert serve.wait_for_chips(0, 30) == []
        guest.stub("fault cable in")
        assert serve.wait_for_chips(2, 30) == NAMES
        scenario(guest, serve, NAMES[0])


@in_kernel("demo", transport="rpmsg-tty")
def test_noise_costs_time_only(guest: Guest) -> None:
    """On rpmsg nothing damages bytes; what loses whole messages is like this, only worse."""
    output = LineSettings(direction=Direction.OUTPUT)
    with serving(f"{URL}?retry=20") as serve:
        serve.wait_for_chips(2)
        guest.stub("fault noise 1000 7")
        with (
            Chip(f"{serve.socket}#{CHIPS[0]}") as chip,
            chip.request_lines({"LOOP_OUT": output, "LOOP_IN": None}) as loop,
        ):
            for value in (Value.ACTIVE, Value.INACTIVE) * 100:
                loop.set_value("LOOP_OUT", value)
                assert loop.get_value("LOOP_IN") == value


@in_kernel("demo", transport="rpmsg-tty")
def test_every_check_passes_over_rpmsg_tty(guest: Guest) -> None:
    guest.until(lambda: os.path.exists(TTY), f"{TTY} to come")
    done = run(Options(URL, controller=0, loops=[("LOOP_OUT", "LOOP_IN")], drive=["0"]))
    assert not {r.check.id: r.message for r in done.results if r.outcome == FAILED}
    assert done.count(PASSED) == len(all_checks())
