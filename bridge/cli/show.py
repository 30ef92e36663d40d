# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge show: the waveform of a recording, and what its lines did."""

from __future__ import annotations

import os
import shutil
import sys
from itertools import pairwise
from types import SimpleNamespace

from bridge.cli import common
from bridge.cli.options import JSON, Choice, Command, Failure, Option
from bridge.cli.output import print_json
from bridge.errors import did_you_mean
from bridge.recording import formats, picture
from bridge.recording.model import Recording, Wave
from bridge.recording.statistics import Statistics, statistics_of
from bridge.text import printable

_COLUMNS_MIN = 20


COMMAND = Command(
    "show",
    "FILE [LINE]...",
    "Show a recording: its waveform, and edges, frequency, duty and pulses of each line.",
    """
gpio-bridge show boot.vcd
gpio-bridge show --from 10ms --to 12.5ms boot.vcd SENSOR_IRQ       look closer
gpio-bridge show --mark 10.2ms,11ms boot.vcd                       levels there, time between
gpio-bridge show --json boot.vcd
gpio-bridge show -o boot.svg --from trigger boot.vcd               for a report; also .png

T is a number and ns, us, ms (without a unit) or s, from the recording's begin; or `trigger`.
In the waveform | is an edge, # several of them, x an unknown level.
""",
    [
        Option("--from T", "Where to begin.", str),
        Option("--to T", "Where to end.", str),
        Option("-m --mark T[,T]...", "Mark these times: their levels, and the time between.", str),
        Option("-w --width COLUMNS", "Width of the output.", common.parse_number, 0),
        Option("--ascii", "Draw with letters only."),
        Option("-o --output FILE", "Write a picture instead: .svg or .png."),
        Option(
            "-f --format FORMAT",
            "vcd, csv, sr or jsonl [default: as FILE ends].",
            Choice("format", {word: word for word in formats.FORMATS}),
        ),
        JSON,
    ],
)


def main(arguments: list[str]) -> int:
    """Run the tool; return its exit status."""
    options, words = COMMAND.parse(arguments)
    if not words:
        raise Failure("the file of a recording must be given")
    recording = formats.read(words[0], options.format)
    waves = _waves(recording, words[1:])
    begin = _time(getattr(options, "from"), recording, 0)
    end = _time(options.to, recording, recording.end)
    if not begin < end:
        raise Failure(
            f"nothing to show from {picture.time_text(begin)} to {picture.time_text(end)}: "
            f"the recording ends at {picture.time_text(recording.end)}"
        )
    marks = [
        _time(word, recording, 0) for word in (options.mark.split(",") if options.mark else ())
    ]
    figures = [statistics_of(wave, begin, end) for wave in waves]
    if options.output is not None:
        if os.path.splitext(options.output)[1] not in (".svg", ".png"):
            raise Failure(f"{options.output}: a picture's name ends with .svg or .png")
        picture.plot(options.output, waves, begin, end, marks, os.path.basename(words[0]))
    elif options.json:
        print_json(_object(recording, figures, waves, marks, begin, end))
    else:
        _print(recording, figures, waves, marks, begin, end, options)
    return 0


def _waves(recording: Recording, names: list[str]) -> list[Wave]:
    """The waves of these names, or all. Raises Failure."""
    known = [wave.name for wave in recording.waves]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
            raise Failure(f"no line {name} in this recording; {hint}")
    return [recording.wave(name) for name in names] or recording.waves


def _time(text: str | None, recording: Recording, default: int) -> int:
    if text is None:
        return default
    if text == "trigger":
        if recording.trigger is None:
            raise Failure("this recording has no trigger")
        return recording.trigger
    return common.parse_time_ns(text)


def _object(
    recording: Recording,
    figures: list[Statistics],
    waves: list[Wave],
    marks: list[int],
    begin: int,
    end: int,
) -> dict[str, object]:
    levels = [0, 1, None]
    return {
        "begin_ns": begin,
        "end_ns": end,
        "trigger_ns": recording.trigger,
        "lines": [figure.as_object() for figure in figures],
        "marks": [
            {"ns": mark, "levels": {wave.name: levels[wave.level_at(mark)] for wave in waves}}
            for mark in marks
        ],
        "notes": recording.notes,
    }


def _print(
    recording: Recording,
    figures: list[Statistics],
    waves: list[Wave],
    marks: list[int],
    begin: int,
    end: int,
    options: SimpleNamespace,
) -> None:
    """Print waveform, marks and figures."""
    width = options.width or shutil.get_terminal_size().columns
    names = [printable(wave.name) for wave in waves]
    label = max(map(len, names))
    columns = max(_COLUMNS_MIN, width - label - 1)
    plain = options.ascii or not _prints(picture.UNICODE)
    signs = picture.ASCII if plain else picture.UNICODE
    print(" " * label, picture.axis(begin, end, columns))
    for name, wave in zip(names, waves, strict=True):
        print(f"{name:>{label}}", picture.row(wave, begin, end, columns, signs))
    shown = [mark for mark in marks if begin <= mark <= end]
    if shown:
        pointers = [" "] * columns
        for mark in shown:
            pointers[min(columns - 1, (mark - begin) * columns // (end - begin))] = "^"
        print(" " * label, "".join(pointers).rstrip())
    for mark in marks:
        levels = " ".join(
            f"{name}={'01x'[wave.level_at(mark)]}" for name, wave in zip(names, waves, strict=True)
        )
        print(f"mark {picture.time_text(mark)}: {levels}")
    for one, other in pairwise(marks):
        apart = abs(other - one)
        rate = f", {_frequency(1e9 / apart)}" if apart else ""
        print(f"between marks: {picture.time_text(apart)}{rate}")
    if recording.trigger is not None:
        print(f"trigger: {picture.time_text(recording.trigger)}")
    _print_figures(names, figures)
    for note in recording.notes:
        print(printable(note))


def _prints(signs: picture.Marks) -> bool:
    try:
        "".join(signs).encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _print_figures(names: list[str], figures: list[Statistics]) -> None:
    """Print a table of what each line did."""
    rows: list[tuple[str, ...]] = [
        ("line", "edges", "lost", "frequency", "duty", "high min", "max", "low min", "max")
    ]
    for name, figure in zip(names, figures, strict=True):
        pulses = (figure.high_min_ns, figure.high_max_ns, figure.low_min_ns, figure.low_max_ns)
        rows.append(
            (
                name,
                str(figure.edges),
                str(figure.lost),
                "-" if figure.frequency_hz is None else _frequency(figure.frequency_hz),
                "-" if figure.duty is None else f"{100 * figure.duty:.3g}%",
                *("-" if pulse is None else picture.time_text(pulse) for pulse in pulses),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        rest = [word.rjust(width) for word, width in zip(row[1:], widths[1:], strict=True)]
        print("  ".join([row[0].ljust(widths[0]), *rest]))


def _frequency(hz: float) -> str:
    for size, unit in ((1e6, "MHz"), (1e3, "kHz")):
        if hz >= size:
            return f"{hz / size:.4g} {unit}"
    return f"{hz:.4g} Hz"
