# SPDX-License-Identifier: BSD-3-Clause
"""The tools, which do without click, as click commands: for completion, and never run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from bridge.cli.options import Choice, Command, Option
from bridge.client.control import Connection
from bridge.control_protocol import LINES, default_socket

_LINES_MAX = 2000
_FILES = ("PATH", "FILE")
_VALUES = ("on", "off", "active", "inactive", "1", "0", "true", "false")

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def shown_to_click(verb: str) -> click.Command:
    """Return a tool as a click command, for completion: it is never run as one."""
    command: Command = import_module(f"bridge.cli.{verb}").COMMAND
    parameters: list[click.Parameter] = [_option(option) for option in command.options]
    if command.usage.startswith(("FILE", "PROGRAM")):
        parameters.append(click.Argument(["words"], nargs=-1, type=click.Path()))
    elif command.usage:
        parameters.append(click.Argument(["words"], nargs=-1, shell_complete=_words(command.usage)))
    return click.Command(
        verb,
        params=parameters,
        add_help_option=False,
        context_settings={"allow_interspersed_args": False},
    )


def _option(option: Option) -> click.Option:
    name = option.longs[0][2:].replace("-", "_")
    if not option.metavar:
        return click.Option([*option.names, name], is_flag=True, help=option.help)
    kind: click.ParamType[Any] | None = None
    if isinstance(option.convert, Choice):
        kind = click.Choice(list(option.convert.words))
    elif option.metavar in _FILES:
        kind = click.Path()
    complete = _chips if option.metavar == "CHIP" else None
    return click.Option(
        [*option.names, name],
        type=kind,
        help=option.help,
        multiple=option.repeated,
        shell_complete=complete,
    )


def _words(usage: str) -> Complete:
    """How the words after the options are completed."""
    if usage.startswith("[CHIP]"):
        return _chips
    return _lines_and_values if "=VALUE" in usage else _lines


def _chips(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    return _items((chip["name"] for chip in _asked(context)[0]), incomplete)


def _lines(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    return _items(_asked(context)[1], incomplete)


def _lines_and_values(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    # For bash = is a word of its own, and click takes it away where it is the last one.
    typed = os.environ.get("COMP_WORDS", "").rstrip("\n")
    if (context.params.get("words") or ())[-1:] == ("=",) or typed.endswith("\n="):
        return _items(_VALUES, incomplete)
    line, separator, _ = incomplete.partition("=")
    if separator:
        return _items((f"{line}={value}" for value in _VALUES), incomplete)
    return _items((f"{name}=" for name in _asked(context)[1]), incomplete)


def _items(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def _asked(context: click.Context) -> tuple[list[dict[str, Any]], list[str]]:
    """The chips, and the names of the lines that are meant; none when nobody tells."""
    chip = context.params.get("chip")
    names: list[str] = []
    chips: list[dict[str, Any]] = []
    with suppress(OSError, ValueError):
        connection = Connection.open(context.params.get("socket") or default_socket())
        try:
            chips = connection.chips()
            for each in chips:
                if chip in (None, each["name"]) and len(names) < _LINES_MAX:
                    lines = connection.call(LINES, chip=each["name"])["lines"]
                    names += [line["name"] for line in lines if line["name"]]
        finally:
            connection.close()
    return chips, names
