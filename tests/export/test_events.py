# SPDX-License-Identifier: BSD-3-Clause
"""eventq: interrupts (virtio 1.3, 5.18.6.7 and 5.18.6.8)."""

from __future__ import annotations

from . import frontend as vu
from .conftest import Exported, Start
from .frontend import Frontend

Guest = tuple[Exported, Frontend]

OUT, LINE = 4, 5
NAME = "LOOP_IN"


def armed(driver: Frontend, kind: int) -> int:
    """An input with an interrupt; the head of its buffer."""
    driver.ok(vu.SET_DIRECTION, LINE, vu.IN)
    driver.ok(vu.SET_IRQ_TYPE, LINE, kind)
    return driver.buffer(LINE)


def test_rising_edge(guest: Guest) -> None:
    exported, driver = guest
    mine = armed(driver, vu.RISING)
    exported.stub.drive(NAME, 1)
    assert driver.event() == (mine, vu.VALID)
    mine = driver.buffer(LINE)
    exported.stub.drive(NAME, 0)
    driver.no_event()
    exported.stub.drive(NAME, 1)
    assert driver.event() == (mine, vu.VALID)


def test_falling_edge(guest: Guest) -> None:
    exported, driver = guest
    mine = armed(driver, vu.FALLING)
    exported.stub.drive(NAME, 1)
    driver.no_event()
    exported.stub.drive(NAME, 0)
    assert driver.event() == (mine, vu.VALID)


def test_both_edges(guest: Guest) -> None:
    exported, driver = guest
    mine = armed(driver, vu.BOTH)
    for level in (1, 0, 1, 0):
        exported.stub.drive(NAME, level)
        assert driver.event() == (mine, vu.VALID)
        mine = driver.buffer(LINE)
        exported.stub.wait_armed(NAME)


def test_edge_without_buffer_is_latched_once(guest: Guest) -> None:
    exported, driver = guest
    driver.ok(vu.SET_DIRECTION, LINE, vu.IN)
    driver.ok(vu.SET_IRQ_TYPE, LINE, vu.RISING)
    exported.stub.pulse(NAME, 1, 1000)
    exported.stub.wait_edges(NAME, 2)
    mine = driver.buffer(LINE)
    assert driver.event() == (mine, vu.VALID)
    driver.buffer(LINE)
    exported.stub.wait_armed(NAME)
    driver.no_event()


def test_edges_while_the_guest_handles_one_become_one(guest: Guest) -> None:
    exported, driver = guest
    mine = armed(driver, vu.RISING)
    exported.stub.pulse(NAME, 5, 1000)
    exported.stub.wait_edges(NAME, 10)
    assert driver.event() == (mine, vu.VALID)
    mine = driver.buffer(LINE)
    assert driver.event() == (mine, vu.VALID)  # latched
    driver.buffer(LINE)
    exported.stub.wait_armed(NAME)
    driver.no_event()


def test_none_drops_the_latched_edge(guest: Guest) -> None:
    exported, driver = guest
    driver.ok(vu.SET_DIRECTION, LINE, vu.IN)
    driver.ok(vu.SET_IRQ_TYPE, LINE, vu.RISING)
    exported.stub.drive(NAME, 1)
    driver.ok(vu.SET_IRQ_TYPE, LINE, vu.NONE)
    driver.ok(vu.SET_IRQ_TYPE, LINE, vu.RISING)
    mine = driver.buffer(LINE)
    driver.no_event()
    exported.stub.drive(NAME, 0)
    exported.stub.drive(NAME, 1)
    assert driver.event() == (mine, vu.VALID)


def test_none_returns_the_buffer_before_its_answer(guest: Guest) -> None:
    _, driver = guest
    mine = armed(driver, vu.BOTH)
    driver.ok(vu.SET_IRQ_TYPE, LINE, vu.NONE)
    assert driver.queues[vu.EVENTQ].pop() == (mine, 1)  # without waiting
    assert driver.queues[vu.EVENTQ].answer(mine, 1)[0] == vu.INVALID


def test_level_high_lasts(guest: Guest) -> None:
    exported, driver = guest
    exported.stub.drive(NAME, 1)
    mine = armed(driver, vu.HIGH)
    for _ in range(3):
        assert driver.event() == (mine, vu.VALID)
        mine = driver.buffer(LINE)
    assert driver.event() == (mine, vu.VALID)
    exported.stub.drive(NAME, 0)
    driver.buffer(LINE)
    exported.stub.wait_armed(NAME)
    driver.no_event()


