# SPDX-License-Identifier: BSD-3-Clause
"""What a recorded line did: frequency, duty cycle, shortest and longest pulses."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bridge.recording.model import HIGH, LOW, UNKNOWN, Wave

__all__ = ["Statistics", "statistics_of"]


@dataclass(frozen=True)
class Statistics:
    """Of one line, between two times.

    Attributes:
        line: its name.
        edges: changes between low and high.
        lost: edges that are known to be missing, in the whole recording.
        frequency_hz: of the rising edges, from the first to the last one, without the gaps.
        duty: which part of the time, as far as the level is known, the line was high.
        high_min_ns, high_max_ns: the shortest and longest high pulse that began and ended there.
        low_min_ns, low_max_ns: the same of low pulses.
    """

    line: str
    edges: int
    lost: int
    frequency_hz: float | None
    duty: float | None
    high_min_ns: int | None
    high_max_ns: int | None
    low_min_ns: int | None
    low_max_ns: int | None

    def as_object(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


def statistics_of(wave: Wave, begin: int, end: int) -> Statistics:
    """Return what a line did from `begin` to `end`, in ns."""
    edges = 0
    periods = period = 0
    risen: int | None = None
    spent = {LOW: 0, HIGH: 0, UNKNOWN: 0}
    pulses: dict[int, list[int]] = {LOW: [], HIGH: [], UNKNOWN: []}
    since, level, whole = begin, wave.level_at(begin), False
    for time, following in zip(wave.times, wave.levels, strict=True):
        if not begin < time <= end:
            continue
        spent[level] += time - since
        known = UNKNOWN not in (level, following)
        if not known:
            risen = None
        else:
            edges += 1
            if following == HIGH:
                if risen is not None:
                    periods, period = periods + 1, period + time - risen
                risen = time
            if whole:
                pulses[level].append(time - since)
        # A pulse counts when both of its edges were seen.
        since, level, whole = time, following, known
    spent[level] += end - since
    known_time = spent[LOW] + spent[HIGH]
    return Statistics(
        line=wave.name,
        edges=edges,
        lost=wave.lost,
        frequency_hz=periods * 1e9 / period if period else None,
        duty=spent[HIGH] / known_time if known_time else None,
        high_min_ns=min(pulses[HIGH], default=None),
        high_max_ns=max(pulses[HIGH], default=None),
        low_min_ns=min(pulses[LOW], default=None),
        low_max_ns=max(pulses[LOW], default=None),
    )
