# SPDX-License-Identifier: BSD-3-Clause
"""What writers of recordings have in common, and a file that has all that it was given."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Protocol

__all__ = ["TextFile", "Writer"]


class Writer(Protocol):
    """A file of a recording, open for what comes."""

    @property
    def size(self) -> int:
        """Bytes written so far."""
        ...

    def write(self, times: Sequence[int], codes: Sequence[int], zero: int = 0) -> None:
        """Write changes, whose times never go back; `zero` is what time zero is there.

        Raises OSError.
        """
        ...

    def note(self, time: int, text: str) -> None:
        """Say something at a time, such as that edges were lost. Raises OSError."""
        ...

    def close(self, time: int, notes: list[str]) -> None:
        """End the recording at a time, with what there is to say of it. Raises OSError."""
        ...


class TextFile:
    """A file that passes everything on to the kernel at once: a crash of ours loses nothing."""

    def __init__(self, path: str | None) -> None:
        """Replace the file at `path`; None and "-" are stdout. Raises OSError."""
        self.size = 0
        self._path = None if path == "-" else path
        if self._path is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._fd = os.open(self._path, flags, 0o666)
        else:
            sys.stdout.flush()
            self._fd = sys.stdout.fileno()

    def put(self, text: bytes | memoryview) -> None:
        """Write all of `text`. Raises OSError."""
        self.size += len(text)
        view = memoryview(text)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except OSError as error:
                raise OSError(error.errno, error.strerror, self._path) from None

    def end(self) -> None:
        """Close the file."""
        if self._path is not None:
            os.close(self._fd)