def test_level_is_not_latched(guest: Guest) -> None:
    exported, driver = guest
    driver.ok(vu.SET_DIRECTION, LINE, vu.IN)
    driver.ok(vu.SET_IRQ_TYPE, LINE, vu.LOW)  # it is low now
    exported.stub.drive(NAME, 1)
    mine = driver.buffer(LINE)
    exported.stub.wait_armed(NAME)
    driver.no_event()
    exported.stub.drive(NAME, 0)
    assert driver.event() == (mine, vu.VALID)


def test_refused_type_keeps_the_buffer(export: Start) -> None:
    """The driver ignores the ERR; an INVALID would be queued again without end."""
    exported = export("chip=fw-0", "none", strict=True)
    with exported.guest() as driver:
        driver.ok(vu.SET_VALUE, LINE, 0)
        driver.ok(vu.SET_DIRECTION, LINE, vu.OUT)
        assert driver.request(vu.SET_IRQ_TYPE, LINE, vu.BOTH)[0] == vu.ERR  # an output
        mine = driver.buffer(LINE)
        driver.no_event()
        driver.request(vu.SET_IRQ_TYPE, LINE, vu.NONE)
        assert driver.event() == (mine, vu.INVALID)


def test_type_for_an_output_is_kept(guest: Guest) -> None:
    exported, driver = guest
    driver.ok(vu.SET_VALUE, LINE, 0)
    driver.ok(vu.SET_DIRECTION, LINE, vu.OUT)
    driver.ok(vu.SET_IRQ_TYPE, LINE, vu.RISING)
    mine = driver.buffer(LINE)
    driver.ok(vu.SET_DIRECTION, LINE, vu.IN)
    exported.stub.wait_armed(NAME)
    exported.stub.drive(NAME, 1)
    assert driver.event() == (mine, vu.VALID)


def test_unanswered_type_is_asked_for_again_with_the_buffer(guest: Guest) -> None:
    """The driver believes in a type whatever the answer was."""
    exported, driver = guest
    driver.ok(vu.SET_DIRECTION, LINE, vu.IN)
    exported.stub.command("fault drop rx 1")
    assert driver.request(vu.SET_IRQ_TYPE, LINE, vu.RISING)[0] == vu.ERR
    mine = driver.buffer(LINE)
    exported.stub.wait_armed(NAME)
    exported.stub.drive(NAME, 1)
    assert driver.event() == (mine, vu.VALID)


def test_lost_rearm_is_repeated(guest: Guest) -> None:
    exported, driver = guest
    mine = armed(driver, vu.RISING)
    exported.stub.drive(NAME, 1)
    assert driver.event() == (mine, vu.VALID)
    exported.stub.command("fault drop rx 1")
    mine = driver.buffer(LINE)
    exported.stub.drive(NAME, 0)
    exported.stub.drive(NAME, 1)
    assert driver.event() == (mine, vu.VALID)


def test_refused_rearm_is_repeated(guest: Guest) -> None:
    """A message that was damaged on its way is refused, and the line would stay masked."""
    exported, driver = guest
    mine = armed(driver, vu.RISING)
    exported.stub.drive(NAME, 1)
    assert driver.event() == (mine, vu.VALID)
    exported.stub.command("fault corrupt rx 1")
    mine = driver.buffer(LINE)
    exported.stub.drive(NAME, 0)
    exported.stub.wait_armed(NAME)
    exported.stub.drive(NAME, 1)
    assert driver.event() == (mine, vu.VALID)


def test_many_lines(guest: Guest) -> None:
    exported, driver = guest
    names = ("LOOP_IN", "SENSOR_IRQ", "PWM_TACHO")
    heads = {}
    for name, line in zip(names, (5, 8, 9), strict=True):
        driver.ok(vu.SET_DIRECTION, line, vu.IN)
        driver.ok(vu.SET_IRQ_TYPE, line, vu.RISING)
        heads[name] = driver.buffer(line)
        exported.stub.drive(name, 0)
    for name in reversed(names):
        exported.stub.drive(name, 1)
        assert driver.event() == (heads[name], vu.VALID)


def test_unset_direction_ends_interrupts(guest: Guest) -> None:
    exported, driver = guest
    mine = armed(driver, vu.RISING)
    driver.ok(vu.SET_DIRECTION, LINE, vu.NONE)
    assert driver.event() == (mine, vu.INVALID)
    assert exported.stub.state(NAME).irq == "none"
