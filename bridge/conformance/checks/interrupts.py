# SPDX-License-Identifier: BSD-3-Clause
"""Interrupts of the baseline. Needs a wire from an output to an input."""

from __future__ import annotations

from bridge.conformance.check import Failed, check
from bridge.conformance.driver import (
    BOTH,
    FALLING,
    HIGH,
    IN,
    IRQ_NONE,
    LOW,
    NONE,
    RISING,
    SET_IRQ_TYPE,
    Driver,
)

_SECTION = "P 4.1, V 5.18.6"


def _loop(d: Driver, out: int, into: int, level: int = 0) -> None:
    """Make `out` drive `level`, and `into` an input."""
    d.output(out, 0)
    d.set_value(out, level)
    d.set_direction(into, IN)


@check("irq-edges", "An edge fires once, if it is of the irq type", _SECTION, needs="loop")
def _irq_edges(d: Driver) -> None:
    for out, into in d.loops:
        for kind, name in ((RISING, "rising"), (FALLING, "falling"), (BOTH, "both")):
            _loop(d, out, into)
            d.set_irq(into, kind)
            for value in (1, 0, 1, 0):
                d.set_value(out, value)
                if kind & (RISING if value else FALLING):
                    d.event(into, f"at an edge to {value} with irq type {name}")
                    d.no_event(f"after the first at an edge to {value} with irq type {name}")
                    d.set_irq(into, kind)
                else:
                    d.no_event(f"at an edge to {value} with irq type {name}")
            d.set_irq(into, IRQ_NONE)


@check("irq-masks", "After its event a line is silent until the re-arm", _SECTION, needs="loop")
def _irq_masks(d: Driver) -> None:
    for out, into in d.loops:
        for kind in (FALLING, BOTH):
            _loop(d, out, into, 1)
            d.set_irq(into, kind)
            d.set_value(out, 0)
            d.event(into, "at a falling edge")
            d.set_value(out, 1)
            d.set_value(out, 0)
            d.no_event("at an edge of a masked line")
            d.set_irq(into, kind)
            d.forget_events()
            d.set_irq(into, IRQ_NONE)


@check("irq-latches", "An edge of a masked line is latched, one is kept", _SECTION, needs="loop")
def _irq_latches(d: Driver) -> None:
    for out, into in d.loops:
        _loop(d, out, into)
        d.set_irq(into, BOTH)
        d.set_value(out, 1)
        d.event(into, "at an edge")
        for value in (0, 1, 0):
            d.set_value(out, value)
        d.set_irq(into, BOTH)
        d.event(into, "at the re-arm of a line with a latched edge")
        d.set_irq(into, BOTH)
        d.no_event("at the second re-arm, though one edge is kept")
        d.set_irq(into, IRQ_NONE)


@check(
    "irq-idle-rearm", "The re-arm of a line that is not masked changes nothing", "P 4.1",
    needs="loop",
)  # fmt: skip
def _irq_idle_rearm(d: Driver) -> None:
    for out, into in d.loops:
        _loop(d, out, into)
        d.set_irq(into, BOTH)
        d.line(SET_IRQ_TYPE, into, BOTH)  # strict devices say ERR
        d.no_event("at the re-arm of a line that is not masked")
        d.set_value(out, 1)
        d.event(into, "at the edge after such a re-arm")
        d.set_irq(into, IRQ_NONE)


@check("irq-level", "Levels fire when active, are not latched", _SECTION, needs="loop")
def _irq_level(d: Driver) -> None:
    for out, into in d.loops:
        for kind, active, name in ((HIGH, 1, "high"), (LOW, 0, "low")):
            _loop(d, out, into, 1 - active)
            d.set_irq(into, kind)
            d.no_event(f"while the level is not {name}")
            d.set_value(out, active)
            d.event(into, f"when the level is {name}")
            d.no_event(f"while masked and {name}")
            d.set_irq(into, kind)
            d.event(into, f"at the re-arm while the level is {name}")
            d.set_value(out, 1 - active)
            d.set_irq(into, kind)
            d.no_event(f"at the re-arm, after the level was {name} while masked")
            d.set_irq(into, IRQ_NONE)
            d.set_value(out, active)
            d.set_irq(into, kind)
            d.event(into, f"when enabled while the level is {name}")
            d.set_irq(into, IRQ_NONE)


@check(
    "irq-order", "The event that a re-arm sets free comes after the reply", "P 4.1", needs="loop"
)
def _irq_order(d: Driver) -> None:
    for out, into in d.loops:
        _loop(d, out, into)
        d.set_irq(into, HIGH)
        d.set_value(out, 1)
        d.event(into, "when the level is high")
        d.set_irq(into, HIGH)
        if d.events:
            raise Failed("the event came before the reply to the re-arm")
        d.event(into, "at the re-arm while the level is high")
        d.set_irq(into, IRQ_NONE)


@check("irq-none", "Irq type NONE discards a latched edge and ends events", _SECTION, needs="loop")
def _irq_none(d: Driver) -> None:
    for out, into in d.loops:
        _loop(d, out, into)
        d.set_irq(into, BOTH)
        d.set_value(out, 1)
        d.event(into, "at an edge")
        d.set_value(out, 0)
        d.set_irq(into, IRQ_NONE)
        d.set_irq(into, BOTH)
        d.no_event("when enabled again after NONE, for an edge from before")
        d.set_value(out, 1)
        d.event(into, "at an edge after it was enabled again")
        d.set_irq(into, IRQ_NONE)
        d.set_value(out, 0)
        d.no_event("with irq type NONE")


@check("irq-change", "Another irq type discards what was latched for the one before", "P 5",
       needs="loop")  # fmt: skip
def _irq_change(d: Driver) -> None:
    for out, into in d.loops:
        _loop(d, out, into)
        d.set_irq(into, BOTH)
        d.set_value(out, 1)
        d.event(into, "at an edge")
        d.set_value(out, 0)
        if d.line(SET_IRQ_TYPE, into, FALLING).status:  # strict
            d.set_irq(into, BOTH)
            d.event(into, "at the re-arm, after a change of the irq type was refused,")
        else:
            d.no_event("at a change of the irq type, for an edge from before")
            d.set_value(out, 1)
            d.set_value(out, 0)
            d.event(into, "at an edge after the change of the irq type")
        d.set_irq(into, IRQ_NONE)


@check("none-forgets-irq", "Direction NONE forgets the interrupt", "P 4.4, V 5.18.6", needs="loop")
def _none_forgets_irq(d: Driver) -> None:
    for out, into in d.loops:
        _loop(d, out, into)
        d.set_irq(into, BOTH)
        d.set_direction(into, NONE)
        d.set_direction(into, IN)
        d.set_value(out, 1)
        d.no_event("after the direction was NONE, with no interrupt enabled since")
