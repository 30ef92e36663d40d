# SPDX-License-Identifier: BSD-3-Clause
"""What the tools share: options, line ids, periods, and the text of lines and events."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, NamedTuple

from bridge import errors
from bridge.cli import reach
from bridge.cli.options import SOCKET, Choice, Failure, Option
from bridge.cli.output import print_json
from bridge.client.chip import Chip
from bridge.client.control import Connection
from bridge.client.line_info import LineInfo
from bridge.control_protocol import FIND, LINES, default_socket
from bridge.line import Bias, Clock, Direction, Drive, Edge
from bridge.text import printable

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

LINES_MAX = 64
# When a line is not found, similar names are looked for among the first lines of so many chips.
_CHIPS_SEARCHED_MAX = 64

_PERIOD = re.compile(r"(\d*)(us|ms|s|m|)", re.ASCII)
# A number that counts has fewer digits; int() refuses thousands of them.
_DIGITS_MAX = 40
# One year, since time.sleep() fails from 2^63 ns on.
_SLEEP_MAX_US = 365 * 86400 * 1_000_000
_UNITS = {"us": 1, "ms": 1000, "": 1000, "s": 1_000_000, "m": 60_000_000}


def parse_period(text: str) -> int:
    """Return a period in microseconds: digits and us, ms (the default), s or m.

    Raises Failure. The largest period is that of libgpiod, 2^63 - 1 us.
    """
    match = _PERIOD.fullmatch(text)
    if match is None or (match[2] and not match[1]):
        raise Failure(f"invalid period: {text} (digits and us, ms, s or m)")
    if len(match[1]) <= _DIGITS_MAX:
        microseconds = int(match[1] or 0) * _UNITS[match[2]]
        if microseconds < 1 << 63:
            return microseconds
    raise Failure(f"invalid period: {text} (too long)")


def parse_time_ns(text: str) -> int:
    """Return a time in nanoseconds: a number and ns, us, ms (the default) or s.

    Raises Failure.
    """
    match = re.fullmatch(r"(\d{1,15})(\.\d{1,12})?(ns|us|ms|s|)", text, re.ASCII)
    if match is None:
        raise Failure(f"invalid time: {text} (a number and ns, us, ms or s)")
    size: int = {"ns": 1, "us": 1000, "ms": 1_000_000, "": 1_000_000, "s": 1_000_000_000}[match[3]]
    fraction = match[2] or ".0"
    return int(match[1]) * size + int(fraction[1:].ljust(12, "0")) * size // 10**12


def pause(microseconds: int) -> None:
    """Sleep for a period, which may be longer than time.sleep() can."""
    import time

    while microseconds > 0:
        piece = min(microseconds, _SLEEP_MAX_US)
        time.sleep(piece / 1e6)
        microseconds -= piece


def parse_number(text: str) -> int:
    """Return a number as strtoul(3) reads it, at most INT_MAX. Raises Failure."""
    number = _unsigned(text)
    if number is None:
        raise Failure(f"invalid number: '{text}'")
    return number


def _unsigned(text: str) -> int | None:
    digits = re.fullmatch(r"[ \t\n\v\f\r]*\+?([0-9]+)", text)
    if not digits or len(digits[1]) > _DIGITS_MAX or int(digits[1]) > 0x7FFFFFFF:
        return None
    return int(digits[1])


#: Which lines are meant.
LINE_OPTIONS = (
    SOCKET,
    Option("-c --chip CHIP", "Chip of the lines: a name, SOCKET#NAME, path or URL."),
    Option("--by-name", "Take lines for names even when numeric."),
    Option("-s --strict", "Fail when a name is not unique."),
    Option("--unquoted", "Do not quote line or consumer names."),
)
BIAS = Option(
    "-b --bias BIAS",
    "pull-up, pull-down or disabled [default: as it is].",
    Choice("bias", BIASES),
    Bias.AS_IS,
)
DRIVE = Option(
    "-d --drive DRIVE",
    "push-pull (the default), open-drain or open-source.",
    Choice("drive", DRIVES),
    Drive.PUSH_PULL,
)
ACTIVE_LOW = Option("-l --active-low", "Low is active.")
BANNER = Option("--banner", "Print a line when everything is set up.")
#: How events are shown and when to end.
EVENT_OPTIONS = (
    BANNER,
    Option("-F --format FORMAT", "See above."),
    Option("--idle-timeout PERIOD", "End after a time without events.", parse_period, 0),
    Option("--localtime", "Print local time.", attribute="time", value="L"),
    Option("-n --num-events NUM", "End after NUM events.", parse_number, 0),
    Option("-q --quiet --silent", "Print no events."),
    Option("--utc", "Print UTC.", attribute="time", value="U"),
)


def consumer_option(default: str) -> Option:
    """Return --consumer."""
    return Option(
        "-C --consumer NAME",
        f"What others see as the user of the lines [default: {default}].",
        default=default,
    )


# ---- chips and lines ---------------------------------------------------------


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
        every: bool = False,
    ) -> None:
        """Find each of `ids`; `problems` says what is wrong with the others.

        With `strict` all lines of a name are found, and more than one is a problem unless `every`
        is wanted.

        Raises OSError when the service or the chip can not be reached.
        """
        self.problems: list[str] = []
        self.found: list[Line] = []
        self._chips: dict[str, Chip] = {}
        self._socket = socket
        self._connection: Connection | None = None
        self._one = reach.open_chip(chip, socket) if chip is not None else None
        self._chip_id = chip
        self._numeric = self._one is not None and not by_name
        self._strict = strict
        self._every = every
        try:
            for id in ids:
                self._find(id)
            self._find_duplicates()
        except BaseException:
            self.close()
            raise

    @classmethod
    def asked(cls, ids: Iterable[str], options: SimpleNamespace) -> Lines:
        """Find lines by the options `LINE_OPTIONS`; raises as the constructor."""
        return cls(ids, options.chip, options.socket, options.by_name, options.strict)

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
        offset = self._offset(id)
        matches = self._named(id) if offset is None or self._strict else []
        if offset is not None:
            assert self._one is not None
            own = (self._one, offset)
            matches = [own, *(match for match in matches if match != own)]
        if not matches:
            self.problems.append(self._missing(id))
        elif self._strict and len(matches) > 1:
            if not self._every:
                self.problems.append(f"line '{id}' is not unique")
            self.found += [Line(id, *match) for match in matches]
        else:
            self.found.append(Line(id, *matches[0]))

    def _offset(self, id: str) -> int | None:
        """Return the offset that an id is, None when it must be a name."""
        offset = _unsigned(id) if self._numeric else None
        if offset is None or self._one is None or offset >= self._one.get_info().num_lines:
            return None
        return offset

    def _named(self, name: str) -> list[tuple[Chip, int]]:
        """Return the lines of this name, in chip and offset order; only one unless strict."""
        if self._one is not None:
            named = [info for info in self._one.get_all_line_info() if info.name == name]
            return [(self._one, info.offset) for info in named]
        if self._connection is None:
            self._connection = Connection.open(self._socket or default_socket())
        limit = 0 if self._strict else 1
        arguments = {"name": name, "chip": None, "limit": limit, "every": self._strict}
        found = self._connection.call(FIND, **arguments)["found"]
        return [(self._chip(chip), offset) for chip, offset in found]

    def _chip(self, name: str) -> Chip:
        if name not in self._chips:
            self._chips[name] = reach.open_chip(name, self._socket or default_socket())
        return self._chips[name]

    def _missing(self, id: str) -> str:
        if self._numeric and _unsigned(id) is not None:
            assert self._one is not None
            return (
                f"offset {id} is out of range on chip '{self._chip_id}', "
                f"which has {self._one.get_info().num_lines} lines"
            )
        if self._one is None and _unsigned(id) is not None:
            return f"cannot find line '{id}' (an offset needs --chip)"
        return f"cannot find line '{id}' ({self._hint(id)})"

    def _hint(self, id: str) -> str:
        """What may be meant by an id that no line has."""
        if id.startswith("-"):
            return "options come before the lines"
        if self._one is not None:
            names = [info.name for info in self._one.get_all_line_info() if info.name]
            return errors.did_you_mean(id, names) or "gpio-bridge info shows the lines"
        assert self._connection is not None
        chips = [chip["name"] for chip in self._connection.chips()]
        if not chips:
            return "no chip is online: gpio-bridge status says why"
        if id in chips:
            return f"it is a chip: write --chip {id}, then the lines"
        return (
            errors.did_you_mean(id, self._names(chips))
            or errors.did_you_mean(id, chips)
            or "gpio-bridge info shows the lines"
        )

    def _names(self, chips: list[str]) -> list[str]:
        """The names of the lines, of so many that this takes no time."""
        assert self._connection is not None
        names: list[str] = []
        for chip in chips[:_CHIPS_SEARCHED_MAX]:
            with suppress(OSError):  # the chip went away meanwhile
                lines = self._connection.call(LINES, chip=chip)["lines"]
                names += [line["name"] for line in lines if line["name"]]
        return names

    def _find_duplicates(self) -> None:
        first: dict[tuple[Chip, int], Line] = {}
        for line in self.found:
            other = first.setdefault((line.chip, line.offset), line)
            if other is not line:
                self.problems.append(f"lines '{other.id}' and '{line.id}' are the same line")


# ---- text ----------------------------------------------------------------------


def quoted(name: str, unquoted: bool) -> str:
    """Return a name as libgpiod's tools print it."""
    name = printable(name)
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
    if info.on_release == "keep":
        words.append("on-release=keep")
    if info.used:
        words.append(f"consumer={quoted(info.consumer or 'kernel', unquoted)}")
    return " ".join(words)


