# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge notify: print changes of lines, in gpionotify's words."""

from __future__ import annotations

import errno
import json
import time
from types import SimpleNamespace

from bridge.cli import common, events
from bridge.cli.options import Choice, Command, Failure, Option
from bridge.cli.output import sentence
from bridge.client.chip import Chip
from bridge.client.info_event import InfoEvent

_WORDS = {
    InfoEvent.Type.LINE_REQUESTED: "requested",
    InfoEvent.Type.LINE_RELEASED: "released",
    InfoEvent.Type.LINE_CONFIG_CHANGED: "reconfigured",
}
_TYPES = {word: kind for kind, word in _WORDS.items()}

COMMAND = Command(
    "notify",
    "LINE...",
    "Print who requests, reconfigures and releases lines: time, event, line.",
    """
gpio-bridge notify LED_GREEN
gpio-bridge notify --event requested --num-events 1 -c fw-0 5 6
gpio-bridge notify --json LED_GREEN
gpio-bridge notify --format '%U %E %l %C %a' LED_GREEN

FORMAT:  %o offset   %l name   %c chip   %C consumer   %a attributes
         %e 1 requested, 2 released, 3 reconfigured    %E the word
         %S seconds  %U UTC    %L local time           %% a percent sign
""",
    [
        Option(
            "-e --event EVENT",
            "requested, released or reconfigured [default: all].",
            Choice("edge", _TYPES),
        ),
        Option("--json", "Print each event as a JSON object on a line."),
        *common.EVENT_OPTIONS,
        *common.LINE_OPTIONS,
    ],
)


def main(arguments: list[str]) -> int:
    """Run the tool; return its exit status."""
    options, lines = COMMAND.parse(arguments)
    events.check_lines(lines)
    found = common.Lines.asked(lines, options)
    if found.report("notify"):
        return 1
    for line in found.found:
        try:
            line.chip.watch_line_info(line.offset)
        except OSError as error:
            raise Failure(f"unable to watch line on chip: {sentence(error)}") from None
    if options.banner:
        common.print_banner("Watching", lines, options.json)

    def take(chip: Chip, limit: int) -> tuple[int, list[str]]:
        try:
            event = chip.read_info_event()
        except OSError as error:
            gone = error.errno == errno.ENODEV
            why = common.gone(chip.get_info().name) if gone else sentence(error)
            raise Failure(f"unable to retrieve chip event: {why}") from None
        if options.event not in (None, event.event_type):
            return 0, []
        return 1, [] if options.quiet else [_text(event, chip.get_info().name, options)]

    sources = {owner.fd: owner for owner, _ in found.by_chip()}
    events.follow(sources, take, options.idle_timeout, options.num_events)
    found.close()
    return 0


def _text(event: InfoEvent, chip: str, options: SimpleNamespace) -> str:
    info = event.line_info
    if options.json:
        word = _WORDS[event.event_type]
        about = {"timestamp_ns": event.timestamp_ns, "event": word}
        return json.dumps(about | common.line_object(chip, info))
    if options.format is None:
        word = options.time or "S"
        given = options.chip is not None
        line = common.place(chip, info.offset, info.name, given, options.unquoted)
        return f"{_stamp(event, word)}\t{_WORDS[event.event_type]}\t{line}"
    return common.fill(
        options.format,
        {
            "o": lambda: str(info.offset),
            "l": lambda: info.name or "unnamed",
            "c": lambda: chip,
            "C": lambda: (info.consumer or "kernel") if info.used else "unused",
            "a": lambda: common.attributes(info, options.unquoted),
            "e": lambda: str(event.event_type.value),
            "E": lambda: _WORDS[event.event_type],
            "S": lambda: _stamp(event, "S"),
            "U": lambda: _stamp(event, "U"),
            "L": lambda: _stamp(event, "L"),
            "%": lambda: "%",
        },
    )


def _stamp(event: InfoEvent, word: str) -> str:
    """Return the time of an event; its monotonic clock is compared with the real one now."""
    real = 0 if word == "S" else time.time_ns() - time.monotonic_ns()
    return common.timestamp(event.timestamp_ns + real, word)
