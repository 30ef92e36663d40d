# SPDX-License-Identifier: BSD-3-Clause
"""Lines of one chip that are recorded: their edges, or their levels from time to time."""

from __future__ import annotations

import struct
import time
from contextlib import suppress

from bridge.client.chip import Chip
from bridge.client.line_request import LineRequest
from bridge.client.line_settings import LineSettings
from bridge.line import Edge
from bridge.recording.model import HIGH, LOW, UNKNOWN, code_of

__all__ = ["Batch", "Source"]

# struct gpio_v2_line_event: u64 time, u32 id, u32 offset, u32 seqno, u32 line_seqno, padding.
_WORDS = 48 // 8
_HALVES = 48 // 4
_RISING, _FALLING = 1, 2
_EVENTS_MAX = 1024


class Batch:
    """Changes that were read at once.

    `lost` has (time, signal, number) of edges that did not come, `marks` says how many of the
    changes are no edges: levels that are read, or unknown.
    """

    def __init__(self) -> None:
        self.times: list[int] = []
        self.codes: list[int] = []
        self.lost: list[tuple[int, int, int]] = []
        self.marks = 0


class Source:
    """One line request, whose lines are the signals `first`, `first` + 1 and so on."""

    def __init__(
        self, chip: Chip, offsets: list[int], first: int, settings: LineSettings, consumer: str
    ) -> None:
        """Request the lines; edges where the settings have them. Raises as Chip.request_lines()."""
        self.chip = chip
        self.name = chip.get_info().name
        self.first = first
        self.offsets = offsets
        self.request: LineRequest = chip.request_lines(
            {tuple(offsets): settings}, consumer, _EVENTS_MAX
        )
        self._sampled = settings.edge_detection is Edge.NONE
        self._codes = {
            _key(kind, offset): code_of(first + index, level)
            for index, offset in enumerate(offsets)
            for kind, level in ((_RISING, HIGH), (_FALLING, LOW))
        }
        self._index = {offset: index for index, offset in enumerate(offsets)}
        self._last: list[int | None] = [None] * len(offsets)  # codes
        self._seqno = 0
        self._line_seqno = [0] * len(offsets)
        self._latest = 0  # time of the newest edge

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
            if code != self._last[index]:
                self._last[index] = code
                batch.times.append(now)
                batch.codes.append(code)
        return batch

    def read(self) -> Batch:
        """Return the edges that wait. Raises OSError ENODEV when the chip is gone."""
        batch = Batch()
        records = self.request.read_edge_event_array()
        count = len(records) // 48
        if not count:
            return batch
        words, halves = records.cast("Q"), records.cast("I")
        batch.times = words[0::_WORDS].tolist()
        code_by_key = self._codes
        batch.codes = [code_by_key[key] for key in words[1::_WORDS].tolist()]
        seqno = halves[(count - 1) * _HALVES + 4]
        if seqno - self._seqno & 0xFFFFFFFF != count or self._repeats(batch.codes):
            return self._with_gaps(halves, count)
        self._seqno = seqno
        self._latest = batch.times[-1]
        for index, number in self._newest(halves, count).items():
            self._line_seqno[index] = number
        return batch

    def _repeats(self, codes: list[int]) -> bool:
        """Whether two edges of a line in a row are the same: there was another one in between."""
        last, first = self._last.copy(), self.first
        for code in codes:
            index = (code >> 2) - first
            if last[index] == code:
                return True
            last[index] = code
        self._last = last
        return False

    def _newest(self, halves: memoryview, count: int) -> dict[int, int]:
        """The newest number of each line in a batch, by index."""
        offsets = halves[3::_HALVES].tolist()
        numbers = halves[5::_HALVES].tolist()
        newest = dict(zip(offsets[:count], numbers[:count], strict=True))
        return {self._index[offset]: number for offset, number in newest.items()}

    def _with_gaps(self, halves: memoryview, count: int) -> Batch:
        """The same edge by edge: before one that others are missing in front of, x is known."""
        batch = Batch()
        words = halves.cast("B").cast("Q")
        for record in range(count):
            when = words[record * _WORDS]
            code = self._codes[words[record * _WORDS + 1]]
            number = halves[record * _HALVES + 5]
            index = (code >> 2) - self.first
            lost = number - self._line_seqno[index] - 1 & 0xFFFFFFFF
            # Without a gap in the numbers, as on firmware that latches edges while they are masked.
            lost = lost or int(self._last[index] == code)
            if lost:
                since = min(self._latest or when, when)
                batch.times.append(since)
                batch.codes.append(code_of(self.first + index, UNKNOWN))
                batch.lost.append((since, self.first + index, lost))
                batch.marks += 1
            batch.times.append(when)
            batch.codes.append(code)
            self._line_seqno[index] = number
            self._last[index] = code
            self._latest = max(self._latest, when)
        self._seqno = halves[(count - 1) * _HALVES + 4]
        return batch

    def unknown(self, now: int) -> Batch:
        """Return that nothing is known of the lines from now on."""
        batch = Batch()
        batch.times = [now] * len(self.offsets)
        batch.codes = [code_of(self.first + n, UNKNOWN) for n in range(len(self.offsets))]
        batch.marks = len(self.offsets)
        return batch

    def clock(self) -> tuple[int, int] | None:
        """Return the bound of a time now in ns, and how many times are those of arrival.

        None where the firmware stamps no edges, or the lines are sampled. The bound is 0 while
        nothing is known. Raises OSError ENODEV.
        """
        if self._sampled:
            return None
        try:
            clock = self.chip.clock()
        except NotImplementedError:
            return None
        return (clock.bound_ns if clock.known else 0), clock.by_arrival

    def close(self) -> None:
        """Release the lines and close the chip."""
        with suppress(OSError):
            self.request.release()
        self.chip.close()


def _key(kind: int, offset: int) -> int:
    """Kind and offset of a record as the one word that they are in memory."""
    key: int = struct.unpack("=Q", struct.pack("=II", kind, offset))[0]
    return key
