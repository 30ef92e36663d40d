# SPDX-License-Identifier: BSD-3-Clause
"""A line request on the service's side: set up, held, released."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bridge import uapi, wire
from bridge.chips.line import Line
from bridge.chips.line_config import DIRECTIONS, LineConfig, configs_of, event_capacity
from bridge.chips.requester import Requester
from bridge.errors import sentence
from bridge.shim.ffi import lib
from bridge.shim.pump import LineFds, LineForm, LinePlan, Report, ReportKind, RequestFds
from bridge.shim.pump import Request as PumpRequest

if TYPE_CHECKING:
    from bridge.chips.chip import Chip
    from bridge.chips.controller import Controller

log = logging.getLogger(__name__)

# Lines whose release is under way at once; each takes two calls.
_RELEASE_BATCH = 8
# Longest pause between two requests to let a line go, beside their deadlines.
_INSIST_PAUSE_S = 60.0


async def pin_config(controller: Controller, line: Line, config: LineConfig) -> wire.PinConfig:
    """What a pin will do by itself of what is asked of its line. Raises as `line_caps`."""
    caps = await controller.line_caps(line.offset) if config.asks_pin else wire.LineCaps()
    return config.pin_config(caps, line.pin or wire.PinConfig())


async def set_pin(controller: Controller, line: Line, config: LineConfig) -> LineConfig:
    """Let a pin do by itself what it can do (LINE_CONFIG), and return what is left.

    To be called before the direction is set: an open-drain line is never driven high.

    Raises:
        OSError: as `Controller.call`.
    """
    pin = await pin_config(controller, line, config)
    if pin != line.pin:
        line.pin = None
        await controller.set_pin_config(line.offset, pin)
        line.pin = pin
    return config.without(pin)


async def drive(controller: Controller, line: Line, config: LineConfig) -> None:
    """Make a line an output with its value.

    Raises:
        OSError: as `Controller.call`.
    """
    if config.floats:
        await controller.call(wire.MSG_SET_DIRECTION, line.offset, wire.DIRECTION_IN)
    else:
        await controller.call(wire.MSG_SET_VALUE, line.offset, config.physical_value)
        await controller.call(wire.MSG_SET_DIRECTION, line.offset, wire.DIRECTION_OUT)
    line.set_direction(wire.DIRECTION_OUT)  # what it is to its user


class LineRequest:
    """Exclusive hold of some lines of one chip by one consumer.

    Made by `Chip.request`, which has the lines marked as held already.

    Attributes:
        chip: whose lines these are.
        consumer: as the line info shows it.
        configs: one a line, in request order.
        requester: whose request it is.
    """

    def __init__(
        self,
        chip: Chip,
        consumer: str,
        configs: Sequence[LineConfig],
        event_buffer_size: int,
        requester: Requester,
    ) -> None:
        self.requester = requester
        self.chip = chip
        self.consumer = consumer
        self.configs = list(configs)
        self._event_buffer_size = event_buffer_size
        # What is left of the configs for the service to do, beside what pins do.
        self._rest = list(configs)
        self._plans: list[LinePlan] = []
        self._reconfiguring: asyncio.Task[None] | None = None
        self._lines: list[Line] = [chip.lines[config.offset] for config in configs]
        self._armed: set[int] = set()  # indices whose interrupt we enabled
        self._established = False
        self._touched = 0  # so many lines may have been changed
        self._handle: PumpRequest | None = None
        self._id = 0
        self._going: asyncio.Task[None] | None = None
        self._release_asked: list[int] = []  # sequences of RELEASE operations
        self._unanswered: list[int] = []  # indices that may not have been let go
        for line, config in zip(self._lines, self.configs, strict=True):
            line.hold(self, config)

    @property
    def established(self) -> bool:
        """Whether the lines are set up, and their release has not begun."""
        return self._established and self._going is None

    @property
    def going(self) -> bool:
        """Whether the lines are (about to be) free: released, or the client is gone."""
        if self._going is not None:
            return True
        return self._handle is not None and not self._handle.alive

    # ---- set up -----------------------------------------------------------

    async def set_up(self, capacity: int, form: LineForm | None) -> RequestFds | LineFds:
        """Configure the lines in the order virtio-gpio wants; the client's descriptors.

        Args:
            capacity: event records, a power of two.
            form: as in `Chip.request`.

        Raises:
            OSError: nothing is held any more then (the release goes on behind).
        """
        fds: RequestFds | LineFds | None = None
        try:
            await self._refresh()
            self._check_access(self.configs)  # an output that nobody knew of may be among them
            for index, config in enumerate(self.configs):
                self._rest[index] = await self._left(index, config)
            # Before any interrupt is enabled, so that no edge is lost.
            fds = self._open(capacity, form)
            for index in range(len(self._lines)):
                self._touched = index + 1
                await self._configure(index)
        except BaseException:
            if fds is not None:
                fds.close()
            self.release()
            raise
        self._established = True
        return fds

    def _check_access(self, configs: Sequence[LineConfig]) -> None:
        """Raise OSError EACCES when the requester may not have these settings."""
        for line, config in zip(self._lines, configs, strict=True):
            self.requester.check(self.chip, line, config)

    async def _refresh(self) -> None:
        """As-is lines keep what they are: ask what that is."""
        for line, config in zip(self._lines, self.configs, strict=True):
            if not config.flags & DIRECTIONS:
                reply = await self.chip.controller.ask(wire.MSG_GET_DIRECTION, line.offset)
                if not reply.error:
                    line.found(reply.value)
                elif reply.reason != lib.GB_REASON_STATUS:
                    raise self.chip.controller.failure(reply, wire.MSG_GET_DIRECTION, line.offset)

    def _open(self, capacity: int, form: LineForm | None) -> RequestFds | LineFds:
        dispatcher = self.chip.dispatcher
        self._plans = [
            self._plan(line, config) for line, config in zip(self._lines, self._rest, strict=True)
        ]
        self._id = dispatcher.listen(self)
        pump, timeout_ms = dispatcher.pump, self.chip.controller.timeout_ms
        fds: RequestFds | LineFds
        if form is None:
            self._handle, fds = pump.open_request(self._id, self._plans, capacity, timeout_ms)
        else:
            self._handle, fds = pump.open_line(self._id, self._plans, capacity, timeout_ms, form)
        return fds

    def _plan(self, line: Line, config: LineConfig, irq_type: int | None = None) -> LinePlan:
        output = config.output if config.directed else line.output
        handle, gpio = self.chip.controller.place(config.offset)
        return LinePlan(
            handle,
            config.offset,
            gpio,
            config.irq_type if irq_type is None else irq_type,
            config.plan_flags(output),
            config.debounce_us,
        )

    async def _left(self, index: int, config: LineConfig) -> LineConfig:
        """What the pin of a line will leave to do."""
        controller = self.chip.controller
        return config.without(await pin_config(controller, self._lines[index], config))

    async def _configure(self, index: int) -> None:
        """Bring a line that was just taken into its first state."""
        line = self._lines[index]
        if self.configs[index].directed:
            if line.irq_unknown:
                await self._forget_irq(line)
            config = self.configs[index]
            self._rest[index] = await set_pin(self.chip.controller, line, config)
        config = self._rest[index]
        if config.output:
            await self._drive(index)
        elif config.input:
            await self._set_direction(line, wire.DIRECTION_IN)
            await self._detect(index)
        self.chip.changed(line, uapi.GPIO_V2_LINE_CHANGED_REQUESTED)

    async def _set_direction(self, line: Line, direction: int) -> None:
        await self.chip.controller.call(wire.MSG_SET_DIRECTION, line.offset, direction)
        line.set_direction(direction)

    async def _drive(self, index: int) -> None:
        """Make a line an output with its value."""
        line, config = self._lines[index], self._rest[index]
        await drive(self.chip.controller, line, config)
        if self._handle is not None and not self._handle.closed:
            self._handle.note_driven(index, bool(config.physical_value))

    async def _detect(self, index: int) -> None:
        """Enable the interrupt of an input if edges or debouncing need it."""
        if not self._rest[index].irq_type:
            return
        await self._arm(index)
        if self._rest[index].debounce_us:
            await self._settle(index)

    async def _settle(self, index: int) -> None:
        """Read the level that debouncing starts from.

        After the interrupt was enabled: an edge in between starts the period.
        """
        reply = await self.chip.controller.call(wire.MSG_GET_VALUE, self._lines[index].offset)
        if self._handle is not None and not self._handle.closed:
            self._handle.settle(index, bool(reply.value))

    async def _forget_irq(self, line: Line) -> None:
        """Disable an interrupt left over from an earlier session; ERR is as good."""
        reply = await self.chip.controller.ask(
            wire.MSG_SET_IRQ_TYPE, line.offset, wire.IRQ_TYPE_NONE
        )
        if reply.error and reply.reason != lib.GB_REASON_STATUS:
            raise self.chip.controller.failure(reply, wire.MSG_SET_IRQ_TYPE, line.offset)
        line.irq_unknown = False

    async def _arm(self, index: int) -> None:
        line, config = self._lines[index], self._rest[index]
        self._armed.add(index)
        line.irq_unknown = True
        reply = await self.chip.controller.ask(wire.MSG_SET_IRQ_TYPE, line.offset, config.irq_type)
        if reply.reason == lib.GB_REASON_STATUS:
            self._armed.discard(index)
            line.irq_unknown = False
            raise OSError(
                errno.ENXIO,
                f"line {line.describe()} of chip {self.chip.name} cannot report these edges: "
                "the firmware refused SET_IRQ_TYPE",
            )
        if reply.error:
            raise self.chip.controller.failure(reply, wire.MSG_SET_IRQ_TYPE, line.offset)
        line.irq_unknown = False

    # ---- while held -------------------------------------------------------

    def reported(self, report: Report) -> None:
        """Handle a report with this request's id."""
        if report.kind == ReportKind.HANGUP:
            self.release()
        elif report.kind == ReportKind.OPERATION:
            self._operation(report)
        elif report.kind == ReportKind.LINE_FAULT:
            self._line_fault(report)

    def _operation(self, report: Report) -> None:
        if report.number == lib.GB_OPERATION_RELEASE:
            self._release_asked.append(report.sequence)
            self.release()
        elif report.number == lib.GB_OPERATION_RECONFIGURE and self._going is None:
            self._reconfiguring = self.chip.tasks.spawn(
                self._reconfigure(report), f"{self.chip.name}: new settings of {self.consumer}"
            )
        else:
            self._answer(report.sequence, errno.EINVAL, lib.GB_REASON_OPERATION)

    def _answer(self, sequence: int, error: int, reason: int, why: str = "") -> None:
        if self._handle is not None and not self._handle.closed:
            body = why.encode()[: lib.GB_OPERATION_BODY_MAX]
            self._handle.answer(sequence, error, reason, body)

    # ---- new settings (linereq_set_config() of the kernel) ------------------

    async def _reconfigure(self, report: Report) -> None:
        error, why = 0, ""
        try:
            await self._set_config(report.body)
        except OSError as failure:
            error, why = failure.errno or errno.EIO, failure.strerror or str(failure)
        self._answer(report.sequence, error, lib.GB_REASON_NONE, why)

    async def _set_config(self, packed: bytes) -> None:
        offsets = [line.offset for line in self._lines]
        configs = configs_of(packed, offsets, self.chip.source_clock)
        self._check_access(configs)
        edges = any(config.edges for config in configs)
        event_capacity(self._event_buffer_size, len(configs), edges)
        for index, config in enumerate(configs):
            if self._going is not None or not self.chip.online:
                raise OSError(errno.ENODEV, sentence(lib.GB_REASON_RELEASED))
            if not config.directed:
                continue
            try:
                await self._change(index, config)
            except BaseException:
                # Any part of it may be done: the next change takes nothing for granted.
                self._rest[index] = LineConfig(config.offset, 0)
                raise

    async def _change(self, index: int, config: LineConfig) -> None:
        """Bring one line from its settings to other ones."""
        line, before = self._lines[index], self._rest[index]
        rest = await self._left(index, config)
        if index in self._armed and (line.irq_unknown or rest.irq_type != before.irq_type):
            await self._disarm(index)
        elif line.irq_unknown:
            await self._forget_irq(line)
        self._rest[index] = await set_pin(self.chip.controller, line, config)
        self.configs[index] = config
        line.hold(self, config)
        if rest.output:
            self._replan(index)
            await self._drive(index)
        else:
            if not before.input:
                await self._set_direction(line, wire.DIRECTION_IN)
            self._replan(index)
            if index not in self._armed:
                await self._detect(index)
            elif rest.debounce_us and not before.debounce_us:
                await self._settle(index)
        self.chip.changed(line, uapi.GPIO_V2_LINE_CHANGED_CONFIG)

    def _replan(self, index: int, irq_type: int | None = None) -> None:
        self._plans[index] = self._plan(self._lines[index], self._rest[index], irq_type)
        if self._handle is not None and not self._handle.closed:
            self._handle.replan(self._plans)

    async def _disarm(self, index: int) -> None:
        line = self._lines[index]
        # The pump first: a re-arm must not follow.
        self._replan(index, wire.IRQ_TYPE_NONE)
        line.irq_unknown = True
        await self.chip.controller.call(wire.MSG_SET_IRQ_TYPE, line.offset, wire.IRQ_TYPE_NONE)
        line.irq_unknown = False
        self._armed.discard(index)

    def _line_fault(self, report: Report) -> None:
        """The pump could not enable an interrupt again; after a timeout it tries on."""
        if report.number >= len(self._lines):
            return
        log.warning(
            "chip %s: line %s may miss edges: %s",
            self.chip.name,
            self._lines[report.number].describe(),
            sentence(report.reason, report.error),
        )

    def states(self) -> list[tuple[Line, LineConfig]]:
        """The lines and their settings, outputs with the value that they have now."""
        driven = {}
        if self._handle is not None and not self._handle.closed:
            driven = self._handle.driven()
        found = []
        for index, (line, config) in enumerate(zip(self._lines, self.configs, strict=True)):
            if config.output and index in driven:
                value = driven[index] ^ config.active_low
                found.append((line, replace(config, value=value)))
            else:
                found.append((line, config))
        return found

    # ---- release ----------------------------------------------------------

    def release(self) -> asyncio.Task[None]:
        """Give the lines back to the firmware; may be called any number of times."""
        if self._going is None:
            self._going = self.chip.tasks.spawn(
                self._release(), f"{self.chip.name}: releasing lines of {self.consumer}"
            )
        return self._going

    def hang_up(self) -> None:
        """The chip is gone: end without a word to the firmware, or to watchers."""
        self._free(tell=False)
        self._close()

    async def _release(self) -> None:
        try:
            if self._reconfiguring is not None:
                await asyncio.wait((self._reconfiguring,))
            touched = range(self._touched)
            for start in range(0, len(touched), _RELEASE_BATCH):
                batch = touched[start : start + _RELEASE_BATCH]
                await asyncio.gather(*(self._let_go(index) for index in batch))
        finally:
            self._free()
            for sequence in self._release_asked:
                self._answer(sequence, 0, 0)
            self._close()
        for index in self._unanswered:
            name = f"{self.chip.name}: line {self._lines[index].offset} is not let go"
            self.chip.tasks.spawn(self._insist(index), name)

    async def _let_go(self, index: int) -> None:
        line = self._lines[index]
        failure = await self._forget(line, self._owed(index))
        if failure is not None and self.chip.online:
            log.warning("chip %s: release: %s", self.chip.name, failure.strerror)
            if failure.errno == errno.ETIMEDOUT:
                self._unanswered.append(index)

    def _owed(self, index: int) -> list[tuple[int, int]]:
        """What the firmware must hear so that it forgets the line: types and values."""
        owed = []
        if index in self._armed:
            self._lines[index].irq_unknown = True
            owed.append((wire.MSG_SET_IRQ_TYPE, wire.IRQ_TYPE_NONE))
        if self.chip.on_release == "none" and self.configs[index].flags & DIRECTIONS:
            self._lines[index].pin = None
            owed.append((wire.MSG_SET_DIRECTION, wire.DIRECTION_NONE))
        return owed

    async def _forget(self, line: Line, owed: Sequence[tuple[int, int]]) -> OSError | None:
        """Tell it all, whatever comes of the first; how the last one failed."""
        failure = None
        for kind, value in owed:
            try:
                await self.chip.controller.call(kind, line.offset, value)
            except OSError as error:
                failure = error
                continue
            failure = None
            line.irq_unknown = False
            if kind == wire.MSG_SET_DIRECTION:
                line.pin = wire.PinConfig()  # which it forgets (docs/protocol.md 11.5)
        return failure

    async def _insist(self, index: int) -> None:
        """Ask as long as there is no answer and nobody has the line: it may still drive."""
        line, owed = self._lines[index], self._owed(index)
        pause_s = 0.0
        while self.chip.online and line.holder is None:
            failure = await self._forget(line, owed)
            if failure is None:
                log.info("chip %s: line %d let go after all", self.chip.name, line.offset)
            if failure is None or failure.errno != errno.ETIMEDOUT:
                return
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s + 1, _INSIST_PAUSE_S)

    def _free(self, tell: bool = True) -> None:
        for index, line in enumerate(self._lines):
            if line.holder is not self:
                continue
            line.free()
            if tell and index < self._touched:
                self.chip.changed(line, uapi.GPIO_V2_LINE_CHANGED_RELEASED)
        self.chip.requests.discard(self)

    def _close(self) -> None:
        self.chip.dispatcher.forget(self._id)
        if self._handle is not None:
            self._handle.close()
        self.requester.ended()
