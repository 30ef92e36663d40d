# SPDX-License-Identifier: BSD-3-Clause
"""Python face of firmware_stub/core/rpmsg_gpio.h: constants and message bodies.

Every number comes from the compiled header, so it has one definition. What
firmware sends is checked here before anybody relies on it.
"""

from __future__ import annotations

import errno
import functools
import operator
import re
import struct
from collections.abc import Iterable
from typing import Any, NamedTuple

from bridge.shim.ffi import ffi, lib
from bridge.uapi import GPIO_MAX_NAME_SIZE

MSG_GET_LINE_NAMES = lib.VIRTIO_GPIO_MSG_GET_LINE_NAMES
MSG_GET_DIRECTION = lib.VIRTIO_GPIO_MSG_GET_DIRECTION
MSG_SET_DIRECTION = lib.VIRTIO_GPIO_MSG_SET_DIRECTION
MSG_GET_VALUE = lib.VIRTIO_GPIO_MSG_GET_VALUE
MSG_SET_VALUE = lib.VIRTIO_GPIO_MSG_SET_VALUE
MSG_SET_IRQ_TYPE = lib.VIRTIO_GPIO_MSG_SET_IRQ_TYPE
MSG_GET_FEATURES = lib.RPMSG_GPIO_MSG_GET_FEATURES
MSG_SET_FEATURES = lib.RPMSG_GPIO_MSG_SET_FEATURES
MSG_GET_CONFIG = lib.RPMSG_GPIO_MSG_GET_CONFIG
MSG_GET_EPOCH = lib.RPMSG_GPIO_MSG_GET_EPOCH
MSG_GRANT_CREDITS = lib.RPMSG_GPIO_MSG_GRANT_CREDITS
MSG_GET_TIME = lib.RPMSG_GPIO_MSG_GET_TIME
MSG_GET_VALUES = lib.RPMSG_GPIO_MSG_GET_VALUES
MSG_SET_VALUES = lib.RPMSG_GPIO_MSG_SET_VALUES
MSG_GET_LINE_CAPS = lib.RPMSG_GPIO_MSG_GET_LINE_CAPS
MSG_SET_LINE_CONFIG = lib.RPMSG_GPIO_MSG_SET_LINE_CONFIG
MSG_GET_COUNTERS = lib.RPMSG_GPIO_MSG_GET_COUNTERS

QUEUE_REQUEST = lib.RPMSG_GPIO_QUEUE_REQUEST
QUEUE_EVENT = lib.RPMSG_GPIO_QUEUE_EVENT
STATUS_OK = lib.VIRTIO_GPIO_STATUS_OK
STATUS_ERR = lib.VIRTIO_GPIO_STATUS_ERR

DIRECTION_NONE = lib.VIRTIO_GPIO_DIRECTION_NONE
DIRECTION_OUT = lib.VIRTIO_GPIO_DIRECTION_OUT
DIRECTION_IN = lib.VIRTIO_GPIO_DIRECTION_IN

IRQ_TYPE_NONE = lib.VIRTIO_GPIO_IRQ_TYPE_NONE
IRQ_TYPE_EDGE_RISING = lib.VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING
IRQ_TYPE_EDGE_FALLING = lib.VIRTIO_GPIO_IRQ_TYPE_EDGE_FALLING
IRQ_TYPE_EDGE_BOTH = lib.VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH
IRQ_TYPE_LEVEL_HIGH = lib.VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH
IRQ_TYPE_LEVEL_LOW = lib.VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW

F_CONFIG = lib.RPMSG_GPIO_F_CONFIG
F_NAMES = lib.RPMSG_GPIO_F_NAMES
F_TAG = lib.RPMSG_GPIO_F_TAG
F_EPOCH = lib.RPMSG_GPIO_F_EPOCH
F_CREDITS = lib.RPMSG_GPIO_F_CREDITS
F_TIMESTAMP = lib.RPMSG_GPIO_F_TIMESTAMP
F_BULK = lib.RPMSG_GPIO_F_BULK
F_LINE_CONFIG = lib.RPMSG_GPIO_F_LINE_CONFIG
F_COUNTERS = lib.RPMSG_GPIO_F_COUNTERS

