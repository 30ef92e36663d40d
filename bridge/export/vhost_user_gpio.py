# SPDX-License-Identifier: BSD-3-Clause
"""Lines as a virtio-gpio device for a guest kernel (docs/virtual-machines.md)."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
from collections.abc import Callable, Sequence

from bridge import uapi
from bridge.chips.chip import Chip
from bridge.chips.dispatcher import Dispatcher
from bridge.chips.line import Line, clip_consumer
from bridge.export.handover import LIVED_S, Handover, Store, identity_of
from bridge.export.hold import Hold
from bridge.export.selection import ExportConfig, Pick, Place, make_unique, places_of
from bridge.shim.export import LINES_MAX, Export, Status, listen, open_state
from bridge.shim.pump import Report

log = logging.getLogger(__name__)

# So often at most the manager is told of another guest, and again if it does not read.
_KEEP_DELAY_S, _KEEP_DELAY_MAX_S = 0.1, 60.0

STATE_SUFFIX = ".lines"
"""Behind the socket's path: the file that outlives the service."""


class VhostUserGpio:
    """One export, from the service's start to its end.

    The socket appears when every chip was seen once: only then is it known what the device looks
    like. From then on chips come and go, and the device stays.

    Args:
        dispatcher: of the service.
        config: of the export.
        timeout_ms: deadline of one request to the firmware in milliseconds.
        store: the service manager's, for a guest that outlives the service.
    """

    def __init__(
        self, dispatcher: Dispatcher, config: ExportConfig, timeout_ms: int, store: Store
    ) -> None:
        self.config = config
        self.consumer = clip_consumer(f"vhost-user:{config.name}")
        self._complaints: dict[str, str] = {}
        self._dispatcher = dispatcher
        self._timeout_ms = timeout_ms
        self._store = store
        self._handover: Handover | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._at_rest = asyncio.Event()
        self._id = dispatcher.listen(self)
        self._holds: dict[str, tuple[Chip, Hold]] = {}
        self._found: dict[Pick, Place] = {}
        self._whole: list[Place] = []
        self._places: list[Place] = []
        self._lines: dict[int, tuple[Chip, Line]] = {}
        self._export: Export | None = None
        self._inode = (0, 0)
        self._last = Status(False, True, 0, 0, 0, 0, False, False, 0, "")

    # ---- chips come and go ----------------------------------------------------

    def appeared(self, chip: Chip) -> None:
        """A chip came online: hold our lines of it, before anybody else can."""
        if chip.name not in self.config.chips:
            return
        if self._export is not None and chip.identity.known_by == "nothing":
            # Otherwise the lines that the guest has set up would be set up on this chip.
            self._complain(chip, [f"chip {chip.name} may be another controller than before"])
            return
        hold = Hold(self, chip)
        self._holds[chip.name] = chip, hold
        self._complaints.pop(chip.name, None)
        if self._export is not None:
            self._return(chip, hold)
            return
        try:
            self._learn(chip)
            self._hold_all(chip, hold)
            self._open_if_complete()
        except (ValueError, OSError) as error:
            hold.hang_up()
            self._complain(chip, [_sentence(error)])

    def _complain(self, chip: Chip, sentences: Sequence[str]) -> None:
        for sentence in sentences:
            log.error("export %s: %s", self.config.name, sentence)
        if sentences:
            self._complaints[chip.name] = "; ".join(sentences)

    def lost(self, chip: Chip) -> None:
        """A chip went offline."""
        entry = self._holds.get(chip.name)
        if entry is None or entry[0] is not chip:
            return
        del self._holds[chip.name]
        for index in [index for index, there in self._lines.items() if there[0] is chip]:
            del self._lines[index]
            if self._export is not None:
                self._export.detach(index)

    def _learn(self, chip: Chip) -> None:
        if self.config.picks:
            self._found.update(places_of(chip, self.config.picks))
        else:
            self._whole = [
                Place(
                    chip.name,
                    line.offset,
                    line.name,
                    line.name,
                    address=chip.identity.unnumbered_address,
                )
                for line in chip.lines
            ]

    def _known(self) -> list[Place]:
        if not self.config.picks:
            return self._whole
        return [self._found[pick] for pick in self.config.picks if pick in self._found]

    def _hold_all(self, chip: Chip, hold: Hold) -> None:
        for place in self._known():
            if place.chip == chip.name:
                hold.take(place.offset)

    def _open_if_complete(self) -> None:
        places = self._known()
        wanted = len(self.config.picks) or len(self._whole)
        if len(places) < wanted or self.config.chips - self._holds.keys():
            return
        if not 1 <= len(places) <= LINES_MAX:
            raise ValueError(f"an export has 1 to {LINES_MAX} lines, not {len(places)}")
        make_unique(places)
        self._places = places
        # virtio 1.3, 5.18.4: names are 7-bit ASCII; a configured one need not be.
        self._open([p.name if p.name is None or p.name.isascii() else None for p in places])
        try:
            for index, place in enumerate(places):
                self._attach(index, self._holds[place.chip][0], place.offset)
            self._serve()
        except BaseException:
            # Otherwise a socket at which nobody is served would stay for good.
            self._take_away()
            raise
        log.info("export %s: %d lines at %s", self.config.name, len(places), self.config.path)

    def _open(self, names: Sequence[str | None]) -> None:
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
                *(list(names), self._timeout_ms),
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
            return
        try:
            self._export.take_over(connection)
        except OSError as error:
            log.warning("export %s: %s", self.config.name, error.strerror)
        self._later("lived", LIVED_S, self._handover.lived)

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

    def _attach(self, index: int, chip: Chip, offset: int) -> None:
        assert self._export is not None
        line = chip.lines[offset]
        self._export.attach(index, *chip.pins[offset].place)
        line.live = functools.partial(self._export.direction, index)
        self._lines[index] = chip, line

    def _return(self, chip: Chip, hold: Hold) -> None:
        """The chip is back, perhaps with other firmware: find each line again."""
        complaints: list[str] = []
        for index, place in enumerate(self._places):
            if place.chip != chip.name:
                continue
            offset = place.find(chip)
            if offset is None:
                complaints.append(
                    f"chip {chip.name} came back without line {place.offset} ({place.source_name})"
                )
                continue
            try:
                hold.take(offset)
                self._attach(index, chip, offset)
            except OSError as error:
                complaints.append(_sentence(error))
            else:
                place.offset = offset
        self._complain(chip, complaints)

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

    def _tell(self, changed: Sequence[int]) -> None:
        """Tell watchers of a line that the guest takes, turns to another direction or lets go."""
        for index in changed:
            if index in self._lines:  # its chip is there
                chip, line = self._lines[index]
                chip.changed(line, uapi.GPIO_V2_LINE_CHANGED_CONFIG)

    def status(self) -> dict[str, object]:
        """The export as the control socket shows it."""
        status = self._export.status() if self._export is not None else self._last
        waiting = sorted(self.config.chips - self._holds.keys())
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
            "waiting_for": waiting,
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
        self._take_away()
        if handover is not None:
            handover.close()
        for _, hold in list(self._holds.values()):
            hold.hang_up()

    def _take_away(self) -> None:
        """Close the device, and remove the socket's file if it is still ours."""
        export, self._export = self._export, None
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if export is None:
            return
        export.close()
        for _, line in self._lines.values():
            line.live, line.pin_config = None, None
        self._lines.clear()
        with contextlib.suppress(OSError):  # somebody else removed it
            found = os.stat(self.config.path)
            if (found.st_dev, found.st_ino) == self._inode:
                os.unlink(self.config.path)


def _sentence(error: Exception) -> str:
    return str(error.strerror or error) if isinstance(error, OSError) else str(error)
