# SPDX-License-Identifier: BSD-3-Clause
"""Checks of single values: each returns what is meant, or raises `Expected`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from bridge import wire
from bridge.control_protocol import DEFAULT_HELPER
from bridge.export.selection import NAME_MAX, is_name
from bridge.link import resolve
from bridge.service.access import INCLUDED
from bridge.service.config.model import LINK_NAME_MAX, RemoteprocConfig

# What the URL of an export begins with, its kind, its path where the URL has none, and whom or what
# its lines are for.
_EXPORTS = {
    "vhost-user-gpio:": ("vhost-user-gpio", "", "a guest, PATH being its socket"),
    "gpiochip:dln2": ("gpiochip", DEFAULT_HELPER, "a chip of this kernel"),
    "uinput:": ("uinput", "/dev/uinput", "keys of this kernel"),
    "uleds:": ("uleds", "/dev/uleds", "LEDs of this kernel"),
}
EXPORT_URLS = ", ".join(
    f"{scheme}{'' if default else 'PATH'} ({lines})"
    for scheme, (_, default, lines) in _EXPORTS.items()
)

CPUS_MAX = 1024
"""CPU_SETSIZE of cpu_set_t (CPU_SET(3))."""

WHOLE = object()
_SHOWN_MAX = 60


class Expected(Exception):
    """What a value should have been, and which part of it is wrong."""

    def __init__(self, what: str, got: object = WHOLE) -> None:
        super().__init__(what)
        self.got = got


def shown(value: object) -> str:
    """A value as an error shows it: short enough to be read at a glance."""
    text = repr(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 3]}..."


def path(value: object) -> str:
    """The path of a unix socket."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise Expected("a path")
    if len(os.fsencode(value)) > 107:
        raise Expected("a path of at most 107 bytes (the limit of unix sockets)")
    return value


def directory(value: object) -> str:
    """The path of a directory, or "" for none."""
    if not isinstance(value, str) or "\0" in value:
        raise Expected('the path of a directory, or "" for none')
    return value


def mode(value: object) -> int:
    """Permission bits, as a number or in octal digits."""
    expected = Expected('permission bits from 0 to 0o777, such as "0660" or 0o660')
    if isinstance(value, str):
        try:
            value = int(value, 8)
        except ValueError:
            raise expected from None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 0o777:
        raise expected
    return value


def text(what: str) -> Callable[[object], str]:
    """Any text; `what` is what it should be."""

    def check(value: object) -> str:
        if not isinstance(value, str) or not value:
            raise Expected(what)
        return value

    return check


