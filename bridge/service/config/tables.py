# SPDX-License-Identifier: BSD-3-Clause
"""The service's file: TOML, of which every key and value is checked when it is read."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from bridge.export.selection import AggregateConfig, ExportConfig, Pick, check_picks, parse_pick
from bridge.service.access import AccessRule
from bridge.service.budgets import Limits
from bridge.service.config import values
from bridge.service.config.model import (
    LINK_NAME_MAX,
    Config,
    ConfigError,
    LinkConfig,
    RealtimeConfig,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


Checks = Mapping[str, Callable[[object], Any]]


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
    _known_keys(table, {*GLOBAL, *SHARED, *_TABLES}, f"{where}: ")
    shared = some(table, SHARED, f"{where}: ")
    config = replace(
        base or Config(),
        **some(table, GLOBAL, f"{where}: "),
        links=tuple(link(one, shared, at) for one, at in _each(table, "link", where)),
        exports=tuple(export(one, at) for one, at in _each(table, "export", where)),
        chips=tuple(_chip(one, shared, at) for one, at in _each(table, "chip", where)),
        limits=Limits(**_only(table, "limits", _LIMITS, where)),
        realtime=RealtimeConfig(**_only(table, "realtime", REALTIME, where)),
        access=tuple(_access(one, at) for one, at in _each(table, "access", where)),
    )
    check_names(config.links, where)
    check_exports(config.exports, where)
    _check_chips(config.chips, where)
    return config


# The tables of a file, and the keys that each needs.
_TABLES = {
    "link": "a url",
    "export": "a url",
    "chip": "a name and lines",
    "access": "may",
    "limits": "",
    "realtime": "",
}


def _each(table: Mapping[str, Any], key: str, where: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The tables [[key]], each with what an error begins with."""
    found = table.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ConfigError(f"{where}: {key}: expected [[{key}]] tables, each with {_TABLES[key]}")
    for number, one in enumerate(found, start=1):
        yield one, f"{where}: {key} {number}: "


# ---- of all together ------------------------------------------------------


def check_names(links: Iterable[LinkConfig], where: str) -> None:
    """Raise ConfigError when two links have the same configured name."""
    _no_twins("links", "name", (link.name for link in links if link.name is not None), where)


def check_exports(exports: Collection[ExportConfig], where: str) -> None:
    """Raise ConfigError when two exports have the same socket or name."""
    guests = (one.path for one in exports if one.for_guest)
    _no_twins("exports", "path", guests, where)
    _no_twins("exports", "name", (export.name for export in exports), where)


def _check_chips(chips: Collection[AggregateConfig], where: str) -> None:
    """Raise ConfigError when two chips have the same name, or one is made of itself."""
    _no_twins("chips", "name", (chip.name for chip in chips), where)
    for chip in chips:
        if chip.name in chip.chips:
            raise ConfigError(f'{where}: chip "{chip.name}" takes lines from itself')


def _no_twins(things: str, what: str, words: Iterable[str], where: str) -> None:
    seen: set[str] = set()
    for word in words:
        if word in seen:
            raise ConfigError(f'{where}: two {things} have the {what} "{word}"')
        seen.add(word)


# ---- each table -----------------------------------------------------------


GLOBAL: Checks = {
    "socket": values.path,
    "mode": values.mode,
    "group": values.text("the name of a group"),
    "trace_group": values.text("the name of a group"),
    "traces": values.directory,
    "timeout_ms": values.integer(1, 60_000, "milliseconds"),
    "remoteproc": values.remoteprocs,
}
# These are given once for all links, or in a link.
SHARED: Checks = {
    "extensions": values.extensions,
    "on_release": values.release_policy,
    "on_restart": values.restart_policy,
}
_LINK: Checks = {
    "url": values.url,
    "name": values.name,
    "lines": values.integer(1, 65_535, "a number of lines"),
    "labels": values.labels,
    "lines_on_release": values.release_policies,
    "lines_on_restart": values.restart_policies,
    "names": values.names,
    "raw": values.raw,
    **SHARED,
}


def link(table: Mapping[str, Any], shared: Mapping[str, Any], at: str) -> LinkConfig:
    """A [[link]] table.

    Args:
        table: unchecked.
        shared: checked values for what it does not say.
        at: what an error begins with.
    """
    return LinkConfig(**{**shared, **_all(table, _LINK, at, {"url": "; expected a link URL"})})


_EXPORT: Checks = {
    "url": values.export_url,
    "chip": values.text("the name of a chip, such as fw-0"),
    "lines": values.lines,
    "name": values.name,
    "mode": values.mode,
    "active_low": values.boolean,
    "debounce_ms": values.integer(0, 10_000, "milliseconds"),
}
# What only some kinds of exports have, and why others do not.
_ONLY_OF = {
    "mode": (("vhost-user-gpio",), "it has no socket; udev sets who may open what it makes"),
    "active_low": (("uinput", "uleds"), "whoever uses the lines says it"),
    "debounce_ms": (("uinput",), "only keys are debounced here"),
}
_DEBOUNCE_MS = 5
"""As gpio-keys has it."""


def export(table: Mapping[str, Any], at: str) -> ExportConfig:
    """An [[export]] table; `at` is what an error begins with."""
    found = _all(table, _EXPORT, at, {"url": f"; expected one of {values.EXPORT_URLS}"})
    kind, path = found.pop("url")
    for key, (kinds, why) in _ONLY_OF.items():
        if key in found and kind not in kinds:
            raise ConfigError(f"{at}{key}: not of {kind}: {why}")
    chip = found.get("chip")
    picks = _picks(found.pop("lines", ()), chip, at)
    if not picks and chip is None:
        raise ConfigError(
            f"{at}chip: missing; say chip = NAME for all lines of a chip, "
            "or lines = [CHIP:LINE, ...]"
        )
    if kind in ("uinput", "uleds"):
        _check_device(kind, picks, at)
    if kind == "uinput":
        found.setdefault("debounce_ms", _DEBOUNCE_MS)
    found.setdefault("name", _export_name(kind, path, chip))
    return ExportConfig(path, picks=picks, kind=kind, **found)


