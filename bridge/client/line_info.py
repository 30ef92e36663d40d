# SPDX-License-Identifier: BSD-3-Clause
"""What the service knows about a line."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from bridge import uapi
from bridge.line import Bias, Clock, Direction, Drive, Edge

__all__ = ["LineInfo"]


@dataclass(frozen=True, init=False, repr=False)
class LineInfo:
    """An immutable snapshot of a line's settings and of who uses it.

    Attributes beside libgpiod's:
        on_release: what becomes of the pin when its holder gives it back, ``none`` or ``keep``;
            None where that is not told, as in info events. It does not count in comparisons.
    """

    offset: int
    name: str | None
    used: bool
    consumer: str | None
    direction: Direction
    active_low: bool
    bias: Bias
    drive: Drive
    edge_detection: Edge
    event_clock: Clock
    debounced: bool
    debounce_period: timedelta
    on_release: str | None = field(compare=False)

    def __init__(
        self,
        offset: int,
        name: str | None,
        used: bool,
        consumer: str | None,
        direction: int,
        active_low: bool,
        bias: int,
        drive: int,
        edge_detection: int,
        event_clock: int,
        debounced: bool,
        debounce_period_us: int,
        on_release: str | None = None,
    ) -> None:
        """Make one from the integer values of the enums and a period in microseconds."""
        self.__dict__.update(
            offset=offset,
            name=name or None,
            used=used,
            consumer=consumer or None,
            direction=Direction(direction),
            active_low=active_low,
            bias=Bias(bias),
            drive=Drive(drive),
            edge_detection=Edge(edge_detection),
            event_clock=Clock(event_clock),
            debounced=debounced,
            debounce_period=timedelta(microseconds=debounce_period_us),
            on_release=on_release,
        )

    def __str__(self) -> str:
        """The text that libgpiod prints for it."""
        return (
            f'<LineInfo offset={self.offset} name="{self.name}" used={self.used} '
            f'consumer="{self.consumer}" direction={self.direction} '
            f"active_low={self.active_low} bias={self.bias} drive={self.drive} "
            f"edge_detection={self.edge_detection} event_clock={self.event_clock} "
            f"debounced={self.debounced} debounce_period={self.debounce_period}>"
        )

    __repr__ = __str__


def from_wire(line: dict[str, Any]) -> LineInfo:
    """Make a LineInfo from a line of the ``lines`` reply.

    The flags are GPIO_V2_LINE_FLAG_* of <linux/gpio.h>; the choices are those of
    libgpiod's ``gpiod_line_info_from_uapi``.
    """
    flags = line["flags"]
    return LineInfo(
        line["offset"],
        line["name"],
        bool(line["used"]),
        line["consumer"],
        _direction(flags).value,
        bool(flags & uapi.GPIO_V2_LINE_FLAG_ACTIVE_LOW),
        _bias(flags).value,
        _drive(flags).value,
        _edge(flags).value,
        _clock(flags).value,
        line["debounce_us"] > 0,
        line["debounce_us"],
        line.get("on_release"),
    )


def _direction(flags: int) -> Direction:
    return Direction.OUTPUT if flags & uapi.GPIO_V2_LINE_FLAG_OUTPUT else Direction.INPUT


def _bias(flags: int) -> Bias:
    if flags & uapi.GPIO_V2_LINE_FLAG_BIAS_PULL_UP:
        return Bias.PULL_UP
    if flags & uapi.GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN:
        return Bias.PULL_DOWN
    if flags & uapi.GPIO_V2_LINE_FLAG_BIAS_DISABLED:
        return Bias.DISABLED
    return Bias.UNKNOWN


def _drive(flags: int) -> Drive:
    if flags & uapi.GPIO_V2_LINE_FLAG_OPEN_DRAIN:
        return Drive.OPEN_DRAIN
    if flags & uapi.GPIO_V2_LINE_FLAG_OPEN_SOURCE:
        return Drive.OPEN_SOURCE
    return Drive.PUSH_PULL


def _edge(flags: int) -> Edge:
    rising = flags & uapi.GPIO_V2_LINE_FLAG_EDGE_RISING
    falling = flags & uapi.GPIO_V2_LINE_FLAG_EDGE_FALLING
    if rising and falling:
        return Edge.BOTH
    if rising:
        return Edge.RISING
    return Edge.FALLING if falling else Edge.NONE


def _clock(flags: int) -> Clock:
    if flags & uapi.GPIO_V2_LINE_FLAG_EVENT_CLOCK_REALTIME:
        return Clock.REALTIME
    if flags & uapi.GPIO_V2_LINE_FLAG_EVENT_CLOCK_HTE:
        return Clock.HTE
    return Clock.MONOTONIC
