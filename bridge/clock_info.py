# SPDX-License-Identifier: BSD-3-Clause
"""What is known of the coprocessor's clock."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ClockInfo"]


@dataclass(frozen=True)
class ClockInfo:
    """The coprocessor's clock on ours, a snapshot (docs/timing.md).

    Attributes:
        known: whether edges are stamped at their source.
        samples: GET_TIME exchanges that agree.
        drift_ppb: how much too fast the coprocessor's clock runs, in 1e-9.
        bound_ns: the time of an edge now is off by no more, in ns; 0 when not known.
        edges_bound_ns: the largest bound of the times of edges that came, in ns, on lines which
            are requested with edges now; 0 without any.
        device_ns: the coprocessor's clock, and
        host_ns: CLOCK_MONOTONIC, at the exchange that times are mapped from.
        error_ns: half the round trip of that exchange.
        by_arrival: edges stamped with their arrival for want of the clock.
    """

    known: bool
    samples: int
    drift_ppb: int
    bound_ns: int
    edges_bound_ns: int
    device_ns: int
    host_ns: int
    error_ns: int
    by_arrival: int
