# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge detect: list the chips, in gpiodetect's words."""

from __future__ import annotations

from bridge.cli.options import JSON, SOCKET, Command
from bridge.cli.output import complain, print_json, sentence
from bridge.client.control import Connection
from bridge.control_protocol import CHIP, default_socket
from bridge.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMAND = Command(
    "detect",
    "[CHIP]...",
    "List chips: name, label and number of lines. Without CHIP, all of them.",
    """
gpio-bridge detect
gpio-bridge detect fw-0
gpio-bridge detect vhost-user:/run/fw.sock    every chip of a link, no service needed
gpio-bridge detect --json
""",
    [JSON, SOCKET],
)


def main(arguments: list[str]) -> int:
    """Run the tool; return its exit status."""
    options, paths = COMMAND.parse(arguments)
    status = 0
    chips: list[dict[str, Any]] = []
    if not paths:
        chips = _served(options.socket)
    for path in paths:
        try:
            chips += _at(path, options.socket)
        except (OSError, ValueError) as error:
            complain(f"gpio-bridge detect: {_why(path, error)}")
            status = 1
    if options.json:
        print_json({"chips": chips})
    else:
        for chip in chips:
            label = printable(chip["label"])
            print(f"{chip['name']} [{label}] ({chip['num_lines']} lines)")
    return status


def _why(path: str, error: OSError | ValueError) -> str:
    """libgpiod's words for a chip that is not there, and for one that does not open."""
    from bridge.cli.reach import NoChip

    missing = isinstance(error, NoChip)
    return sentence(error) if missing else f"unable to open chip '{path}': {sentence(error)}"


def _served(socket: str | None) -> list[dict[str, Any]]:
    """The chips of a service, as the control socket shows them."""
    connection = Connection.open(socket or default_socket())
    try:
        return connection.chips()
    finally:
        connection.close()


def _at(path: str, socket: str | None) -> list[dict[str, Any]]:
    """The chip at a path, or all chips of a link."""
    from bridge.cli import reach

    where = reach.locate(path, socket)
    if where.url is not None:
        return reach.chips_of_link(where.url, where.chip)
    assert where.socket is not None
    connection = Connection.open(where.socket)
    try:
        return [connection.call(CHIP, chip=where.chip)]
    except FileNotFoundError as error:
        raise reach.no_chip(path, error, connection, where.chip) from None
    finally:
        connection.close()
