# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge watch: chips and lines on the whole screen, as they are now."""

from __future__ import annotations

from bridge.cli.options import SOCKET, Command, Failure, Option
from bridge.control_protocol import default_socket
from bridge.extras import missing


def _rate(text: str) -> int:
    """Return looks a second. Raises Failure."""
    if not text.isdecimal() or not 1 <= int(text[:4]) <= 50:
        raise Failure(f"invalid rate: {text} (1 to 50 looks a second)")
    return int(text)


COMMAND = Command(
    "watch",
    "[CHIP|LINE]...",
    "Show chips and lines on the whole screen: levels, edges, who holds them.",
    """
gpio-bridge watch                     all chips of the service
gpio-bridge watch fw-0 SENSOR_IRQ     one chip, and a line of another

Levels are read without a request, so that nobody is disturbed. Keys work on the line that the
cursor (>) is on: e counts its edges, h holds it as an output, t toggles it, p gives a pulse,
u releases it, r records it. / filters by name, m marks a time, l shows links, clients and
messages, q ends.
""",
    [Option("--rate NUM", "Looks a second [default: 10].", _rate, 10), SOCKET],
)


def main(arguments: list[str]) -> int:
    """Run the tool; return its exit status."""
    options, words = COMMAND.parse(arguments)
    try:
        import textual  # noqa: F401
    except ImportError:
        raise missing("full-screen views", "textual") from None
    from bridge.screen.app import Watch
    from bridge.screen.board import Board

    socket = options.socket or default_socket()
    wanted = set(words)
    board = Board(socket, lambda chip, line: not wanted or chip in wanted or line in wanted)
    try:
        board.refresh()
        if wanted and not board.rows:
            raise Failure(
                f"nothing is called {' or '.join(words)}: gpio-bridge info shows the lines"
            )
        Watch(board, socket, 1 / options.rate).run()
    finally:
        board.close()
    return 0
