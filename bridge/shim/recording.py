# SPDX-License-Identifier: BSD-3-Clause
"""Edges as changes, and changes as text, a block at a time (recording/changes.h, text.h).

Times are arrays of type "Q" and codes arrays of type "I", as in `bridge.recording.model`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bridge.shim.ffi import ffi, lib

__all__ = ["EdgeChanges", "Rows", "Samples", "Words", "apply", "in_order"]

_RECORD = ffi.sizeof("struct gb_line_event")
_BLOCK = 1 << 18
_UNKNOWN = 2


class EdgeChanges:
    """The edges of one line request, whose lines are the signals `first`, `first` + 1 and so on."""

    def __init__(self, offsets: Sequence[int], first: int, began_ns: int) -> None:
        """Begin with no edge; what is missing before the first one is so since `began_ns`."""
        self._state = ffi.new(
            "struct gb_recorded *",
            {"first": first, "count": len(offsets), "latest_ns": began_ns},
        )
        for index, offset in enumerate(offsets):
            line = self._state.lines[index]
            line.offset, line.code = offset, _UNKNOWN
        self._room = 0

    def take(
        self, records: memoryview
    ) -> tuple[array[int], array[int], list[tuple[int, int, int]]]:
        """Return times and codes, and (time, signal, number) of edges that did not come.

        `records` are as `LineRequest.read_edge_event_array` gives them.
        """
        count = len(records) // _RECORD
        if count > self._room:
            self._room = count
            self._times = ffi.new("uint64_t[]", 2 * count)
            self._codes = ffi.new("uint32_t[]", 2 * count)
            self._losses = ffi.new("struct gb_loss[]", count)
            self._lost = ffi.new("size_t *")
        made = lib.gb_changes_take(
            self._state,
            ffi.from_buffer("struct gb_line_event[]", records),
            count,
            self._times,
            self._codes,
            self._losses,
            self._lost,
        )
        times, codes = array("Q"), array("I")
        times.frombytes(ffi.buffer(self._times, made * times.itemsize))
        codes.frombytes(ffi.buffer(self._codes, made * codes.itemsize))
        lost = [
            (int(loss.since_ns), int(loss.signal), int(loss.count))
            for loss in self._losses[0 : self._lost[0]]
        ]
        return times, codes, lost


def in_order(times: array[int]) -> bool:
    """Return whether no time is before the one in front of it."""
    ordered: bool = lib.gb_changes_in_order(ffi.from_buffer("uint64_t[]", times), len(times))
    return ordered


def apply(codes: array[int], levels: bytearray) -> None:
    """Let changes happen to the levels of all signals."""
    lib.gb_changes_apply(
        ffi.from_buffer("uint32_t[]", codes), len(codes), ffi.from_buffer(levels), len(levels)
    )


class _Blocks:
    """What text.h makes of changes; a subclass says by which function."""

    def _blocks(
        self, make: Callable[..., int], times: Sequence[int], codes: Sequence[int], zero: int
    ) -> Iterator[memoryview]:
        """Call `make` with the changes, a buffer and its size, until it has done all of them."""
        times = times if isinstance(times, array) else array("Q", times)
        codes = codes if isinstance(codes, array) else array("I", codes)
        all_times = ffi.from_buffer("uint64_t[]", times)
        all_codes = ffi.from_buffer("uint32_t[]", codes)
        out, used = ffi.new("char[]", _BLOCK), ffi.new("size_t *")
        done = 0
        while done < len(times):
            changes = ffi.new(
                "struct gb_changes *",
                [all_times + done, all_codes + done, len(times) - done, zero],
            )
            done += make(changes, out, _BLOCK, used)
            yield memoryview(ffi.buffer(out, used[0]))


class Words(_Blocks):
    """For each change a text, its time, and the word of its code."""

    def __init__(self, before: bytes, words: Sequence[bytes]) -> None:
        self._kept = [ffi.from_buffer(word) for word in (before, *words)]
        made = [(text, len(text)) for text in self._kept]
        self._before = ffi.new("struct gb_word *", made[0])
        self._words = ffi.new("struct gb_word[]", made[1:])

    def blocks(self, times: Sequence[int], codes: Sequence[int], zero: int) -> Iterator[memoryview]:
        """Return the text in pieces, each good until the next."""

        def make(changes: Any, *out: Any) -> int:
            count: int = lib.gb_text_words(
                changes, self._before, self._words, len(self._kept) - 1, *out
            )
            return count

        return self._blocks(make, times, codes, zero)


class Rows(_Blocks):
    """For each time a row of it and of the levels of all signals, with commas."""

    def __init__(self, levels: Sequence[int]) -> None:
        self._row = bytearray(b"".join(b",%b" % b"01x"[n : n + 1] for n in levels) + b"\n")
        self._levels = ffi.new("struct gb_word *", [ffi.from_buffer(self._row), len(self._row)])

    @property
    def levels(self) -> bytes:
        """What follows the time in a row now."""
        return bytes(self._row)

    def blocks(self, times: Sequence[int], codes: Sequence[int], zero: int) -> Iterator[memoryview]:
        """Return the rows in pieces, each good until the next."""

        def make(changes: Any, *out: Any) -> int:
            count: int = lib.gb_text_rows(changes, self._levels, *out)
            return count

        return self._blocks(make, times, codes, zero)


class Samples(_Blocks):
    """Samples at a rate, with a bit for each signal."""

    def __init__(self, rate_hz: int, levels: Sequence[int]) -> None:
        #: Bytes of a sample.
        self.unit = max(1, (len(levels) + 7) // 8)
        bits = sum((level == 1) << index for index, level in enumerate(levels))
        self._levels = bytearray(bits.to_bytes(self.unit, "little"))
        self._sampler = ffi.new(
            "struct gb_sampler *", [rate_hz, 0, ffi.from_buffer(self._levels), self.unit]
        )

    def blocks(self, times: Sequence[int], codes: Sequence[int], zero: int) -> Iterator[memoryview]:
        """Return the samples before each change in pieces, each good until the next."""

        def make(changes: Any, *out: Any) -> int:
            count: int = lib.gb_text_samples(changes, self._sampler, *out)
            return count

        return self._blocks(make, times, codes, zero)
