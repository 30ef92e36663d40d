# SPDX-License-Identifier: BSD-3-Clause
"""JSON lines: an object for the header, and one for each change, each note and the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from bridge.recording.model import CUT_OFF, UNKNOWN, Header, Recording, Wave, count_lost
from bridge.recording.text_file import TextFile
from bridge.shim.recording import Words

__all__ = ["Writer", "read"]

_LEVELS = [0, 1, None]


class Writer(TextFile):
    """A file as it is recorded."""

    def __init__(self, path: str | None, header: Header, levels: list[int]) -> None:
        """Begin a file; see `bridge.recording.formats.writer`."""
        super().__init__(path)
        names = [signal.name for signal in header.signals]
        first = {
            "lines": [
                {"line": signal.name, "about": signal.about, "level": _LEVELS[level]}
                for signal, level in zip(header.signals, levels, strict=True)
            ],
            "zero_monotonic_ns": header.zero_ns,
            "zero_utc": header.zero_utc,
            "notes": header.notes,
        }
        self.put(_line(first))
        # By code: it has two bits for the level. The time goes between.
        self._text = Words(
            b'{"ns":',
            [
                f',"line":{json.dumps(name)},"level":{json.dumps(level)}}}\n'.encode()
                for name in names
                for level in (*_LEVELS, None)
            ],
        )

    def write(self, times: Sequence[int], codes: Sequence[int], zero: int = 0) -> None:
        """Write changes."""
        for block in self._text.blocks(times, codes, zero):
            self.put(block)

    def note(self, time: int, text: str) -> None:
        """Write a note as an object of its own."""
        self.put(_line({"ns": time, "note": text}))

    def close(self, time: int, notes: list[str]) -> None:
        """Write the end as an object of its own."""
        self.put(_line({"end_ns": time, "notes": notes}))
        self.end()


def _line(what: object) -> bytes:
    return json.dumps(what).encode() + b"\n"


def read(path: str) -> Recording:
    """Read such a file."""
    if path == "-":
        return _read(sys.stdin, "standard input")
    with open(path, encoding="utf-8", errors="replace") as file:
        return _read(file, path)


def _read(lines: Iterable[str], what: str) -> Recording:
    recording = Recording([])
    waves: dict[str, Wave] = {}
    for number, line in enumerate(lines, 1):
        try:
            _take(json.loads(line), recording, waves)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if not line.endswith("\n") and waves:
                recording.notes.append(CUT_OFF)
                break
            raise ValueError(f"{what}, line {number}: no object of a recording: {error}") from None
    if not waves:
        raise ValueError(f"{what}: the first object has no lines")
    return recording


def _take(what: dict[str, Any], recording: Recording, waves: dict[str, Wave]) -> None:
    if "lines" in what:
        for line in what["lines"]:
            wave = waves[line["line"]] = Wave(line["line"], levels=[_level(line["level"])])
            recording.waves.append(wave)
        recording.notes += what["notes"]
    elif "end_ns" in what:
        recording.end = int(what["end_ns"])
        recording.notes += what["notes"]
    elif "note" in what:
        _note(what["note"], int(what["ns"]), recording)
    else:
        time = int(what["ns"])
        if time < recording.end:
            raise ValueError(f"time {time} goes back")
        recording.end = time
        waves[what["line"]].change(time, _level(what["level"]))


def _note(text: str, time: int, recording: Recording) -> None:
    if text == "trigger":
        recording.trigger = time
    elif not count_lost(text, recording.waves):
        recording.notes.append(text)


def _level(level: object) -> int:
    return UNKNOWN if level is None else int(bool(level))
