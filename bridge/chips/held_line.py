# SPDX-License-Identifier: BSD-3-Clause
"""One line of a line request: brought into its state, changed, given back."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Sequence
from dataclasses import replace

from bridge import uapi, wire
from bridge.chips.lender import Lender
from bridge.chips.line import Holder, Line
from bridge.chips.line_config import LineConfig
from bridge.chips.pin import Pin, drive, make_input, pin_config, set_pin
from bridge.chips.plans import Plans
from bridge.errors import sentence
from bridge.shim.ffi import lib
from bridge.shim.pump import LinePlan, Report

log = logging.getLogger(__name__)

# Longest pause between two requests to let a line go, in addition to their deadlines.
_INSIST_PAUSE_S = 60.0


class HeldLine:
    """A line that a request holds, and what it does with it, in the order that virtio-gpio wants.

    Args:
        chip: whose line it is.
        line: as clients see it.
        pin: where the firmware has it.
        config: what is asked for.
        plans: of the request.
        index: of the line in the request.

    Attributes:
        line: as clients see it.
        config: what is asked for.
        touched: whether the firmware may have it in another state than before.
        unanswered: whether the firmware may not have heard that it was let go.
    """

    def __init__(
        self, chip: Lender, line: Line, pin: Pin, config: LineConfig, plans: Plans, index: int
    ) -> None:
        self.line = line
        self.config = config
        self.touched = False
        self.unanswered = False
        self._chip = chip
        self._pin = pin
        self._plans = plans
        self._index = index
        # The part of the settings that the service must do, since the pin does not.
        self._rest = config
        self._armed = False  # we enabled its interrupt

    def plan(self, irq_type: int | None = None) -> LinePlan:
        """What the pump is to do for the line; `irq_type` overrides that of its settings."""
        config = self._rest
        output = config.output if config.directed else self.line.output
        controller, gpio = self._pin.place
        return LinePlan(
            controller,
            self.line.offset,
            gpio,
            config.irq_type if irq_type is None else irq_type,
            config.plan_flags(output),
            config.debounce_us,
        )

    # ---- set up -----------------------------------------------------------

    async def refresh(self) -> None:
        """Ask what an as-is line is, since it keeps that. Raises OSError as `Pin.call`."""
        if self.config.directed:
            return
        reply = await self._pin.ask(wire.MSG_GET_DIRECTION)
        if not reply.error:
            self.line.found(reply.value)
        elif reply.reason != lib.GB_REASON_STATUS:
            raise self._pin.failure(reply, wire.MSG_GET_DIRECTION)

    async def divide(self) -> None:
        """Find out what the pin will leave to us. Raises OSError as `Pin.call`."""
        self._rest = await self._left(self.config)

    async def _left(self, config: LineConfig) -> LineConfig:
        return config.without(await pin_config(self._pin, self.line, config))

    async def configure(self) -> None:
        """Bring the line, just taken, into its first state. Raises OSError as `Pin.call`."""
        self.touched = True
        if self.config.directed:
            if self.line.irq_unknown:
                await self._forget_irq()
            self._rest = await set_pin(self._pin, self.line, self.config)
        if self._rest.output:
            await self._drive()
        elif self._rest.input:
            await make_input(self._pin, self.line)
            await self._detect()
        self._chip.changed(self.line, uapi.GPIO_V2_LINE_CHANGED_REQUESTED)

    async def _drive(self) -> None:
        """Make the line an output with its value."""
        await drive(self._pin, self.line, self._rest)
        self._plans.note_driven(self._index, bool(self._rest.physical_value))

    async def _detect(self) -> None:
        """Enable the interrupt of an input if edges or debouncing need it."""
        if not self._rest.irq_type:
            return
        await self._arm()
        if self._rest.debounce_us:
            await self._settle()

    async def _settle(self) -> None:
        """Read the level that debouncing starts from.

        It is read after the interrupt was enabled, so that an edge in between starts the period.
        """
        reply = await self._pin.call(wire.MSG_GET_VALUE)
        self._plans.settle(self._index, bool(reply.value))

    async def _forget_irq(self) -> None:
        """Disable an interrupt left over from an earlier session; an ERR does no harm."""
        reply = await self._pin.ask(wire.MSG_SET_IRQ_TYPE, wire.IRQ_TYPE_NONE)
        if reply.error and reply.reason != lib.GB_REASON_STATUS:
            raise self._pin.failure(reply, wire.MSG_SET_IRQ_TYPE)
        self.line.irq_unknown = False

    async def _arm(self) -> None:
        self._armed = True
        self.line.irq_unknown = True
        reply = await self._pin.ask(wire.MSG_SET_IRQ_TYPE, self._rest.irq_type)
        if reply.reason == lib.GB_REASON_STATUS:
            self._armed = False
            self.line.irq_unknown = False
            raise OSError(
                errno.ENXIO,
                f"{self.line.where(self._chip.name)} cannot report these edges: the firmware "
                "refused SET_IRQ_TYPE",
            )
        if reply.error:
            raise self._pin.failure(reply, wire.MSG_SET_IRQ_TYPE)
        self.line.irq_unknown = False

    # ---- while held -------------------------------------------------------

    async def change(self, config: LineConfig) -> None:
        """Bring the line from its settings to other ones, unless they have no direction.

        Raises:
            OSError: as `Pin.call`, and ENXIO for edges that it cannot report.
        """
        if not config.directed:
            return
        try:
            await self._change(config)
        except BaseException:
            # Any part of it may be done: the next change assumes nothing.
            self._rest = LineConfig(config.offset, 0)
            raise

    async def _change(self, config: LineConfig) -> None:
        before, rest = self._rest, await self._left(config)
        if self._armed and (self.line.irq_unknown or rest.irq_type != before.irq_type):
            await self._disarm()
        elif self.line.irq_unknown:
            await self._forget_irq()
        self._rest = await set_pin(self._pin, self.line, config)
        self.config = config
        self.line.show(config)
        if rest.output:
            self._replan()
            await self._drive()
        else:
            if not before.input:
                await make_input(self._pin, self.line)
            self._replan()
            if not self._armed:
                await self._detect()
            elif rest.debounce_us and not before.debounce_us:
                await self._settle()
        self._chip.changed(self.line, uapi.GPIO_V2_LINE_CHANGED_CONFIG)

    def _replan(self, irq_type: int | None = None) -> None:
        self._plans.replace(self._index, self.plan(irq_type))

    async def _disarm(self) -> None:
        # The pump is told first: no re-arm may follow.
        self._replan(wire.IRQ_TYPE_NONE)
        self.line.irq_unknown = True
        await self._pin.call(wire.MSG_SET_IRQ_TYPE, wire.IRQ_TYPE_NONE)
        self.line.irq_unknown = False
        self._armed = False

    async def set_value(self, value: int) -> None:
        """Give the line, an output, another logical value. Raises OSError as `Pin.call`."""
        self.config = replace(self.config, value=value)
        self._rest = replace(self._rest, value=value)
        await self._drive()

    def missed(self, report: Report) -> None:
        """The pump could not enable the interrupt again; after a timeout it tries on."""
        log.warning(
            "chip %s: line %s may miss edges: %s",
            self._chip.name,
            self.line.describe(),
            sentence(report.reason, report.error),
        )

    def state(self, driven: dict[int, int]) -> LineConfig:
        """The settings; of an output with its value among those `driven`, by index."""
        if not self.config.output or self._index not in driven:
            return self.config
        return replace(self.config, value=driven[self._index] ^ self.config.active_low)

    # ---- release ----------------------------------------------------------

    async def let_go(self) -> None:
        """Give the line back to the firmware."""
        failure = await self._forget(self._owed())
        if failure is not None and self._chip.online:
            log.warning("chip %s: release: %s", self._chip.name, failure.strerror)
            self.unanswered = failure.errno == errno.ETIMEDOUT

    def _owed(self) -> list[tuple[int, int]]:
        """The messages that make the firmware forget the line: types and values."""
        owed = []
        if self._armed:
            self.line.irq_unknown = True
            owed.append((wire.MSG_SET_IRQ_TYPE, wire.IRQ_TYPE_NONE))
        if self.line.on_release == "none" and self.config.directed:
            self.line.pin_config = None
            owed.append((wire.MSG_SET_DIRECTION, wire.DIRECTION_NONE))
        return owed

    async def _forget(self, owed: Sequence[tuple[int, int]]) -> OSError | None:
        """Send all of them, whatever comes of the first; return how the last one failed."""
        failure = None
        for kind, value in owed:
            try:
                await self._pin.call(kind, value)
            except OSError as error:
                failure = error
                continue
            failure = None
            self.line.irq_unknown = False
            if kind == wire.MSG_SET_DIRECTION:
                self.line.pin_config = wire.PinConfig()  # forgotten, too (docs/protocol.md 11.5)
        return failure

    async def insist(self) -> None:
        """Ask as long as no answer comes and nobody has the line: it may still drive."""
        owed = self._owed()
        pause_s = 0.0
        while self._chip.online and self.line.holder is None:
            failure = await self._forget(owed)
            if failure is None:
                log.info("chip %s: line %d let go after all", self._chip.name, self.line.offset)
            if failure is None or failure.errno != errno.ETIMEDOUT:
                return
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s + 1, _INSIST_PAUSE_S)

    def free(self, holder: Holder, tell: bool) -> None:
        """Free the line, unless another holder has it by now.

        Args:
            holder: who had it.
            tell: whether watchers are to know.
        """
        if self.line.holder is not holder:
            return
        self.line.free()
        if tell and self.touched:
            self._chip.changed(self.line, uapi.GPIO_V2_LINE_CHANGED_RELEASED)
