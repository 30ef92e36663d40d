# SPDX-License-Identifier: BSD-3-Clause
"""What a recording waits for: edges, levels, patterns, and pulses that are short or long.

An expression is terms with commas in between, which must all be true at one moment; at most one
of them is an edge or a pulse:

    LINE=1          the line is high (active); also 0, on, off, active, inactive
    LINE:rising     an edge; also falling, edge for either
    LINE:high<10us  a high pulse was shorter; also low, pulse for either
    LINE:high>5ms   the line is high for longer than that, also when no edge ends it
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bridge.errors import did_you_mean
from bridge.recording.model import UNKNOWN

__all__ = ["Trigger"]

_LEVELS = {"0": 0, "off": 0, "inactive": 0, "1": 1, "on": 1, "active": 1}
_EDGES = {"rising": (1,), "falling": (0,), "edge": (0, 1)}
_PULSES = {"high": (1,), "low": (0,), "pulse": (0, 1)}
_TERM = re.compile(
    r"(?P<line>.+?)(?:=(?P<level>\w+)|:(?P<word>\w+)(?:(?P<than>[<>])(?P<time>\w+))?)"
)


class _Level(NamedTuple):
    signal: int
    level: int


class _Edge(NamedTuple):
    signal: int
    levels: tuple[int, ...]


class _Pulse(NamedTuple):
    signal: int
    levels: tuple[int, ...]
    longer: bool
    ns: int


class Trigger:
    """An expression that watches changes until it becomes true."""

    def __init__(self, text: str, names: list[str], period_us: Callable[[str], int]) -> None:
        """Read an expression.

        Args:
            text: the expression.
            names: of the signals, by their index.
            period_us: reads a time, such as 10us, in microseconds.

        Raises:
            ValueError: a term is none, or names no signal; what `period_us` raises.
        """
        terms = [_term(word.strip(), names, period_us) for word in text.split(",")]
        self._wanted = [term for term in terms if isinstance(term, _Level)]
        self._events = [term for term in terms if not isinstance(term, _Level)]
        if len(self._events) > 1:
            raise ValueError(
                f"trigger: {text!r} wants two edges or pulses at one moment; give one, and levels"
            )
        #: The signals whose changes matter.
        self.signals = {term.signal for term in terms}
        self._levels = [UNKNOWN] * len(names)
        self._since: list[int | None] = [None] * len(names)
        self._began = 0

    def begin(self, time: int, levels: Sequence[int]) -> bool:
        """Start from levels that were read; return whether they are what is waited for."""
        self._levels = list(levels)
        self._began = time
        return not self._events and self._hold()

    def feed(self, times: Sequence[int], codes: Sequence[int]) -> int | None:
        """Take changes; return the index of the one that makes the expression true, if any."""
        signals = self.signals
        for index, (time, code) in enumerate(zip(times, codes, strict=True)):
            signal = code >> 2
            if signal in signals:
                level = code & 3
                before, since = self._levels[signal], self._since[signal]
                self._levels[signal], self._since[signal] = level, time
                if self._hold() and all(
                    self._happened(term, signal, before, since, time) for term in self._events
                ):
                    return index
        return None

    def due(self) -> int | None:
        """Return the time at which a pulse has lasted too long, if no edge ends it before."""
        for term in self._events:
            if not isinstance(term, _Pulse) or not term.longer or not self._hold():
                continue
            if self._levels[term.signal] in term.levels:
                since = self._since[term.signal]
                return (self._began if since is None else since) + term.ns
        return None

    def _hold(self) -> bool:
        return all(self._levels[term.signal] == term.level for term in self._wanted)

    def _happened(
        self, term: _Edge | _Pulse, signal: int, before: int, since: int | None, time: int
    ) -> bool:
        """Whether the change of a signal, at a time, is what a term speaks of."""
        if term.signal != signal:
            return False
        if isinstance(term, _Edge):
            return self._levels[signal] in term.levels
        if before not in term.levels or self._levels[signal] == before:
            return False
        if term.longer:
            return time - (self._began if since is None else since) > term.ns
        # When the first level began is not known.
        return since is not None and time - since < term.ns


def _term(text: str, names: list[str], period_us: Callable[[str], int]) -> _Level | _Edge | _Pulse:
    found = _TERM.fullmatch(text)
    if found is None:
        raise ValueError(
            f"trigger: {text!r} is no term; write LINE=1, LINE:rising, LINE:high<10us "
            "or LINE:low>5ms"
        )
    line, word = found["line"], found["word"]
    if line not in names:
        hint = did_you_mean(line, names) or f"recorded are {', '.join(names)}"
        raise ValueError(f"trigger: no line {line} is recorded; {hint}")
    signal = names.index(line)
    if found["level"] is not None:
        if found["level"] not in _LEVELS:
            raise ValueError(f"trigger: {found['level']} is no level; write {', '.join(_LEVELS)}")
        return _Level(signal, _LEVELS[found["level"]])
    if found["than"] is None and word in _EDGES:
        return _Edge(signal, _EDGES[word])
    if found["than"] is not None and word in _PULSES:
        ns = period_us(found["time"]) * 1000
        return _Pulse(signal, _PULSES[word], found["than"] == ">", ns)
    wanted = ", ".join(_EDGES if found["than"] is None else _PULSES)
    raise ValueError(f"trigger: {word} in {text!r} is none of {wanted}")
