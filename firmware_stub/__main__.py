# SPDX-License-Identifier: BSD-3-Clause
"""``python -m firmware_stub``: run the firmware-stub executable.

The arguments are passed on unchanged, except that a board file which does not
exist may be the name of a shipped board (``demo``, ``loopback``, ``scale``).
"""

from __future__ import annotations

import os
import sys

from firmware_stub.stub import boards, executable


def main() -> None:
    """Replace this process by firmware-stub; exit with status 1 when there is none."""
    arguments = sys.argv[1:]
    shipped = boards()
    if arguments and arguments[-1] in shipped and not os.path.exists(arguments[-1]):
        arguments[-1] = str(shipped[arguments[-1]])
    try:
        program = executable()
        os.execv(program, [str(program), *arguments])
    except OSError as error:
        sys.exit(f"firmware_stub: {error.strerror}")


if __name__ == "__main__":
    main()
