# SPDX-License-Identifier: BSD-3-Clause
"""What a recording is, in memory.

Times are nanoseconds from the recording's time zero. A level is LOW, HIGH or UNKNOWN. Batches of
changes are two arrays of the same length: times, and codes that stand for a signal and its new
level, so that no object is made for an edge.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = [
    "CUT_OFF",
    "HIGH",
    "LOW",
    "UNKNOWN",
    "Header",
    "Recording",
    "Signal",
    "Wave",
    "code_of",
    "count_lost",
    "level_of",
    "lost_in",
    "lost_text",
    "signal_of",
]

LOW, HIGH, UNKNOWN = 0, 1, 2

CUT_OFF = "the file ends in the middle of a change"
"""The note of a file whose writer was killed, or found the disk full."""

_LOST = re.compile(r"(.+) lost (\d+)")


def code_of(signal: int, level: int) -> int:
    """Return the code of a signal, by its index, that changes to a level."""
    return signal << 2 | level


def signal_of(code: int) -> int:
    """Return the index of the signal in a code."""
    return code >> 2


def level_of(code: int) -> int:
    """Return the level in a code."""
    return code & 3


@dataclass(frozen=True)
class Signal:
    """A line that is recorded; `name` is unique, `about` says where it is."""

    name: str
    about: str = ""


@dataclass
class Header:
    """What a file says of itself before its first change.

    Attributes:
        signals: in the order of their indexes.
        zero_ns: CLOCK_MONOTONIC at the recording's time zero.
        zero_utc: the same as UTC, for people.
        notes: sentences such as whose the times are.
        rate_hz: samples a second, for formats that have samples.
    """

    signals: list[Signal]
    zero_ns: int = 0
    zero_utc: str = ""
    notes: list[str] = field(default_factory=list)
    rate_hz: int = 1_000_000


@dataclass
class Wave:
    """One signal of a recording: `levels[i]` holds from `times[i]` until the next time.

    The first time is 0. `lost` counts edges that are known to be missing.
    """

    name: str
    times: list[int] = field(default_factory=lambda: [0])
    levels: list[int] = field(default_factory=lambda: [UNKNOWN])
    lost: int = 0

    def change(self, time: int, level: int) -> None:
        """Add a change; of several at one time the last one counts."""
        if time <= self.times[-1]:
            self.levels[-1] = level
        elif level != self.levels[-1]:
            self.times.append(time)
            self.levels.append(level)

    def level_at(self, time: int) -> int:
        """Return the level at a time."""
        return self.levels[max(0, bisect_right(self.times, time) - 1)]


def lost_text(name: str, number: int) -> str:
    """Return the note that edges of a signal are missing."""
    return f"{name} lost {number}"


def lost_in(note: str) -> tuple[str, int] | None:
    """Return signal and number of edges if a note is one of lost_text()."""
    found = _LOST.fullmatch(note)
    return (found[1], int(found[2])) if found else None


def count_lost(note: str, waves: Iterable[Wave]) -> bool:
    """Count the edges that a note says a wave of these has lost; return whether it does."""
    lost = lost_in(note)
    for wave in waves:
        if lost is not None and wave.name == lost[0]:
            wave.lost += lost[1]
            return True
    return False


@dataclass
class Recording:
    """A recording that was read: its waves, its end in ns, and what its file says of it."""

    waves: list[Wave]
    end: int = 0
    notes: list[str] = field(default_factory=list)
    trigger: int | None = None

    def wave(self, name: str) -> Wave:
        """Return the wave of a signal. Raises KeyError."""
        for wave in self.waves:
            if wave.name == name:
                return wave
        raise KeyError(name)

    def changes(self, signals: Iterable[int] | None = None) -> list[tuple[int, int, int]]:
        """Return (time, index of the wave, level) of all waves or of some, by time."""
        indexes = range(len(self.waves)) if signals is None else signals
        return sorted(
            (time, index, level)
            for index in indexes
            for time, level in zip(self.waves[index].times, self.waves[index].levels, strict=True)
        )
