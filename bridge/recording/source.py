# SPDX-License-Identifier: BSD-3-Clause
"""Lines of one chip that are recorded: their edges, or their levels from time to time."""

from __future__ import annotations

import errno
import time
from array import array
from contextlib import suppress

from bridge.client.chip import Chip
from bridge.client.line_request import LineRequest
from bridge.client.line_settings import LineSettings
from bridge.line import Edge
from bridge.recording.model import UNKNOWN, code_of
from bridge.shim.recording import EdgeChanges

__all__ = ["Batch", "Source"]

# Edges that wait for us, of all chips: 12 MiB, which are half a second of 500,000 edges a second.
_EVENTS = 1 << 18
_EVENTS_MIN = 1 << 10


class Batch:
    """Changes that were read at once.

    `lost` has (time, signal, number) of edges that did not come, `marks` says how many of the
    changes are no edges: levels that are read, or unknown.
    """

    def __init__(self) -> None:
        self.times = array("Q")
        self.codes = array("I")
        self.lost: list[tuple[int, int, int]] = []
        self.marks = 0


class Source:
    """One line request, whose lines are the signals `first`, `first` + 1 and so on."""

    def __init__(
        self,
        chip: Chip,
        offsets: list[int],
        first: int,
        settings: LineSettings,
        consumer: str,
        sources: int = 1,
    ) -> None:
        """Request the lines; edges where the settings have them. `sources` share the memory.

        Raises as Chip.request_lines().
        """
        self.chip = chip
        self.name = chip.get_info().name
        self.first = first
        self.offsets = offsets
        self.request = _request(chip, {tuple(offsets): settings}, consumer, _EVENTS // sources)
        self._sampled = settings.edge_detection is Edge.NONE
        self._changes = EdgeChanges(offsets, first, time.monotonic_ns())
        self._sampled_codes: list[int | None] = [None] * len(offsets)

    def levels(self) -> list[int]:
        """Read the levels. Raises OSError as LineRequest.get_values()."""
        return [int(bool(value)) for value in self.request.get_values(self.offsets)]

    def sample(self) -> Batch:
        """Read the levels as changes against those before; raises as levels()."""
        batch = Batch()
        levels = self.levels()
        now = time.monotonic_ns()
        for index, level in enumerate(levels):
            code = code_of(self.first + index, level)
            if code != self._sampled_codes[index]:
                self._sampled_codes[index] = code
                batch.times.append(now)
                batch.codes.append(code)
        return batch

    def read(self) -> Batch:
        """Return edges that wait, at most 1024. Raises OSError ENODEV when the chip is gone."""
        batch = Batch()
        batch.times, batch.codes, batch.lost = self._changes.take(
            self.request.read_edge_event_array()
        )
        batch.marks = len(batch.lost)
        return batch

    def unknown(self, now: int) -> Batch:
        """Return that nothing is known of the lines from now on."""
        batch = Batch()
        batch.times.extend([now] * len(self.offsets))
        batch.codes.extend(code_of(self.first + n, UNKNOWN) for n in range(len(self.offsets)))
        batch.marks = len(self.offsets)
        return batch

    def clock(self) -> tuple[int, int] | None:
        """Return the largest bound of a time so far in ns, and how many are those of arrival.

        None where the firmware stamps no edges, or the lines are sampled. Raises OSError ENODEV.
        """
        if self._sampled:
            return None
        try:
            clock = self.chip.clock()
        except NotImplementedError:
            return None
        return clock.edges_bound_ns, clock.by_arrival

    def close(self) -> None:
        """Release the lines and close the chip."""
        with suppress(OSError):
            self.request.release()
        self.chip.close()


def _request(
    chip: Chip, config: dict[tuple[int, ...], LineSettings], consumer: str, events: int
) -> LineRequest:
    """Request lines with room for so many edges, or fewer where the user's budget has no more."""
    while True:
        try:
            return chip.request_lines(dict(config), consumer, max(events, _EVENTS_MIN))
        except OSError as error:
            if error.errno != errno.ENOBUFS or events <= _EVENTS_MIN:
                raise
            events //= 4
