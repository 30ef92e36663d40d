# SPDX-License-Identifier: BSD-3-Clause
"""One virtio-gpio device behind an rpmsg endpoint: calls and negotiation.

What is negotiated and in which order is in docs/protocol.md.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from bridge import wire
from bridge.chips.dispatcher import Dispatcher
from bridge.clock_info import ClockInfo
from bridge.errors import sentence
from bridge.shim.ffi import lib
from bridge.shim.pump import Link, Report, ReportKind

log = logging.getLogger(__name__)

AUTO: int = lib.GB_CALL_AUTO
BASELINE: int = lib.GB_CALL_BASELINE
EXTENDED: int = lib.GB_CALL_EXTENDED

LINES_PROBED = 256
"""Most lines looked for by probing GET_DIRECTION."""
LINES_DEFAULT = 32
"""Lines of firmware that never says ERR: the default of the in-kernel driver."""


@dataclass(frozen=True)
class Setup:
    """What negotiation found out about a controller.

    Attributes:
        features: accepted RPMSG_GPIO_F_* bits, 0 is the baseline.
        epoch: boot id, None without EPOCH.
        label: from the firmware, empty when there is none.
        names: one entry a line, None is unnamed.
        directions: VIRTIO_GPIO_DIRECTION_* of each line.
        dialect: how the firmware frames baseline replies.
    """

    features: int = 0
    epoch: int | None = None
    label: str = ""
    names: list[str | None] = field(default_factory=list)
    directions: list[int] = field(default_factory=list)
    dialect: str = wire.DIALECT


class Controller:
    """The driver side of one endpoint.

    Args:
        dispatcher: whose pump carries the link.
        link: the open link.
        title: how log lines and errors call this controller.
        source: our rpmsg address.
        address: the firmware's rpmsg address.
        timeout_ms: deadline of every call in milliseconds.
        restarted: called when replies show that the firmware restarted.

    Raises:
        OSError: the endpoint cannot be opened.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        link: Link,
        title: str,
        source: int,
        address: int,
        timeout_ms: int,
        restarted: Callable[[], None],
    ) -> None:
        self.title = title
        self.timeout_ms = timeout_ms
        self._dispatcher = dispatcher
        self._restarted = restarted
        self._waiting: set[asyncio.Future[Report]] = set()
        self._dialect = wire.DIALECT
        self._features = 0
        self._id = dispatcher.listen(self)
        try:
            self.handle = link.open_controller(self._id, source, address)
        except OSError:
            dispatcher.forget(self._id)
            raise

    def reported(self, report: Report) -> None:
        """Handle a report with this controller's id."""
        if report.kind == ReportKind.RESTARTED:
            self._restarted()
        elif report.kind == ReportKind.NONSENSE:
            log.warning(
                "%s: the firmware's answers about its clock contradict each other; edges have "
                "the time of their arrival",
                self.title,
            )

    def close(self) -> None:
        """Close the endpoint; calls on the way end with ENODEV."""
        self._dispatcher.forget(self._id)
        self.handle.close()
        gone = OSError(errno.ENODEV, f"{self.title}: {sentence(lib.GB_REASON_LINK)}")
        for future in list(self._waiting):
            if not future.done():
                future.set_exception(gone)

    @property
    def features(self) -> int:
        """RPMSG_GPIO_F_* bits that are accepted, 0 is the baseline."""
        return self._features

    def clock(self) -> ClockInfo:
        """What is known of the coprocessor's clock (TIMESTAMP)."""
        return self.handle.clock()

    def _accept(self, features: int, epoch: int) -> None:
        """Frame requests as agreed from here on, tags and all."""
        self._features = features
        self.handle.accept(features, epoch)

    # ---- calls ------------------------------------------------------------

    async def ask(
        self,
        kind: int,
        gpio: int = 0,
        value: int = 0,
        form: int = AUTO,
        timeout_ms: int | None = None,
        body: bytes = b"",
    ) -> Report:
        """Send one request and wait for its outcome, whatever that is.

        Args:
            kind: message type, ``wire.MSG_*``.
            gpio: line of the controller.
            value: the request's value field.
            form: AUTO, BASELINE or EXTENDED framing.
            timeout_ms: deadline in milliseconds, None is the controller's.
            body: of types that have one; the form is EXTENDED then.

        Returns:
            The REPLY report; its `error` is 0 or an errno.

        Raises:
            OSError: the request was never sent (ENODEV, EBUSY...).
        """
        cookie, future = self._dispatcher.expect()
        self._waiting.add(future)
        try:
            timeout_ms = timeout_ms or self.timeout_ms
            if body:
                self.handle.call_body(kind, gpio, value, body, timeout_ms, cookie)
            else:
                self.handle.call(kind, gpio, value, form, timeout_ms, cookie)
            report = await future
            # Replies in extended form say nothing about the dialect.
            self._dialect = wire.DIALECT_OF_HEAD.get(report.number, self._dialect)
            return report
        except BaseException:
            future.cancel()
            raise
        finally:
            self._waiting.discard(future)

    async def call(self, kind: int, gpio: int = 0, value: int = 0, form: int = AUTO) -> Report:
        """As `ask`, but a failed request raises.

        Raises:
            OSError: errno and sentence: ETIMEDOUT no answer, EIO status ERR,
                ENODEV link down, EPROTO senseless reply.
        """
        report = await self.ask(kind, gpio, value, form)
        if report.error:
            raise self.failure(report, kind, gpio)
        return report

    def failure(self, report: Report, kind: int, gpio: int) -> OSError:
        """The exception for a failed report."""
        return OSError(
            report.error,
            f"{self.title}: {wire.message_name(kind)} of line {gpio}: "
            f"{sentence(report.reason, report.error)}",
        )

    # ---- negotiation ------------------------------------------------------

    async def negotiate(self, allowed: int, lines: int | None) -> Setup:
        """Find out what the firmware can do, and agree on what is used.

        Args:
            allowed: RPMSG_GPIO_F_* that may be used; 0 does not even ask.
            lines: configured number of lines, used without CONFIG.

        Raises:
            OSError: the firmware does not answer or answers nonsense.
        """
        self._accept(0, 0)  # an earlier attempt may have got further
        features, epoch = await self._agree(allowed)
        config = None
        if features & wire.F_CONFIG:
            reply = await self.call(wire.MSG_GET_CONFIG, form=EXTENDED)
            config = wire.parse_config(reply.body)
            directions = await self._directions(config.ngpio)
        elif lines is not None:
            directions = await self._directions(lines)
        else:
            directions = await self._probe()
        names: list[str | None] = [None] * len(directions)
        if features & wire.F_NAMES:
            names = await self._names(len(directions), config)
        label = config.label if config else ""
        return Setup(features, epoch, label, names, directions, self._dialect)

    async def _agree(self, allowed: int) -> tuple[int, int | None]:
        """Accepted features and boot id; (0, None) is the baseline."""
        if not allowed:
            return 0, None
        for _ in range(2):  # one message may get lost; silence twice is an answer
            reply = await self.ask(wire.MSG_GET_FEATURES, 0, allowed, BASELINE)
            if reply.reason != lib.GB_REASON_TIMEOUT:
                break
        if reply.reason == lib.GB_REASON_TIMEOUT:
            log.info("%s: silent on GET_FEATURES, using the baseline", self.title)
            self.handle.mute(True)
            # The pump lets one more deadline pass before it trusts a reply.
            await self.ask(wire.MSG_GET_DIRECTION, 0, timeout_ms=2 * self.timeout_ms)
            return 0, None
        if reply.reason == lib.GB_REASON_STATUS:
            return 0, None
        if reply.error:
            raise self.failure(reply, wire.MSG_GET_FEATURES, 0)
        try:
            offered = wire.parse_features(reply.body)
        except OSError as bad:
            log.warning("%s: %s; using the baseline", self.title, bad.strerror)
            return 0, None
        features = offered.features & allowed & wire.ALL_FEATURES
        if not features:
            return 0, None
        reply = await self.ask(wire.MSG_SET_FEATURES, 0, features, BASELINE)
        if reply.reason == lib.GB_REASON_STATUS:
            log.warning("%s: refused features it had offered, using the baseline", self.title)
            return 0, None
        if reply.error:
            raise self.failure(reply, wire.MSG_SET_FEATURES, 0)
        self._accept(features, offered.epoch)
        return features, offered.epoch if features & wire.F_EPOCH else None

    async def _directions(self, count: int) -> list[int]:
        """Directions of `count` lines; a line that says ERR counts as NONE."""
        directions = []
        for gpio in range(count):
            reply = await self.ask(wire.MSG_GET_DIRECTION, gpio)
            if reply.error and reply.reason != lib.GB_REASON_STATUS:
                raise self.failure(reply, wire.MSG_GET_DIRECTION, gpio)
            directions.append(wire.DIRECTION_NONE if reply.error else reply.value)
        return directions

    async def _probe(self) -> list[int]:
        """Directions of the lines that baseline firmware has: up to the first ERR."""
        directions: list[int] = []
        for gpio in range(LINES_PROBED):
            reply = await self.ask(wire.MSG_GET_DIRECTION, gpio)
            if reply.reason == lib.GB_REASON_STATUS:
                break
            if reply.error:
                raise self.failure(reply, wire.MSG_GET_DIRECTION, gpio)
            directions.append(reply.value)
        else:
            log.warning(
                "%s: the firmware refuses no line up to %d, so %d lines are assumed; "
                "say `lines = N` for this link",
                self.title,
                LINES_PROBED - 1,
                LINES_DEFAULT,
            )
            del directions[LINES_DEFAULT:]
        if not directions:
            raise OSError(
                errno.EPROTO,
                f"{self.title}: the firmware refuses GET_DIRECTION of line 0; "
                "say `lines = N` for this link if it has lines",
            )
        return directions

    async def _names(self, count: int, config: wire.ConfigSpace | None) -> list[str | None]:
        """Names of the lines; trouble leaves lines unnamed, as in the kernel."""
        limit = wire.names_limit(count)
        size = config.names_size if config else limit
        if size > limit:
            log.warning(
                "%s: names of %d bytes for %d lines are too long, reading %d bytes",
                self.title,
                size,
                count,
                limit,
            )
            size = limit
        block = bytearray()
        while len(block) < size:
            reply = await self.ask(wire.MSG_GET_LINE_NAMES, 0, len(block), EXTENDED)
            if reply.reason in (lib.GB_REASON_STATUS, lib.GB_REASON_REPLY):
                log.warning("%s: the firmware gave no line names", self.title)
                return [None] * count
            if reply.error:
                raise self.failure(reply, wire.MSG_GET_LINE_NAMES, 0)
            block += reply.body
            if len(reply.body) < wire.NAMES_PIECE:
                break
        names, complaints = wire.parse_names(bytes(block[:size]), count)
        for complaint in complaints[:8]:
            log.warning("%s: %s", self.title, complaint)
        return names