LINE_PULL_UP = lib.RPMSG_GPIO_LINE_PULL_UP
LINE_PULL_DOWN = lib.RPMSG_GPIO_LINE_PULL_DOWN
LINE_BIAS_DISABLE = lib.RPMSG_GPIO_LINE_BIAS_DISABLE
LINE_OPEN_DRAIN = lib.RPMSG_GPIO_LINE_OPEN_DRAIN
LINE_OPEN_SOURCE = lib.RPMSG_GPIO_LINE_OPEN_SOURCE
LINE_DEBOUNCE = lib.RPMSG_GPIO_LINE_DEBOUNCE

NAMES_PIECE = lib.RPMSG_GPIO_NAMES_PIECE
CHANNEL_PREFIX = ffi.string(lib.RPMSG_GPIO_CHANNEL_PREFIX).decode()
CHANNEL_RAW = ffi.string(lib.RPMSG_GPIO_CHANNEL_RAW).decode()
CHANNEL_NAME_MAX = 31
"""Characters of a channel's name: rpmsg has 32 bytes, the last one is 0."""

DIALECT = "rpmsg-gpio"
DIALECT_OF_HEAD = {3: DIALECT, 4: "rpmsg-gpio-padded"}
"""The dialect that a baseline reply of so many bytes belongs to."""

FEATURES = {
    "config": F_CONFIG,
    "names": F_NAMES,
    "tag": F_TAG,
    "epoch": F_EPOCH,
    "credits": F_CREDITS,
    "timestamp": F_TIMESTAMP,
    "bulk": F_BULK,
    "line-config": F_LINE_CONFIG,
    "counters": F_COUNTERS,
}
"""The extensions this service implements, by the names used in configuration."""
ALL_FEATURES = functools.reduce(operator.or_, FEATURES.values())

# struct rpmsg_gpio_features; struct rpmsg_gpio_config_body: ngpio, padding,
# gpio_names_size, label.
_FEATURES_BODY = struct.Struct("<II")
_CAPS_BODY = struct.Struct("<II")  # struct rpmsg_gpio_caps_body
_LINE_CONFIG_BODY = struct.Struct("<II")  # struct rpmsg_gpio_line_config_body
_COUNTERS_BODY = struct.Struct("<5I")  # struct rpmsg_gpio_counters_body, and what may follow:
_SELF_TEST = struct.Struct("<I")
_BITS_BODY = struct.Struct("<Q")  # struct rpmsg_gpio_mask_body, struct rpmsg_gpio_bits_body
_CONFIG_BODY = struct.Struct(f"<H2xI{lib.RPMSG_GPIO_LABEL_SIZE}s")

#: What firmware counts, as in ``struct rpmsg_gpio_counters_body``.
COUNTERS = ("requests", "refused", "sent", "starved", "overruns")

_MESSAGES = {
    MSG_GET_LINE_NAMES: "GET_LINE_NAMES",
    MSG_GET_DIRECTION: "GET_DIRECTION",
    MSG_SET_DIRECTION: "SET_DIRECTION",
    MSG_GET_VALUE: "GET_VALUE",
    MSG_SET_VALUE: "SET_VALUE",
    MSG_SET_IRQ_TYPE: "SET_IRQ_TYPE",
    MSG_GET_FEATURES: "GET_FEATURES",
    MSG_SET_FEATURES: "SET_FEATURES",
    MSG_GET_CONFIG: "GET_CONFIG",
    MSG_GET_EPOCH: "GET_EPOCH",
    MSG_GRANT_CREDITS: "GRANT_CREDITS",
    MSG_GET_TIME: "GET_TIME",
    MSG_GET_VALUES: "GET_VALUES",
    MSG_SET_VALUES: "SET_VALUES",
    MSG_GET_LINE_CAPS: "GET_LINE_CAPS",
    MSG_SET_LINE_CONFIG: "SET_LINE_CONFIG",
    MSG_GET_COUNTERS: "GET_COUNTERS",
}

