# SPDX-License-Identifier: BSD-3-Clause
"""One announced channel: a controller that is negotiated with, then a chip."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from typing import Protocol

from bridge import wire
from bridge.chips.chip import Chip, Identity
from bridge.chips.controller import EXTENDED, Controller, Setup
from bridge.chips.line import ReleasePolicy
from bridge.chips.pin import Pin
from bridge.chips.tasks import Tasks
from bridge.service.link_context import LinkContext
from bridge.service.roster import Place
from bridge.shim.pump import Link

log = logging.getLogger(__name__)

# The pauses before a negotiation that failed is tried again. After them only an announcement starts
# another one.
_RETRIES_S = (0.5, 1.0, 2.0, 4.0)
SHORT_LIFE_S = 1.0
RESTART_PAUSE_S = 0.2


class Numbering(Protocol):
    """Who knows which controller is which: `bridge.service.numbering.Numbering`."""

    async def place(self, channel: Channel, label: str) -> Place:
        """Decide who a controller is, after its firmware has told what it tells."""

    def give_numbers(self) -> None:
        """Look again who is known by now."""


class Session(Protocol):
    """The owner of a channel: `bridge.service.session.Session`."""

    context: LinkContext
    link: Link
    tasks: Tasks
    addresses: Iterator[int]

    @property
    def numbering(self) -> Numbering:
        """Of its controllers."""


class Channel:
    """One announced channel: a controller that is negotiated with, then a chip.

    Args:
        session: of the link.
        name: of the rpmsg channel.
        index: in the channel's name, which makes the chip's; None on rpmsg-raw.
        address: the firmware's endpoint.

    Attributes:
        name: of the rpmsg channel.
        own_index: in the channel's name.
        index: of the chip's name, None until it is known.
        address: the firmware's endpoint.
        place: who the controller is, None until that is known.
        settled: a first negotiation is over.
        why: what the last negotiation failed of, empty while there is a chip.
    """

    def __init__(self, session: Session, name: str, index: str | None, address: int) -> None:
        self.name = name
        self.own_index = self.index = index
        self.address = address
        self.place: Place | None = None
        self.settled = False
        self.why = ""
        self._session = session
        self._chip: Chip | None = None
        where = f"raw@{address:#x}" if index is None else index
        self._title = f"{session.context.name}-{where}"
        self._remembered = False
        self._told = False  # who it is
        self._question: asyncio.Task[None] | None = None
        self._restart = asyncio.Event()
        self._task = session.tasks.spawn(self._run(), f"chip {self._title}")

    def stop(self) -> asyncio.Future[None]:
        """Take the chip away; the result is there when that is done."""
        if self._chip is not None:
            self._session.context.registry.discard(self._chip)
        self._task.cancel()
        return asyncio.ensure_future(self._stopped())

    @property
    def undecided(self) -> bool:
        """Whether it may be about to tell who it is, for the first time."""
        return self.index is None and self.place is None and not self.settled and not self._told

    def status(self) -> dict[str, str]:
        """The controller as the control socket shows it while it is no chip."""
        return {"chip": self._title, "channel": self.name, "why": self.why}

    def announced_again(self) -> bool:
        """Whether nothing need begin anew: firmware with EPOCH says if it is another one.

        A name service may say things twice. Firmware that can tell its boots is asked, and
        the pump notices another one by the answer; for all other firmware an announcement
        is the only sign of a start.
        """
        controller = self._chip.controller if self._chip is not None else None
        if controller is None or not controller.features & wire.F_EPOCH:
            return False
        if self._question is None or self._question.done():
            log.info("chip %s: its channel is announced again", self._title)
            question = self._ask(controller)
            self._question = self._session.tasks.spawn(question, f"question to {self._title}")
        return True

    @staticmethod
    async def _ask(controller: Controller) -> None:
        with contextlib.suppress(OSError):  # the chip went away meanwhile
            # The question has a form whose answer has the epoch, which the baseline's has not.
            await controller.ask(wire.MSG_GET_EPOCH, form=EXTENDED)

    def remember(self) -> None:
        """The firmware is gone: once for a chip, before clients react to it."""
        if self._chip is not None and not self._remembered:
            self._remembered = True
            self._session.context.memory.remember(self._chip)

    def _restarted(self) -> None:
        self.remember()
        self._restart.set()

    async def _stopped(self) -> None:
        await asyncio.wait((self._task,))

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._restart.clear()
            born = loop.time()
            await self._life()
            log.warning("chip %s: the firmware restarted", self._title)
            if loop.time() - born < SHORT_LIFE_S:
                # Firmware that seems to restart all the time must not take a whole CPU.
                await asyncio.sleep(RESTART_PAUSE_S)

    async def _life(self) -> None:
        """Run from opening the endpoint to a restart of the firmware."""
        context = self._session.context
        controller = Controller(
            context.dispatcher,
            self._session.link,
            f"chip {self._title}",
            next(self._session.addresses),
            self.address,
            context.timeout_ms,
            self._restarted,
        )
        try:
            chip = await self._bring_up(controller)
            if chip is not None:
                self._chip = chip
                self._remembered = True  # the lines that are replayed, until that is done
                if chip.identity.known_by != "nothing":
                    await context.memory.replay(chip)
                self._remembered = False
                self.settled = True
                context.registry.add(chip)
                context.saw(str(self.index), chip)
                where = f"{self.name} at {self.address:#x}"
                log.info("chip %s: %d lines, %s", chip.name, len(chip.lines), where)
            await self._restart.wait()
        finally:
            chip, self._chip = self._chip, None
            if chip is not None:
                context.registry.discard(chip)
                await chip.remove()
            controller.close()

    async def _bring_up(self, controller: Controller) -> Chip | None:
        """The chip, or None when the firmware restarted or negotiation failed for good."""
        context = self._session.context
        config = context.config
        for pause in (*_RETRIES_S, None):
            try:
                setup = await controller.negotiate(config.extensions, config.lines)
            except OSError as error:
                if self._restart.is_set():
                    return None
                self.why = error.strerror or str(error)
                log.warning("chip %s: not usable: %s", self._title, self.why)
                self.settled = True
                context.registry.changed()
                self._session.numbering.give_numbers()  # other channels need not wait for this one
            else:
                self.why = ""
                return await self._make_chip(controller, setup)
            if pause is None:
                break
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(self._restart.wait(), pause)
                return None
        log.error("chip %s: given up until the firmware announces it again", self._title)
        return None

    async def _make_chip(self, controller: Controller, setup: Setup) -> Chip:
        """The chip, by what its firmware says and what is configured for it."""
        context = self._session.context
        self._told = True
        self.place = place = await self._session.numbering.place(self, setup.label)
        if place.doubt:
            log.warning("%s", place.doubt)
        self._title = f"{context.name}-{place.number}"
        controller.title = f"chip {self._title}"
        label = context.label(place.number, setup.label, self.name)
        identity = Identity(
            self._title, label, context.name, self.name, self.address, place.known_by
        )
        names = context.line_names(place.number, setup.names)
        setup = dataclasses.replace(setup, names=names)
        on_release = ReleasePolicy(context.config.on_release, context.config.lines_on_release)
        pins = [Pin(controller, gpio) for gpio in range(len(names))]
        return Chip(context.dispatcher, identity, pins, setup, on_release, controller)
