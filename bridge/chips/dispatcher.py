# SPDX-License-Identifier: BSD-3-Clause
"""Takes the pump's reports on the event loop and hands each to whoever waits for it."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Protocol

from bridge.shim.pump import Pump, Report, ReportKind

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Owner of an id: a link, a controller or a request."""

    def reported(self, report: Report) -> None:
        """Handle one report; must not block."""


class Dispatcher:
    """Owns the pump of a service; all of it belongs to one event loop.

    Args:
        realtime: as `Pump`.

    Attributes:
        pump: the data plane.
    """

    def __init__(self, realtime: bool = False) -> None:
        self.pump = Pump(realtime)
        self._loop = asyncio.get_running_loop()
        self._ids = itertools.count(1)
        self._calls: dict[int, asyncio.Future[Report]] = {}
        self._listeners: dict[int, Listener] = {}
        self._loop.add_reader(self.pump.report_fd, self._ready)

    def close(self) -> None:
        """Stop the pump; calls that are waiting are cancelled."""
        self._loop.remove_reader(self.pump.report_fd)
        for future in self._calls.values():
            future.cancel()
        self._calls.clear()
        self._listeners.clear()
        self.pump.close()

    def listen(self, listener: Listener) -> int:
        """Give `listener` a fresh id under which its reports will come."""
        identity = next(self._ids)
        self._listeners[identity] = listener
        return identity

    def forget(self, identity: int) -> None:
        """No reports for this id any more (an unknown id is no error)."""
        self._listeners.pop(identity, None)

    def expect(self) -> tuple[int, asyncio.Future[Report]]:
        """A fresh cookie for a call and the future of its REPLY report."""
        cookie = next(self._ids)
        future: asyncio.Future[Report] = self._loop.create_future()
        self._calls[cookie] = future
        future.add_done_callback(lambda _: self._calls.pop(cookie, None))
        return cookie, future

    def _ready(self) -> None:
        for report in self.pump.reports():
            try:
                self._handle(report)
            except Exception:  # one bad report must not stop the others
                log.exception("internal error in the handling of %s", report)

    def _handle(self, report: Report) -> None:
        if report.kind == ReportKind.REPLY:
            future = self._calls.get(report.id)
            if future is not None and not future.done():
                future.set_result(report)
            return
        listener = self._listeners.get(report.id)
        if listener is not None:
            listener.reported(report)
