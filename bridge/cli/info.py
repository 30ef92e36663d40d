# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge info: show lines and who uses them, in gpioinfo's words."""

from __future__ import annotations

import click

from bridge.cli import common
from bridge.client.chip import Chip, list_chips
from bridge.client.line_info import LineInfo

# gpioinfo's columns: a name of up to 14 characters, quoted, fills 16.
_NAME_WIDTH = 16


@click.command(context_settings=common.CONTEXT)
@common.line_options
@click.argument("lines", nargs=-1, metavar="[LINE]...")
def info(
    socket: str | None,
    chip: str | None,
    by_name: bool,
    strict: bool,
    unquoted: bool,
    lines: tuple[str, ...],
) -> int:
    """Show lines: name, direction, settings, consumer. Without LINE, all of them.

    \b
      gpio-bridge info                     every line of every chip
      gpio-bridge info -c fw-0             every line of a chip
      gpio-bridge info LED_GREEN           a line by name, on any chip
      gpio-bridge info -c fw-0 3 4         lines by offset
    """
    common.signals_as_usual()
    if not lines:
        names = [chip] if chip is not None else [each.name for each in list_chips(socket)]
        for name in names:
            with common.open_chip(name, socket) as opened:
                _print_chip(opened, unquoted)
        return 0
    found = common.Lines(lines, chip, socket, by_name, strict)
    shown = {(line.chip.get_info().name, line.offset): line.chip for line in found.found}
    for (name, offset), owner in sorted(shown.items(), key=lambda item: _order(item[0])):
        line = owner.get_line_info(offset)
        print(f"{name} {offset}\t{_name(line, unquoted)}\t{common.attributes(line, unquoted)}")
    found.close()
    failed = found.report("info")
    return 1 if failed or len(shown) != len(lines) else 0


def _print_chip(chip: Chip, unquoted: bool) -> None:
    about = chip.get_info()
    print(f"{about.name} - {about.num_lines} lines:")
    for line in chip.get_all_line_info():
        print(
            f"\tline {line.offset:3}:\t{_name(line, unquoted):{_NAME_WIDTH}}"
            f"\t{common.attributes(line, unquoted)}"
        )


def _name(line: LineInfo, unquoted: bool) -> str:
    return common.quoted(line.name, unquoted) if line.name else "unnamed"


def _order(place: tuple[str, int]) -> tuple[str, int, int]:
    """Chips in version order: the number behind the last dash counts as a number."""
    base, _, index = place[0].rpartition("-")
    return (base, int(index) if index.isdigit() else -1, place[1])
