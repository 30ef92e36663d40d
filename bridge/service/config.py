# SPDX-License-Identifier: BSD-3-Clause
"""Configuration of the service: a TOML file and the flags of ``serve``.

The options are described in docs/configuration.md. Everything is checked when
it is read; an error names the file, the key and what was expected.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from bridge import wire
from bridge.control_protocol import DEFAULT_SOCKET
from bridge.export.selection import (
    NAME_MAX,
    AggregateConfig,
    ExportConfig,
    Pick,
    check_picks,
    is_name,
    parse_pick,
)
from bridge.link import resolve
from bridge.service.access import INCLUDED, AccessRule
from bridge.service.budgets import Limits

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT_MODE = 0o660
DEFAULT_TIMEOUT_MS = 1000
TIMEOUT_MS_MAX = 60_000
LINES_MAX = 65_535
LINK_NAME_MAX = 20
RELEASE_POLICIES = ("none", "keep")
RESTART_POLICIES = ("release", "restore", "hold")


class ConfigError(ValueError):
    """A configuration that cannot be used; the message says where and why."""


@dataclass(frozen=True)
class LinkConfig:
    """One link.

    Attributes:
        url: ``scheme:target``, see `bridge.link`.
        name: prefix of its chips' names, None derives it from the URL.
        extensions: RPMSG_GPIO_F_* bits that may be negotiated.
        lines: lines a controller has, for firmware without CONFIG; None probes.
        labels: label of a chip by channel index.
        names: line names of a chip by channel index, in the order of the lines; they
            take the place of the firmware's. "" is a line without a name.
        on_release: ``none`` gives released lines back (DIRECTION_NONE), ``keep``
            leaves them as they are.
        on_restart: ``release``, ``restore`` or ``hold`` lines that were held when
            the firmware restarted, see `bridge.service.memory`.
        lines_on_restart: the same for single lines, by name.
        raw: which controller on a channel rpmsg-raw has a number, by number: its address
            as a decimal text, or its label.
    """

    url: str
    name: str | None = None
    extensions: int = wire.ALL_FEATURES
    lines: int | None = None
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    names: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    on_release: str = "none"
    on_restart: str = "release"
    lines_on_restart: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    raw: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class RemoteprocConfig:
    """A remote processor that the service starts.

    Attributes:
        name: of the processor.
        auto_stop: it stops when the service ends, however it ends.
    """

    name: str
    auto_stop: bool = False


@dataclass(frozen=True)
class Config:
    """All that the service can be told.

    Attributes:
        links: the links to keep up.
        socket: path of the control socket, None for a service without one.
        mode: permission bits of the socket.
        group: group that owns the socket, None leaves the service's own.
        timeout_ms: deadline of one request to the firmware in milliseconds.
        exports: what guest kernels get.
        remoteproc: remote processors to start.
        chips: chips that are put together out of lines of others.
        limits: what one user id may have at once.
        access: who may do what with which lines.
    """

    links: tuple[LinkConfig, ...] = ()
    socket: str | None = DEFAULT_SOCKET
    mode: int = DEFAULT_MODE
    group: str | None = None
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    exports: tuple[ExportConfig, ...] = ()
    remoteproc: tuple[RemoteprocConfig, ...] = ()
    chips: tuple[AggregateConfig, ...] = ()
    limits: Limits = field(default_factory=Limits)
    access: tuple[AccessRule, ...] = ()


_TABLES = ("link", "export", "chip", "limits", "access")


def load(path: str, base: Config | None = None) -> Config:
    """Read a configuration file.

    Args:
        path: of a TOML file.
        base: where the options come from that the file does not mention.

    Raises:
        ConfigError: unreadable file, bad TOML, unknown key, wrong type or value.
    """
    try:
        with open(path, "rb") as file:
            table = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: byte {error.start} is not UTF-8") from error
    return from_table(table, path, base)


def from_table(table: Mapping[str, Any], where: str, base: Config | None = None) -> Config:
    """Check a parsed configuration; arguments and errors as `load`."""
    _known_keys(
        table, {*_GLOBAL, *_SHARED, "link", "export", "chip", "limits", "access"}, where, ""
    )
    config = replace(base or Config(), **_values(table, _GLOBAL, where, ""))
    shared = _values(table, _SHARED, where, "")
    links = table.get("link", [])
    if not isinstance(links, list) or not all(isinstance(link, dict) for link in links):
        raise ConfigError(f"{where}: link: expected [[link]] tables, each with a url")
    parsed = tuple(
        _link(link, shared, where, f"link {number}: ") for number, link in enumerate(links, start=1)
    )
    exports = table.get("export", [])
    if not isinstance(exports, list) or not all(isinstance(one, dict) for one in exports):
        raise ConfigError(f"{where}: export: expected [[export]] tables, each with a url")
    chips = table.get("chip", [])
    if not isinstance(chips, list) or not all(isinstance(one, dict) for one in chips):
        raise ConfigError(f"{where}: chip: expected [[chip]] tables, each with a name and lines")
    limits = table.get("limits", {})
    if not isinstance(limits, dict):
        raise ConfigError(f"{where}: limits: expected a [limits] table")
    access = table.get("access", [])
    if not isinstance(access, list) or not all(isinstance(one, dict) for one in access):
        raise ConfigError(f"{where}: access: expected [[access]] tables, each with may")
    config = replace(
        config,
        links=parsed,
        access=tuple(
            _access(one, where, f"access {number}: ") for number, one in enumerate(access, start=1)
        ),
        limits=_limits(limits, where),
        chips=tuple(
            _chip(one, shared, where, f"chip {number}: ")
            for number, one in enumerate(chips, start=1)
        ),
        exports=tuple(
            _export(one, where, f"export {number}: ") for number, one in enumerate(exports, start=1)
        ),
    )
    check_names(config.links, where)
    check_exports(config.exports, where)
    _check_chips(config.chips, where)
    return config


EXPORT_SCHEME = "vhost-user-gpio"
# Between commas; one within double quotes belongs to a line's name.
_WORD = re.compile(r'(?:"[^"]*"|[^,])+')


def export_from_flag(text: str) -> ExportConfig:
    """Read the argument of ``--export``: ``vhost-user-gpio:PATH,chip=NAME[,lines=LINE,...]``.

    Raises:
        ConfigError: unknown key, wrong type or value.
    """
    url, *options = re.split(r",(?=(?:chip|lines|name|mode)=)", text)
    table: dict[str, Any] = {"url": url}
    for option in options:
        key, _, value = option.partition("=")
        table[key] = _WORD.findall(value) if key == "lines" else value
    return _export(table, f"--export {url}", "")


def check_exports(exports: tuple[ExportConfig, ...], where: str) -> None:
    """Raise ConfigError when two exports have the same socket or name."""
    for what in ("path", "name"):
        seen: set[str] = set()
        for export in exports:
            value = getattr(export, what)
            if value in seen:
                raise ConfigError(f'{where}: two exports have the {what} "{value}"')
            seen.add(value)


def _check_chips(chips: tuple[AggregateConfig, ...], where: str) -> None:
    """Raise ConfigError when two chips have the same name, or one is made of itself."""
    seen: set[str] = set()
    for chip in chips:
        if chip.name in seen:
            raise ConfigError(f'{where}: two chips have the name "{chip.name}"')
        if chip.name in chip.chips:
            raise ConfigError(f'{where}: chip "{chip.name}" takes lines from itself')
        seen.add(chip.name)


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
            "extensions, on_release, on_restart, on_restart.LINE, label.INDEX, names.INDEX and "
            "raw.INDEX "
            "(a URL with such a comma can be had in a [[link]] table of a file)"
        )
    table: dict[str, Any] = {"url": url}
    for option in options:
        key, _, value = option.partition("=")
        group, _, index = key.partition(".")
        if group == "on_restart" and index:
            line, _, policy = option.rpartition("=")  # the line's name may have one, too
            own = table.setdefault("lines_on_restart", {})
            own[line.removeprefix("on_restart.")] = policy
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
    return _link(table, shared, f"--link {url}", "")


_FLAG_OPTION = re.compile(
    r",(?=(?:name|lines|extensions|on_release|on_restart|(?:on_restart|label|names|raw)\.[^=,]*)=)"
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
    return _values(table, _SHARED, "command line", "")


def from_flag(key: str, text: str) -> Any:
    """Check ``--socket``, ``--mode`` or ``--group`` as the file's key of that name.

    Raises:
        ConfigError: a value that is not allowed.
    """
    try:
        return _GLOBAL[key](text)
    except _Expected as expected:
        raise ConfigError(f"--{key} {text}: expected {expected}") from None


def check_names(links: tuple[LinkConfig, ...], where: str) -> None:
    """Raise ConfigError when two links have the same configured name."""
    seen: set[str] = set()
    for link in links:
        if link.name is not None and link.name in seen:
            raise ConfigError(f'{where}: two links have the name "{link.name}"')
        if link.name is not None:
            seen.add(link.name)


# ---- the checks -----------------------------------------------------------


_WHOLE = object()
_SHOWN_MAX = 60


class _Expected(Exception):
    """What a value should have been, and which part of it is not."""

    def __init__(self, what: str, got: object = _WHOLE) -> None:
        super().__init__(what)
        self.got = got


def _shown(value: object) -> str:
    """A value as an error shows it, which is for one look."""
    text = repr(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 3]}..."


def _path(value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise _Expected("a path")
    if len(os.fsencode(value)) > 107:
        raise _Expected("a path of at most 107 bytes (the limit of unix sockets)")
    return value


def _mode(value: object) -> int:
    expected = _Expected('permission bits from 0 to 0o777, such as "0660" or 0o660')
    if isinstance(value, str):
        try:
            value = int(value, 8)
        except ValueError:
            raise expected from None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 0o777:
        raise expected
    return value


def _group(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise _Expected("the name of a group")
    return value


def _integer(low: int, high: int, what: str) -> Callable[[object], int]:
    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise _Expected(f"{what} from {low} to {high}")
        return value

    return check


def _extensions(value: object) -> int:
    known = ", ".join(wire.FEATURES)
    expected = _Expected(f'"all", "none" or a list of these: {known}')
    if value == "all":
        return wire.ALL_FEATURES
    if value == "none":
        return 0
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise expected
    try:
        return wire.feature_mask(value)
    except KeyError:
        raise expected from None


def _policy(value: object) -> str:
    if value not in RELEASE_POLICIES:
        raise _Expected(" or ".join(f'"{policy}"' for policy in RELEASE_POLICIES))
    return str(value)


def _restart_policy(value: object) -> str:
    if value not in RESTART_POLICIES:
        raise _Expected(" or ".join(f'"{policy}"' for policy in RESTART_POLICIES))
    return str(value)


def _restart_policies(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise _Expected('a table of policies by line name, such as { RESET_PHY = "restore" }')
    for name, policy in value.items():
        try:
            _restart_policy(policy)
        except _Expected as expected:
            raise _Expected(f"{expected} for {_shown(name)}", policy) from None
    return MappingProxyType(dict(value))


def _url(value: object) -> str:
    if not isinstance(value, str):
        raise _Expected("a link URL, such as vhost-user:/run/fw.sock")
    try:
        resolve(value)
    except OSError as error:
        raise _Expected(f"a link URL ({error.strerror})") from None
    return value


def _link_name(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(
        rf"[A-Za-z0-9_.-]{{1,{LINK_NAME_MAX}}}", value
    ):
        raise _Expected(f"1 to {LINK_NAME_MAX} letters, digits or any of _ . -")
    return value


def _labels(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise _Expected('a table of labels by channel index, such as { "0" = "m4 gpio" }')
    for index, label in value.items():
        _check_index(index)
        if not isinstance(label, str) or not 1 <= len(label.encode()) <= NAME_MAX:
            raise _Expected(f"a label of 1 to {NAME_MAX} bytes for channel {index}", label)
    return MappingProxyType(dict(value))


def _raw(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise _Expected(
            'a table of addresses or labels by number, such as { "0" = 0x400, "1" = "port B" }'
        )
    texts: dict[str, str] = {}
    for number, which in value.items():
        _check_index(number)
        text = _address_or_label(number, which)
        if text in texts.values():
            raise _Expected(f"another controller for {number}: this one has a number", which)
        texts[number] = text
    return MappingProxyType(texts)


def _address_or_label(number: str, which: object) -> str:
    """An address as a decimal text, or a label."""
    address = which
    if isinstance(which, str) and re.fullmatch("0[xX][0-9a-fA-F]{1,16}|[0-9]{1,16}", which):
        address = int(which, 16 if which[1:2] in ("x", "X") else 10)
    if isinstance(address, int) and not isinstance(address, bool):
        if not 0 <= address < 1 << 32:
            raise _Expected(f"an address from 0 to 0xffffffff for {number}", which)
        return str(address)
    if not isinstance(which, str) or not 1 <= len(which.encode()) <= NAME_MAX:
        raise _Expected(f"an address, or a label of 1 to {NAME_MAX} bytes, for {number}", which)
    return which


def _check_index(index: str) -> None:
    """Raise unless this is how a channel's index is written."""
    if wire.channel_index(f"{wire.CHANNEL_PREFIX}{index}") is None:
        raise _Expected("the index of a channel, which is decimal without leading zeros", index)