def line_object(chip: str, info: LineInfo) -> dict[str, object]:
    """Return a line as --json shows it."""
    return {
        "chip": chip,
        "offset": info.offset,
        "name": info.name,
        "used": info.used,
        "consumer": info.consumer,
        "direction": "output" if info.direction is Direction.OUTPUT else "input",
        "active_low": info.active_low,
        "bias": _word(BIASES, info.bias) if info.bias in BIASES.values() else None,
        "drive": _word(DRIVES, info.drive),
        "edges": None if info.edge_detection is Edge.NONE else _word(EDGES, info.edge_detection),
        "event_clock": _word(CLOCKS, info.event_clock),
        "debounce_us": round(info.debounce_period.total_seconds() * 1_000_000),
        "on_release": info.on_release,
    }


def value_objects(values: Mapping[Line, bool]) -> dict[str, object]:
    """Return lines and their values as --json shows them."""
    return {
        "lines": [
            {
                "line": line.id,
                "chip": line.chip.get_info().name,
                "offset": line.offset,
                "value": int(active),
            }
            for line, active in values.items()
        ]
    }


def _word(words: dict[str, Any], value: object) -> str:
    return next(word for word, meaning in words.items() if meaning is value)


def _period_text(info: LineInfo) -> str:
    """Return the debounce period in the largest unit that shows it exactly."""
    microseconds = round(info.debounce_period.total_seconds() * 1_000_000)
    for unit, size in (("s", 1_000_000), ("ms", 1000)):
        if microseconds % size == 0:
            return f"{microseconds // size}{unit}"
    return f"{microseconds}us"


