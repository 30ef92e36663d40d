# SPDX-License-Identifier: BSD-3-Clause
"""``python -m firmware_stub``: run the firmware-stub executable.

The arguments are passed on unchanged, except that a board file which does not
exist may be the name of a shipped board (``demo``, ``loopback``, ``scale``).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from firmware_stub.stub import boards, executable

# Options of firmware-stub that take no value.
_FLAGS = ("--strict", "--step", "--rpmsg-tty")


def main() -> None:
    """Replace this process by firmware-stub; exit with status 1 when there is none."""
    arguments = sys.argv[1:]
    shipped = boards()
    board = arguments[-1] if arguments else ""
    if board in shipped and not os.path.exists(board):
        arguments[-1] = str(shipped[board])
    elif _is_unknown_name(board) and not _is_value(arguments):
        sys.exit(f"firmware_stub: there is no board {board!r}; {_boards_hint(board, shipped)}")
    try:
        program = executable()
        os.execv(program, [str(program), *arguments])
    except OSError as error:
        sys.exit(f"firmware_stub: {error.strerror}")


def _is_unknown_name(board: str) -> bool:
    """Whether a last argument must be a board's name: no option, and no path of a file."""
    plain = board and not board.startswith("-") and "/" not in board and "." not in board
    return bool(plain) and not os.path.exists(board)


def _is_value(arguments: list[str]) -> bool:
    """Whether the last argument belongs to the option before it."""
    before = arguments[-2] if len(arguments) > 1 else ""
    return before.startswith("--") and "=" not in before and before not in _FLAGS


def _boards_hint(board: str, shipped: Iterable[str]) -> str:
    import difflib

    close = difflib.get_close_matches(board, shipped, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"{meant}Shipped are {', '.join(sorted(shipped))}; or name a board file"


if __name__ == "__main__":
    main()
