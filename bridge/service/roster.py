# SPDX-License-Identifier: BSD-3-Clause
"""Which number a controller on a channel ``rpmsg-raw`` has, whatever the order it comes in.

Its channel's name says nothing of it. Firmware says its label and its address: by
these it is known again (docs/protocol.md 2.1). Where they do not prove that it is one
that was there before, it gets a number that no other one had, and with it a name that
no policy, export or client means.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from bridge import wire

KNOWN_MAX = 256
"""Controllers that are remembered; those that have been away longest are forgotten."""

_TOLD = 4


@dataclass
class Known:
    """A controller that is or was there.

    Attributes:
        number: of its chip's name.
        address: the firmware's endpoint, where it was last.
        label: the firmware's, "" when it has told none.
    """

    number: str
    address: int
    label: str

    def contradicts(self, label: str) -> bool:
        """Whether this label is another one's."""
        return bool(self.label and label and self.label != label)


@dataclass(frozen=True)
class Place:
    """What a controller turned out to be.

    Attributes:
        number: of its chip's name.
        known_by: ``label`` or ``address``; ``nothing`` where it may be one that was
            there before, and may be another one.
        doubt: that as a sentence, else empty.
    """

    number: str
    known_by: str
    doubt: str = ""


class Roster:
    """The controllers on channels ``rpmsg-raw`` of one link, over all of its sessions.

    Args:
        link: its name.
        pinned: label or address, as a text, by number (`LinkConfig.raw`).
        forgotten: called with a number that means nobody any more.
    """

    def __init__(
        self, link: str, pinned: Mapping[str, str], forgotten: Callable[[str], None]
    ) -> None:
        self._link = link
        self._pinned = pinned
        self._forgotten = forgotten
        self._known: dict[str, Known] = {}  # the controller that was there last is at the end
        self._first = 0  # lower numbers may have belonged to somebody

    def recognize(
        self, address: int, label: str, present: Collection[str], *, moved: bool
    ) -> Place | None:
        """Find a controller among those that are not there.

        Args:
            address: where it is.
            label: what the firmware calls it, or "".
            present: numbers of those that are there.
            moved: look also for one that was at another address.

        Returns:
            None when it is none of them for certain.
        """
        number = self._pinned_number(address, label)
        if number is not None:
            return None if number in present else self._place(number, address, label)
        same = [known for known in self._known.values() if label and known.label == label]
        here = [
            known
            for known in self._known.values()
            if known.address == address and (known in same or not known.contradicts(label))
        ]
        if same and not any(known in same for known in here):
            here = [] if not moved or len(same) > 1 else same
        elif same:
            here = [known for known in here if known in same]
        if len(here) != 1 or here[0].number in present:
            return None
        return self._place(here[0].number, address, label)

    def admit(
        self, address: int, label: str, present: Collection[str], taken: Collection[str]
    ) -> Place:
        """Give a controller that was not recognized a number of its own.

        Args:
            address: where it is.
            label: what the firmware calls it, or "".
            present: numbers of those that are there.
            taken: numbers that channels called by their index have.
        """
        maybe = [
            known
            for known in self._known.values()
            if known.number not in present and not known.contradicts(label)
        ]
        used = {*self._known, *self._pinned, *taken}
        number = next(str(n) for n in itertools.count(self._first) if str(n) not in used)
        place = self._place(number, address, label)
        if not maybe:
            return place
        others = ", ".join(
            f"{self._link}-{known.number} (at {known.address:#x})" for known in maybe[:_TOLD]
        )
        doubt = (
            f"chip {self._link}-{number}: {wire.CHANNEL_RAW} at {address:#x} may be what was "
            f"{others}, or another one: nothing is restored or held on it. Firmware tells its "
            "controllers apart by labels, by addresses that stay, or by channels rpmsg-io-<index>"
        )
        return Place(number, "nothing", doubt)

    def displace(self, number: str) -> None:
        """A channel called by this index has the number from here on."""
        if self._known.pop(number, None) is not None:
            self._forgotten(number)

    def _pinned_number(self, address: int, label: str) -> str | None:
        texts = {label, str(address)} - {""}
        return next((number for number, text in self._pinned.items() if text in texts), None)

    def _place(self, number: str, address: int, label: str) -> Place:
        before = self._known.pop(number, None)
        kept = label or (before.label if before else "")
        self._known[number] = Known(number, address, kept)
        return Place(number, "label" if label else "address")

    def forget_some(self, present: Collection[str]) -> None:
        """Keep the number of controllers that are away within bounds."""
        away = [number for number in self._known if number not in present]
        for number in away[: max(0, len(self._known) - KNOWN_MAX)]:
            self._first = max(self._first, int(number) + 1)
            self.displace(number)
