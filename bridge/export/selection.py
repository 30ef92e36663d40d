# SPDX-License-Identifier: BSD-3-Clause
"""Lines chosen from several chips, with their own order and names.

A selection is written ``[CHIP:]LINE[=NAME]``: LINE is an offset or a name, in double
quotes where it has a colon or an equals sign, NAME what the line is called here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from bridge import uapi

if TYPE_CHECKING:
    from bridge.chips.chip import Chip

NAME_MAX = uapi.GPIO_MAX_NAME_SIZE - 1
"""Bytes of a line's name that the kernel shows."""


@dataclass(frozen=True)
class Pick:
    """One line that was chosen.

    Attributes:
        chip: name of the chip.
        line: offset or name of the line on that chip.
        name: what it is called here, None keeps its name.
    """

    chip: str
    line: int | str
    name: str | None = None


_PICK = re.compile(
    r'(?:(?P<chip>[A-Za-z0-9_.-]+):)?(?:"(?P<quoted>.+?)"|(?P<line>[^"=][^=]*))(?:=(?P<name>.*))?',
    re.DOTALL,
)


def is_name(name: str) -> bool:
    """Whether a line can be called this: 1 to `NAME_MAX` bytes, no control characters."""
    return name.isprintable() and 1 <= len(name.encode()) <= NAME_MAX


def parse_pick(text: str, chip: str | None) -> Pick:
    """Read ``[CHIP:]LINE[=NAME]``; a LINE in double quotes is a name, whatever it has.

    Args:
        text: the selection.
        chip: the chip of a selection that names none.

    Raises:
        ValueError: what is wrong, as a sentence.
    """
    match = _PICK.fullmatch(text)
    if match is None or (match["chip"] is None and ":" in (match["line"] or "")):
        raise ValueError(
            f'"{text}" names no line; write [CHIP:]LINE[=NAME], LINE being an offset or a name, '
            "and in double quotes where it has a : or ="
        )
    chip = match["chip"] or chip
    if not chip:
        raise ValueError(f'"{text}" names no chip; write CHIP:LINE or give chip=CHIP')
    name = match["name"]
    if name is not None and not is_name(name):
        raise ValueError(f'"{text}": a name has 1 to {NAME_MAX} bytes, and no control characters')
    line = match["quoted"] or match["line"]
    offset = match["quoted"] is None and line.isascii() and line.isdigit()
    return Pick(chip, int(line) if offset else line, name)


def check_picks(picks: Sequence[Pick]) -> None:
    """Raise ValueError when a line or a new name comes twice."""
    seen: set[tuple[str, int | str]] = set()
    names: set[str] = set()
    for pick in picks:
        if (pick.chip, pick.line) in seen:
            raise ValueError(f"line {pick.line} of {pick.chip} is chosen twice")
        seen.add((pick.chip, pick.line))
        if pick.name is not None and pick.name in names:
            raise ValueError(f'two lines are called "{pick.name}"')
        if pick.name is not None:
            names.add(pick.name)


@dataclass(frozen=True)
class ExportConfig:
    """One export.

    Attributes:
        path: of the socket for the guest; of a gpiochip, that of the helper; of keys and LEDs,
            /dev/uinput and /dev/uleds.
        name: in the consumer of its lines, such as ``vhost-user:NAME``.
        chip: whose lines are exported where `picks` is empty.
        picks: the lines, in order.
        mode: permission bits of the socket.
        kind: what becomes of the lines: ``vhost-user-gpio`` for a guest; ``gpiochip``, ``uinput``
            or ``uleds`` for this kernel.
        active_low: keys are pressed, and LEDs on, when their line is low.
        debounce_ms: of keys, in milliseconds.
    """

    path: str
    name: str
    chip: str | None = None
    picks: tuple[Pick, ...] = ()
    mode: int = 0o660
    kind: str = "vhost-user-gpio"
    active_low: bool = False
    debounce_ms: int = 0

    @property
    def for_guest(self) -> bool:
        """Whether its path is a socket for a guest; else it is of this kernel."""
        return self.kind == "vhost-user-gpio"

    @property
    def chips(self) -> set[str]:
        """Names of the chips that it needs."""
        if self.picks:
            return {pick.chip for pick in self.picks}
        return {self.chip} if self.chip else set()


AGGREGATE_LABEL = "aggregate"
"""Label of a chip where the configuration gives none."""


@dataclass(frozen=True)
class AggregateConfig:
    """One ``[[chip]]``.

    Attributes:
        name: of the chip, unique in the service.
        picks: its lines, in order.
        label: free text.
        on_release: as of a link.
        lines_on_release: as of a link.
    """

    name: str
    picks: tuple[Pick, ...]
    label: str = AGGREGATE_LABEL
    on_release: str = "none"
    lines_on_release: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def chips(self) -> set[str]:
        """Names of the chips that it needs."""
        return {pick.chip for pick in self.picks}


@dataclass
class Place:
    """A line of a selection once its chip was seen.

    Attributes:
        chip: name of the chip.
        offset: of the line on it.
        source_name: the firmware's name of it.
        name: what it is called here.
        given: the name was chosen, and is not the firmware's.
        address: of a controller whose channel has no index, else None: the next service
            may number it otherwise.
    """

    chip: str
    offset: int
    source_name: str | None
    name: str | None
    given: bool = False
    address: int | None = None

    @property
    def identity(self) -> list[str | int | None]:
        """What the next service knows it by: its pin, and what it is called."""
        pin = self.offset if self.source_name is None else self.source_name
        where = [] if self.address is None else [self.address]
        return [self.chip, pin, self.name, *where]

    def find(self, chip: Chip) -> int | None:
        """Offset of the line on a chip that came back, None when it is not there."""
        lines = chip.lines
        if self.offset < len(lines) and lines[self.offset].name == self.source_name:
            return self.offset
        return chip.find_only(self.source_name)


def places_of(chip: Chip, picks: Sequence[Pick]) -> dict[Pick, Place]:
    """Where the picks of this chip are.

    Raises:
        ValueError: the chip has no such line, as a sentence.
    """
    places: dict[Pick, Place] = {}
    taken: set[int] = set()
    for pick in picks:
        if pick.chip != chip.name:
            continue
        offset = pick.line if isinstance(pick.line, int) else chip.find(pick.line)
        if offset is None or offset >= len(chip.lines):
            raise ValueError(f'chip {chip.name} has no line "{pick.line}"')
        if offset in taken:
            raise ValueError(f"line {offset} of {chip.name} is chosen twice")
        taken.add(offset)
        source = chip.lines[offset].name
        name = pick.name or source
        given, where = pick.name is not None, chip.identity.unnumbered_address
        places[pick] = Place(chip.name, offset, source, name, given, where)
    return places


def make_unique(places: Sequence[Place]) -> None:
    """Rename lines of several chips that have the same name: ``CHIP:NAME``, or none.

    Args:
        places: in order; of two the first keeps the name, if none of them was given it.
    """
    taken = {place.name for place in places if place.given}
    for place in places:
        if place.given or place.name is None:
            continue
        if place.name in taken:
            longer = f"{place.chip}:{place.name}"
            place.name = (
                longer if len(longer.encode()) <= NAME_MAX and longer not in taken else None
            )
        taken.add(place.name)
