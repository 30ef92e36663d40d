# SPDX-License-Identifier: BSD-3-Clause
"""An edge that a line request reported."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["EdgeEvent"]


@dataclass(frozen=True, init=False, repr=False)
class EdgeEvent:
    """One edge: `timestamp_ns` is in nanoseconds of the request's event clock.

    `global_seqno` counts the edges of the whole request and `line_seqno` those of
    this line, both from 1; a gap shows that events were lost.
    """

    class Type(Enum):
        """The direction of an edge, active-low applied."""

        RISING_EDGE = 1
        FALLING_EDGE = 2

    event_type: Type
    timestamp_ns: int
    line_offset: int
    global_seqno: int
    line_seqno: int

    def __init__(
        self,
        event_type: int,
        timestamp_ns: int,
        line_offset: int,
        global_seqno: int,
        line_seqno: int,
    ) -> None:
        """Make one from a record (struct gpio_v2_line_event); `event_type` is 1 or 2."""
        # One of these is made for every edge of a burst. The constructor of a frozen dataclass,
        # which calls object.__setattr__ for each field, takes three times as long.
        fields = self.__dict__
        fields["event_type"] = _TYPES[event_type]
        fields["timestamp_ns"] = timestamp_ns
        fields["line_offset"] = line_offset
        fields["global_seqno"] = global_seqno
        fields["line_seqno"] = line_seqno

    def __str__(self) -> str:
        """The text that libgpiod prints for it."""
        return (
            f"<EdgeEvent type={self.event_type} timestamp_ns={self.timestamp_ns} "
            f"line_offset={self.line_offset} global_seqno={self.global_seqno} "
            f"line_seqno={self.line_seqno}>"
        )

    __repr__ = __str__


_TYPES = {kind.value: kind for kind in EdgeEvent.Type}
