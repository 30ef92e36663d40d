# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge replay: play a recording as stimulus on the board of a firmware stub."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from bridge.cli.options import Choice, Command, Failure, Option
from bridge.cli.output import complain
from bridge.errors import did_you_mean
from bridge.recording import formats, picture
from bridge.recording.model import Recording
from bridge.recording.play import OnBoard, play


def _speed(text: str) -> float:
    """Return how many times faster; 0 for max. Raises Failure."""
    if text == "max":
        return 0.0
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 1e-6 <= speed <= 1e6:
        raise Failure(f"invalid speed: {text} (such as 1, 10 or 0.1, or max)")
    return speed


COMMAND = Command(
    "replay",
    "FILE [LINE[=SIGNAL]]...",
    "Play a recording on the pins of a stub's board, as what happens outside of the chip.",
    """
gpio-bridge replay --stub /tmp/fw.sock field.vcd                    as it was recorded
gpio-bridge replay --stub /tmp/fw.sock --speed max field.vcd        as fast as it goes
gpio-bridge replay --stub /tmp/fw.sock --step field.vcd SENSOR_IRQ  a change for each Enter
gpio-bridge replay --stub /tmp/fw.sock others.vcd SENSOR_IRQ=D3     its D3 is our SENSOR_IRQ

Without LINE all signals are played. A board whose time stands still (python -m firmware_stub
--step) is moved on by exactly the recorded times. At the end the pins are let go.
""",
    [
        Option("--stub PATH", "The vhost-user socket of the stub."),
        Option("--speed NUM", "So many times faster; max does not wait.", _speed, 1.0),
        Option("--step", "Wait for Enter before each change."),
        Option(
            "-f --format FORMAT",
            "vcd, csv, sr or jsonl [default: as FILE ends].",
            Choice("format", {word: word for word in formats.FORMATS}),
        ),
        Option("-q --quiet", "Say nothing at the end."),
    ],
)


def main(arguments: list[str]) -> int:
    """Run the tool; return its exit status."""
    options, words = COMMAND.parse(arguments)
    if not words:
        raise Failure("the file of a recording must be given")
    if options.stub is None:
        raise Failure(
            "--stub PATH must say which stub's board: the socket that it was started with"
        )
    recording = formats.read(words[0], options.format)
    lines = lines_of(recording, words[1:])
    from firmware_stub import Stub

    board = OnBoard(Stub(socket=options.stub))

    def between(when: int, levels: Mapping[str, int]) -> None:
        if options.step:
            shown = " ".join(f"{line}={level}" for line, level in levels.items())
            print(f"{picture.time_text(when)}: {shown}", flush=True)
            if not sys.stdin.readline():
                raise Failure("standard input ended: nothing more is played")
        if board.stepped:
            board.move_to(when)

    try:
        waits = options.step or board.stepped
        jitter = play(recording, lines, board, options.speed, between if waits else None)
        if board.stepped:
            board.move_to(recording.end)
    finally:
        board.release()
    if not options.quiet:
        timed = options.speed and not waits
        said = jitter.text() if timed else f"{len(jitter.late_ns)} changes"
        complain(f"gpio-bridge replay: {said}")
    return 0


def lines_of(recording: Recording, words: list[str]) -> dict[str, str]:
    """Return which wave is played on which line, from LINE or LINE=SIGNAL; all without words.

    Raises Failure.
    """
    known = [wave.name for wave in recording.waves]
    if not words:
        return {name: name for name in known}
    lines: dict[str, str] = {}
    for word in words:
        line, equals, signal = word.rpartition("=")
        line, signal = (line, signal) if equals else (word, word)
        if signal not in known:
            hint = did_you_mean(signal, known) or f"there are {', '.join(known)}"
            raise Failure(f"no signal {signal} in this recording; {hint}")
        lines[signal] = line
    return lines
