# SPDX-License-Identifier: BSD-3-Clause
"""What is known of the coprocessor's clock."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ClockInfo"]


@dataclass(frozen=True)
class ClockInfo:
    """The coprocessor's clock on the host's, a snapshot (docs/timing.md).

    ``known`` says whether edges are stamped at their source, and ``bound_ns`` that the
    time of an edge now is off by no more, in ns (0 when not known). The clock runs
    ``drift_ppb`` 1e-9 too fast. It showed ``device_ns`` when CLOCK_MONOTONIC was
    ``host_ns``, give or take ``error_ns``; ``samples`` exchanges agree. ``by_arrival``
    edges were stamped with their arrival for want of the clock.
    """

    known: bool
    samples: int
    drift_ppb: int
    bound_ns: int
    device_ns: int
    host_ns: int
    error_ns: int
    by_arrival: int
