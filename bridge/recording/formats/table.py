# SPDX-License-Identifier: BSD-3-Clause
"""CSV: a row for each change, with the levels of all lines; what a spreadsheet opens."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Iterator, Sequence

from bridge.recording.model import CUT_OFF, Header, Recording, Wave, count_lost
from bridge.recording.text_file import TextFile
from bridge.shim.recording import Rows

__all__ = ["Writer", "read"]

_LETTERS = "01x"
_TIME = "time_ns"


class Writer(TextFile):
    """A file as it is recorded."""

    def __init__(self, path: str | None, header: Header, levels: list[int]) -> None:
        """Begin a file; see `bridge.recording.formats.writer`."""
        super().__init__(path)
        self._rows = Rows(levels)
        text = io.StringIO()
        for note in [f"recording began {header.zero_utc}", *header.notes]:
            text.write(f"# {note}\n")
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow([_TIME, *(signal.name for signal in header.signals)])
        self.put(text.getvalue().encode() + b"0" + self._rows.levels)

    def write(self, times: Sequence[int], codes: Sequence[int], zero: int = 0) -> None:
        """Write changes; those at one time are one row."""
        for block in self._rows.blocks(times, codes, zero):
            self.put(block)

    def note(self, time: int, text: str) -> None:
        """Write a comment between rows."""
        self.put(f"# {time} {text}\n".encode())

    def close(self, time: int, notes: list[str]) -> None:
        """Write a last row, at the end."""
        for text in notes:
            self.put(f"# {text}\n".encode())
        self.put(b"%d%b" % (time, self._rows.levels))
        self.end()


def read(path: str) -> Recording:
    """Read such a file, or another table of time_ns and levels."""
    if path == "-":
        return _read(sys.stdin, "standard input")
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        return _read(file, path)


def _read(lines: Iterable[str], what: str) -> Recording:
    recording = Recording([])
    line = ""

    def table() -> Iterator[str]:
        """The lines that are no comments, which are none of the csv module's."""
        nonlocal line
        for line in lines:
            if not _comment(line, recording):
                yield line

    rows = csv.reader(table())
    for row in rows:
        if not recording.waves:
            if row[:1] != [_TIME] or len(row) < 2:
                raise ValueError(f"{what}: a table of a recording begins with {_TIME},LINE,...")
            recording.waves = [Wave(name) for name in row[1:]]
            continue
        try:
            time = int(row[0])
            levels = [_LETTERS.index(word) for word in row[1:]]
            pairs = list(zip(recording.waves, levels, strict=True))
        except (ValueError, IndexError):
            if not line.endswith("\n"):
                recording.notes.append(CUT_OFF)
                break
            raise ValueError(
                f"{what}, row {rows.line_num}: wanted {len(recording.waves) + 1} fields, a time in "
                f"ns and levels 0, 1 or x; got {','.join(row)!r}"
            ) from None
        if time < recording.end:
            raise ValueError(f"{what}, row {rows.line_num}: time {time} goes back")
        recording.end = time
        for wave, level in pairs:
            wave.change(time, level)
    if not recording.waves:
        raise ValueError(f"{what}: a table of a recording begins with {_TIME},LINE,...")
    return recording


def _comment(line: str, recording: Recording) -> bool:
    """Take a comment; return whether the line is one."""
    if not line.startswith("#"):
        return not line.strip()
    time, _, text = line[1:].strip().partition(" ")
    if text == "trigger" and time.isdigit():
        recording.trigger = int(time)
    elif not count_lost(text, recording.waves):
        recording.notes.append(line[1:].strip())
    return True
