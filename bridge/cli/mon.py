# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge mon: print edge events, in gpiomon's words."""

from __future__ import annotations

import re
import select
import time
from datetime import timedelta

import click

from bridge.cli import common
from bridge.cli.main import sentence
from bridge.client.chip import Chip
from bridge.client.edge_event import EdgeEvent
from bridge.client.line_request import LineRequest
from bridge.client.line_settings import LineSettings
from bridge.line import Bias, Clock, Edge

_DEBOUNCE_MAX_US = 0xFFFFFFFF
_READ_MAX = 32


@click.command(context_settings=common.CONTEXT)
@click.option("--banner", is_flag=True, help="Print a line when all lines are monitored.")
@common.active_low_option
@common.bias_option
@common.consumer_option("gpio-bridge mon")
@click.option(
    "-e", "--edges", metavar="EDGES", default="both", show_default=True,
    callback=common.choice("edges", common.EDGES), help="falling, rising or both.",
)  # fmt: skip
@click.option(
    "-E", "--event-clock", metavar="CLOCK", callback=common.choice("event clock", common.CLOCKS),
    help="monotonic (the default), realtime or hte.",
)  # fmt: skip
@click.option("-F", "--format", "template", metavar="FORMAT", help="See below.")
@click.option(
    "--idle-timeout",
    metavar="PERIOD",
    callback=common.period,
    help="End after a time without events.",
)
@click.option("-I", "--initial-state", is_flag=True, help="First print the values.")
@click.option("--localtime", is_flag=True, help="Print local time.")
@click.option(
    "-n", "--num-events", metavar="NUM", type=int, default=0, help="End after NUM events."
)
@click.option("-N", "--numeric", is_flag=True, help="Print the initial state as 0 and 1.")
@click.option(
    "-p", "--debounce-period", metavar="PERIOD", callback=common.period,
    help="Drop pulses that are shorter.",
)  # fmt: skip
@click.option("-q", "--quiet", "--silent", is_flag=True, help="Print no events.")
@click.option("--utc", is_flag=True, help="Print UTC.")
@common.line_options
@click.argument("lines", nargs=-1, metavar="LINE...")
def mon(
    socket: str | None,
    chip: str | None,
    by_name: bool,
    strict: bool,
    unquoted: bool,
    banner: bool,
    active_low: bool,
    bias: Bias | None,
    consumer: str,
    edges: Edge,
    event_clock: Clock | None,
    template: str | None,
    idle_timeout: int | None,
    initial_state: bool,
    localtime: bool,
    num_events: int,
    numeric: bool,
    debounce_period: int | None,
    quiet: bool,
    utc: bool,
    lines: tuple[str, ...],
) -> int:
    """Print the edges of lines as they come: time, edge, line.

    \b
      gpio-bridge mon BUTTON_USER
      gpio-bridge mon --num-events 2 --edges rising -c fw-0 5 6
      gpio-bridge mon --utc --bias pull-up --active-low BUTTON_USER
      gpio-bridge mon --format '%S %e %c/%o' BUTTON_USER

    \b
    FORMAT:  %o offset   %l name   %c chip   %e 1 rising, 2 falling   %E the word
             %S seconds  %U UTC    %L local time                      %% a percent sign
    """
    common.signals_as_usual()
    if not lines:
        raise click.UsageError("at least one GPIO line must be specified")
    if num_events < 0:
        raise click.BadParameter(f"invalid number: '{num_events}'")
    if (debounce_period or 0) > _DEBOUNCE_MAX_US:
        raise click.BadParameter(
            f"maximum debounce period is {_DEBOUNCE_MAX_US}us, got {debounce_period}us"
        )
    time_word = "U" if utc else "L" if localtime else None
    if event_clock is None:
        event_clock = Clock.REALTIME if time_word else Clock.MONOTONIC
    elif event_clock is Clock.REALTIME and time_word is None:
        time_word = "U"
    found = common.Lines(lines, chip, socket, by_name, strict)
    if found.report("mon"):
        return 1
    settings = LineSettings(
        edge_detection=edges,
        bias=bias or Bias.AS_IS,
        active_low=active_low,
        debounce_period=timedelta(microseconds=debounce_period or 0),
        event_clock=event_clock,
    )
    monitors = [
        _Monitor(owner, group, settings, consumer, chip is not None, unquoted)
        for owner, group in found.by_chip()
    ]
    if initial_state:
        for monitor in monitors:
            pairs = [
                (line.id, bool(value))
                for line, value in zip(monitor.lines, monitor.request.get_values(), strict=True)
            ]
            print(common.value_words(pairs, unquoted, numeric), flush=True)
    if banner:
        print(common.banner("Monitoring", [line.id for line in found.found]), flush=True)
    _watch(
        {monitor.request.fd: monitor for monitor in monitors},
        None if not idle_timeout else -(-idle_timeout // 1000),
        num_events,
        template,
        time_word or "S",
        quiet,
    )
    for monitor in monitors:
        monitor.request.release()
    found.close()
    return 0


class _Monitor:
    """The lines of one chip, requested, and the text of their events."""

    def __init__(
        self,
        owner: Chip,
        lines: list[common.Line],
        settings: LineSettings,
        consumer: str,
        chip_given: bool,
        unquoted: bool,
    ) -> None:
        self.lines = lines
        self.chip_name = owner.get_info().name
        self._unquoted = unquoted
        self._chip_given = chip_given
        self.names = {line.offset: owner.get_line_info(line.offset).name for line in lines}
        try:
            self.request: LineRequest = owner.request_lines({tuple(self.names): settings}, consumer)
        except (OSError, ValueError, NotImplementedError) as error:
            raise click.ClickException(
                f"unable to request lines on chip {owner.path}: {sentence(error)}"
            ) from None

    def line_text(self, offset: int) -> str:
        """Return the line's id as gpiomon prints it."""
        name = self.names[offset]
        place = f"{self.chip_name} {offset}"
        if not name:
            return place
        text = common.quoted(name, self._unquoted)
        return f"{place} {text}" if self._chip_given else text


def _watch(
    monitors: dict[int, _Monitor],
    idle_ms: int | None,
    num_events: int,
    template: str | None,
    time_word: str,
    quiet: bool,
) -> None:
    """Print events until `num_events` were seen or `idle_ms` passed without one."""
    poller = select.poll()
    for fd in monitors:
        poller.register(fd, select.POLLIN)
    seen = 0
    while True:
        ready = poller.poll(idle_ms)
        if not ready:
            return
        for fd, _ in ready:
            monitor = monitors[fd]
            wanted = min(_READ_MAX, num_events - seen) if num_events else _READ_MAX
            try:
                events = monitor.request.read_edge_events(wanted)
            except OSError as error:
                raise click.ClickException(
                    f"error reading line events: {sentence(error)}"
                ) from None
            seen += len(events)
            if not quiet:
                text = (_text(event, monitor, template, time_word) for event in events)
                print("\n".join(text), flush=True)
            if num_events and seen >= num_events:
                return


_WORDS = {
    EdgeEvent.Type.RISING_EDGE: "rising",
    EdgeEvent.Type.FALLING_EDGE: "falling",
}


def _text(event: EdgeEvent, monitor: _Monitor, template: str | None, time_word: str) -> str:
    if template is None:
        stamp = _time(event.timestamp_ns, time_word)
        return f"{stamp}\t{_WORDS[event.event_type]}\t{monitor.line_text(event.line_offset)}"

    def field(match: re.Match[str]) -> str:
        word = match[1]
        if word in "SUL":
            return _time(event.timestamp_ns, word)
        return {
            "o": str(event.line_offset),
            "l": monitor.names[event.line_offset] or "unnamed",
            "c": monitor.chip_name,
            "e": str(event.event_type.value),
            "E": _WORDS[event.event_type],
            "%": "%",
        }[word]

    return re.sub("%([olceESUL%])", field, template)


def _time(timestamp_ns: int, word: str) -> str:
    """Return a time stamp: S seconds, U UTC, L local time, to the nanosecond."""
    seconds, fraction = divmod(timestamp_ns, 1_000_000_000)
    if word == "S":
        return f"{seconds}.{fraction:09}"
    parts = time.gmtime(seconds) if word == "U" else time.localtime(seconds)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', parts)}.{fraction:09}{'Z' if word == 'U' else ''}"
