# SPDX-License-Identifier: BSD-3-Clause
"""What mon and notify share: waiting for events of several chips, and when to end."""

from __future__ import annotations

import select
from collections.abc import Callable, Mapping
from typing import TypeVar

from bridge.cli.options import Failure

Source = TypeVar("Source")

_POLL_MAX_MS = 0x7FFFFFFF


def follow(
    sources: Mapping[int, Source],
    take: Callable[[Source, int], tuple[int, list[str]]],
    idle_us: int,
    limit: int,
) -> None:
    """Print events until `limit` came (0: no limit), or none came for `idle_us` (0: no limit).

    `sources` are by descriptor. `take` is called for a source that is readable, with the largest
    number of events to take (0: any number), and returns how many count and their text. Raises what
    `take` raises.
    """
    poller = select.poll()
    for fd in sources:
        poller.register(fd, select.POLLIN)
    idle_ms = -(-idle_us // 1000) if idle_us else None
    seen = 0
    while True:
        ready = _wait(poller, idle_ms)
        if not ready:
            return
        for fd, _ in ready:
            count, text = take(sources[fd], limit - seen if limit else 0)
            seen += count
            if text:
                print("\n".join(text), flush=True)
            if limit and seen >= limit:
                return


def _wait(poller: select.poll, idle_ms: int | None) -> list[tuple[int, int]]:
    """Poll; a time may be longer than poll(2) takes."""
    while idle_ms is not None and idle_ms > _POLL_MAX_MS:
        ready = poller.poll(_POLL_MAX_MS)
        if ready:
            return ready
        idle_ms -= _POLL_MAX_MS
    return poller.poll(idle_ms)


def check_lines(lines: list[str], limit: int | None = None) -> None:
    """Raise Failure when there are none, or more than `limit`."""
    if not lines:
        raise Failure("at least one GPIO line must be specified")
    if limit is not None and len(lines) > limit:
        raise Failure(f"too many lines given: {limit} is the most")
