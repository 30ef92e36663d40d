# SPDX-License-Identifier: BSD-3-Clause
"""What exports have in common, and those that have lines of chips behind a device that stays."""

from __future__ import annotations

import functools
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from bridge import uapi
from bridge.chips.chip import Chip
from bridge.chips.dispatcher import Dispatcher
from bridge.chips.line import Line, clip_consumer
from bridge.export.hold import Hold
from bridge.export.selection import ExportConfig, Pick, Place, make_unique, places_of
from bridge.shim.pump import Controller

log = logging.getLogger(__name__)


class Export(ABC):
    """One export, from the service's start to its end.

    Args:
        config: of the export.

    Attributes:
        consumer: who holds its lines, as clients see it.
    """

    KIND: ClassVar[str]
    """First word of the consumer."""

    def __init__(self, config: ExportConfig) -> None:
        self.config = config
        self.consumer = clip_consumer(f"{self.KIND}:{config.name}")

    @abstractmethod
    def appeared(self, chip: Chip) -> None:
        """A chip came online."""

    @abstractmethod
    def status(self) -> dict[str, object]:
        """The export as the control socket shows it."""

    @abstractmethod
    async def rest(self) -> None:
        """Take nothing more, and wait for the end of what is under way."""

    @abstractmethod
    def close(self) -> None:
        """End the export; pins stay as they are."""


class Exported(Export):
    """The lines of one export, from the service's start to its end.

    The device appears when every chip was seen once: only then is it known what it looks like.
    From then on chips come and go, and the device stays.

    Args:
        dispatcher: of the service.
        config: of the export.
    """

    LINES_MAX: ClassVar[int]
    """Most lines of one export."""

    def __init__(self, dispatcher: Dispatcher, config: ExportConfig) -> None:
        super().__init__(config)
        self._dispatcher = dispatcher
        self._complaints: dict[str, str] = {}
        self._holds: dict[str, tuple[Chip, Hold]] = {}
        self._found: dict[Pick, Place] = {}
        self._whole: list[Place] = []
        self._places: list[Place] = []
        self._lines: dict[int, tuple[Chip, Line]] = {}

    # ---- the device ---------------------------------------------------------------

    @property
    @abstractmethod
    def _is_open(self) -> bool:
        """Whether the device is there."""

    @abstractmethod
    def _open(self) -> None:
        """Make the device of `_places`; nobody uses it yet. Raises OSError."""

    @abstractmethod
    def _serve(self) -> None:
        """Let it be used: the lines are attached that are there."""

    @abstractmethod
    def _take_away(self) -> None:
        """Close it, if it is there; pins stay as they are."""

    @abstractmethod
    def _attach(self, index: int, controller: Controller, gpio: int) -> None:
        """Connect a line of the device with one of a controller. Raises OSError."""

    @abstractmethod
    def _detach(self, index: int) -> None:
        """Take a line away: the chip is gone."""

    @abstractmethod
    def _direction(self, index: int) -> int:
        """VIRTIO_GPIO_DIRECTION_* that the device's user has set."""

    def _withdraw(self) -> None:
        self._take_away()
        for _, line in self._lines.values():
            line.live, line.pin_config = None, None
        self._lines.clear()

    def close(self) -> None:
        """End the export; pins stay as they are."""
        self._withdraw()
        for _, hold in list(self._holds.values()):
            hold.hang_up()

    # ---- chips come and go ----------------------------------------------------

    def appeared(self, chip: Chip) -> None:
        """A chip came online: hold our lines of it, before anybody else can."""
        if chip.name not in self.config.chips:
            return
        if self._is_open and chip.identity.known_by == "nothing":
            # Otherwise the lines that are set up would be set up on this chip.
            self._complain(chip, [f"chip {chip.name} may be another controller than before"])
            return
        hold = Hold(self, chip)
        self._holds[chip.name] = chip, hold
        self._complaints.pop(chip.name, None)
        if self._is_open:
            self._return(chip, hold)
            return
        try:
            self._learn(chip)
            self._hold_all(chip, hold)
            self._open_if_complete()
        except (ValueError, OSError) as error:
            hold.hang_up()
            self._complain(chip, [sentence(error)])

    def _complain(self, chip: Chip, sentences: Sequence[str]) -> None:
        for one in sentences:
            log.error("export %s: %s", self.config.name, one)
        if sentences:
            self._complaints[chip.name] = "; ".join(sentences)

    @property
    def _waiting_for(self) -> list[str]:
        return sorted(self.config.chips - self._holds.keys())

    def lost(self, chip: Chip) -> None:
        """A chip went offline."""
        entry = self._holds.get(chip.name)
        if entry is None or entry[0] is not chip:
            return
        del self._holds[chip.name]
        for index in [index for index, there in self._lines.items() if there[0] is chip]:
            del self._lines[index]
            if self._is_open:
                self._detach(index)

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
        if not 1 <= len(places) <= self.LINES_MAX:
            raise ValueError(f"an export has 1 to {self.LINES_MAX} lines, not {len(places)}")
        make_unique(places)
        self._places = places
        self._open()
        try:
            for index, place in enumerate(places):
                self._attach_place(index, self._holds[place.chip][0], place.offset)
            self._serve()
        except BaseException:
            # Otherwise a device that nobody serves would stay for good.
            self._withdraw()
            raise

    def _attach_place(self, index: int, chip: Chip, offset: int) -> None:
        line = chip.lines[offset]
        self._attach(index, *chip.pins[offset].place)
        line.live = functools.partial(self._direction, index)
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
                self._attach_place(index, chip, offset)
            except OSError as error:
                complaints.append(sentence(error))
            else:
                place.offset = offset
        self._complain(chip, complaints)

    def _tell(self, changed: Sequence[int]) -> None:
        """Tell watchers of a line that is taken, turned to another direction or let go."""
        for index in changed:
            if index in self._lines:  # its chip is there
                chip, line = self._lines[index]
                chip.changed(line, uapi.GPIO_V2_LINE_CHANGED_CONFIG)


def sentence(error: Exception) -> str:
    """What an error says."""
    return str(error.strerror or error) if isinstance(error, OSError) else str(error)
