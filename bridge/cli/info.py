# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge info: show lines and who uses them, in gpioinfo's words."""

from __future__ import annotations

from types import SimpleNamespace

from bridge.cli import common, reach
from bridge.cli.options import JSON, Command
from bridge.cli.output import complain, print_json, sentence
from bridge.client.chip import Chip, list_chips
from bridge.client.line_info import LineInfo

# gpioinfo's columns: a name of up to 14 characters, quoted, fills 16.
_NAME_WIDTH = 16

COMMAND = Command(
    "info",
    "[LINE]...",
    "Show lines: name, direction, settings, consumer. Without LINE, all of them.",
    """
gpio-bridge info                     every line of every chip
gpio-bridge info -c fw-0             every line of a chip
gpio-bridge info LED_GREEN           a line by name, on any chip
gpio-bridge info -c fw-0 3 4         lines by offset
gpio-bridge info --strict RESET      every line of that name
gpio-bridge info --json              chips, each with its lines
""",
    [JSON, *common.LINE_OPTIONS],
)


def main(arguments: list[str]) -> int:
    """Run the tool; return its exit status."""
    options, lines = COMMAND.parse(arguments)
    if lines:
        where = (options.chip, options.socket, options.by_name, options.strict)
        found = common.Lines(lines, *where, every=True)
        return _show_lines(found, len(lines), options)
    if options.chip is not None:
        with reach.open_chip(options.chip, options.socket) as chip:
            _show(chip, options)
        return 0
    return _show_chips(options)


def _show_chips(options: SimpleNamespace) -> int:
    status = 0
    chips = []
    for each in list_chips(options.socket):
        try:
            with reach.open_chip(each.name, options.socket) as chip:
                about = _chip_object(chip) if options.json else _chip_text(chip, options.unquoted)
        except OSError as error:  # the chip went away while we looked at those before it
            complain(f"gpio-bridge info: unable to open chip '{each.name}': {sentence(error)}")
            status = 1
        else:
            chips.append(about)
    if options.json:
        print_json({"chips": chips})
    else:
        print(*chips, sep="\n", end="\n" if chips else "")
    return status


def _show(chip: Chip, options: SimpleNamespace) -> None:
    if options.json:
        print_json({"chips": [_chip_object(chip)]})
    else:
        print(_chip_text(chip, options.unquoted))


def _show_lines(found: common.Lines, wanted: int, options: SimpleNamespace) -> int:
    """Print lines in the order of the chips, not of the command line."""
    shown = {(line.chip.get_info().name, line.offset): line.chip for line in found.found}
    lines = []
    for (name, offset), owner in sorted(shown.items(), key=lambda item: _order(item[0])):
        line = owner.get_line_info(offset)
        lines.append((name, line))
    if options.json:
        print_json({"lines": [common.line_object(name, line) for name, line in lines]})
    else:
        for name, line in lines:
            print(f"{name} {line.offset}\t{_columns(line, options.unquoted)}")
    found.close()
    failed = found.report("info")
    return 1 if failed or len(shown) != wanted else 0


def _chip_text(chip: Chip, unquoted: bool) -> str:
    about = chip.get_info()
    lines = [
        f"\tline {line.offset:3}:\t{_columns(line, unquoted)}" for line in chip.get_all_line_info()
    ]
    return "\n".join([f"{about.name} - {about.num_lines} lines:", *lines])


def _chip_object(chip: Chip) -> dict[str, object]:
    about = chip.get_info()
    return {
        "name": about.name,
        "label": about.label,
        "num_lines": about.num_lines,
        "lines": [common.line_object(about.name, line) for line in chip.get_all_line_info()],
    }


def _columns(line: LineInfo, unquoted: bool) -> str:
    name = common.quoted(line.name, unquoted) if line.name else "unnamed"
    return f"{name:{_NAME_WIDTH}}\t{common.attributes(line, unquoted)}"


def _order(place: tuple[str, int]) -> tuple[str, int, int]:
    """Chips in version order: the number behind the last dash counts as a number."""
    base, _, index = place[0].rpartition("-")
    return (base, int(index) if index.isascii() and index.isdigit() else -1, place[1])
