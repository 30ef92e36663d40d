# SPDX-License-Identifier: BSD-3-Clause
"""A chip for local clients, put together out of lines of several controllers.

What the kernel's gpio-aggregator does, with names of its own. Values and edges go
the same way as those of any chip: each line of a request has its controller, and
the pump sends to that.
"""

from __future__ import annotations

import errno
import functools
import logging
from collections.abc import Sequence
from typing import Protocol

from bridge import uapi, wire
from bridge.chips.chip import Chip, Identity
from bridge.chips.controller import AUTO, Controller, Setup
from bridge.chips.dispatcher import Dispatcher
from bridge.chips.line import Line, clip_consumer
from bridge.chips.tasks import Tasks
from bridge.clock_info import ClockInfo
from bridge.export.hold import Hold
from bridge.export.selection import AggregateConfig, Pick, Place, make_unique, places_of
from bridge.shim.pump import Controller as PumpController
from bridge.shim.pump import Report

log = logging.getLogger(__name__)


class Registry(Protocol):
    """Where a chip appears and goes: `bridge.service.registry.Registry`."""

    def has(self, name: str) -> bool:
        """Whether a chip of this name is online."""

    def add(self, chip: Chip) -> None:
        """Put a chip online."""

    def discard(self, chip: Chip) -> None:
        """Take a chip offline."""


class Router(Controller):
    """Calls of the chip as a whole: each goes to the controller that has the line.

    Args:
        title: how errors call this chip.
        targets: controller and its line, by offset.
        timeout_ms: deadline of a call in milliseconds.
    """

    def __init__(self, title: str, targets: list[tuple[Controller, int]], timeout_ms: int) -> None:
        # Not that of Controller: there is no endpoint of its own.
        self.title = title
        self.targets = targets
        self.timeout_ms = timeout_ms

    @property
    def features(self) -> int:
        """RPMSG_GPIO_F_* bits that all of the controllers have."""
        common = wire.ALL_FEATURES
        for controller, _ in self.targets:
            common &= controller.features
        return common

    def clock(self) -> ClockInfo:
        """As `Controller.clock`; raises OSError EOPNOTSUPP when there are several clocks."""
        first = self.targets[0][0]
        if any(controller is not first for controller, _ in self.targets):
            raise OSError(
                errno.EOPNOTSUPP,
                f"{self.title} has lines of several controllers, each with a clock; "
                "ask the chips that the lines are from",
            )
        return first.clock()

    async def ask(
        self,
        kind: int,
        gpio: int = 0,
        value: int = 0,
        form: int = AUTO,
        timeout_ms: int | None = None,
        body: bytes = b"",
    ) -> Report:
        """As `Controller.ask`."""
        controller, line = self.targets[gpio]
        return await controller.ask(kind, line, value, form, timeout_ms, body)

    async def call(self, kind: int, gpio: int = 0, value: int = 0, form: int = AUTO) -> Report:
        """As `Controller.call`."""
        controller, line = self.targets[gpio]
        return await controller.call(kind, line, value, form)

    def failure(self, report: Report, kind: int, gpio: int) -> OSError:
        """As `Controller.failure`."""
        controller, line = self.targets[gpio]
        return controller.failure(report, kind, line)

    async def line_caps(self, gpio: int) -> wire.LineCaps:
        """As `Controller.line_caps`."""
        controller, line = self.targets[gpio]
        return await controller.line_caps(line)

    async def set_pin_config(self, gpio: int, config: wire.PinConfig) -> None:
        """As `Controller.set_pin_config`."""
        controller, line = self.targets[gpio]
        await controller.set_pin_config(line, config)

    def place(self, offset: int) -> tuple[PumpController, int]:
        """As `Controller.place`."""
        controller, line = self.targets[offset]
        return controller.place(line)

    def close(self) -> None:
        """The controllers belong to the chips that the lines are from."""


class Whole(Chip):
    """The chip. What happens to a line is seen on the chip that it is from, too.

    Attributes:
        sources: chip and line, by offset.
    """

    sources: Sequence[tuple[Chip, Line]] = ()

    def changed(self, line: Line, event: int) -> None:
        """As `Chip.changed`."""
        super().changed(line, event)
        chip, source = self.sources[line.offset]
        chip.changed(source, uapi.GPIO_V2_LINE_CHANGED_CONFIG)


class Aggregate:
    """Online while all of its chips are; its lines are held from the first on.

    Args:
        dispatcher: of the service.
        registry: where the chip appears.
        config: what it is made of.
        timeout_ms: deadline of one request to the firmware in milliseconds.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        registry: Registry,
        config: AggregateConfig,
        timeout_ms: int,
    ) -> None:
        self.config = config
        self.consumer = clip_consumer(f"chip:{config.name}")
        self._dispatcher = dispatcher
        self._registry = registry
        self._timeout_ms = timeout_ms
        self._sources: dict[str, tuple[Chip, dict[Pick, Place]]] = {}
        self._why = ""  # what is wrong, while a chip is there and cannot be used
        self._chip: Whole | None = None
        self._tasks = Tasks()

    def appeared(self, chip: Chip) -> None:
        """A chip is online: hold the lines that are ours, before anybody else can."""
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
        """A chip went offline, and so does this one."""
        self._sources.pop(chip.name, None)
        whole, self._chip = self._chip, None
        if whole is not None:
            self._registry.discard(whole)
            self._tasks.spawn(whole.remove(), f"chip {self.config.name}")

    def _put_together(self) -> None:
        """All lines are there."""
        if self._registry.has(self.config.name):
            self._complain("another chip has this name already")
            return
        self._why = ""
        places = [self._sources[pick.chip][1][pick] for pick in self.config.picks]
        make_unique(places)
        sources = [self._sources[place.chip][0] for place in places]
        targets = [
            (source.controller, place.offset) for source, place in zip(sources, places, strict=True)
        ]
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
            Router(f"chip {self.config.name}", targets, self._timeout_ms),
            setup,
            self.config.on_release,
        )
        for mine, line in zip(self._chip.lines, lines, strict=True):
            mine.irq_unknown, mine.pin = line.irq_unknown, line.pin
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
