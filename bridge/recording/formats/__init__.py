# SPDX-License-Identifier: BSD-3-Clause
"""The formats of recordings, a module each, by the end of a file's name."""

from __future__ import annotations

import errno
import os
from importlib import import_module
from typing import TYPE_CHECKING

from bridge.errors import did_you_mean

if TYPE_CHECKING:
    from bridge.recording.model import Header, Recording
    from bridge.recording.text_file import Writer

__all__ = ["FORMATS", "format_of", "read", "writer"]

#: Name of the format, which is the end of its files' names, and the module that has it.
FORMATS = {"vcd": "vcd", "csv": "table", "sr": "sigrok", "jsonl": "objects"}


def format_of(path: str) -> str:
    """Return the format that the name of a file tells. Raises OSError EINVAL."""
    end = os.path.splitext(path)[1].removeprefix(".").lower()
    if end not in FORMATS:
        raise OSError(
            errno.EINVAL,
            f"{path}: its name tells no format: let it end with .{', .'.join(FORMATS)}",
        )
    return end


def writer(format: str, path: str | None, header: Header, levels: list[int]) -> Writer:
    """Begin a file, "-" or None for stdout.

    Args:
        format: one of FORMATS.
        path: of the file, which is replaced.
        header: what is said of the recording.
        levels: of the signals at its time zero, as in `bridge.recording.model`.

    Raises:
        OSError: the file can not be made, or a package is missing (ENOSYS).
    """
    module = import_module(f"bridge.recording.formats.{FORMATS[format]}")
    made: Writer = module.Writer(path, header, levels)
    return made


def read(path: str, format: str | None = None) -> Recording:
    """Read a whole recording.

    Args:
        path: of the file, "-" for stdin.
        format: one of FORMATS; None: as the file's name tells.

    Raises:
        OSError: it can not be read, or a package is missing (ENOSYS).
        ValueError: it is not what its format says; the sentence tells where.
    """
    if path == "-" and format is None:
        format = "vcd"
    format = format or format_of(path)
    if format not in FORMATS:
        hint = did_you_mean(format, FORMATS)
        raise OSError(errno.EINVAL, f"no format {format}; {hint or ', '.join(FORMATS)}")
    module = import_module(f"bridge.recording.formats.{FORMATS[format]}")
    recording: Recording = module.read(path)
    return recording