def _names(value: object) -> Mapping[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise _Expected(
            "a table of lists of line names by channel index, "
            'such as { "0" = ["LED", "", "RESET"] }'
        )
    for index, names in value.items():
        _check_index(index)
        if not isinstance(names, list):
            raise _Expected(f'a list of line names for channel {index}, such as ["LED", ""]', names)
        for line, name in enumerate(names):
            if not isinstance(name, str) or (name and not is_name(name)):
                raise _Expected(
                    f"a line name of at most {NAME_MAX} bytes, without control characters, "
                    f"for line {line} of channel {index}",
                    name,
                )
    return MappingProxyType({index: tuple(names) for index, names in value.items()})


def remoteproc_from_flag(text: str) -> RemoteprocConfig:
    """Check ``--remoteproc NAME[,auto-stop]``. Raises ConfigError."""
    try:
        return _remoteproc(text)
    except _Expected as expected:
        raise ConfigError(f"--remoteproc {text}: expected {expected}") from None


def _remoteproc(value: object) -> RemoteprocConfig:
    name, comma, option = value.partition(",") if isinstance(value, str) else ("", "", "")
    if not name or (comma and option != "auto-stop"):
        raise _Expected('the name of a processor, as in "m4_0" or "m4_0,auto-stop"')
    return RemoteprocConfig(name, bool(comma))


def _remoteprocs(value: object) -> tuple[RemoteprocConfig, ...]:
    if not isinstance(value, list):
        raise _Expected('a list of processors, as in ["m4_0", "dsp,auto-stop"]')
    return tuple(_remoteproc(one) for one in value)


_GLOBAL: dict[str, Callable[[object], Any]] = {
    "socket": _path,
    "mode": _mode,
    "group": _group,
    "timeout_ms": _integer(1, TIMEOUT_MS_MAX, "milliseconds"),
    "remoteproc": _remoteprocs,
}
# Said once for all links, or in a link.
_SHARED: dict[str, Callable[[object], Any]] = {
    "extensions": _extensions,
    "on_release": _policy,
    "on_restart": _restart_policy,
}
_LINK: dict[str, Callable[[object], Any]] = {
    "url": _url,
    "name": _link_name,
    "lines": _integer(1, LINES_MAX, "a number of lines"),
    "labels": _labels,
    "lines_on_restart": _restart_policies,
    "names": _names,
    "raw": _raw,
    **_SHARED,
}


def _link(
    table: Mapping[str, Any], shared: Mapping[str, Any], where: str, place: str
) -> LinkConfig:
    _known_keys(table, set(_LINK), where, place)
    if "url" not in table:
        raise ConfigError(f"{where}: {place}url: missing; expected a link URL")
    return LinkConfig(**{**shared, **_values(table, _LINK, where, place)})


def _export_url(value: object) -> str:
    expected = _Expected(f"{EXPORT_SCHEME}:PATH, PATH being the socket for the guest")
    if not isinstance(value, str) or not value.startswith(f"{EXPORT_SCHEME}:"):
        raise expected
    return _path(value.removeprefix(f"{EXPORT_SCHEME}:"))


def _chip_name(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise _Expected("the name of a chip, such as fw-0")
    return value


def _lines(value: object) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise _Expected("a list of lines, each [CHIP:]LINE[=NAME]")
    return value


def _picks(lines: Iterable[str], chip: str | None, where: str, place: str) -> tuple[Pick, ...]:
    try:
        picks = tuple(parse_pick(text, chip) for text in lines)
        check_picks(picks)
    except ValueError as error:
        raise ConfigError(f"{where}: {place}lines: {error}") from None
    return picks


_EXPORT: dict[str, Callable[[object], Any]] = {
    "url": _export_url,
    "chip": _chip_name,
    "lines": _lines,
    "name": _link_name,
    "mode": _mode,
}


def _export(table: Mapping[str, Any], where: str, place: str) -> ExportConfig:
    _known_keys(table, set(_EXPORT), where, place)
    values = _values(table, _EXPORT, where, place)
    if "url" not in values:
        raise ConfigError(f"{where}: {place}url: missing; expected {EXPORT_SCHEME}:PATH")
    path, chip = values.pop("url"), values.get("chip")
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", os.path.basename(path)).split(".")[0]
    name = values.get("name") or stem.strip("-.")[:LINK_NAME_MAX] or "guest"
    picks = _picks(values.get("lines", ()), chip, where, place)
    if not picks and chip is None:
        raise ConfigError(
            f"{where}: {place}chip: missing; say chip = NAME for all lines of a chip, "
            "or lines = [CHIP:LINE, ...]"
        )
    mode = values.get("mode", DEFAULT_MODE)
    return ExportConfig(path, name, chip, picks, mode)


_LIMITS: dict[str, Callable[[object], Any]] = {
    "connections": _integer(1, 65_536, "connections"),
    "handles": _integer(1, 65_536, "open chips"),
    "requests": _integer(1, 65_536, "line requests"),
    "lines": _integer(1, 1_048_576, "lines"),
    "memory_mib": _integer(1, 65_536, "MiB"),
    "reserve_percent": _integer(0, 90, "percent"),
}


def _patterns(value: object) -> tuple[str | int, ...]:
    if not isinstance(value, list) or not value:
        raise _Expected('a list of offsets and names, such as ["RESET_*", 3]')
    return tuple(_id(one, 'offsets and names, such as ["RESET_*", 3]') for one in value)


def _id(value: object, what: str) -> str | int:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise _Expected(f"a list of {what}")
    if isinstance(value, int) and value < 0:
        raise _Expected(f"a list of {what}")
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return value


def _ids(what: str) -> Callable[[object], Any]:
    def check(value: object) -> tuple[str | int, ...]:
        if not isinstance(value, list) or not value:
            raise _Expected(f"a list of {what}, by name or id")
        return tuple(_id(one, f"{what}, by name or id") for one in value)

    return check


def _rights(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(one in INCLUDED for one in value):
        raise _Expected(f"a list of these, which may be empty: {', '.join(INCLUDED)}")
    return tuple(value)


_ACCESS: dict[str, Callable[[object], Any]] = {
    "chip": _chip_name,
    "lines": _patterns,
    "users": _ids("users"),
    "groups": _ids("groups"),
    "may": _rights,
}


def _access(table: Mapping[str, Any], where: str, place: str) -> AccessRule:
    _known_keys(table, set(_ACCESS), where, place)
    values = _values(table, _ACCESS, where, place)
    if "may" not in values:
        raise ConfigError(f"{where}: {place}may: missing; expected a list of rights")
    try:
        uids = frozenset(_uid(user) for user in values.get("users", ()))
        gids = frozenset(_gid(group) for group in values.get("groups", ()))
    except KeyError as unknown:
        raise ConfigError(f"{where}: {place}there is no {unknown.args[0]}") from None
    return AccessRule(**values, uids=uids, gids=gids)


def _uid(user: str | int) -> int:
    import pwd

    try:
        return user if isinstance(user, int) else pwd.getpwnam(user).pw_uid
    except KeyError:
        raise KeyError(f'user "{user}"') from None


def _gid(group: str | int) -> int:
    import grp

    try:
        return group if isinstance(group, int) else grp.getgrnam(group).gr_gid
    except KeyError:
        raise KeyError(f'group "{group}"') from None


def _limits(table: Mapping[str, Any], where: str) -> Limits:
    _known_keys(table, set(_LIMITS), where, "limits: ")
    return Limits(**_values(table, _LIMITS, where, "limits: "))


def _label(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value.encode()) <= 31:
        raise _Expected("a label of 1 to 31 bytes")
    return value


_CHIP: dict[str, Callable[[object], Any]] = {
    "name": _link_name,
    "label": _label,
    "lines": _lines,
    "on_release": _policy,
}


def _chip(
    table: Mapping[str, Any], shared: Mapping[str, Any], where: str, place: str
) -> AggregateConfig:
    _known_keys(table, set(_CHIP), where, place)
    values = _values(table, _CHIP, where, place)
    for key in ("name", "lines"):
        if key not in values:
            raise ConfigError(f"{where}: {place}{key}: missing")
    picks = _picks(values.pop("lines"), None, where, place)
    if "on_release" in shared:
        values.setdefault("on_release", shared["on_release"])
    return AggregateConfig(picks=picks, **values)


def _values(
    table: Mapping[str, Any],
    checks: Mapping[str, Callable[[object], Any]],
    where: str,
    place: str,
) -> dict[str, Any]:
    """The checked values of the keys in `checks` that `table` has."""
    values = {}
    for key, check in checks.items():
        if key in table:
            try:
                values[key] = check(table[key])
            except _Expected as expected:
                got = table[key] if expected.got is _WHOLE else expected.got
                raise ConfigError(
                    f"{where}: {place}{key}: expected {expected}, not {_shown(got)}"
                ) from None
    return values


def _known_keys(table: Mapping[str, Any], known: set[str], where: str, place: str) -> None:
    for key in table:
        if key not in known:
            close = difflib.get_close_matches(key, known, 1)
            hint = f' (did you mean "{close[0]}"?)' if close else ""
            raise ConfigError(
                f"{where}: {place}{key}: unknown key{hint}; expected one of: "
                + ", ".join(sorted(known))
            )
