# SPDX-License-Identifier: BSD-3-Clause
"""Value change dump (IEEE 1364): what GTKWave and sigrok-cli open."""

from __future__ import annotations

import io
import re
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import starmap
from typing import Any

from bridge import __version__
from bridge.extras import missing
from bridge.recording.model import (
    CUT_OFF,
    UNKNOWN,
    Header,
    Recording,
    Wave,
    count_lost,
    lost_in,
    lost_text,
)
from bridge.recording.text_file import TextFile
from bridge.shim.recording import Words

__all__ = ["Writer", "read"]

_LETTERS = "01x"
_UNITS_NS = {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1, "ps": 1e-3, "fs": 1e-6}
_TRIGGER = re.compile(r"trigger at #(\d+)")


def _library() -> tuple[Any, Any]:
    try:
        from vcd import reader, writer
    except ImportError:
        raise missing("recordings as VCD", "pyvcd") from None
    return writer, reader


class Writer(TextFile):
    """A file as it is recorded: pyvcd makes its header, with names and identifiers.

    Changes are formatted by the shim: VCDWriter.change() takes about 10 us on a slow core, and
    500,000 edges a second leave 2.
    """

    def __init__(self, path: str | None, header: Header, levels: list[int]) -> None:
        """Begin a file; see `bridge.recording.formats.writer`."""
        library, _ = _library()
        super().__init__(path)
        self._notes: list[str] = []
        self._lost: Counter[str] = Counter()
        names = _names(header)
        self._names = dict(zip((signal.name for signal in header.signals), names, strict=True))
        text = io.StringIO()
        lines = [f"{signal.name}: {signal.about}" for signal in header.signals if signal.about]
        maker = library.VCDWriter(
            text,
            timescale="1 ns",
            date=header.zero_utc,
            version=f"gpio-bridge record {__version__}",
            comment="\n".join([*header.notes, *lines]),
        )
        # One scope for all: viewers show the names of the lines, and nothing before them.
        variables = [
            maker.register_var("lines", name, "wire", size=1, init=_LETTERS[level])
            for name, level in zip(names, levels, strict=True)
        ]
        maker.flush()
        # By code: it has two bits for the level.
        self._text = Words(
            b"#",
            [
                f"\n{letter}{variable.ident}\n".encode()
                for variable in variables
                for letter in (*_LETTERS, "x")
            ],
        )
        self.put(text.getvalue().encode())

    def write(self, times: Sequence[int], codes: Sequence[int], zero: int = 0) -> None:
        """Write changes."""
        for block in self._text.blocks(times, codes, zero):
            self.put(block)

    def note(self, time: int, text: str) -> None:
        """Remember it for the end: libsigrok 0.5.2 skips all that follows a comment."""
        lost = lost_in(text)
        if lost:
            name, number = lost
            self._lost[self._names.get(name, name)] += number
        else:
            self._notes.append(f"{text} at #{time}")

    def close(self, time: int, notes: list[str]) -> None:
        """Write the time of the end, up to which viewers show the last levels."""
        self.put(f"#{time}\n".encode())
        for text in [*self._notes, *starmap(lost_text, self._lost.items()), *notes]:
            self.put(f"$comment\n{text}\n$end\n".encode())
        self.end()


def _names(header: Header) -> list[str]:
    """Names without blanks and brackets, which VCD has for something else; still unique."""
    names: list[str] = []
    for signal in header.signals:
        name = re.sub(r"[\s\[\]$]", "_", signal.name)
        while name in names:
            name += "_"
        names.append(name)
    return names


def read(path: str) -> Recording:
    """Read a file; a bus of several bits becomes a wave for each bit."""
    _, library = _library()
    if path == "-":
        return _Reader(library).read(io.BytesIO(sys.stdin.buffer.read()), "standard input")
    with open(path, "rb") as file:
        return _Reader(library).read(file, path)


class _Reader:
    """The tokens of pyvcd, as waves."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._waves: list[Wave] = []
        self._notes: list[str] = []
        self._trigger: int | None = None
        self._bits: dict[str, list[list[Wave]]] = {}  # by identifier: the waves of each bit
        self._scale = 1.0
        self._first: int | None = None
        self._now = 0

    def read(self, stream: Any, what: str) -> Recording:
        """Return the recording. Raises ValueError."""
        try:
            for token in self._library.tokenize(stream):
                self._take(token)
        except (self._library.VCDParseError, ValueError, IndexError) as error:
            # What was being written when its writer died ends in the middle of a word.
            if not self._waves or not _at_end(stream):
                raise ValueError(f"{what} is no VCD: {error}") from None
            self._notes.append(CUT_OFF)
        if not self._waves:
            raise ValueError(f"{what} has no signals: is it a VCD?")
        return Recording(self._waves, self._now, self._notes, self._trigger)

    def _take(self, token: Any) -> None:
        kinds = self._library.TokenKind
        if token.kind is kinds.CHANGE_TIME:
            time = round(token.time_change * self._scale)
            # A trace cut out of a longer one begins at its first time.
            self._first = time if self._first is None else self._first
            self._now = max(self._now, time - self._first)
        elif token.kind is kinds.CHANGE_SCALAR:
            self._change(token.scalar_change.id_code, token.scalar_change.value)
        elif token.kind is kinds.CHANGE_VECTOR:
            value = token.vector_change.value
            bits = f"{value:b}" if isinstance(value, int) else value
            self._change(token.vector_change.id_code, bits)
        elif token.kind is kinds.VAR:
            self._declare(token.var)
        elif token.kind is kinds.TIMESCALE:
            scale = token.timescale
            self._scale = scale.magnitude * _UNITS_NS[scale.unit.value]
        elif token.kind is kinds.COMMENT:
            self._comment(token.comment)

    def _declare(self, variable: Any) -> None:
        if variable.type_.value in ("real", "realtime", "string", "event") or variable.size > 64:
            return
        size = variable.size
        names = [variable.ref_str]
        if size > 1:
            names = [f"{variable.reference}[{bit}]" for bit in reversed(range(size))]
        made = [Wave(name) for name in names]
        self._waves += made
        self._bits.setdefault(variable.id_code, []).append(made)

    def _change(self, id_code: str, value: str) -> None:
        for waves in self._bits.get(id_code, ()):
            filler = "0" if value[:1] in "01" else value[:1]
            for wave, letter in zip(waves, value.rjust(len(waves), filler), strict=False):
                wave.change(self._now, int(letter) if letter in "01" else UNKNOWN)

    def _comment(self, text: str) -> None:
        text = text.strip()
        trigger = _TRIGGER.fullmatch(text)
        if trigger:
            self._trigger = round(int(trigger[1]) * self._scale) - (self._first or 0)
        elif not count_lost(text, self._waves):
            self._notes += text.splitlines()


def _at_end(stream: Any) -> bool:
    return not stream.read(1)
