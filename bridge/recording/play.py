# SPDX-License-Identifier: BSD-3-Clause
"""Playing a recording: as stimulus of a simulated board, or on outputs."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from bridge.recording.model import UNKNOWN, Recording

__all__ = ["Jitter", "OnBoard", "Player", "play", "steps_of"]


@dataclass
class Jitter:
    """How late changes were, in ns, in the order in which they were made."""

    late_ns: list[int] = field(default_factory=list)

    def text(self) -> str:
        """Return it as a sentence."""
        if not self.late_ns:
            return "no changes"
        late = sorted(self.late_ns)
        p50, p99 = late[len(late) // 2], late[len(late) * 99 // 100]
        return (
            f"{len(late)} changes; late by {p50 / 1000:.0f} us (median), "
            f"{p99 / 1000:.0f} us (p99), "
            f"{late[-1] / 1000:.0f} us (most)"
        )


class Player(Protocol):
    """What a recording is played on."""

    def set(self, levels: Mapping[str, int]) -> None:
        """Give lines their levels, at once."""
        ...


def steps_of(
    recording: Recording, lines: Mapping[str, str]
) -> Iterator[tuple[int, dict[str, int]]]:
    """Yield (time in ns, levels by line) of each moment at which something changes.

    `lines` maps the names of waves to those of lines. An unknown level changes nothing.
    """
    indexes = [n for n, wave in enumerate(recording.waves) if wave.name in lines]
    moment: dict[str, int] = {}
    at = 0
    for when, index, level in recording.changes(indexes):
        if when != at and moment:
            yield at, moment
            moment = {}
        at = when
        if level != UNKNOWN:
            moment[lines[recording.waves[index].name]] = level
    if moment:
        yield at, moment


def play(
    recording: Recording,
    lines: Mapping[str, str],
    player: Player,
    speed: float = 1.0,
    between: Callable[[int, Mapping[str, int]], None] | None = None,
) -> Jitter:
    """Play in real time.

    Args:
        recording: what to play.
        lines: maps names of its waves to lines.
        player: that has the lines.
        speed: 2 is twice as fast; 0 does not wait.
        between: is called before each moment, with its time and levels, in the place of waiting.

    Raises:
        OSError: what `player` raises.
    """
    jitter = Jitter()
    began = time.monotonic_ns()
    for when, levels in steps_of(recording, lines):
        due = began + round(when / speed) if speed and between is None else 0
        if between is not None:
            between(when, levels)
        elif due and (left := due - time.monotonic_ns()) > 0:
            time.sleep(left / 1e9)
        player.set(levels)
        jitter.late_ns.append(max(0, time.monotonic_ns() - due) if due else 0)
    return jitter


class Board(Protocol):
    """The part of firmware_stub.Stub that is needed."""

    def drive(self, line: str, value: int) -> None:
        """Drive a pin from outside."""
        ...

    def float_(self, line: str) -> None:
        """Stop driving a pin from outside."""
        ...

    def advance(self, seconds: float) -> None:
        """Move the time of a stepped board on."""
        ...


class OnBoard:
    """Pins of a simulated board, driven from outside."""

    def __init__(self, board: Board) -> None:
        """Play on `board`; raises OSError when it does not answer."""
        self._board = board
        self._driven: set[str] = set()
        self._now = 0
        #: Whether the board's time moves only when it is told to.
        self.stepped = True
        try:
            board.advance(0)
        except OSError as error:
            if error.errno in (errno.ECONNREFUSED, errno.ENOENT, errno.ECONNRESET):
                raise
            self.stepped = False

    def set(self, levels: Mapping[str, int]) -> None:
        """Drive pins, one after the other; a stepped board's time stands still meanwhile."""
        for line, level in levels.items():
            self._board.drive(line, level)
            self._driven.add(line)

    def move_to(self, when: int) -> None:
        """Move the time of a stepped board on to `when`, in ns of the recording."""
        while self._now < when:
            piece = min(when - self._now, 60_000_000_000)
            self._board.advance(piece / 1e9)
            self._now += piece

    def release(self) -> None:
        """Stop driving."""
        for line in self._driven:
            with suppress(OSError):
                self._board.float_(line)
        self._driven.clear()
