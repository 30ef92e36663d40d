# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge release: give kept lines back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from bridge.cli import common, reach
from bridge.cli.options import Command, Failure
from bridge.cli.output import sentence
from bridge.client.control import Connection
from bridge.control_protocol import RELEASE, STATUS, default_socket

COMMAND = Command(
    "release",
    "LINE...",
    "Give lines back that `gpio-bridge keep` keeps.",
    """
gpio-bridge release LED_GREEN
gpio-bridge release -c fw-0 3

Lines of a chip that is not there are released, too: `gpio-bridge status` shows them. What
becomes of a pin, the service's configuration says (on_release).
""",
    [*common.LINE_OPTIONS],
)


def main(arguments: list[str]) -> int:
    """Run the tool; return its exit status."""
    options, lines = COMMAND.parse(arguments)
    if not lines:
        raise Failure("at least one GPIO line must be specified")
    lines = _released_left(lines, options)
    if not lines:
        return 0
    found = common.Lines.asked(lines, options)
    if found.report("release"):
        return 1
    for owner, group in found.by_chip():
        try:
            owner.release_lines([line.offset for line in group])
        except (OSError, ValueError, NotImplementedError) as error:
            raise Failure(f"unable to release lines: {sentence(error)}") from None
    found.close()
    return 0


def _released_left(words: list[str], options: SimpleNamespace) -> list[str]:
    """Release those that are kept for chips that are not online; return the other words."""
    socket, of = options.socket or default_socket(), None
    if options.chip is not None:
        where = reach.locate(options.chip, options.socket)
        if where.socket is None:
            return words
        socket, of = where.socket, where.chip
    connection = Connection.open(socket)
    try:
        online = {chip["name"] for chip in connection.chips()}
        left = [line for line in connection.call(STATUS)["kept"] if line["chip"] not in online]
        others = []
        for word in words:
            found = [line for line in left if _means(word, of, line)]
            for line in found:
                connection.call(RELEASE, chip=line["chip"], offsets=[line["offset"]])
            others += [] if found else [word]
        return others
    finally:
        connection.close()


def _means(word: str, chip: str | None, line: dict[str, Any]) -> bool:
    """Whether a word of the command line is this line: its name, or its offset with its chip."""
    if chip is None:
        return bool(word == line["name"])
    return line["chip"] == chip and word in (line["name"], str(line["offset"]))
