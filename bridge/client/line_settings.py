# SPDX-License-Identifier: BSD-3-Clause
"""How a line shall be configured, and what that is in the kernel's flags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from bridge import uapi
from bridge.line import Bias, Clock, Direction, Drive, Edge, Value

__all__ = ["LineSettings"]

_DIRECTION = {
    Direction.AS_IS: 0,
    Direction.INPUT: uapi.GPIO_V2_LINE_FLAG_INPUT,
    Direction.OUTPUT: uapi.GPIO_V2_LINE_FLAG_OUTPUT,
}

# An edge setting implies the direction, as in libgpiod's line-config.c.
_EDGE = {
    Edge.NONE: 0,
    Edge.RISING: uapi.GPIO_V2_LINE_FLAG_INPUT | uapi.GPIO_V2_LINE_FLAG_EDGE_RISING,
    Edge.FALLING: uapi.GPIO_V2_LINE_FLAG_INPUT | uapi.GPIO_V2_LINE_FLAG_EDGE_FALLING,
    Edge.BOTH: uapi.GPIO_V2_LINE_FLAG_INPUT
    | uapi.GPIO_V2_LINE_FLAG_EDGE_RISING
    | uapi.GPIO_V2_LINE_FLAG_EDGE_FALLING,
}

_BIAS = {
    Bias.AS_IS: 0,
    Bias.DISABLED: uapi.GPIO_V2_LINE_FLAG_BIAS_DISABLED,
    Bias.PULL_UP: uapi.GPIO_V2_LINE_FLAG_BIAS_PULL_UP,
    Bias.PULL_DOWN: uapi.GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN,
}

_DRIVE = {
    Drive.PUSH_PULL: 0,
    Drive.OPEN_DRAIN: uapi.GPIO_V2_LINE_FLAG_OPEN_DRAIN,
    Drive.OPEN_SOURCE: uapi.GPIO_V2_LINE_FLAG_OPEN_SOURCE,
}

_CLOCK = {
    Clock.MONOTONIC: 0,
    Clock.REALTIME: uapi.GPIO_V2_LINE_FLAG_EVENT_CLOCK_REALTIME,
    Clock.HTE: uapi.GPIO_V2_LINE_FLAG_EVENT_CLOCK_HTE,
}


@dataclass(repr=False)
class LineSettings:
    """How a line shall be configured; the defaults leave it as it is.

    ``debounce_period`` counts in whole microseconds. ``output_value`` is logical
    and used for outputs only.
    """

    direction: Direction = Direction.AS_IS
    edge_detection: Edge = Edge.NONE
    bias: Bias = Bias.AS_IS
    drive: Drive = Drive.PUSH_PULL
    active_low: bool = False
    debounce_period: timedelta = field(default_factory=timedelta)
    event_clock: Clock = Clock.MONOTONIC
    output_value: Value = Value.INACTIVE

    def __repr__(self) -> str:
        """An expression that makes an equal object after ``import bridge as gpiod``."""
        return (
            f"gpiod.LineSettings(direction=gpiod.line.{self.direction}, "
            f"edge_detection=gpiod.line.{self.edge_detection}, bias=gpiod.line.{self.bias}, "
            f"drive=gpiod.line.{self.drive}, active_low={self.active_low}, "
            f"debounce_period={self.debounce_period!r}, "
            f"event_clock=gpiod.line.{self.event_clock}, "
            f"output_value=gpiod.line.{self.output_value})"
        )

    def __str__(self) -> str:
        """The text that libgpiod prints for it."""
        return (
            f"<LineSettings direction={self.direction} edge_detection={self.edge_detection} "
            f"bias={self.bias} drive={self.drive} active_low={self.active_low} "
            f"debounce_period={self.debounce_period} event_clock={self.event_clock} "
            f"output_value={self.output_value}>"
        )


def flags_of(settings: LineSettings) -> int:
    """Return the GPIO_V2_LINE_FLAG_* bits of `settings` (libgpiod's line-config.c).

    Raises ValueError for a bias of UNKNOWN, which can only be reported, and
    AttributeError for a member that is not of its enum, as libgpiod does.
    """
    if settings.bias is Bias.UNKNOWN:
        raise ValueError("bias UNKNOWN can not be requested: use AS_IS to leave the bias alone")
    try:
        flags = (
            _DIRECTION[settings.direction]
            | _EDGE[settings.edge_detection]
            | _BIAS[settings.bias]
            | _DRIVE[settings.drive]
            | _CLOCK[settings.event_clock]
        )
    except KeyError as error:
        raise AttributeError(
            f"{error.args[0]!r} is no member of the enum of its setting: see bridge.line"
        ) from None
    return flags | (uapi.GPIO_V2_LINE_FLAG_ACTIVE_LOW if settings.active_low else 0)


def debounce_us(settings: LineSettings) -> int:
    """Return the debounce period in whole microseconds.

    Raises ValueError when it is negative or does not fit the 32 bits of the kernel's.
    """
    period = settings.debounce_period
    if period < timedelta():
        raise ValueError(f"debounce period {period} is negative: 0 turns debouncing off")
    microseconds = int(period.total_seconds() * 1_000_000)
    if microseconds >= 1 << 32:
        raise ValueError(f"debounce period {period} is too long: 71 minutes is the most")
    return microseconds


LineConfig = Mapping[Any, "LineSettings | None"]
"""Lines (an offset, a name, or an iterable of both) and how they shall be configured."""
