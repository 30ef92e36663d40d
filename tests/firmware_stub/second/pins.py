# SPDX-License-Identifier: BSD-3-Clause
"""Pins and wires, as docs/stub.md describes a board, with a clock that is stepped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

PULL_UP, PULL_DOWN, BIAS_DISABLE, OPEN_DRAIN, OPEN_SOURCE = (1 << bit for bit in range(5))
FLOAT = -1


@dataclass
class Pin:
    """One pin. `net` are the pins wired to it, itself included."""

    line: int
    net: list[Pin] = field(default_factory=list)
    output: int = FLOAT
    flags: int = 0
    debounce_ns: int = 0
    drive: int = FLOAT
    pull: int = FLOAT
    level: int = 0
    seen: int = 0
    """The level behind the debounce filter: what firmware reads."""
    settles_at: int = -1
    """When `level` comes through the filter, in ns; -1: it is through."""

    @property
    def driven(self) -> int:
        """What the firmware drives the wire with."""
        let_go = OPEN_DRAIN if self.output == 1 else OPEN_SOURCE
        return FLOAT if self.flags & let_go else self.output


class Pins:
    """All pins of a controller.

    Args:
        count: of lines.
        wires: pairs of lines with a wire in between.
        pulls: resistors of the board: 0, 1 or FLOAT for each line.
        now: what the clock shows, in ns.
        edge: called with line, level and time in ns when firmware sees a new level.
    """

    def __init__(
        self,
        count: int,
        wires: Sequence[tuple[int, int]],
        pulls: Sequence[int],
        now: int,
        edge: Callable[[int, int, int], None],
    ) -> None:
        self.now = now
        self._edge = edge
        self.pins = [Pin(line) for line in range(count)]
        for pin in self.pins:
            pin.net = [pin]
        for a, b in wires:
            self._join(self.pins[a], self.pins[b])
        for pin, pull in zip(self.pins, pulls, strict=True):
            pin.pull = pull
        for pin in self.pins:
            self._follow(pin)

    @staticmethod
    def _join(a: Pin, b: Pin) -> None:
        if b in a.net:
            return
        net = a.net + b.net
        for pin in net:
            pin.net = net

    # ---- levels -----------------------------------------------------------------

    @staticmethod
    def _level(net: Sequence[Pin]) -> int:
        sources = {source for pin in net for source in (pin.driven, pin.drive)}
        if 0 in sources:
            return 0
        if 1 in sources:
            return 1
        down = any(pin.pull == 0 or pin.flags & PULL_DOWN for pin in net)
        up = any(pin.pull == 1 or pin.flags & PULL_UP for pin in net)
        return int(up and not down)

    def _follow(self, changed: Pin) -> None:
        level = self._level(changed.net)
        for pin in changed.net:
            if pin.level == level:
                continue
            pin.level = level
            if pin.debounce_ns:
                pin.settles_at = self.now + pin.debounce_ns
            else:
                self._see(pin)

    def _see(self, pin: Pin) -> None:
        pin.settles_at = -1
        if pin.seen != pin.level:
            pin.seen = pin.level
            self._edge(pin.line, pin.seen, self.now)

    # ---- the outside --------------------------------------------------------------

    def drive(self, line: int, value: int) -> None:
        """Drive a pin from outside, or let it go (FLOAT)."""
        self.pins[line].drive = value
        self._follow(self.pins[line])

    def advance(self, ns: int) -> None:
        """Let time pass; what settles meanwhile does so at its time."""
        end = self.now + ns
        while waiting := [pin for pin in self.pins if 0 <= pin.settles_at <= end]:
            first = min(waiting, key=lambda pin: pin.settles_at)
            self.now = first.settles_at
            self._see(first)
        self.now = end

    # ---- the firmware's side ------------------------------------------------------

    def output(self, line: int, value: int) -> None:
        """Drive a pin, or let it go (FLOAT)."""
        self.outputs({line: value})

    def outputs(self, values: dict[int, int]) -> None:
        """Drive several pins in the same instant."""
        for line, value in values.items():
            self.pins[line].output = value
        for line in values:
            self._follow(self.pins[line])

    def read(self, line: int) -> int:
        """The level of a pin."""
        return self.pins[line].seen

    def configure(self, line: int, flags: int, debounce_us: int) -> None:
        """Pulls, drive and debounce of a pin. A level that waits, waits anew."""
        pin = self.pins[line]
        pin.flags, pin.debounce_ns, pin.settles_at = flags, debounce_us * 1000, -1
        self._follow(pin)
        if not pin.debounce_ns:
            self._see(pin)
        elif pin.seen != pin.level:
            pin.settles_at = self.now + pin.debounce_ns
