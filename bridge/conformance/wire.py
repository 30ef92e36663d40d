# SPDX-License-Identifier: BSD-3-Clause
"""A link of the tool's own and a raw endpoint on it: bytes out, bytes in, deadlines."""

from __future__ import annotations

import errno

from bridge import wire
from bridge.conformance.check import Failed
from bridge.conformance.wait import Wait
from bridge.link import resolve
from bridge.shim.pump import Endpoint, Link, Message, Pump, Report, ReportKind

_SOURCE = 1024  # the first address that Linux gives to an endpoint
_CONNECT_MS = 5000
_ANNOUNCED_S = 5.0
_LATE_MAX = 2048  # twice what the endpoint keeps (endpoint.c)


class LinkDown(Exception):
    """The link went away; the text says why."""


def index_of(name: str) -> int | None:
    """The index in a channel's name as docs/protocol.md 2.1 writes it, else None."""
    index = wire.channel_index(name)
    return None if index is None else int(index)


def shown(data: bytes) -> str:
    """Text of the firmware, whatever it is, as printable ASCII, fit for a terminal and for XML."""
    return "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in data)


class Wire:
    """One controller of a firmware, reached by messages alone.

    Args:
        url: of the link.
        controller: index of the channel; None takes the first that is announced.

    Attributes:
        channel: name of the controller's channel, as it was announced.

    Raises:
        OSError: the link does not open (its errno and sentence); ENOENT no such
            controller is announced within 5 s.
    """

    def __init__(self, url: str, controller: int | None = None) -> None:
        backend, rest = resolve(url)
        self.channel = ""
        self._late = 0  # messages in a row that came after the deadline
        self._pump = Pump()
        try:
            self._link: Link = self._pump.add_link(backend.connect(rest, _CONNECT_MS), 1)
            self._endpoint: Endpoint = self._find(url, controller)
        except BaseException:
            self._pump.close()
            raise

    def close(self) -> None:
        """Close the link."""
        self._link.close()
        self._pump.close()

    def _find(self, url: str, controller: int | None) -> Endpoint:
        wait = Wait(_ANNOUNCED_S)
        seen: list[str] = []
        while True:
            for report in self._pump.reports():
                self._check(report)
                if report.kind != ReportKind.ANNOUNCED or not report.value:
                    continue
                name = shown(report.body.rstrip(b"\0"))
                seen.append(name)
                if self._is_wanted(name, report.number, controller):
                    self.channel = name
                    return self._link.open_endpoint(_SOURCE, report.number)
            if wait.over:
                which = "GPIO controller" if controller is None else f"controller {controller}"
                raise OSError(
                    errno.ENOENT,
                    f"{url}: no {which} is announced within {_ANNOUNCED_S:g} s; "
                    f"there is {', '.join(seen) or 'no channel'}",
                )
            wait.readable(self._pump.report_fd)

    @staticmethod
    def _is_wanted(name: str, address: int, controller: int | None) -> bool:
        # A name that is nearly right is accepted: a check says what is wrong with it.
        if not name.startswith((wire.CHANNEL_PREFIX, wire.CHANNEL_RAW)):
            return False
        index = index_of(name)
        return controller is None or controller == (address if index is None else index)

    @staticmethod
    def _check(report: Report) -> None:
        if report.kind == ReportKind.LINK_DOWN:
            raise LinkDown(report.body.decode("utf-8", "replace") or "the link broke")

    @property
    def strays(self) -> int:
        """Messages on the link that were for no endpoint of ours."""
        return self._link.strays

    def send(self, message: bytes, wait: Wait) -> None:
        """Send one message.

        Args:
            message: its bytes.
            wait: for a free buffer.

        Raises:
            OSError: EMSGSIZE for this link, ETIMEDOUT no buffer became free.
            LinkDown: the link is gone.
        """
        while True:
            try:
                self._endpoint.send(message)
                return
            except OSError as error:
                if error.errno == errno.ENODEV:
                    self._look()
                if error.errno != errno.EAGAIN:
                    raise
            if wait.over:
                raise OSError(errno.ETIMEDOUT, "the firmware takes no messages")
            # A message that waits keeps the endpoint readable, so this waits shortly and tries
            # again.
            Wait(0.001).readable(self._pump.report_fd)

    def receive(self, wait: Wait) -> Message | None:
        """The next message, or None when the time passes without one.

        What waited then is still taken.

        Raises:
            LinkDown: the link is gone.
            Failed: more than can have waited; the firmware never stops.
        """
        while True:
            message = self._endpoint.receive()
            over = wait.over
            if message is not None:
                self._late = self._late + 1 if over else 0
                if self._late > _LATE_MAX:
                    raise Failed(f"{_LATE_MAX} messages came without a pause")
                return message
            if over:
                self._late = 0
                return None
            wait.readable(self._endpoint.fileno(), self._pump.report_fd)
            self._look()

    def _look(self) -> None:
        for report in self._pump.reports():
            self._check(report)
