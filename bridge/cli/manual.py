# SPDX-License-Identifier: BSD-3-Clause
"""The manual pages: what --help of each verb says."""

from __future__ import annotations

import re
from importlib import import_module

import click

from bridge import __version__
from bridge.cli.group import cli
from bridge.cli.verbs import TOOLS, VERBS

__all__ = ["pages"]

_WIDTH = 78


def pages() -> dict[str, str]:
    """Return the pages by file name: gpio-bridge.1, and gpio-bridge-VERB.1."""
    top = _context(cli, "gpio-bridge", None)
    summary = "GPIO lines of a coprocessor, reached over rpmsg."
    found = {"gpio-bridge.1": _page("gpio-bridge", summary, [cli.get_help(top)])}
    for verb, about in VERBS.items():
        name = f"gpio-bridge-{verb}"
        found[f"{name}.1"] = _page(name, about, _helps(verb, top))
    return found


def _helps(verb: str, top: click.Context) -> list[str]:
    """What a verb and those in it, such as `bench edges`, say of themselves."""
    if verb in TOOLS:
        return [import_module(f"bridge.cli.{verb}").COMMAND.help()]
    command = cli.get_command(top, verb)
    assert command is not None
    context = _context(command, verb, top)
    nested = command.commands if isinstance(command, click.Group) else {}
    inner = [each.get_help(_context(each, name, context)) for name, each in nested.items()]
    return [command.get_help(context), *inner]


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    settings = {**command.context_settings, "terminal_width": _WIDTH}
    return click.Context(command, info_name=name, parent=parent, **settings)


def _as_roff(text: str) -> str:
    """Text as it is, for troff."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^(?=[.'])", r"\\&", escaped, flags=re.MULTILINE)


def _sections(text: str) -> list[tuple[str, str]]:
    """The parts of a help: their headings and text."""
    pieces = re.split(r"^([A-Z][A-Za-z ]*):(?: |$)", text, flags=re.MULTILINE)
    found = list(zip(pieces[1::2], pieces[2::2], strict=True))
    # `Usage: ...`, an empty line, and the description.
    (_, first), *others = found
    synopsis, _, description = first.partition("\n\n")
    return [("Synopsis", synopsis), ("Description", description), *others]


def _page(name: str, summary: str, helps: list[str]) -> str:
    title = f'.TH "{name.upper()}" "1" "" "rpmsg\\-gpio\\-bridge {__version__}" "User Commands"'
    lines = [title, ".SH NAME", _as_roff(f"{name} ")[:-1] + f" \\- {_as_roff(summary.rstrip('.'))}"]
    for text in helps:
        for heading, body in _sections(text):
            shown = "\n".join(re.sub("^  ", "", line) for line in body.strip("\n").splitlines())
            lines += [f".SH {heading.upper()}", ".nf", _as_roff(shown), ".fi"]
    also = sorted({"gpio-bridge", *(f"gpio-bridge-{verb}" for verb in VERBS)} - {name})
    lines += [".SH SEE ALSO", ", ".join(f"\\fB{_as_roff(other)}\\fP(1)" for other in also)]
    return "\n".join(lines) + "\n"
