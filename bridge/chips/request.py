# SPDX-License-Identifier: BSD-3-Clause
"""A line request on the service's side: set up, held, released."""

from __future__ import annotations

import asyncio
import errno
import functools
from collections.abc import Iterable, Sequence

from bridge.chips.held_line import HeldLine
from bridge.chips.lender import Lender
from bridge.chips.line import Line
from bridge.chips.line_config import LineConfig, configs_of, event_capacity
from bridge.chips.pin import Pin
from bridge.chips.plans import Plans
from bridge.chips.requester import Requester
from bridge.errors import sentence
from bridge.shim.ffi import lib
from bridge.shim.pump import LineFds, LineForm, Report, ReportKind, RequestFds

# So many lines are released at once; each takes two calls.
_RELEASE_BATCH = 8


class LineRequest:
    """Exclusive hold of some lines of one chip by one consumer.

    Args:
        chip: whose lines these are.
        consumer: as the line info shows it.
        wanted: free lines, each with its pin and settings, in request order; they are held
            when this returns.
        event_buffer_size: as asked for.
        requester: whose request it is.

    Attributes:
        consumer: as the line info shows it.
        requester: whose request it is.
    """

    def __init__(
        self,
        chip: Lender,
        consumer: str,
        wanted: Iterable[tuple[Line, Pin, LineConfig]],
        event_buffer_size: int,
        requester: Requester,
    ) -> None:
        self.consumer = consumer
        self.requester = requester
        self._chip = chip
        self._event_buffer_size = event_buffer_size
        self._plans = Plans()
        self._lines = [
            HeldLine(chip, line, pin, config, self._plans, index)
            for index, (line, pin, config) in enumerate(wanted)
        ]
        self._id = 0
        self._established = False
        self._reconfiguring: asyncio.Task[None] | None = None
        self._going: asyncio.Task[None] | None = None
        self._release_asked: list[int] = []  # sequences of RELEASE operations
        for held in self._lines:
            held.line.hold(self, held.config)

    @property
    def established(self) -> bool:
        """Whether the lines are set up, and their release has not begun."""
        return self._established and self._going is None

    @property
    def going(self) -> bool:
        """Whether the lines are (about to be) free: released, or the client is gone."""
        return self._going is not None or self._plans.abandoned

    def states(self) -> list[tuple[Line, LineConfig]]:
        """The lines and their settings, outputs with the value that they have now."""
        driven = self._plans.driven()
        return [(held.line, held.state(driven)) for held in self._lines]

    def count(self) -> dict[str, object]:
        """Whose it is, and what its client did with the lines."""
        lines = [held.line.offset for held in self._lines]
        who = {"consumer": self.consumer, "uid": self.requester.uid, "lines": lines}
        return {**who, **self._plans.count()}

    # ---- set up -----------------------------------------------------------

    async def set_up(self, capacity: int, form: LineForm | None) -> RequestFds | LineFds:
        """Configure the lines; the client's descriptors.

        Args:
            capacity: event records, a power of two.
            form: as in `Chip.request`.

        Raises:
            OSError: nothing is held any more then (the release goes on behind).
        """
        fds: RequestFds | LineFds | None = None
        try:
            for held in self._lines:
                await held.refresh()
            # There may be an output among them that nobody knew of.
            self._check_access(held.config for held in self._lines)
            for held in self._lines:
                await held.divide()
            # This comes before any interrupt is enabled, so that no edge is lost.
            fds = self._open(capacity, form)
            for held in self._lines:
                await held.configure()
        except BaseException:
            if fds is not None:
                fds.close()
            self.release()
            raise
        self._established = True
        return fds

    def _check_access(self, configs: Iterable[LineConfig]) -> None:
        """Raise OSError EACCES when the requester may not have these settings."""
        for held, config in zip(self._lines, configs, strict=True):
            self.requester.check(held.line, config)

    def _open(self, capacity: int, form: LineForm | None) -> RequestFds | LineFds:
        dispatcher = self._chip.dispatcher
        plans = [held.plan() for held in self._lines]
        self._id = dispatcher.listen(self)
        timeout_ms = self._chip.timeout_ms
        return self._plans.open(dispatcher.pump, self._id, plans, capacity, timeout_ms, form)

    # ---- while held -------------------------------------------------------

    def reported(self, report: Report) -> None:
        """Handle a report with this request's id."""
        if report.kind == ReportKind.HANGUP:
            self.release()
        elif report.kind == ReportKind.OPERATION:
            self.requester.turn(functools.partial(self._operation, report))
        elif report.kind == ReportKind.LINE_FAULT and report.number < len(self._lines):
            self._lines[report.number].missed(report)

    def _operation(self, report: Report) -> None:
        if report.number == lib.GB_OPERATION_RELEASE:
            self._release_asked.append(report.sequence)
            self.release()
        elif report.number == lib.GB_OPERATION_RECONFIGURE and self._going is None:
            self._reconfiguring = self._chip.tasks.spawn(
                self._reconfigure(report), f"{self._chip.name}: new settings of {self.consumer}"
            )
        else:
            self._plans.answer(report.sequence, errno.EINVAL, lib.GB_REASON_OPERATION)

    async def _reconfigure(self, report: Report) -> None:
        """Apply new settings, as linereq_set_config() of the kernel does."""
        error, why = 0, ""
        try:
            await self._unpack_config(report.body)
        except OSError as failure:
            error, why = failure.errno or errno.EIO, failure.strerror or str(failure)
        self._plans.answer(report.sequence, error, lib.GB_REASON_NONE, why)

    async def _unpack_config(self, packed: bytes) -> None:
        offsets = [held.line.offset for held in self._lines]
        await self.set_config(configs_of(packed, offsets, self._chip.source_clock))

    async def set_config(self, configs: Sequence[LineConfig]) -> None:
        """Give the lines other settings, in request order.

        Raises:
            OSError: EACCES the requester may not; ENODEV they are released; as `HeldLine.change`.
        """
        self._check_access(configs)
        edges = any(config.edges for config in configs)
        event_capacity(self._event_buffer_size, len(configs), edges)
        for held, config in zip(self._lines, configs, strict=True):
            if self._going is not None or not self._chip.online:
                raise OSError(errno.ENODEV, sentence(lib.GB_REASON_RELEASED))
            await held.change(config)

    async def set_value(self, index: int, value: int) -> None:
        """Give an output, by its place in the request, another logical value.

        Raises:
            OSError: ENODEV it is released; as `Pin.call`.
        """
        if self._going is not None or not self._chip.online:
            raise OSError(errno.ENODEV, sentence(lib.GB_REASON_RELEASED))
        await self._lines[index].set_value(value)

    # ---- release ----------------------------------------------------------

    def release(self) -> asyncio.Task[None]:
        """Give the lines back to the firmware; may be called any number of times."""
        if self._going is None:
            self._going = self._chip.tasks.spawn(
                self._release(), f"{self._chip.name}: releasing lines of {self.consumer}"
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
            touched = [held for held in self._lines if held.touched]
            for start in range(0, len(touched), _RELEASE_BATCH):
                batch = touched[start : start + _RELEASE_BATCH]
                await asyncio.gather(*(held.let_go() for held in batch))
        finally:
            self._free(tell=True)
            for sequence in self._release_asked:
                self._plans.answer(sequence, 0, lib.GB_REASON_NONE)
            self._close()
        for held in self._lines:
            if held.unanswered:
                name = f"{self._chip.name}: line {held.line.offset} is not let go"
                self._chip.tasks.spawn(held.insist(), name)

    def _free(self, tell: bool) -> None:
        for held in self._lines:
            held.free(self, tell)
        self._chip.requests.discard(self)

    def _close(self) -> None:
        self._chip.dispatcher.forget(self._id)
        self._plans.close()
        self.requester.ended()
