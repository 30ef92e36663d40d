# SPDX-License-Identifier: BSD-3-Clause
"""The indexes of split virtqueues in shared memory, for drivers and devices in Python."""

from __future__ import annotations

import mmap

__all__ = ["RingIndexes"]


class RingIndexes:
    """The index of each ring, available or used, by the ring's place in the memory.

    An index is written and read at once: struct would show the other side a zero first.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        """Look at a memory, whose owner calls close() before it closes that."""
        self._words = memoryview(memory).cast("H")

    def __getitem__(self, ring: int) -> int:
        """Read the index of the ring that begins there."""
        return self._words[ring // 2 + 1]

    def __setitem__(self, ring: int, index: int) -> None:
        """Write the index of the ring that begins there."""
        self._words[ring // 2 + 1] = index

    def close(self) -> None:
        """Let go of the memory."""
        self._words.release()
