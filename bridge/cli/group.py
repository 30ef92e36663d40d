# SPDX-License-Identifier: BSD-3-Clause
"""The verbs that are click commands, and the help of gpio-bridge itself."""

from __future__ import annotations

import signal
import sys
from importlib import import_module

import click

from bridge import __version__
from bridge.cli.output import complain, complain_of, flush_output
from bridge.cli.verbs import TOOLS, VERBS
from bridge.errors import did_you_mean

# Click before 8.2 prints the help of a group without arguments by itself, and ends with 0.
_NO_ARGUMENTS = getattr(click.exceptions, "NoArgsIsHelpError", ())


class LazyGroup(click.Group):
    """A group that knows its verbs' names and loads only the one that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order in which a user meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a verb and return its command."""
        if cmd_name not in VERBS:
            return None
        if cmd_name in TOOLS:
            if not ctx.resilient_parsing:
                return None
            from bridge.cli.as_click import shown_to_click

            return shown_to_click(cmd_name)
        command = getattr(import_module(f"bridge.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        if all(parameter.name != "version" for parameter in command.params):
            # Without -v, which some verbs use for --verbose.
            version = f"gpio-bridge {cmd_name} v{__version__}"
            click.version_option(__version__, "--version", message=version)(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb of a command line; ask what was meant by one that is none."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            verb = args[0].removeprefix("gpio")  # gpioget: libgpiod's tools are called so
            hint = f"did you mean {verb}?" if verb in VERBS else did_you_mean(args[0], VERBS)
            ctx.fail(f"No such command '{args[0]}'{'; ' if hint else ''}{hint}")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs from the table instead of importing every one."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


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


def run(arguments: list[str]) -> None:
    """Run a verb and exit: 0, or 1 with `gpio-bridge VERB: sentence` on stderr."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        # Everything is imported here; what a verb began must be taken down from here on.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    status: object = 1
    name = _prefix(arguments)
    try:
        status = cli.main(arguments, prog_name="gpio-bridge", standalone_mode=False)
    except _NO_ARGUMENTS as error:
        complain(error.format_message())
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else name
        complain(f"{where}: {error.format_message()}", f"{where}: try {where} --help")
    except click.ClickException as error:
        complain(f"{name}: {error.format_message()}")
    except (click.Abort, KeyboardInterrupt):
        status = 130  # what the shell reports for a death by SIGINT
    except (OSError, ValueError, NotImplementedError, MemoryError) as error:
        complain_of(error, name)
    if not flush_output(name):
        status = 1
    sys.exit(status if isinstance(status, int) else 0)


def _prefix(arguments: list[str]) -> str:
    verb = next((word for word in arguments if word in VERBS), None)
    return f"gpio-bridge {verb}" if verb else "gpio-bridge"
