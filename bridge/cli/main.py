# SPDX-License-Identifier: BSD-3-Clause
"""The entry point gpio-bridge; a verb's module is imported when the verb is used."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

# The verbs in the order in which a user meets them. Each is a module of bridge.cli; the text is
# what `gpio-bridge --help` says of it without importing it.
VERBS = {
    "demo": "Run firmware, service and client on this PC, no board needed.",
    "serve": "Run the service that owns the links and serves the chips.",
    "status": "Show the service: links, chips, exports, clients, what is down and why.",
    "detect": "List the chips (as gpiodetect).",
    "info": "Show lines and who uses them (as gpioinfo).",
    "get": "Read lines (as gpioget).",
    "set": "Set lines and hold them (as gpioset).",
    "keep": "Set outputs and leave them so when the program has ended.",
    "release": "Give kept lines back.",
    "mon": "Print edge events (as gpiomon).",
    "watch": "Show chips and lines on the whole screen, as they are now.",
    "record": "Write edges to a file for GTKWave and sigrok: VCD, CSV, sr, JSON lines.",
    "show": "Show a recording: waveform, frequency, duty, pulses; as text, SVG, PNG or JSON.",
    "replay": "Play a recording on the pins of a simulated board.",
    "notify": "Print who requests and releases lines (as gpionotify).",
    "run": "Run a program that knows /dev/gpiochipN on these lines, unchanged.",
    "trace": "Show what goes over the wire, message by message, or write it for Wireshark.",
    "plug": "Plug chips of a service into this kernel, as root, and watch over them.",
    "remoteproc": "Start and stop remote processors by their names.",
    "doctor": "Check what goes wrong on boards, and say what to do.",
    "system": "Install udev rules, systemd units, manual pages and completion, or remove them.",
    "conformance": "Check firmware against the protocol, over any link.",
    "bench": "Measure round trips, edge rate, idle CPU and memory.",
    "completion": "Print what bash or zsh needs to complete verbs, options and lines.",
}

# These are libgpiod's tools, and some like them. Scripts call them over and over, so they do
# without click and rich: their module has main(arguments) -> exit status. The modules of other
# verbs have a click command.
TOOLS = (
    "status",
    "detect",
    "info",
    "get",
    "set",
    "keep",
    "release",
    "mon",
    "watch",
    "record",
    "show",
    "replay",
    "notify",
    "trace",
)


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


def tell_of_silence(name: str) -> None:
    """Say after a second that the service does not answer, while waiting goes on."""
    from bridge.client import control

    control.on_silence = lambda sentence: complain(f"{name}: {sentence}")


def complain_of(error: BaseException, name: str) -> None:
    """Print what an exception of the client library or of stdout says, after `name`."""
    from bridge.cli.output import sentence

    if isinstance(error, BrokenPipeError):
        return  # the EPIPE of stdout, whose reader had enough; that of the control socket is ENODEV
    if flush_output(name):  # otherwise stdout failed, which was reported
        complain(f"{name}: {sentence(error)}")


def complain(*lines: str) -> None:
    """Print lines to stderr, if it takes them."""
    try:
        for line in lines:
            print(line, file=sys.stderr)
        sys.stderr.flush()
    except OSError:
        _drop(sys.stderr)


def flush_output(name: str) -> bool:
    """Write what is printed; return False when stdout does not take it, which is reported."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _drop(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            complain(f"{name}: cannot write to standard output: {error.strerror}")
        return False
    return True


def _drop(stream: TextIO) -> None:
    """Discard what is in a stream: the interpreter would try to write it again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
