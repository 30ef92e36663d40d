# SPDX-License-Identifier: BSD-3-Clause
"""The file that a recording goes to, or the row of files when it is long."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from collections import deque
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone

from bridge.recording import formats
from bridge.recording.model import Header
from bridge.recording.text_file import Writer
from bridge.shim.recording import apply

__all__ = ["Sink", "utc_of"]


class Sink:
    """Takes changes with times of CLOCK_MONOTONIC, and writes them with those of the file.

    Files that are rotated are called NAME-0001.vcd and so on; each is whole, with header and the
    levels at its begin.
    """

    def __init__(
        self,
        path: str | None,
        format: str,
        header: Header,
        max_size: int = 0,
        max_ns: int = 0,
        keep: int = 0,
    ) -> None:
        """Say where to write.

        Args:
            path: of the file; None or "-" is stdout.
            format: one of `formats.FORMATS`.
            header: the times in it are those of `begin`.
            max_size: bytes after which another file begins; 0: never.
            max_ns: the same in ns.
            keep: so many files, the newest, are kept; 0: all.
        """
        self._path = path
        self._format = format
        self._header = header
        self._max_size = max_size
        self._max_ns = max_ns
        self._keep = keep
        self._files: deque[str] = deque()
        self._number = 0
        self._levels = bytearray()
        self._writer: Writer | None = None
        self._zero = 0
        self._written = 0
        #: Changes that came too late for their place, and by how many ns at most.
        self.late = 0
        self.latest_ns = 0

    @property
    def rotates(self) -> bool:
        """Whether there may be several files."""
        return bool(self._max_size or self._max_ns)

    @property
    def open(self) -> bool:
        """Whether a file was begun."""
        return self._writer is not None

    def name_of(self, signal: int) -> str:
        """Return the name of a signal."""
        return self._header.signals[signal].name

    def begin(self, time: int, levels: bytearray) -> None:
        """Begin a file at a time. Raises OSError."""
        self._levels = bytearray(levels)
        self._zero = self._written = time
        header = replace(self._header, zero_ns=time, zero_utc=utc_of(time))
        header.notes = [f"zero is {time / 1e9:.9f} s of CLOCK_MONOTONIC", *self._header.notes]
        self._writer = formats.writer(self._format, self._name(), header, list(self._levels))

    def _name(self) -> str | None:
        if not self.rotates or self._path is None:
            return self._path
        self._number += 1
        stem, end = os.path.splitext(self._path)
        self._files.append(f"{stem}-{self._number:04}{end}")
        while self._keep and len(self._files) > self._keep:
            with suppress(FileNotFoundError):  # somebody took it away before
                os.unlink(self._files.popleft())
        return self._files[-1]

    def write(self, times: array[int], codes: array[int]) -> None:
        """Write changes in their order. Raises OSError."""
        if not times:
            return
        assert self._writer is not None
        if times[0] < self._written:
            times = self._not_before(self._written, times)
        if not self.rotates:
            self._put(times, codes)
            return
        while times:
            self._rotate(times[0])
            until = len(times)
            if self._max_ns:
                until = max(1, bisect_left(times, self._zero + self._max_ns))
            self._put(times[:until], codes[:until])
            apply(codes[:until], self._levels)
            times, codes = times[until:], codes[until:]

    def _put(self, times: array[int], codes: array[int]) -> None:
        assert self._writer is not None
        self._writer.write(times, codes, self._zero)
        self._written = times[-1]

    def _not_before(self, first: int, times: array[int]) -> array[int]:
        """Move what came too late to the end of what is written."""
        late = [time for time in times if time < first]
        self.late += len(late)
        self.latest_ns = max(self.latest_ns, first - min(late))
        return array("Q", (max(time, first) for time in times))

    def _rotate(self, time: int) -> None:
        """Begin another file, when this one is full."""
        assert self._writer is not None
        full = 0 < self._max_size <= self._writer.size
        if full or 0 < self._max_ns <= time - self._zero:
            self._writer.close(self._written - self._zero, ["goes on in the next file"])
            self.begin(self._written, self._levels)

    def note(self, time: int, text: str) -> None:
        """Say something at a time. Raises OSError."""
        assert self._writer is not None
        self._writer.note(max(time, self._written) - self._zero, text)

    def end(self, time: int, notes: list[str]) -> None:
        """End the file at a time. Raises OSError."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close(max(time, self._written) - self._zero, notes)


def utc_of(monotonic_ns: int) -> str:
    """Return a time of CLOCK_MONOTONIC as UTC, by the clocks of now."""
    import time

    at = time.time_ns() - (time.monotonic_ns() - monotonic_ns)
    when = datetime.fromtimestamp(at // 1_000_000_000, timezone.utc)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{at % 1_000_000_000:09}Z"