_CAPS_KNOWN = (
    LINE_PULL_UP
    | LINE_PULL_DOWN
    | LINE_BIAS_DISABLE
    | LINE_OPEN_DRAIN
    | LINE_OPEN_SOURCE
    | LINE_DEBOUNCE
)


class Features(NamedTuple):
    """Body of the GET_FEATURES reply."""

    features: int
    epoch: int


class ConfigSpace(NamedTuple):
    """Body of the GET_CONFIG reply; `label` is empty where there is none."""

    ngpio: int
    names_size: int
    label: str


class LineCaps(NamedTuple):
    """Body of the GET_LINE_CAPS reply.

    Attributes:
        flags: RPMSG_GPIO_LINE_* bits that the pin can do.
        max_debounce_us: longest debounce period in microseconds.
    """

    flags: int = 0
    max_debounce_us: int = 0


class PinConfig(NamedTuple):
    """Body of the SET_LINE_CONFIG request; the defaults are a pin after a reset.

    Attributes:
        flags: RPMSG_GPIO_LINE_* bits, at most one bias and one drive.
        debounce_us: period in microseconds, 0 is none.
    """

    flags: int = 0
    debounce_us: int = 0


def message_name(kind: int) -> str:
    """The spec's name of a message type, or its number."""
    return _MESSAGES.get(kind, f"message type {kind:#06x}")


def feature_names(mask: int) -> list[str]:
    """Names of the RPMSG_GPIO_F_* bits in `mask` that this service implements."""
    return [name for name, bit in FEATURES.items() if mask & bit]


def feature_mask(names: Iterable[str]) -> int:
    """RPMSG_GPIO_F_* bits of extension names. Raises KeyError for an unknown one."""
    mask = 0
    for name in names:
        mask |= FEATURES[name]
    return mask


def parse_features(body: bytes) -> Features:
    """Read ``struct rpmsg_gpio_features``. Raises OSError(EPROTO) when too short."""
    return Features(*_unpack(_FEATURES_BODY, body, "GET_FEATURES"))


def parse_counters(body: bytes) -> dict[str, int]:
    """Read ``struct rpmsg_gpio_counters_body``.

    Returns:
        What the firmware has counted since it started, modulo 2**32, by COUNTERS and in their
        order; then self_test_faults, if it has checked its pins.

    Raises:
        OSError: EPROTO when the body is too short.
    """
    counted = dict(zip(COUNTERS, _unpack(_COUNTERS_BODY, body, "GET_COUNTERS"), strict=True))
    if len(body) >= _COUNTERS_BODY.size + _SELF_TEST.size:
        (checked,) = _SELF_TEST.unpack_from(body, _COUNTERS_BODY.size)
        if checked:
            counted["self_test_faults"] = checked - 1
    return counted


def parse_config(body: bytes) -> ConfigSpace:
    """Read ``struct rpmsg_gpio_config_body``.

    A label that is no printable 7-bit ASCII is dropped (empty).

    Raises:
        OSError: EPROTO when the body is too short or says that there are no lines.
    """
    ngpio, names_size, label = _unpack(_CONFIG_BODY, body, "GET_CONFIG")
    if ngpio == 0:
        raise OSError(errno.EPROTO, "the firmware says it has 0 lines; at least 1 is needed")
    return ConfigSpace(ngpio, names_size, _ascii(label.split(b"\0", 1)[0]) or "")


def parse_line_caps(body: bytes, check: int) -> LineCaps:
    """Read ``struct rpmsg_gpio_caps_body``; flags that are not defined yet are left out.

    Args:
        body: of the reply.
        check: the value field of the reply's head (docs/protocol.md 8.5).

    Raises:
        OSError: EPROTO when the body is too short or damaged.
    """
    caps = LineCaps(*_unpack(_CAPS_BODY, body, "GET_LINE_CAPS"))
    if check and check != lib.rpmsg_gpio_check8(body, _CAPS_BODY.size):
        raise OSError(errno.EPROTO, "the GET_LINE_CAPS reply does not fit its check")
    return caps._replace(flags=caps.flags & _CAPS_KNOWN)


