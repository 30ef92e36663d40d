# SPDX-License-Identifier: BSD-3-Clause
"""The entry point gpio-bridge; a verb's module is imported when the verb is used."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module

from bridge.cli.output import complain, complain_of, flush_output, tell_of_silence
from bridge.cli.verbs import TOOLS


def main(arguments: list[str] | None = None) -> None:
    """Run gpio-bridge and exit: 0, or 1 with `gpio-bridge VERB: sentence` on stderr.

    `arguments` are those of the command line (None: sys.argv).
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Die of the signal, as libgpiod's tools do. Where a shell's `&` has it ignored, it stays
        # ignored.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _open_standard_streams()
    if arguments and arguments[0] in TOOLS:
        _run_tool(arguments[0], arguments[1:])
    from bridge.cli.group import run

    run(arguments)


def _open_standard_streams() -> None:
    """Open /dev/null where this process was started without stdin, stdout or stderr.

    Otherwise a socket would get that number, and what is printed would go to the service. A
    character that stdout cannot encode, such as one in a consumer of others, is escaped as on
    stderr.
    """
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, os.fdopen(fd, mode, closefd=False))
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


def _run_tool(verb: str, arguments: list[str]) -> None:
    """Run a tool and exit."""
    from bridge.cli.options import Done, Failure, UsageError

    name = f"gpio-bridge {verb}"
    status = 1
    tell_of_silence(name)
    try:
        status = import_module(f"bridge.cli.{verb}").main(arguments)
    except Done:
        status = 0
    except UsageError as error:
        complain(f"{name}: {error}", f"{name}: try {name} --help")
    except Failure as error:
        complain(f"{name}: {error}")
    except (OSError, ValueError, NotImplementedError, MemoryError) as error:
        complain_of(error, name)
    if not flush_output(name):
        status = 1
    if status:
        sys.exit(status)  # in order, since a failure may have left a link open in this process
    # Everything is released and written. To take the interpreter down in order as well would be a
    # tenth of the tool's time.
    os._exit(0)
