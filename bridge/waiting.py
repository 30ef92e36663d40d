# SPDX-License-Identifier: BSD-3-Clause
"""Timeouts as libgpiod takes them."""

from __future__ import annotations

import math
import select
from datetime import timedelta

__all__ = ["in_seconds", "wait_readable"]


def wait_readable(fd: int, timeout: timedelta | float | None) -> bool:
    """Wait until `fd` is readable, or has HUP or ERR; return whether it is.

    `timeout` is a timedelta or in seconds; None waits for ever, 0 looks only. Raises
    ValueError when it is negative and TypeError when it is something else.
    """
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    seconds = in_seconds(timeout)
    # Rounded up, so that a wait is never too short.
    return bool(poller.poll(None if seconds is None else math.ceil(seconds * 1000)))


def in_seconds(timeout: timedelta | float | None) -> float | None:
    """Return `timeout` in seconds, None for none; raises as wait_readable()."""
    if timeout is None:
        return None
    if isinstance(timeout, timedelta):
        timeout = timeout.total_seconds()
    if not isinstance(timeout, int | float):
        raise TypeError(f"timeout must be seconds or a timedelta, not {type(timeout).__name__}")
    if timeout < 0:
        raise ValueError(f"timeout {timeout} is negative: None waits for ever")
    return timeout
