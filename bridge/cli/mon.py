# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge mon: print edge events, in gpiomon's words."""

from __future__ import annotations

import errno
import json
from datetime import timedelta
from types import SimpleNamespace

from bridge.cli import common, events
from bridge.cli.options import Choice, Command, Failure, Option
from bridge.cli.output import print_json, sentence
from bridge.client.chip import Chip
from bridge.client.edge_event import EdgeEvent
from bridge.client.line_request import LineRequest
from bridge.client.line_settings import LineSettings
from bridge.line import Clock, Edge

_DEBOUNCE_MAX_US = 0xFFFFFFFF
_READ_MAX = 32
_EDGE_WORDS = {1: "rising", 2: "falling"}

COMMAND = Command(
    "mon",
    "LINE...",
    "Print the edges of lines as they come: time, edge, line.",
    """
gpio-bridge mon BUTTON_USER
gpio-bridge mon --num-events 2 --edges rising -c fw-0 5 6
gpio-bridge mon --utc --bias pull-up --active-low BUTTON_USER
gpio-bridge mon --format '%S %e %c/%o' BUTTON_USER
gpio-bridge mon --json BUTTON_USER

FORMAT:  %o offset   %l name   %c chip   %e 1 rising, 2 falling   %E the word
         %S seconds  %U UTC    %L local time                      %% a percent sign
""",
    [
        common.BIAS,
        common.consumer_option("gpio-bridge mon"),
        Option(
            "-e --edges EDGES",
            "falling, rising or both (the default).",
            Choice("edges", common.EDGES),
            Edge.BOTH,
        ),
        Option(
            "-E --event-clock CLOCK",
            "monotonic (the default), realtime or hte.",
            Choice("event clock", common.CLOCKS),
        ),
        Option("--json", "Print each event as a JSON object on a line."),
        Option("-I --initial-state", "First print the values."),
        common.ACTIVE_LOW,
        Option("-N --numeric", "Print the initial state as 0 and 1."),
        Option(
            "-p --debounce-period PERIOD", "Drop pulses that are shorter.", common.parse_period, 0
        ),
        *common.EVENT_OPTIONS,
        *common.LINE_OPTIONS,
    ],
)


def main(arguments: list[str]) -> int:
    """Run the tool; return its exit status."""
    options, lines = COMMAND.parse(arguments)
    events.check_lines(lines, common.LINES_MAX)
    if options.debounce_period > _DEBOUNCE_MAX_US:
        raise Failure(
            f"maximum debounce period is {_DEBOUNCE_MAX_US}us, got {options.debounce_period}us"
        )
    clock, word = _clock(options.event_clock, options.time or None, options.format)
    found = common.Lines.asked(lines, options)
    if found.report("mon"):
        return 1
    settings = LineSettings(
        edge_detection=options.edges,
        bias=options.bias,
        active_low=options.active_low,
        debounce_period=timedelta(microseconds=options.debounce_period),
        event_clock=clock,
    )
    values = dict.fromkeys(found.found, False)
    monitors = []
    for owner, group in found.by_chip():
        monitor = _Monitor(owner, group, settings, options.consumer)
        monitors.append(monitor)
        if options.initial_state:
            # A line for each chip, as gpiomon's: lines not requested yet are inactive.
            values.update(zip(group, map(bool, monitor.request.get_values()), strict=True))
            _print_values(values, options)
    if options.banner:
        common.print_banner("Monitoring", lines, options.json)

    def take(monitor: _Monitor, limit: int) -> tuple[int, list[str]]:
        batch = monitor.read(min(limit or _READ_MAX, _READ_MAX))
        if options.quiet:
            return len(batch), []
        if options.json:
            return len(batch), [json.dumps(monitor.object(event)) for event in batch]
        if options.format is not None:
            return len(batch), [monitor.fill(options.format, event) for event in batch]
        given = options.chip is not None
        return len(batch), [monitor.text(event, word, given, options.unquoted) for event in batch]

    sources = {monitor.request.fd: monitor for monitor in monitors}
    events.follow(sources, take, options.idle_timeout, options.num_events)
    for monitor in monitors:
        monitor.request.release()
    found.close()
    return 0


def _print_values(values: dict[common.Line, bool], options: SimpleNamespace) -> None:
    if options.json:
        print_json(common.value_objects(values))
    else:
        pairs = ((line.id, value) for line, value in values.items())
        print(common.value_words(pairs, options.unquoted, options.numeric), flush=True)


def _clock(clock: Clock | None, word: str | None, template: str | None) -> tuple[Clock, str]:
    """Return the event clock and the letter of the time format, as gpiomon chooses them."""
    if clock is None:
        clock = Clock.REALTIME if word else Clock.MONOTONIC
    elif clock is Clock.REALTIME and word is None and template is None:
        word = "U"
    return clock, word or "S"


class _Monitor:
    """The lines of one chip, requested, and the text of their events."""

    def __init__(
        self, owner: Chip, lines: list[common.Line], settings: LineSettings, consumer: str
    ) -> None:
        self.chip = owner.get_info().name
        self.names = {line.offset: owner.get_line_info(line.offset).name for line in lines}
        try:
            self.request: LineRequest = owner.request_lines({tuple(self.names): settings}, consumer)
        except (OSError, ValueError, NotImplementedError) as error:
            raise Failure(
                f"unable to request lines on chip {owner.path}: {sentence(error)}"
            ) from None

    def read(self, limit: int) -> list[EdgeEvent]:
        """Return the events that wait, at most `limit`. Raises Failure."""
        try:
            return self.request.read_edge_events(limit)
        except OSError as error:
            why = common.gone(self.chip) if error.errno == errno.ENODEV else sentence(error)
            raise Failure(f"error reading line events: {why}") from None

    def text(self, event: EdgeEvent, word: str, chip_given: bool, unquoted: bool) -> str:
        """Return the default line of an event."""
        offset = event.line_offset
        line = common.place(self.chip, offset, self.names[offset], chip_given, unquoted)
        stamp = common.timestamp(event.timestamp_ns, word)
        return f"{stamp}\t{_EDGE_WORDS[event.event_type.value]}\t{line}"

    def object(self, event: EdgeEvent) -> dict[str, object]:
        """Return an event as --json shows it."""
        return {
            "timestamp_ns": event.timestamp_ns,
            "event": _EDGE_WORDS[event.event_type.value],
            "chip": self.chip,
            "offset": event.line_offset,
            "name": self.names[event.line_offset],
            "line_seqno": event.line_seqno,
            "global_seqno": event.global_seqno,
        }

    def fill(self, template: str, event: EdgeEvent) -> str:
        """Return an event in the user's format."""
        return common.fill(
            template,
            {
                "o": lambda: str(event.line_offset),
                "l": lambda: self.names[event.line_offset] or "unnamed",
                "c": lambda: self.chip,
                "e": lambda: str(event.event_type.value),
                "E": lambda: _EDGE_WORDS[event.event_type.value],
                "S": lambda: common.timestamp(event.timestamp_ns, "S"),
                "U": lambda: common.timestamp(event.timestamp_ns, "U"),
                "L": lambda: common.timestamp(event.timestamp_ns, "L"),
                "%": lambda: "%",
            },
        )
