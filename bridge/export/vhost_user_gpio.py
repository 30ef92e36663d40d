# SPDX-License-Identifier: BSD-3-Clause
"""Lines as a virtio-gpio device for a guest kernel (docs/virtual-machines.md)."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
from collections.abc import Callable

from bridge.chips.dispatcher import Dispatcher
from bridge.export.exported import Exported
from bridge.export.handover import LIVED_S, Handover, Store, identity_of
from bridge.export.selection import ExportConfig
from bridge.shim.export import LINES_MAX, Export, Status, listen, open_state
from bridge.shim.pump import Controller, Report

log = logging.getLogger(__name__)

# So often at most the manager is told of another guest, and again if it does not read.
_KEEP_DELAY_S, _KEEP_DELAY_MAX_S = 0.1, 60.0

STATE_SUFFIX = ".lines"
"""Behind the socket's path: the file that outlives the service."""


class VhostUserGpio(Exported):
    """One export: a device behind a socket.

    Args:
        dispatcher: of the service.
        config: of the export.
        timeout_ms: deadline of one request to the firmware in milliseconds.
        store: the service manager's, for a guest that outlives the service.
    """

    KIND = "vhost-user"
    LINES_MAX = LINES_MAX

    def __init__(
        self, dispatcher: Dispatcher, config: ExportConfig, timeout_ms: int, store: Store
    ) -> None:
        super().__init__(dispatcher, config)
        self._timeout_ms = timeout_ms
        self._store = store
        self._handover: Handover | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._at_rest = asyncio.Event()
        self._id = dispatcher.listen(self)
        self._export: Export | None = None
        self._inode = (0, 0)
        self._last = Status(False, True, 0, 0, 0, 0, False, False, 0, "")

    def _open(self) -> None:
        # virtio 1.3, 5.18.4: names are 7-bit ASCII; a configured one need not be.
        names = [p.name if p.name is None or p.name.isascii() else None for p in self._places]
        path, handover = self.config.path, self._find_guest()
        fd, state = listen(path, self.config.mode), -1
        try:
            found = os.stat(path)
        except OSError:
            os.close(fd)
            raise
        self._inode = found.st_dev, found.st_ino
        try:
            state = open_state(path + STATE_SUFFIX, len(names), handover.identity)
        except OSError as error:
            log.warning(
                "export %s: %s%s: %s; a guest will not outlive the service",
                *(self.config.name, path, STATE_SUFFIX, error.strerror),
            )
        try:
            self._export = Export(
                *(self._dispatcher.pump, self._id, fd, state, handover.kept),
                *(names, self._timeout_ms),
            )
        finally:
            if state >= 0:
                os.close(state)

    def _find_guest(self) -> Handover:
        """Of the service before; an attempt that failed has left it where it was."""
        handover = self._handover
        if handover is None or handover.identity != identity_of(self._places):
            if handover is not None:
                handover.close()
            handover = Handover(self._store, self.config.name, self._places)
        self._handover = handover
        return handover

    def _serve(self) -> None:
        """Let guests connect; the guest of the service before comes first."""
        assert self._export is not None and self._handover is not None
        connection = self._handover.take()
        if connection is None:
            self._export.listen()
        else:
            try:
                self._export.take_over(connection)
            except OSError as error:
                log.warning("export %s: %s", self.config.name, error.strerror)
            self._later("lived", LIVED_S, self._handover.lived)
        log.info(
            "export %s: %d lines at %s",
            *(self.config.name, len(self._places), self.config.path),
        )

    def _later(self, what: str, delay_s: float, do: Callable[[], None]) -> None:
        """Once, however often it is asked for meanwhile."""
        if what not in self._timers:

            def now() -> None:
                del self._timers[what]
                do()

            self._timers[what] = asyncio.get_running_loop().call_later(delay_s, now)

    def _keep(self, delay_s: float = _KEEP_DELAY_S) -> None:
        """The manager's connection is the guest's of now."""
        assert self._export is not None and self._handover is not None
        guest = self._last.guests if self._last.connected else 0
        if not self._handover.keep(guest, self._export.connection):
            delay_s = min(2 * delay_s, _KEEP_DELAY_MAX_S)
            self._later("keep", delay_s, functools.partial(self._keep, delay_s))

    @property
    def _is_open(self) -> bool:
        return self._export is not None

    def _attach(self, index: int, controller: Controller, gpio: int) -> None:
        assert self._export is not None
        self._export.attach(index, controller, gpio)

    def _detach(self, index: int) -> None:
        assert self._export is not None
        self._export.detach(index)

    def _direction(self, index: int) -> int:
        return self._export.direction(index) if self._export is not None else 0

    # ---- the guest ----------------------------------------------------------------

    def reported(self, report: Report) -> None:
        """A guest came or went, or a line is in trouble."""
        if self._export is None:
            return
        status, before = self._export.status(), self._last
        self._last = status
        if status.at_rest:
            self._at_rest.set()
        self._tell(self._export.changed())
        if (status.guests, status.connected) != (before.guests, before.connected):
            self._later("keep", _KEEP_DELAY_S, self._keep)
        name = self.config.name
        if status.guests != before.guests:
            log.info("export %s: a guest connected", name)
        was_there = before.connected or status.guests != before.guests
        if was_there and not status.connected and status.why:
            log.warning("export %s: the guest was cut off: %s", name, status.why)
        elif was_there and not status.connected:
            log.info("export %s: the guest is gone", name)
        if before.interrupts and not status.interrupts:
            log.warning(
                "export %s: the guest's driver has no interrupts (VIRTIO_GPIO_F_IRQ); QEMU "
                "before 9.0 never offers them to it",
                name,
            )
        if status.state_lost and not before.state_lost:
            log.warning(
                "export %s: somebody truncated %s%s; a guest will not outlive the service",
                *(name, self.config.path, STATE_SUFFIX),
            )
        if status.keep_error and not before.keep_error:
            log.warning(
                "export %s: the guest would not outlive a crash of the service: %s",
                *(name, os.strerror(status.keep_error)),
            )
        if status.faults != before.faults:
            log.warning(
                "export %s: %d times a line could not be set up as the guest wants it",
                *(name, status.faults - before.faults),
            )

    def status(self) -> dict[str, object]:
        """The export as the control socket shows it."""
        status = self._export.status() if self._export is not None else self._last
        return {
            "name": self.config.name,
            "path": self.config.path,
            "lines": len(self._places),
            "connected": status.connected,
            "interrupts": status.interrupts,
            "guests": status.guests,
            "requests": status.requests,
            "events": status.events,
            "faults": status.faults,
            "why": "; ".join(self._complaints.values()) or status.why,
            "waiting_for": self._waiting_for,
        }

    async def rest(self) -> None:
        """Take nothing more from the guest, and wait for the end of what is under way."""
        if self._export is None:
            return
        self._export.pause()
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(self._at_rest.wait(), self._timeout_ms / 1000)

    def close(self) -> None:
        """End the export: the guest is let go or handed over, and pins stay as they are."""
        self._dispatcher.forget(self._id)
        export, handover = self._export, self._handover
        if (
            export is not None
            and handover is not None
            and handover.give(export.status().guests, export.hand_over)
        ):
            log.info("export %s: its guest waits for the next service", self.config.name)
        super().close()
        if handover is not None:
            handover.close()

    def _take_away(self) -> None:
        """Close the device, and remove the socket's file if it is still ours."""
        export, self._export = self._export, None
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if export is None:
            return
        export.close()
        with contextlib.suppress(OSError):  # somebody else removed it
            found = os.stat(self.config.path)
            if (found.st_dev, found.st_ino) == self._inode:
                os.unlink(self.config.path)