def _one_of(*words: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if value not in words:
            raise Expected(" or ".join(f'"{word}"' for word in words))
        return str(value)

    return check


release_policy = _one_of("none", "keep")
restart_policy = _one_of("release", "restore", "hold")


def integer(low: int, high: int, what: str) -> Callable[[object], int]:
    """An integer; `what` is what it is of."""

    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise Expected(f"{what} from {low} to {high}")
        return value

    return check


def boolean(value: object) -> bool:
    """A yes or no."""
    if not isinstance(value, bool):
        raise Expected("true or false")
    return value


def cpus(value: object) -> tuple[int, ...]:
    """A list of processors."""
    if not isinstance(value, list) or not all(
        isinstance(cpu, int) and not isinstance(cpu, bool) and 0 <= cpu < CPUS_MAX for cpu in value
    ):
        raise Expected(f"a list of CPUs, each from 0 to {CPUS_MAX - 1}, such as [3]")
    return tuple(value)


def extensions(value: object) -> int:
    """RPMSG_GPIO_F_* bits of extension names."""
    known = ", ".join(wire.FEATURES)
    expected = Expected(f'"all", "none" or a list of these: {known}')
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


def policies(
    policy: Callable[[object], str], example: str
) -> Callable[[object], Mapping[str, str]]:
    """Policies by line name; `policy` checks one of them."""

    def check(value: object) -> Mapping[str, str]:
        if not isinstance(value, dict):
            raise Expected(f"a table of policies by line name, such as {example}")
        for name, one in value.items():
            try:
                policy(one)
            except Expected as expected:
                raise Expected(f"{expected} for {shown(name)}", one) from None
        return MappingProxyType(dict(value))

    return check


restart_policies = policies(restart_policy, '{ RESET_PHY = "restore" }')
release_policies = policies(release_policy, '{ "RESET_*" = "keep" }')


def url(value: object) -> str:
    """A link's URL."""
    if not isinstance(value, str):
        raise Expected("a link URL, such as vhost-user:/run/fw.sock")
    try:
        resolve(value)
    except OSError as error:
        raise Expected(f"a link URL ({error.strerror})") from None
    return value


def name(value: object) -> str:
    """A name of a link, an export or a chip."""
    if not isinstance(value, str) or not re.fullmatch(
        rf"[A-Za-z0-9_.-]{{1,{LINK_NAME_MAX}}}", value
    ):
        raise Expected(f"1 to {LINK_NAME_MAX} letters, digits or any of _ . -")
    return value


def labels(value: object) -> Mapping[str, str]:
    """Labels by channel index."""
    if not isinstance(value, dict):
        raise Expected('a table of labels by channel index, such as { "0" = "m4 gpio" }')
    for index, label in value.items():
        _check_index(index)
        if not isinstance(label, str) or not 1 <= len(label.encode()) <= NAME_MAX:
            raise Expected(f"a label of 1 to {NAME_MAX} bytes for channel {index}", label)
    return MappingProxyType(dict(value))


def raw(value: object) -> Mapping[str, str]:
    """Controllers by number: an address as a decimal text, or a label."""
    if not isinstance(value, dict):
        raise Expected(
            'a table of addresses or labels by number, such as { "0" = 0x400, "1" = "port B" }'
        )
    texts: dict[str, str] = {}
    for number, which in value.items():
        _check_index(number)
        text = _address_or_label(number, which)
        if text in texts.values():
            raise Expected(f"another controller for {number}: this one has a number", which)
        texts[number] = text
    return MappingProxyType(texts)


def _address_or_label(number: str, which: object) -> str:
    """An address as a decimal text, or a label."""
    address = which
    if isinstance(which, str) and re.fullmatch("0[xX][0-9a-fA-F]{1,16}|[0-9]{1,16}", which):
        address = int(which, 16 if which[1:2] in ("x", "X") else 10)
    if isinstance(address, int) and not isinstance(address, bool):
        if not 0 <= address < 1 << 32:
            raise Expected(f"an address from 0 to 0xffffffff for {number}", which)
        return str(address)
    if not isinstance(which, str) or not 1 <= len(which.encode()) <= NAME_MAX:
        raise Expected(f"an address, or a label of 1 to {NAME_MAX} bytes, for {number}", which)
    return which


def _check_index(index: str) -> None:
    """Raise unless this is how a channel's index is written."""
    if wire.channel_index(f"{wire.CHANNEL_PREFIX}{index}") is None:
        raise Expected("the index of a channel, which is decimal without leading zeros", index)


def names(value: object) -> Mapping[str, tuple[str, ...]]:
    """Line names by channel index."""
    if not isinstance(value, dict):
        raise Expected(
            "a table of lists of line names by channel index, "
            'such as { "0" = ["LED", "", "RESET"] }'
        )
    for index, names in value.items():
        _check_index(index)
        if not isinstance(names, list):
            raise Expected(f'a list of line names for channel {index}, such as ["LED", ""]', names)
        for line, name in enumerate(names):
            if not isinstance(name, str) or (name and not is_name(name)):
                raise Expected(
                    f"a line name of at most {NAME_MAX} bytes, without control characters, "
                    f"for line {line} of channel {index}",
                    name,
                )
    return MappingProxyType({index: tuple(names) for index, names in value.items()})


def remoteproc(value: object) -> RemoteprocConfig:
    """A processor: ``NAME[,auto-stop]``."""
    name, comma, option = value.partition(",") if isinstance(value, str) else ("", "", "")
    if not name or (comma and option != "auto-stop"):
        raise Expected('the name of a processor, as in "m4_0" or "m4_0,auto-stop"')
    return RemoteprocConfig(name, bool(comma))


def remoteprocs(value: object) -> tuple[RemoteprocConfig, ...]:
    """A list of processors."""
    if not isinstance(value, list):
        raise Expected('a list of processors, as in ["m4_0", "dsp,auto-stop"]')
    return tuple(remoteproc(one) for one in value)


def export_url(value: object) -> tuple[str, str]:
    """The kind and the path in a URL of an export."""
    for scheme, (kind, default, _) in _EXPORTS.items():
        if isinstance(value, str) and value.startswith(scheme):
            rest = value[len(scheme) :]
            if not rest and default:
                return kind, default
            if scheme.endswith(":") or rest.startswith(":"):
                return kind, path(rest.removeprefix(":"))
    raise Expected(f"one of {EXPORT_URLS}")


def lines(value: object) -> list[str]:
    """A list of lines, each ``[CHIP:]LINE[=NAME]``."""
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise Expected("a list of lines, each [CHIP:]LINE[=NAME]")
    return value


def ids(what: str) -> Callable[[object], tuple[str | int, ...]]:
    """A list of names and numbers; `what` is what they are of."""

    def check(value: object) -> tuple[str | int, ...]:
        if not isinstance(value, list) or not value or not all(_is_id(one) for one in value):
            raise Expected(f"a list of {what}")
        return tuple(
            int(one) if str(one).isascii() and str(one).isdigit() else one for one in value
        )

    return check


def _is_id(value: object) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool) and value >= 0
    return isinstance(value, str) and value != ""


def rights(value: object) -> tuple[str, ...]:
    """A list of rights."""
    if not isinstance(value, list) or not all(one in INCLUDED for one in value):
        raise Expected(f"a list of these, which may be empty: {', '.join(INCLUDED)}")
    return tuple(value)


def label(value: object) -> str:
    """A label of a chip."""
    if not isinstance(value, str) or not 1 <= len(value.encode()) <= 31:
        raise Expected("a label of 1 to 31 bytes")
    return value
