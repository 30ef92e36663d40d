# SPDX-License-Identifier: BSD-3-Clause
"""requestq: what the driver asks, the pins do (virtio 1.3, 5.18.6)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge import InfoEvent
from bridge.line import Direction

from . import frontend as vu
from .conftest import Exported, Start
from .frontend import Frontend

Guest = tuple[Exported, Frontend]
Eventually = Callable[..., None]

LED, OUT, LOOPED = 0, 4, 5


def test_offers(guest: Guest) -> None:
    _, driver = guest
    features = vu.VERSION_1 | vu.PROTOCOL_FEATURES | vu.INDIRECT | vu.F_IRQ
    assert driver.offered == features
    assert driver.protocol == vu.PROTOCOL
    assert struct.unpack("=Q", driver.ask(vu.GET_QUEUE_NUM)) == (2,)


def test_config_space(guest: Guest) -> None:
    _, driver = guest
    ngpio, padding, size = struct.unpack("<HHI", driver.config(0, 8))
    assert (ngpio, padding) == (16, 0)
    assert driver.config(4, 4) == struct.pack("<I", size)
    assert driver.config(0, 2) == struct.pack("<H", 16)
    # Beyond the end an empty answer says error; and the configuration is read-only.
    assert driver.ask(vu.GET_CONFIG, struct.pack("=III", 4, 8, 0) + bytes(8)) == b""
    assert driver.tell(vu.SET_CONFIG, struct.pack("=III", 0, 2, 0) + bytes(2)) != 0


def test_names(export: Start) -> None:
    with export("chip=fw-0").guest() as driver:
        (size,) = struct.unpack("<I", driver.config(4, 4))
        length, answer = driver.names(size)
        assert length == 1 + size
        assert answer[0] == vu.OK
        names = answer[1:].split(b"\0")
        assert (names[0], names[5], names[-1]) == (b"LED_GREEN", b"LOOP_IN", b"")
        assert len(names) == 17
        # Too little room gives an error, and not half an answer.
        length, answer = driver.names(size - 1)
        assert (length, answer[0]) == (2, vu.ERR)


def test_unnamed_lines_have_no_names_block(export: Start) -> None:
    with export("chip=fw-0", "none").guest() as driver:
        assert driver.config(4, 4) == bytes(4)
        length, answer = driver.names(8)
        assert (length, answer[0]) == (2, vu.ERR)


def test_value_before_direction_drives_at_once(guest: Guest) -> None:
    exported, driver = guest
    driver.ok(vu.SET_VALUE, OUT, 1)
    assert exported.stub.read("LOOP_IN") == 0
    driver.ok(vu.SET_DIRECTION, OUT, vu.OUT)
    assert exported.stub.read("LOOP_IN") == 1
    assert driver.ok(vu.GET_DIRECTION, OUT) == vu.OUT
    driver.ok(vu.SET_DIRECTION, LOOPED, vu.IN)
    assert driver.ok(vu.GET_VALUE, LOOPED) == 1
    driver.ok(vu.SET_VALUE, OUT, 0)
    assert driver.ok(vu.GET_VALUE, LOOPED) == 0


def test_direction_none_lets_go(guest: Guest) -> None:
    exported, driver = guest
    driver.ok(vu.SET_VALUE, LED, 1)
    driver.ok(vu.SET_DIRECTION, LED, vu.OUT)
    driver.ok(vu.SET_DIRECTION, LED, vu.NONE)
    assert exported.stub.state("LED_GREEN").direction == "none"
    assert driver.ok(vu.GET_DIRECTION, LED) == vu.NONE


@pytest.mark.parametrize(
    "request_",
    [
        (vu.SET_DIRECTION, 0, 3),
        (vu.SET_DIRECTION, 0, 0xFFFFFFFF),
        (vu.SET_VALUE, 0, 2),
        (vu.SET_IRQ_TYPE, 0, 5),
        (vu.SET_IRQ_TYPE, 0, 16),
        (vu.GET_VALUE, 16, 0),
        (vu.GET_DIRECTION, 65535, 0),
        (0, 0, 0),
        (7, 0, 0),
        (0x8000, 0, 0),
    ],
)
def test_nonsense_is_err(export: Start, request_: tuple[int, int, int]) -> None:
    with export().guest() as driver:
        assert driver.request(*request_) == (vu.ERR, 0)
        assert driver.request(vu.GET_DIRECTION, 0)[0] == vu.OK


def test_without_f_irq_there_are_no_interrupts(export: Start, eventually: Eventually) -> None:
    features = vu.VERSION_1 | vu.PROTOCOL_FEATURES
    exported = export()
    with exported.guest(features=features) as driver:
        driver.ok(vu.SET_DIRECTION, LOOPED, vu.IN)
        assert driver.request(vu.SET_IRQ_TYPE, LOOPED, vu.BOTH)[0] == vu.ERR
        assert exported.status["interrupts"] is False
        eventually(lambda: "QEMU before 9.0" in exported.rig.serve.log, "a word about it")
    with exported.guest():
        assert exported.status["interrupts"] is True


def test_many_requests_at_once(guest: Guest) -> None:
    _, driver = guest
    queue = driver.queues[vu.REQUESTQ]
    heads = {driver.begin(vu.GET_DIRECTION, line) for line in range(16)}
    queue.notify()
    answered = set()
    for _ in heads:
        head, length = queue.wait()
        assert length == 2
        assert queue.answer(head, 1)[0] == vu.OK
        answered.add(head)
    assert answered == heads


def test_requests_of_a_line_are_answered_in_their_order(guest: Guest) -> None:
    """This is so even where one request needs the firmware and the next is refused without it."""
    _, driver = guest
    queue = driver.queues[vu.REQUESTQ]
    wanted = [
        (driver.begin(vu.SET_DIRECTION, OUT, vu.OUT), vu.OK),
        (driver.begin(vu.SET_DIRECTION, OUT, 7), vu.ERR),
        (driver.begin(vu.SET_VALUE, OUT, 1), vu.OK),
        (driver.begin(0x8000, OUT), vu.ERR),
        (driver.begin(vu.GET_VALUE, OUT), vu.OK),
    ]
    queue.notify()
    heads = [queue.wait()[0] for _ in wanted]
    assert [(head, queue.answer(head, 1)[0]) for head in heads] == wanted


def test_silent_firmware_is_err_in_time(export: Start) -> None:
    exported = export()
    with exported.guest() as driver:
        exported.stub.command("fault stall on")
        assert driver.request(vu.GET_VALUE, LED) == (vu.ERR, 0)


def test_lines_are_held(export: Start) -> None:
    exported = export("chip=fw-0,lines=LED_GREEN,3", "all")
    with exported.rig.chip() as chip:
        info = chip.get_line_info("LED_GREEN")
        assert (info.used, info.consumer) == (True, "vhost-user:guest")
        with pytest.raises(OSError, match='held by "vhost-user:guest"'):
            chip.request_lines({"RELAY": None}, consumer="test")
        assert not chip.get_line_info("LED_RED").used
        with exported.guest() as driver:
            driver.ok(vu.SET_VALUE, 1, 1)
            driver.ok(vu.SET_DIRECTION, 1, vu.OUT)
            assert exported.stub.read("RELAY") == 1
            assert chip.get_line_info("RELAY").direction is Direction.OUTPUT


def test_watchers_see_what_the_guest_does(export: Start) -> None:
    exported = export()
    with exported.rig.chip() as chip:
        chip.watch_line_info(LED)

        def told() -> Direction:
            assert chip.wait_info_event(vu.TIMEOUT_S)
            event = chip.read_info_event()
            assert event.event_type is InfoEvent.Type.LINE_CONFIG_CHANGED
            assert event.line_info.consumer == "vhost-user:guest"
            return event.line_info.direction

        with exported.guest() as driver:
            driver.ok(vu.SET_DIRECTION, LED, vu.OUT)
            assert told() is Direction.OUTPUT
            driver.ok(vu.SET_VALUE, LED, 1)  # no news for watchers
            driver.ok(vu.SET_DIRECTION, LED, vu.IN)
            assert told() is Direction.INPUT
            driver.ok(vu.SET_DIRECTION, LED, vu.OUT)
            assert told() is Direction.OUTPUT
        assert told() is Direction.INPUT  # the guest is gone


def test_lines_of_several_chips(export: Start) -> None:
    exported = export("lines=fw-1:0=phy,fw-0:LED_RED,fw-1:STATUS_LED=LED", "all")
    with exported.guest() as driver:
        (size,) = struct.unpack("<I", driver.config(4, 4))
        assert driver.names(size)[1][1:] == b"phy\0LED_RED\0LED\0"
        for line, name in enumerate(("RESET_PHY", "LED_RED", "STATUS_LED")):
            driver.ok(vu.SET_VALUE, line, 1)
            driver.ok(vu.SET_DIRECTION, line, vu.OUT)
            assert exported.stub.state(name).direction == "out"
            assert exported.stub.read(name) == 1


def test_two_guests_on_two_sockets(export: Start, tmp_path: object) -> None:
    second = f"{tmp_path}/second.sock"
    exported = export(
        "chip=fw-0,lines=0,1", "all", "--export", f"vhost-user-gpio:{second},chip=fw-0,lines=2"
    )
    with exported.guest() as one, Frontend(second).up() as two:
        for driver, name in ((one, "LED_GREEN"), (two, "LED_BLUE")):
            driver.ok(vu.SET_VALUE, 0, 1)
            driver.ok(vu.SET_DIRECTION, 0, vu.OUT)
            assert exported.stub.read(name) == 1
        # One guest misbehaves; the other one goes on.
        one.queues[vu.REQUESTQ].offer(0, step=1000)
        one.queues[vu.REQUESTQ].notify()
        assert one.hung_up()
        assert two.ok(vu.GET_DIRECTION, 0) == vu.OUT


def test_guest_gone_lines_free(guest: Guest, eventually: Eventually) -> None:
    exported, driver = guest
    driver.ok(vu.SET_VALUE, LED, 1)
    driver.ok(vu.SET_DIRECTION, LED, vu.OUT)
    driver.ok(vu.SET_DIRECTION, LOOPED, vu.IN)
    driver.ok(vu.SET_IRQ_TYPE, LOOPED, vu.BOTH)
    driver.close()
    eventually(lambda: exported.stub.state("LED_GREEN").direction == "none", "the LED's release")
    eventually(lambda: exported.stub.state("LOOP_IN").irq == "none", "the interrupt's end")
    with exported.guest() as again:
        assert again.ok(vu.GET_DIRECTION, LED) == vu.NONE


def test_guest_gone_line_free_though_a_message_is_lost(
    guest: Guest, eventually: Eventually
) -> None:
    exported, driver = guest
    driver.ok(vu.SET_VALUE, LED, 1)
    driver.ok(vu.SET_DIRECTION, LED, vu.OUT)
    exported.stub.fault("drop", "rx", 1)
    driver.close()
    eventually(lambda: exported.stub.state("LED_GREEN").direction == "none", "the LED's release")


def test_line_free_though_the_guests_own_message_is_lost(
    guest: Guest, eventually: Eventually
) -> None:
    """The driver ignores the error."""
    exported, driver = guest
    driver.ok(vu.SET_VALUE, LED, 1)
    driver.ok(vu.SET_DIRECTION, LED, vu.OUT)
    exported.stub.fault("drop", "rx", 1)
    assert driver.request(vu.SET_DIRECTION, LED, vu.NONE)[0] == vu.ERR
    eventually(lambda: exported.stub.state("LED_GREEN").direction == "none", "the LED's release")
    driver.ok(vu.SET_VALUE, LED, 1)
    driver.ok(vu.SET_DIRECTION, LED, vu.OUT)
    assert exported.stub.read("LED_GREEN") == 1


def test_line_in_use_again_is_not_let_go(export: Start) -> None:
    """Messages after the one that is lost stand, where the loss did not delay them."""
    exported = export()
    with exported.guest() as driver:
        queue = driver.queues[vu.REQUESTQ]
        driver.ok(vu.SET_DIRECTION, LED, vu.IN)
        exported.stub.fault("drop", "rx", 1)
        lost = driver.begin(vu.SET_DIRECTION, LED, vu.NONE)
        driver.begin(vu.SET_VALUE, LED, 1)
        driver.begin(vu.SET_DIRECTION, LED, vu.OUT)
        queue.notify()
        first, *_ = [queue.wait() for _ in range(3)]
        assert first == (lost, 2)
        assert queue.answer(lost, 1)[0] == vu.ERR
        assert driver.ok(vu.GET_DIRECTION, LED) == vu.OUT
        assert exported.stub.read("LED_GREEN") == 1


def test_line_in_use_again_is_let_go_with_its_guest(export: Start, eventually: Eventually) -> None:
    """A guest that does not wait for answers has set the line up before the first one comes."""
    exported = export()
    with exported.guest() as driver:
        queue = driver.queues[vu.REQUESTQ]
        driver.ok(vu.SET_DIRECTION, LED, vu.IN)
        for asked in ((vu.SET_DIRECTION, LED, vu.NONE), (vu.SET_DIRECTION, LED, vu.OUT)):
            driver.begin(*asked)
        queue.notify()
        for _ in range(2):
            queue.wait()
        assert exported.stub.state("LED_GREEN").direction == "out"
    eventually(lambda: exported.stub.state("LED_GREEN").direction == "none", "the LED's release")


def test_guest_gone_many_lines_free(export: Start, tmp_path: Path) -> None:
    """More messages at once than others may queue for a controller."""
    board = tmp_path / "many.board"
    board.write_text("controller 0 lines 700\nline 0/0 FIRST\n")
    exported = export(board=str(board))
    with exported.guest() as driver:
        for line in range(700):
            driver.ok(vu.SET_DIRECTION, line, vu.IN)
            driver.ok(vu.SET_IRQ_TYPE, line, vu.RISING)
    with exported.guest() as again:
        assert all(again.ok(vu.GET_DIRECTION, line) == vu.NONE for line in range(700))
    assert exported.status["faults"] == 0


def test_driver_unbound_and_bound_again(guest: Guest) -> None:
    """This is how User-Mode Linux does it: rings disabled, GET_FEATURES, then everything anew."""
    exported, driver = guest
    driver.ok(vu.SET_VALUE, LED, 1)
    driver.ok(vu.SET_DIRECTION, LED, vu.OUT)
    for index in (1, 0):
        assert driver.tell(vu.SET_VRING_ENABLE, struct.pack("=II", index, 0)) == 0
    driver.ask(vu.GET_FEATURES)
    assert driver.tell(vu.SET_FEATURES, struct.pack("=Q", driver.features)) == 0
    assert driver.share() == 0
    driver.start()
    assert driver.ok(vu.GET_DIRECTION, LED) == vu.NONE
    assert exported.stub.read("LED_GREEN") == 0


def test_pause_and_resume_keep_the_lines(guest: Guest) -> None:
    """This is how QEMU does it: GET_VRING_BASE, and the same index again."""
    exported, driver = guest
    driver.ok(vu.SET_VALUE, LED, 1)
    driver.ok(vu.SET_DIRECTION, LED, vu.OUT)
    driver.ok(vu.SET_DIRECTION, LOOPED, vu.IN)
    driver.ok(vu.SET_IRQ_TYPE, LOOPED, vu.RISING)
    mine = driver.buffer(LOOPED)
    driver.no_event()
    driver.stop()
    # The buffer came back with INVALID: the driver queues it again.
    assert driver.event() == (mine, vu.INVALID)
    exported.stub.command("drive LOOP_IN 1")
    driver.start(base=None)
    assert driver.ok(vu.GET_DIRECTION, LED) == vu.OUT
    assert exported.stub.read("LED_GREEN") == 1
    mine = driver.buffer(LOOPED)
    assert driver.event() == (mine, vu.VALID)


def test_stop_waits_for_requests_under_way(export: Start) -> None:
    """Their heads would be lost to the driver: the index says that they were taken."""
    exported = export()
    with exported.guest() as driver:
        exported.stub.fault("delay", "rx", 1, "100ms")
        mine = driver.begin(vu.GET_DIRECTION, 0)
        driver.queues[vu.REQUESTQ].notify()
        driver.stop()
        # Requests that were taken were answered before the stop was.
        assert driver.get("<H", driver.queues[vu.REQUESTQ].used + 2) == (driver.bases[0],)
        if driver.bases[0]:
            assert driver.queues[vu.REQUESTQ].pop() == (mine, 2)


def test_kick_while_a_message_waits_is_not_lost(export: Start) -> None:
    """This is so although the message is refused then."""
    exported = export()
    with exported.guest() as driver:
        queue = driver.queues[vu.REQUESTQ]
        exported.stub.fault("stall", "on")
        first = driver.begin(vu.GET_DIRECTION, 0)
        queue.notify()
        driver.send(vu.SET_VRING_ENABLE, struct.pack("=II", 7, 1), ack=1)
        second = driver.begin(vu.GET_DIRECTION, 1)
        queue.notify()
        exported.stub.fault("stall", "off")
        assert driver.receive()[0] == vu.SET_VRING_ENABLE
        assert {queue.wait(), queue.wait()} == {(first, 2), (second, 2)}


def test_firmware_restart_under_a_live_guest(guest: Guest, eventually: Eventually) -> None:
    exported, driver = guest
    driver.ok(vu.SET_VALUE, LED, 1)
    driver.ok(vu.SET_DIRECTION, LED, vu.OUT)
    driver.ok(vu.SET_DIRECTION, LOOPED, vu.IN)
    driver.ok(vu.SET_IRQ_TYPE, LOOPED, vu.BOTH)
    mine = driver.buffer(LOOPED)
    exported.stub.restart()
    eventually(
        lambda: (
            exported.stub.state("LED_GREEN").direction == "out"
            and exported.stub.state("LOOP_IN").irq == "edge-both"
        ),
        "the lines to be set up again",
    )
    assert exported.stub.read("LED_GREEN") == 1
    exported.stub.wait_armed("LOOP_IN")
    exported.stub.command("drive LOOP_IN 1")
    assert driver.event() == (mine, vu.VALID)
    assert driver.ok(vu.GET_VALUE, LOOPED) == 1


def test_firmware_restart_between_value_and_direction(guest: Guest, eventually: Eventually) -> None:
    exported, driver = guest
    driver.ok(vu.SET_DIRECTION, 1, vu.OUT)
    driver.ok(vu.SET_VALUE, LED, 1)
    exported.stub.restart()
    eventually(lambda: exported.stub.state("LED_RED").direction == "out", "LED_RED again")
    driver.ok(vu.GET_DIRECTION, LED)  # behind what was sent to set the line up
    driver.ok(vu.SET_DIRECTION, LED, vu.OUT)
    assert exported.stub.read("LED_GREEN") == 1
    driver.close()
    eventually(lambda: exported.stub.state("LED_GREEN").direction == "none", "the LED's release")


def test_firmware_away_is_err_and_letting_go_is_remembered(
    export: Start, eventually: Eventually
) -> None:
    exported = export()
    with exported.guest() as driver:
        driver.ok(vu.SET_VALUE, LED, 1)
        driver.ok(vu.SET_DIRECTION, LED, vu.OUT)
        driver.ok(vu.SET_DIRECTION, 1, vu.OUT)
        exported.stub.kill()
        eventually(lambda: driver.request(vu.GET_VALUE, LED)[0] == vu.ERR, "an error")
        assert driver.request(vu.SET_DIRECTION, LED, vu.NONE)[0] == vu.OK
        exported.stub.start()
        eventually(lambda: exported.stub.state("LED_RED").direction == "out", "LED_RED again")
        assert exported.stub.state("LED_GREEN").direction == "none"


def test_other_firmware_under_a_live_guest(
    export: Start, tmp_path: Path, eventually: Eventually
) -> None:
    """A line that went is an error; no other takes its place, and the rest is found by name."""
    board = tmp_path / "changing.board"
    first = "controller 0 lines 4\nline 0/0 OLD\nline 0/1 MOVES\nline 0/2 STAYS\nline 0/3 LAST\n"
    board.write_text(first)
    exported = export("chip=fw-0", board=str(board))
    with exported.guest() as driver:
        for line in range(4):
            driver.ok(vu.SET_DIRECTION, line, vu.OUT)
        board.write_text("controller 0 lines 3\nline 0/0 MOVES\nline 0/1 NEW\nline 0/2 STAYS\n")
        exported.stub.kill()
        eventually(lambda: driver.request(vu.GET_VALUE, 2)[0] == vu.ERR, "an error")
        exported.stub.start()
        eventually(lambda: driver.request(vu.GET_VALUE, 2)[0] == vu.OK, "the chip again")
        for line in (0, 3):
            assert driver.request(vu.SET_VALUE, line, 1)[0] == vu.ERR
        driver.ok(vu.SET_VALUE, 1, 1)
        assert [exported.stub.read(name) for name in ("MOVES", "NEW", "STAYS")] == [1, 0, 0]
    why = str(exported.status["why"])
    assert "OLD" in why and "LAST" in why
    eventually(lambda: exported.stub.state("MOVES").direction == "none", "the line's release")
    # With the first firmware again all is well, and says so.
    board.write_text(first)
    exported.stub.kill()
    exported.stub.start()
    eventually(lambda: exported.status["why"] == "", "no more complaint")
    with exported.guest() as driver:
        for line, name in enumerate(("OLD", "MOVES", "STAYS", "LAST")):
            driver.ok(vu.SET_VALUE, line, 1)
            driver.ok(vu.SET_DIRECTION, line, vu.OUT)
            assert exported.stub.read(name) == 1


def test_export_of_a_line_that_is_taken_stays_closed(export: Start, tmp_path: Path) -> None:
    """This is so also when another of its chips appears after the one that it cannot have."""
    second = tmp_path / "second.sock"
    exported = export(
        "chip=fw-0,lines=3",
        "all",
        *("--export", f"vhost-user-gpio:{second},lines=fw-0:2,fw-0:3,fw-1:0"),
    )
    status = exported.exports[1]
    assert "held by" in str(status["why"])
    assert not second.exists()
    with exported.rig.chip(0) as chip:
        assert not chip.get_line_info(2).used


def test_service_restart_under_a_live_guest(export: Start, eventually: Eventually) -> None:
    """This is how QEMU does it: it connects again and goes on at used.idx."""
    exported = export()
    driver = exported.guest()
    driver.ok(vu.SET_VALUE, LED, 1)
    driver.ok(vu.SET_DIRECTION, LED, vu.OUT)
    driver.ok(vu.SET_DIRECTION, LOOPED, vu.IN)
    driver.ok(vu.SET_IRQ_TYPE, LOOPED, vu.RISING)
    mine = driver.buffer(LOOPED)
    driver.no_event()
    exported.rig.serve.stop()
    assert driver.event() == (mine, vu.INVALID)
    mine = driver.buffer(LOOPED)
    assert exported.stub.read("LED_GREEN") == 1
    exported.rig.serve.__enter__()
    exported.rig.serve.wait_for_chips(2)
    again = Frontend(exported.path)
    driver.socket.close()
    driver.socket = again.socket
    driver.negotiate()
    assert driver.share() == 0
    driver.bases = [driver.get("<H", queue.used + 2)[0] for queue in driver.queues]
    driver.start(base=None)
    assert exported.stub.read("LED_GREEN") == 1
    assert driver.ok(vu.GET_DIRECTION, LED) == vu.OUT
    exported.stub.command("drive LOOP_IN 1")
    assert driver.event() == (mine, vu.VALID)
    driver.close()
    again.close()
