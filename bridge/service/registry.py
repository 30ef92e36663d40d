# SPDX-License-Identifier: BSD-3-Clause
"""The chips that are online."""

from __future__ import annotations

import asyncio
import errno
import re
from collections import deque
from collections.abc import Callable, Iterable

from bridge.chips.chip import Chip

# So many of those who wait look again in one round of the event loop, since one user may have
# 16,000 who do.
_WOKEN_MAX = 8


class Registry:
    """Chips by name; wakes whoever waits when one comes or goes.

    Attributes:
        takers: called with each chip that comes, before any client can see it.
    """

    def __init__(self) -> None:
        self.takers: list[Callable[[Chip], None]] = []
        self._chips: dict[str, Chip] = {}
        self._sorted: list[Chip] | None = None
        self._by_line: dict[str, set[Chip]] = {}
        self._waiting: set[asyncio.Future[None]] = set()
        self._woken: deque[asyncio.Future[None]] = deque()  # soon
        self._observers: list[Callable[[], None]] = []

    def __len__(self) -> int:
        """Number of chips."""
        return len(self._chips)

    def all(self) -> list[Chip]:
        """All chips, version-sorted by name: fw-2 comes before fw-10."""
        if self._sorted is None:
            self._sorted = _by_version(self._chips.values())
        return self._sorted

    def after(self, name: str) -> list[Chip]:
        """The chips that `all` has behind the place of `name`, which need not be there."""
        place = _version_key(name)
        return [chip for chip in self.all() if _version_key(chip.name) > place]

    def has(self, name: str) -> bool:
        """Whether a chip of this name is online."""
        return name in self._chips

    def get(self, name: str, sees: Callable[[Chip], bool] = lambda _: True) -> Chip:
        """The chip called `name`.

        Args:
            name: of the chip.
            sees: whether the user who asks sees a chip; other chips are not found.

        Raises:
            OSError: ENOENT; the sentence lists the chips there are.
        """
        chip = self._chips.get(name)
        if chip is None or not sees(chip):
            there = ", ".join(chip.name for chip in self.all() if sees(chip)) or "none"
            raise OSError(errno.ENOENT, f'there is no chip "{name}"; chips online: {there}')
        return chip

    def with_line(self, name: str) -> list[Chip]:
        """The chips that have a line called `name`, version-sorted."""
        return _by_version(self._by_line.get(name, ()))

    def add(self, chip: Chip) -> None:
        """Put a chip online."""
        self._chips[chip.name] = chip
        for taker in self.takers:
            taker(chip)
        for name in chip.line_names:
            self._by_line.setdefault(name, set()).add(chip)
        self._changed_chips()

    def discard(self, chip: Chip) -> None:
        """Take a chip offline; one that is not there is no error."""
        if self._chips.get(chip.name) is not chip:
            return
        del self._chips[chip.name]
        for name in chip.line_names:
            self._by_line[name].discard(chip)
            if not self._by_line[name]:
                del self._by_line[name]
        self._changed_chips()

    def observe(self, observer: Callable[[], None]) -> None:
        """Call `observer` now and whenever a chip comes or goes."""
        self._observers.append(observer)
        observer()

    def _changed_chips(self) -> None:
        self._sorted = None
        for observer in self._observers:
            observer()
        self.changed()

    async def wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `condition` holds, looking at each change.

        Args:
            condition: called on the event loop.
            timeout_s: most seconds to wait.

        Returns:
            Whether it holds.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not condition():
            left = deadline - loop.time()
            if left <= 0:
                return False
            change: asyncio.Future[None] = loop.create_future()
            self._waiting.add(change)
            try:
                await asyncio.wait((change,), timeout=left)
            finally:
                self._waiting.discard(change)
        return True

    def changed(self) -> None:
        """Let everybody who waits look again, soon."""
        if self._waiting and not self._woken:
            asyncio.get_running_loop().call_soon(self._wake)
        self._woken.extend(self._waiting)
        self._waiting.clear()

    def _wake(self) -> None:
        for _ in range(min(_WOKEN_MAX, len(self._woken))):
            change = self._woken.popleft()
            if not change.done():
                change.set_result(None)
        if self._woken:
            asyncio.get_running_loop().call_soon(self._wake)


def _by_version(chips: Iterable[Chip]) -> list[Chip]:
    return sorted(chips, key=lambda chip: _version_key(chip.name))


def _version_key(name: str) -> list[tuple[int, str, str]]:
    """ASCII digits compare as numbers, of any length; a name may be a client's."""
    parts = re.findall(r"([0-9]+)|([^0-9]+)", name)
    # Without leading zeros, a number with more digits is larger. Text comes before numbers.
    return [
        (len(number.lstrip("0")) + 1 if number else 0, number.lstrip("0"), number or text)
        for number, text in parts
    ]
