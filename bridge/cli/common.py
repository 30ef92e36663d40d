# SPDX-License-Identifier: BSD-3-Clause
"""What the verbs share: options, line ids, periods, and the text of lines and events."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import click

from bridge.client.chip import Chip
from bridge.client.control import Connection, default_socket
from bridge.client.line_info import LineInfo
from bridge.line import Bias, Clock, Direction, Drive, Edge

F = TypeVar("F", bound=Callable[..., Any])

#: libgpiod's tools stop at the first word that is no option, so that a line may be
#: called --help.
CONTEXT = {
    "help_option_names": ["-h", "--help"],
    "allow_interspersed_args": False,
    "max_content_width": 100,
}

BIASES = {
    "pull-down": Bias.PULL_DOWN,
    "pull-up": Bias.PULL_UP,
    "disabled": Bias.DISABLED,
}
DRIVES = {
    "push-pull": Drive.PUSH_PULL,
    "open-drain": Drive.OPEN_DRAIN,
    "open-source": Drive.OPEN_SOURCE,
}
EDGES = {"falling": Edge.FALLING, "rising": Edge.RISING, "both": Edge.BOTH}
CLOCKS = {"monotonic": Clock.MONOTONIC, "realtime": Clock.REALTIME, "hte": Clock.HTE}


def signals_as_usual() -> None:
    """Let SIGINT kill, as it does libgpiod's tools, instead of raising."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def choice(what: str, words: dict[str, Any]) -> Callable[..., Any]:
    """Return a click callback that maps a word of `words`, with libgpiod's message."""

    def convert(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Any:
        if value is None:
            return None
        if value not in words:
            raise click.BadParameter(f"invalid {what}: {value} (choose from {', '.join(words)})")
        return words[value]

    return convert


def period(ctx: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Click callback: a period such as 20, 20ms, 5s, in microseconds."""
    return None if value is None else parse_period(value)


_PERIOD = re.compile(r"(\d*)(us|ms|s|m|)", re.ASCII)
_UNITS = {"us": 1, "ms": 1000, "": 1000, "s": 1_000_000, "m": 60_000_000}


def parse_period(text: str) -> int:
    """Return a period in microseconds: digits and us, ms (the default), s or m.

    Raises click.BadParameter. The largest period is that of libgpiod, 2^63 - 1 us.
    """
    match = _PERIOD.fullmatch(text)
    if match is None or (match[2] and not match[1]):
        raise click.BadParameter(f"invalid period: {text} (digits and us, ms, s or m)")
    microseconds = int(match[1] or 0) * _UNITS[match[2]]
    if microseconds >= 1 << 63:
        raise click.BadParameter(f"invalid period: {text} (too long)")
    return microseconds


def socket_option(command: F) -> F:
    """Add --socket."""
    return click.option(
        "--socket",
        metavar="PATH",
        help="Control socket of the service [default: $GPIO_BRIDGE_SOCKET or "
        "/run/rpmsg-gpio-bridge/control.sock].",
    )(command)


def line_options(command: F) -> F:
    """Add the options that say which lines are meant."""
    for option in (
        click.option("--unquoted", is_flag=True, help="Do not quote line or consumer names."),
        click.option("-s", "--strict", is_flag=True, help="Fail when a name is not unique."),
        click.option("--by-name", is_flag=True, help="Take lines for names even when numeric."),
        click.option(
            "-c", "--chip", metavar="CHIP", help="Chip of the lines: a name, SOCKET#NAME or URL."
        ),
        socket_option,
    ):
        command = option(command)
    return command


def bias_option(command: F) -> F:
    """Add --bias."""
    return click.option(
        "-b",
        "--bias",
        metavar="BIAS",
        callback=choice("bias", BIASES),
        help="pull-up, pull-down or disabled [default: as it is].",
    )(command)


def active_low_option(command: F) -> F:
    """Add --active-low."""
    return click.option("-l", "--active-low", is_flag=True, help="Low is active.")(command)


def consumer_option(default: str) -> Callable[[F], F]:
    """Add --consumer."""
    return click.option(
        "-C", "--consumer", metavar="NAME", default=default, show_default=True,
        help="What others see as the user of the lines.",
    )  # fmt: skip


# ---- chips and lines ---------------------------------------------------------


def open_chip(chip: str, socket: str | None) -> Chip:
    """Open the chip of a --chip option; a bare name is looked for on --socket."""
    if socket is not None and "#" not in chip and ":" not in chip:
        chip = f"{socket}#{chip}"
    return Chip(chip)


class Line(NamedTuple):
    """A line that the user named: `id` as typed, and where it is."""

    id: str
    chip: Chip
    offset: int


class Lines:
    """The lines of a command line, found; the chips stay open until close()."""

    def __init__(
        self,
        ids: Iterable[str],
        chip: str | None,
        socket: str | None,
        by_name: bool = False,
        strict: bool = False,
    ) -> None:
        """Find each of `ids`; what was wrong with them is in `problems`.

        Raises OSError when the service or the chip can not be reached.
        """
        self.problems: list[str] = []
        self.found: list[Line] = []
        self._chips: dict[str, Chip] = {}
        self._socket = socket
        self._connection: Connection | None = None
        self._one = open_chip(chip, socket) if chip is not None else None
        self._chip_id = chip
        self._numeric = self._one is not None and not by_name
        self._strict = strict
        try:
            for id in ids:
                self._find(id)
            self._find_duplicates()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the chips; requests made on them stay."""
        for chip in {*self._chips.values(), *([self._one] if self._one else [])}:
            chip.close()
        if self._connection is not None:
            self._connection.close()

    def report(self, verb: str) -> bool:
        """Print the problems to stderr; return whether there were any."""
        for problem in self.problems:
            print(f"gpio-bridge {verb}: {problem}", file=sys.stderr)
        return bool(self.problems)

    def by_chip(self) -> list[tuple[Chip, list[Line]]]:
        """Return the lines grouped by chip, both in order of first use."""
        groups: dict[Chip, list[Line]] = {}
        for line in self.found:
            groups.setdefault(line.chip, []).append(line)
        return list(groups.items())

    def _find(self, id: str) -> None:
        matches = self._named(id) if not self._is_offset(id) or self._strict else []
        if self._is_offset(id):
            assert self._one is not None
            own = (self._one, int(id))
            matches = [own, *(match for match in matches if match != own)]
        if not matches:
            self.problems.append(self._missing(id))
        elif self._strict and len(matches) > 1:
            self.problems.append(f"line '{id}' is not unique")
            self.found += [Line(id, *match) for match in matches]
        else:
            self.found.append(Line(id, *matches[0]))

    def _is_offset(self, id: str) -> bool:
        if not self._numeric or not (id.isascii() and id.isdigit()):
            return False
        assert self._one is not None
        return int(id) < self._one.get_info().num_lines

    def _named(self, name: str) -> list[tuple[Chip, int]]:
        """Return every line of this name, in chip and offset order."""
        if self._one is not None:
            named = [info for info in self._one.get_all_line_info() if info.name == name]
            return [(self._one, info.offset) for info in named]
        if self._connection is None:
            self._connection = Connection.open(self._socket or default_socket())
        found = self._connection.call("find", name=name, chip=None)["found"]
        return [(self._chip(chip), offset) for chip, offset in found]

    def _chip(self, name: str) -> Chip:
        if name not in self._chips:
            self._chips[name] = open_chip(name, self._socket or default_socket())
        return self._chips[name]

    def _missing(self, id: str) -> str:
        if self._numeric and id.isascii() and id.isdigit():
            assert self._one is not None
            return (
                f"offset {id} is out of range on chip '{self._chip_id}', "
                f"which has {self._one.get_info().num_lines} lines"
            )
        if self._one is None and id.isascii() and id.isdigit():
            return f"cannot find line '{id}' (an offset needs --chip)"
        return f"cannot find line '{id}'"

    def _find_duplicates(self) -> None:
        first: dict[tuple[Chip, int], str] = {}
        for line in self.found:
            other = first.setdefault((line.chip, line.offset), line.id)
            if other is not line.id:
                self.problems.append(f"lines '{other}' and '{line.id}' are the same line")


# ---- text ----------------------------------------------------------------------


def quoted(name: str, unquoted: bool) -> str:
    """Return a name as libgpiod's tools print it."""
    return name if unquoted else f'"{name}"'


def value_words(pairs: Iterable[tuple[str, bool]], unquoted: bool, numeric: bool) -> str:
    """Return gpioget's output line of (id, active) pairs."""
    if numeric:
        return " ".join("1" if active else "0" for _, active in pairs)
    return " ".join(
        f"{quoted(id, unquoted)}={'active' if active else 'inactive'}" for id, active in pairs
    )


def attributes(info: LineInfo, unquoted: bool) -> str:
    """Return the attributes of a line as gpioinfo prints them."""
    words = ["output" if info.direction is Direction.OUTPUT else "input"]
    if info.active_low:
        words.append("active-low")
    if info.drive is not Drive.PUSH_PULL:
        words.append(f"drive={_word(DRIVES, info.drive)}")
    if info.bias in BIASES.values():
        words.append(f"bias={_word(BIASES, info.bias)}")
    if info.edge_detection is not Edge.NONE:
        words.append(f"edges={_word(EDGES, info.edge_detection)}")
    if info.event_clock is not Clock.MONOTONIC:
        words.append(f"event-clock={_word(CLOCKS, info.event_clock)}")
    if info.debounced:
        words.append(f"debounce-period={_period_text(info)}")
    if info.used:
        words.append(f"consumer={quoted(info.consumer or 'kernel', unquoted)}")
    return " ".join(words)


def _word(words: dict[str, Any], value: object) -> str:
    return next(word for word, meaning in words.items() if meaning is value)


def _period_text(info: LineInfo) -> str:
    """Return the debounce period in the largest unit that shows it exactly."""
    microseconds = round(info.debounce_period.total_seconds() * 1_000_000)
    for unit, size in (("s", 1_000_000), ("ms", 1000)):
        if microseconds % size == 0:
            return f"{microseconds // size}{unit}"
    return f"{microseconds}us"


def banner(verb: str, ids: list[str]) -> str:
    """Return the --banner line, which says that everything is set up."""
    names = [f"'{id}'" for id in ids]
    if len(names) == 1:
        return f"{verb} line {names[0]}..."
    return f"{verb} lines {', '.join(names[:-1])}, and {names[-1]}..."
