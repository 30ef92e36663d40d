# SPDX-License-Identifier: BSD-3-Clause
"""The flags of ``serve``, by the same checks as the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bridge.export.selection import ExportConfig
from bridge.service.config import values
from bridge.service.config.model import (
    ConfigError,
    LinkConfig,
    RealtimeConfig,
    RemoteprocConfig,
)
from bridge.service.config.tables import GLOBAL, REALTIME, SHARED, export, link, some

# Splits at commas; a comma within double quotes belongs to a line's name.
_WORD = re.compile(r'(?:"[^"]*"|[^,])+')


def export_from_flag(text: str) -> ExportConfig:
    """Read the argument of ``--export``: ``vhost-user-gpio:PATH,chip=NAME[,lines=LINE,...]``.

    Raises:
        ConfigError: unknown key, wrong type or value.
    """
    url, *options = re.split(r",(?=(?:chip|lines|name|mode|active_low|debounce_ms)=)", text)
    table: dict[str, Any] = {"url": url}
    for option in options:
        key, _, value = option.partition("=")
        if key == "lines":
            table[key] = _WORD.findall(value)
        elif key == "active_low":
            table[key] = {"true": True, "false": False}.get(value, value)
        else:
            table[key] = _number(value) if key == "debounce_ms" else value
    return export(table, f"--export {url}: ")


def link_from_flag(text: str, shared: Mapping[str, Any]) -> LinkConfig:
    """Read the argument of ``--link``: ``URL[,key=value]...``.

    The keys are those of a [[link]] table; extensions are joined by ``+``, a label
    is ``label.INDEX=TEXT``, line names are ``names.INDEX=NAME+NAME``; a name with a plus
    is written in double quotes, and so is that of a line without name: ``""``.

    Args:
        text: the argument.
        shared: checked values for what it does not say.

    Raises:
        ConfigError: unknown key, wrong type or value.
    """
    url, *options = _FLAG_OPTION.split(text)
    strange = _LIKE_OPTION.search(url)
    if strange is not None:
        raise ConfigError(
            f'--link {text}: "{strange[1]}" is no option of a link; there are name, lines, '
            "extensions, on_release, on_release.LINE, on_restart, on_restart.LINE, label.INDEX, "
            "names.INDEX and raw.INDEX "
            "(a URL with such a comma can be had in a [[link]] table of a file)"
        )
    table: dict[str, Any] = {"url": url}
    for option in options:
        key, _, value = option.partition("=")
        group, _, index = key.partition(".")
        if group in ("on_release", "on_restart") and index:
            line, _, policy = option.rpartition("=")  # the line's name may have an equals sign, too
            own = table.setdefault(f"lines_{group}", {})
            own[line.removeprefix(f"{group}.")] = policy
        elif group == "names":
            names = _names_word(value, f"--link {url}: {key}")
            table.setdefault("names", {})[index] = names
        elif group in ("label", "raw"):
            table.setdefault("labels" if group == "label" else "raw", {})[index] = value
        elif key == "extensions":
            table[key] = extensions_word(value)
        elif key == "lines" and value.isascii() and value.isdigit():
            table[key] = int(value)
        else:
            table[key] = value
    return link(table, shared, f"--link {url}: ")


_FLAG_OPTION = re.compile(
    r",(?=(?:name|lines|extensions|on_release|on_restart|"
    r"(?:on_release|on_restart|label|names|raw)\.[^=,]*)=)"
)


_LIKE_OPTION = re.compile(r",([A-Za-z_][\w.-]*)=")


_NAME_WORD = re.compile(r'"(.*?)"(?=\+|$)|([^+"][^+]*)', re.DOTALL)


def _names_word(text: str, where: str) -> list[str]:
    """A flag's line names, ``NAME+NAME``; in double quotes where a name has a plus, or is none.

    Raises:
        ConfigError: two pluses in a row, which may belong to a name or enclose none.
    """
    names = []
    at = 0
    while True:
        match = _NAME_WORD.match(text, at)
        if match is None:
            raise ConfigError(
                f"{where}: expected a name at character {at + 1}; where a name has a "
                """plus, write it in double quotes, as in '"USB_D+"+"USB_D-"+EN'; of a line """
                """without name, write '""'"""
            )
        names.append(match[2] if match[1] is None else match[1])
        at = match.end()
        if at == len(text):
            return names
        at += 1  # the plus


def extensions_word(text: str) -> str | list[str]:
    """A flag's extensions: ``all``, ``none`` or names joined by ``+`` or ``,``."""
    return text if text in ("all", "none") else [word for word in re.split("[+,]", text) if word]


def shared_from_flags(
    extensions: str | None, on_release: str | None, on_restart: str | None = None
) -> dict[str, Any]:
    """Check ``--extensions``, ``--on-release`` and ``--on-restart``: values for `link_from_flag`.

    Raises:
        ConfigError: a value that is not allowed.
    """
    table: dict[str, Any] = {}
    if extensions is not None:
        table["extensions"] = extensions_word(extensions)
    if on_release is not None:
        table["on_release"] = on_release
    if on_restart is not None:
        table["on_restart"] = on_restart
    return some(table, SHARED, "command line: ")


def from_flag(key: str, text: str) -> Any:
    """Check a flag such as ``--socket`` as the file's key of that name.

    Raises:
        ConfigError: a value that is not allowed.
    """
    try:
        return GLOBAL[key](text)
    except values.Expected as expected:
        raise ConfigError(f"--{key.replace('_', '-')} {text}: expected {expected}") from None


def remoteproc_from_flag(text: str) -> RemoteprocConfig:
    """Check ``--remoteproc NAME[,auto-stop]``. Raises ConfigError."""
    try:
        return values.remoteproc(text)
    except values.Expected as expected:
        raise ConfigError(f"--remoteproc {text}: expected {expected}") from None


def realtime_from_flag(text: str) -> RealtimeConfig:
    """Read the argument of ``--realtime``: ``PRIORITY[,cpus=N+N][,lock-memory][,required]``.

    Raises:
        ConfigError: unknown option, wrong value.
    """
    priority, *options = text.split(",")
    table: dict[str, Any] = {"priority": _number(priority)}
    for option in options:
        key, equals, value = option.partition("=")
        if key == "cpus":
            table[key] = [_number(word) for word in value.split("+")]
        elif key in ("lock-memory", "required") and not equals:
            table[key.replace("-", "_")] = True
        else:
            raise ConfigError(
                f'--realtime {text}: "{option}" is no option; there are cpus=N+N, lock-memory '
                "and required"
            )
    return RealtimeConfig(**some(table, REALTIME, f"--realtime {text}: "))


def _number(word: str) -> int | str:
    """A number where it is one; the check of its key says what was expected."""
    return int(word) if re.fullmatch("[0-9]{1,9}", word) else word
