# SPDX-License-Identifier: BSD-3-Clause
"""The entry point gpio-bridge; a verb's module is imported when the verb is used."""

from __future__ import annotations

import os
import sys
from importlib import import_module

import click

from bridge import __version__

# The modules of bridge.cli, each with a click command of the verb's name, and what
# `gpio-bridge --help` says of them without importing them.
_VERBS = {
    "demo": "Run firmware, service and client on this PC, no board needed.",
    "serve": "Run the service that owns the links and serves the chips.",
    "detect": "List the chips (as gpiodetect).",
    "info": "Show lines and who uses them (as gpioinfo).",
    "get": "Read lines (as gpioget).",
    "set": "Set lines and hold them (as gpioset).",
    "mon": "Print edge events (as gpiomon).",
    "bench": "Measure round trips, edge rate, idle CPU and memory.",
}

# Verbs that scripts call over and over.
_QUICK = ("detect", "info", "get", "set", "mon")


class LazyGroup(click.Group):
    """A group that knows its verbs' names and loads only the one that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order in which a user meets them."""
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a verb and return its command."""
        if cmd_name not in _VERBS:
            return None
        command = getattr(import_module(f"bridge.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs from the table instead of importing every one."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(_VERBS.items()))


@click.group(
    "gpio-bridge",
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`gpio-bridge VERB --help` explains a verb by examples.",
)
@click.version_option(__version__, "-v", "--version", message="gpio-bridge v%(version)s")
def cli() -> None:
    """GPIO lines of a coprocessor, reached over rpmsg.

    \b
    First steps, without a board:
      gpio-bridge demo                 see everything work
    With firmware behind a vhost-user socket:
      gpio-bridge serve --link vhost-user:/run/fw.sock
      gpio-bridge detect
      gpio-bridge get -c fw-0 3
    """


def main(arguments: list[str] | None = None) -> None:
    """Run gpio-bridge and exit: 0, or 1 with `gpio-bridge VERB: sentence` on stderr.

    `arguments` are those of the command line (None: sys.argv).
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        status = cli.main(arguments, prog_name="gpio-bridge", standalone_mode=False)
        sys.stdout.flush()
        if _verb(arguments) in _QUICK:
            # Everything is released and written; taking the interpreter down in order
            # would be a tenth of the verb's time.
            os._exit(status if isinstance(status, int) else 0)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "gpio-bridge"
        _fail(f"{where}: {error.format_message()}", f"{where}: try {where} --help")
    except click.ClickException as error:
        _fail(f"{_prefix(arguments)}: {error.format_message()}")
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)  # as the shell reports a death by SIGINT
    except BrokenPipeError:  # stdout's; that of the control socket is ENODEV
        _silence_stdout()
        sys.exit(1)
    except (OSError, ValueError, NotImplementedError, MemoryError) as error:
        _fail(f"{_prefix(arguments)}: {sentence(error)}")
    sys.exit(status if isinstance(status, int) else 0)


def sentence(error: BaseException) -> str:
    """Return the sentence in an exception of the client library, without its errno."""
    if isinstance(error, OSError) and error.strerror:
        name = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{name}"
    return str(error.args[-1]) if error.args else type(error).__name__


def _verb(arguments: list[str]) -> str | None:
    return next((word for word in arguments if word in _VERBS), None)


def _prefix(arguments: list[str]) -> str:
    verb = _verb(arguments)
    return f"gpio-bridge {verb}" if verb else "gpio-bridge"


def _fail(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr)
    sys.exit(1)


def _silence_stdout() -> None:
    """The reader went away (`| head`): the interpreter must not complain at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