def fits_check(body: bytes, check: int) -> bool:
    """Whether the value field of a reply with a body fits it (docs/protocol.md 8.5)."""
    return check in (0, lib.rpmsg_gpio_check8(body, len(body)))


def pack_pin_config(config: PinConfig) -> tuple[bytes, int]:
    """The body of a SET_LINE_CONFIG request and its check, for the value field."""
    body = _LINE_CONFIG_BODY.pack(*config)
    return body, lib.rpmsg_gpio_check32(body, len(body))


def pack_mask(mask: int) -> tuple[bytes, int]:
    """The body of a GET_VALUES request and its check, for the value field."""
    body = _BITS_BODY.pack(mask)
    return body, lib.rpmsg_gpio_check32(body, len(body))


def parse_bits(body: bytes, check: int) -> int | None:
    """Read the body of a GET_VALUES reply; None where it is too short or damaged.

    Args:
        body: of the reply.
        check: the value field of the reply's head (docs/protocol.md 8.5).
    """
    if len(body) != _BITS_BODY.size or not fits_check(body, check):
        return None
    bits: int = _BITS_BODY.unpack(body)[0]
    return bits


def names_limit(ngpio: int) -> int:
    """Most bytes that the names of `ngpio` lines can reasonably take."""
    return ngpio * GPIO_MAX_NAME_SIZE * 2


def parse_names(block: bytes, ngpio: int) -> tuple[list[str | None], list[str]]:
    """Split the names block of virtio-gpio (5.18.4): NUL-terminated strings in a row.

    Args:
        block: the whole block.
        ngpio: number of lines; the result has this length.

    Returns:
        The names (None is unnamed) and what was wrong with the block, as sentences.
    """
    complaints: list[str] = []
    strings = block.split(b"\0")
    if strings and strings[-1]:
        complaints.append("the last line name has no terminating NUL")
    else:
        strings = strings[:-1]
    if len(strings) != ngpio:
        complaints.append(f"there are {len(strings)} line names for {ngpio} lines")
    names: list[str | None] = [None] * ngpio
    taken: dict[str, int] = {}
    for offset, string in enumerate(strings[:ngpio]):
        if not string:
            continue
        name = _ascii(string)
        if name is None:
            complaints.append(f"the name of line {offset} is not printable 7-bit ASCII")
            continue
        # The kernel's uAPI shows 31 characters of a name, so do we.
        name = name[: GPIO_MAX_NAME_SIZE - 1]
        if name in taken:
            complaints.append(f'line {offset} has the name "{name}" of line {taken[name]}')
            continue
        taken[name] = offset
        names[offset] = name
    return names, complaints


_CONTROLLER = re.compile(re.escape(CHANNEL_PREFIX) + "(0|[1-9][0-9]*)", re.ASCII)


def channel_index(name: str) -> str | None:
    """The index in a channel's name by the letter of docs/protocol.md 2.1, else None."""
    match = _CONTROLLER.fullmatch(name) if len(name) <= CHANNEL_NAME_MAX else None
    return match[1] if match else None


def is_controller(name: str) -> bool:
    """Whether a channel of this name is a GPIO controller's, and not somebody else's."""
    return name == CHANNEL_RAW or channel_index(name) is not None


def _ascii(raw: bytes) -> str | None:
    if raw and all(0x20 <= byte < 0x7F for byte in raw):
        return raw.decode("ascii")
    return None


def _unpack(layout: struct.Struct, body: bytes, what: str) -> tuple[Any, ...]:
    if len(body) < layout.size:
        raise OSError(
            errno.EPROTO, f"the {what} reply has a body of {len(body)} bytes, not {layout.size}"
        )
    return layout.unpack_from(body)
