# SPDX-License-Identifier: BSD-3-Clause
"""The entry point gpio-bridge; a verb's module is imported when the verb is used."""

from __future__ import annotations

import os
import sys
from importlib import import_module

# The verbs in the order in which a user meets them: each is a module of bridge.cli, and
# what `gpio-bridge --help` says of it without importing it.
VERBS = {
    "demo": "Run firmware, service and client on this PC, no board needed.",
    "serve": "Run the service that owns the links and serves the chips.",
    "detect": "List the chips (as gpiodetect).",
    "info": "Show lines and who uses them (as gpioinfo).",
    "get": "Read lines (as gpioget).",
    "set": "Set lines and hold them (as gpioset).",
    "mon": "Print edge events (as gpiomon).",
    "notify": "Print who requests and releases lines (as gpionotify).",
    "remoteproc": "Start and stop remote processors by their names.",
    "doctor": "Check what goes wrong on boards, and say what to do.",
    "conformance": "Check firmware against the protocol, over any link.",
    "bench": "Measure round trips, edge rate, idle CPU and memory.",
}

# libgpiod's tools: scripts call them over and over, so they do without click and rich.
# Their module has main(arguments) -> exit status; those of other verbs a click command.
TOOLS = ("detect", "info", "get", "set", "mon", "notify")


def main(arguments: list[str] | None = None) -> None:
    """Run gpio-bridge and exit: 0, or 1 with `gpio-bridge VERB: sentence` on stderr.

    `arguments` are those of the command line (None: sys.argv).
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in TOOLS:
        _run_tool(arguments[0], arguments[1:])
    from bridge.cli.group import run

    run(arguments)


def _run_tool(verb: str, arguments: list[str]) -> None:
    """Run a tool and exit."""
    import signal

    from bridge.cli.options import Failure, UsageError

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # die of it, as libgpiod's tools do
    name = f"gpio-bridge {verb}"
    try:
        status: int = import_module(f"bridge.cli.{verb}").main(arguments)
        sys.stdout.flush()
    except UsageError as error:
        fail(f"{name}: {error}", f"{name}: try {name} --help")
    except Failure as error:
        fail(f"{name}: {error}")
    except BrokenPipeError:  # stdout's; that of the control socket is ENODEV
        os._exit(1)
    except (OSError, ValueError, NotImplementedError, MemoryError) as error:
        fail(f"{name}: {sentence(error)}")
    # Everything is released and written; taking the interpreter down in order would be
    # a tenth of the tool's time.
    os._exit(status)


def sentence(error: BaseException) -> str:
    """Return the sentence in an exception of the client library, without its errno."""
    from bridge.cli import common

    return common.sentence(error)


def fail(*lines: str) -> None:
    """Print lines to stderr and exit with status 1."""
    for line in lines:
        print(line, file=sys.stderr)
    sys.exit(1)
