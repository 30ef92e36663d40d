# SPDX-License-Identifier: BSD-3-Clause
"""The settings a line can have; names and numbers are those of libgpiod's ``gpiod.line``."""

from __future__ import annotations

from enum import Enum

__all__ = ["Bias", "Clock", "Direction", "Drive", "Edge", "Value"]


class Value(Enum):
    """The logical state of a line: active-low has been applied."""

    INACTIVE = 0
    ACTIVE = 1

    def __bool__(self) -> bool:
        """Whether the line is active."""
        return self is Value.ACTIVE


class Direction(Enum):
    """The direction of a line; AS_IS leaves the line as it is."""

    AS_IS = 1
    INPUT = 2
    OUTPUT = 3


class Bias(Enum):
    """The pull of a line; UNKNOWN is reported only and can not be asked for."""

    AS_IS = 1
    UNKNOWN = 2
    DISABLED = 3
    PULL_UP = 4
    PULL_DOWN = 5


class Drive(Enum):
    """How an output drives its line."""

    PUSH_PULL = 1
    OPEN_DRAIN = 2
    OPEN_SOURCE = 3


class Edge(Enum):
    """The logical edges that are reported as events."""

    NONE = 1
    RISING = 2
    FALLING = 3
    BOTH = 4


class Clock(Enum):
    """The clock that stamps edge events."""

    MONOTONIC = 1
    REALTIME = 2
    HTE = 3