def _export_name(kind: str, path: str, chip: str | None) -> str:
    if kind == "vhost-user-gpio":
        stem = os.path.basename(path).split(".")[0]
    else:
        ending = {"gpiochip": "", "uinput": "-keys", "uleds": "-leds"}[kind]
        stem = f"{(chip or '')[: LINK_NAME_MAX - len(ending)]}{ending}" or "gpiochip"
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("-.")
    return stem[:LINK_NAME_MAX] or "guest"


def _check_device(kind: str, picks: Collection[Pick], at: str) -> None:
    """Raise ConfigError when lines do not say what they are: a key, or a LED."""
    if not picks:
        raise ConfigError(f"{at}lines: missing; say which lines are to be keys or LEDs")
    for pick in picks:
        if kind == "uinput" and pick.name is None:
            raise ConfigError(f"{at}lines: {pick.line} needs a key, as in {pick.line}=KEY_POWER")
        led = pick.name or pick.line
        if kind == "uleds" and (isinstance(led, int) or "/" in led or led in (".", "..")):
            raise ConfigError(f"{at}lines: {led} is no name of a LED; write LINE=NAME, without a /")


_CHIP: Checks = {
    "name": values.name,
    "label": values.label,
    "lines": values.lines,
    "lines_on_release": values.release_policies,
    "on_release": values.release_policy,
}


def _chip(table: Mapping[str, Any], shared: Mapping[str, Any], at: str) -> AggregateConfig:
    found = _all(table, _CHIP, at, {"name": "", "lines": ""})
    picks = _picks(found.pop("lines"), None, at)
    if "on_release" in shared:
        found.setdefault("on_release", shared["on_release"])
    return AggregateConfig(picks=picks, **found)


def _picks(lines: Iterable[str], chip: str | None, at: str) -> tuple[Pick, ...]:
    try:
        picks = tuple(parse_pick(text, chip) for text in lines)
        check_picks(picks)
    except ValueError as error:
        raise ConfigError(f"{at}lines: {error}") from None
    return picks


_LIMITS: Checks = {
    "connections": values.integer(1, 65_536, "connections"),
    "handles": values.integer(1, 65_536, "open chips"),
    "requests": values.integer(1, 65_536, "line requests"),
    "lines": values.integer(1, 1_048_576, "lines"),
    "memory_mib": values.integer(1, 65_536, "MiB"),
    "reserve_percent": values.integer(0, 90, "percent"),
}


REALTIME: Checks = {
    "priority": values.integer(0, 99, "a priority of SCHED_FIFO"),
    "cpus": values.cpus,
    "lock_memory": values.boolean,
    "required": values.boolean,
}


def _only(table: Mapping[str, Any], key: str, checks: Checks, where: str) -> dict[str, Any]:
    """The table [key], which is there once at most."""
    found = table.get(key, {})
    if not isinstance(found, dict):
        raise ConfigError(f"{where}: {key}: expected a [{key}] table")
    return _all(found, checks, f"{where}: {key}: ")


_ACCESS: Checks = {
    "chip": values.text("the name of a chip, such as fw-0"),
    "lines": values.ids('offsets and names, such as ["RESET_*", 3]'),
    "users": values.ids("users, by name or id"),
    "groups": values.ids("groups, by name or id"),
    "may": values.rights,
}


def _access(table: Mapping[str, Any], at: str) -> AccessRule:
    found = _all(table, _ACCESS, at, {"may": "; expected a list of rights"})
    try:
        uids = frozenset(_uid(user) for user in found.get("users", ()))
        gids = frozenset(_gid(group) for group in found.get("groups", ()))
    except KeyError as unknown:
        raise ConfigError(f"{at}there is no {unknown.args[0]}") from None
    return AccessRule(**found, uids=uids, gids=gids)


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


# ---- keys -----------------------------------------------------------------


def some(table: Mapping[str, Any], checks: Checks, at: str) -> dict[str, Any]:
    """The checked values of the keys in `checks` that `table` has.

    Raises:
        ConfigError: begins with `at`.
    """
    found = {}
    for key, check in checks.items():
        if key in table:
            try:
                found[key] = check(table[key])
            except values.Expected as expected:
                got = table[key] if expected.got is values.WHOLE else expected.got
                raise ConfigError(
                    f"{at}{key}: expected {expected}, not {values.shown(got)}"
                ) from None
    return found


def _all(
    table: Mapping[str, Any], checks: Checks, at: str, needed: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Do what `some` does; other keys are errors, and so are `needed` ones that are missing."""
    _known_keys(table, set(checks), at)
    found = some(table, checks, at)
    for key, what in (needed or {}).items():
        if key not in found:
            raise ConfigError(f"{at}{key}: missing{what}")
    return found


def _known_keys(table: Mapping[str, Any], known: set[str], at: str) -> None:
    for key in table:
        if key not in known:
            import difflib

            close = difflib.get_close_matches(key, known, 1)
            hint = f' (did you mean "{close[0]}"?)' if close else ""
            raise ConfigError(
                f"{at}{key}: unknown key{hint}; expected one of: " + ", ".join(sorted(known))
            )