def timestamp(nanoseconds: int, word: str) -> str:
    """Return a time stamp: S seconds, U UTC, L local time, to the nanosecond."""
    import time

    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    if word == "S":
        return f"{seconds}.{fraction:09}"
    parts = time.gmtime(seconds) if word == "U" else time.localtime(seconds)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', parts)}.{fraction:09}{'Z' if word == 'U' else ''}"


def place(chip: str, offset: int, name: str | None, chip_given: bool, unquoted: bool) -> str:
    """Return a line as the event tools print it."""
    if not name:
        return f"{chip} {offset}"
    text = quoted(name, unquoted)
    return f"{chip} {offset} {text}" if chip_given else text


def fill(template: str, fields: Mapping[str, Callable[[], str]]) -> str:
    """Return a --format text: %x is replaced by fields["x"](), unknown ones stay."""

    def field(match: re.Match[str]) -> str:
        return printable(fields[match[1]]()) if match[1] in fields else match[0]

    return re.sub("%(.)", field, template, flags=re.DOTALL)


def gone(chip: str) -> str:
    """Say that a chip went away while it was used."""
    return f"chip {chip} is gone: its firmware went away, or the service ended"


def print_banner(verb: str, ids: list[str], as_json: bool = False) -> None:
    """Print the --banner line, which says that everything is set up."""
    if as_json:
        print_json({"event": "ready", "lines": ids})
    else:
        print(_banner(verb, ids), flush=True)


def _banner(verb: str, ids: list[str]) -> str:
    names = [f"'{id}'" for id in ids]
    if len(names) == 1:
        return f"{verb} line {names[0]}..."
    return f"{verb} lines {', '.join(names[:-1])}, and {names[-1]}..."
