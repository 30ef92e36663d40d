# SPDX-License-Identifier: BSD-3-Clause
"""A chip for local clients, put together out of lines of several controllers.

It is what the kernel's gpio-aggregator does, with names of its own. Values and edges go the same
way as those of any chip: its pins are those of the chips that the lines are from, and the pump
sends to their controllers.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from typing import Protocol

from bridge import uapi, wire
from bridge.chips.chip import Chip, Identity
from bridge.chips.controller import Setup
from bridge.chips.dispatcher import Dispatcher
from bridge.chips.line import Line, ReleasePolicy, clip_consumer
from bridge.chips.tasks import Tasks
from bridge.export.hold import Hold
from bridge.export.selection import AggregateConfig, Pick, Place, make_unique, places_of

log = logging.getLogger(__name__)


class Registry(Protocol):
    """Where a chip appears and goes: `bridge.service.registry.Registry`."""

    def has(self, name: str) -> bool:
        """Whether a chip of this name is online."""

    def add(self, chip: Chip) -> None:
        """Put a chip online."""

    def discard(self, chip: Chip) -> None:
        """Take a chip offline."""


class Whole(Chip):
    """The chip. A change of a line shows on the chip that the line is from, too.

    Attributes:
        sources: chip and line, by offset.
    """

    sources: Sequence[tuple[Chip, Line]] = ()

    def changed(self, line: Line, event: int) -> None:
        """Tell watchers as `Chip.changed` does, here and on the line's own chip."""
        super().changed(line, event)
        chip, source = self.sources[line.offset]
        chip.changed(source, uapi.GPIO_V2_LINE_CHANGED_CONFIG)


class Aggregate:
    """A chip that is online while all of its chips are; it holds lines from the first one on.

    Args:
        dispatcher: of the service.
        registry: where the chip appears.
        config: what it is made of.
    """

    def __init__(self, dispatcher: Dispatcher, registry: Registry, config: AggregateConfig) -> None:
        self.config = config
        self.consumer = clip_consumer(f"chip:{config.name}")
        self._dispatcher = dispatcher
        self._registry = registry
        self._sources: dict[str, tuple[Chip, dict[Pick, Place]]] = {}
        self._why = ""  # the reason while a chip is there and cannot be used
        self._chip: Whole | None = None
        self._tasks = Tasks()

    def appeared(self, chip: Chip) -> None:
        """A chip came online: hold our lines of it, before anybody else can."""
        if chip.name not in self.config.chips:
            return
        hold = Hold(self, chip)
        try:
            places = places_of(chip, self.config.picks)
            for place in places.values():
                hold.take(place.offset)
        except (ValueError, OSError) as error:
            hold.hang_up()
            why = str(error.strerror or error) if isinstance(error, OSError) else str(error)
            self._complain(why)
            return
        self._sources[chip.name] = chip, places
        if self.config.chips == self._sources.keys():
            self._put_together()

    def _complain(self, why: str) -> None:
        self._why = why
        log.error("chip %s: %s", self.config.name, why)

    def status(self) -> dict[str, object]:
        """The chip as the control socket shows it, online or not."""
        return {
            "name": self.config.name,
            "online": self._chip is not None,
            "waiting_for": sorted(self.config.chips - self._sources.keys()),
            "why": self._why,
        }

    def lost(self, chip: Chip) -> None:
        """A chip went offline; take this one offline, too."""
        self._sources.pop(chip.name, None)
        whole, self._chip = self._chip, None
        if whole is not None:
            self._registry.discard(whole)
            self._tasks.spawn(whole.remove(), f"chip {self.config.name}")

    def _put_together(self) -> None:
        """Put the chip online: all lines are there."""
        if self._registry.has(self.config.name):
            self._complain("another chip has this name already")
            return
        self._why = ""
        places = [self._sources[pick.chip][1][pick] for pick in self.config.picks]
        make_unique(places)
        sources = [self._sources[place.chip][0] for place in places]
        pins = [source.pins[place.offset] for source, place in zip(sources, places, strict=True)]
        lines = [source.lines[place.offset] for source, place in zip(sources, places, strict=True)]
        setup = Setup(
            label=self.config.label,
            names=[place.name for place in places],
            directions=[
                wire.DIRECTION_OUT if line.output else wire.DIRECTION_NONE for line in lines
            ],
        )
        self._chip = Whole(
            self._dispatcher,
            Identity(self.config.name, self.config.label, "", ""),
            pins,
            setup,
            ReleasePolicy(self.config.on_release, self.config.lines_on_release),
        )
        for mine, line in zip(self._chip.lines, lines, strict=True):
            mine.irq_unknown, mine.pin_config = line.irq_unknown, line.pin_config
            line.live = functools.partial(_direction, mine)
        self._chip.sources = list(zip(sources, lines, strict=True))
        self._registry.add(self._chip)
        log.info("chip %s: %d lines of %d chips", self.config.name, len(lines), len(self._sources))

    async def close(self) -> None:
        """Take the chip away; pins stay as they are."""
        whole, self._chip = self._chip, None
        if whole is not None:
            self._registry.discard(whole)
            await whole.remove()
        await self._tasks.stop()


def _direction(line: Line) -> int:
    return line.direction
