# SPDX-License-Identifier: BSD-3-Clause
"""Flags, limits and structs of the GPIO character device, from ``<linux/gpio.h>``."""

from __future__ import annotations

import errno
import struct
import sys
from collections.abc import Sequence
from typing import Literal, NamedTuple

GPIO_V2_LINE_FLAG_USED = 1 << 0
GPIO_V2_LINE_FLAG_ACTIVE_LOW = 1 << 1
GPIO_V2_LINE_FLAG_INPUT = 1 << 2
GPIO_V2_LINE_FLAG_OUTPUT = 1 << 3
GPIO_V2_LINE_FLAG_EDGE_RISING = 1 << 4
GPIO_V2_LINE_FLAG_EDGE_FALLING = 1 << 5
GPIO_V2_LINE_FLAG_OPEN_DRAIN = 1 << 6
GPIO_V2_LINE_FLAG_OPEN_SOURCE = 1 << 7
GPIO_V2_LINE_FLAG_BIAS_PULL_UP = 1 << 8
GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN = 1 << 9
GPIO_V2_LINE_FLAG_BIAS_DISABLED = 1 << 10
GPIO_V2_LINE_FLAG_EVENT_CLOCK_REALTIME = 1 << 11
GPIO_V2_LINE_FLAG_EVENT_CLOCK_HTE = 1 << 12

GPIO_V2_LINE_EVENT_RISING_EDGE = 1
GPIO_V2_LINE_EVENT_FALLING_EDGE = 2

LINE_EVENT_SIZE = 48
"""Bytes of a ``struct gpio_v2_line_event``."""

GPIO_V2_LINES_MAX = 64
GPIO_MAX_NAME_SIZE = 32
"""Bytes of a name or a consumer, the terminating NUL included."""
GPIO_V2_LINE_NUM_ATTRS_MAX = 10

GPIO_V2_LINE_ATTR_ID_FLAGS = 1
GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES = 2
GPIO_V2_LINE_ATTR_ID_DEBOUNCE = 3

GPIO_V2_LINE_CHANGED_REQUESTED = 1
GPIO_V2_LINE_CHANGED_RELEASED = 2
GPIO_V2_LINE_CHANGED_CONFIG = 3


BYTE_ORDER: Literal["little", "big"] = sys.byteorder
"""Of all of these structs."""


class Attribute(NamedTuple):
    """``struct gpio_v2_line_config_attribute``: a value for the lines of a mask.

    Attributes:
        id: ``GPIO_V2_LINE_ATTR_ID_*``.
        value: flags, output values, or a debounce period in microseconds.
        mask: bits of the request's lines, in request order.
    """

    id: int
    value: int
    mask: int


# struct gpio_v2_line_config: flags, num_attrs, padding, and then the attributes.
_CONFIG = struct.Struct("=QI20s")
_ATTRIBUTE = struct.Struct("=IIQQ")
# The union's debounce_period_us is 32 bits wide, whatever the byte order.
_ATTRIBUTE_32 = struct.Struct("=III4sQ")
LINE_CONFIG_SIZE = _CONFIG.size + GPIO_V2_LINE_NUM_ATTRS_MAX * _ATTRIBUTE.size

# struct gpio_v2_line_info_changed, whose only attribute is the debounce period:
# name, consumer, offset, num_attrs, flags; the attribute; time stamp, event type.
_INFO_CHANGED = struct.Struct("=32s32sIIQIII4x144x16xQI20x")


def pack_line_config(flags: int, attributes: Sequence[Attribute] = ()) -> bytes:
    """Make a ``struct gpio_v2_line_config``.

    Args:
        flags: of the lines without a FLAGS attribute.
        attributes: at most GPIO_V2_LINE_NUM_ATTRS_MAX.
    """
    packed = bytearray(_CONFIG.pack(flags, len(attributes), b""))
    for attribute in attributes:
        if attribute.id == GPIO_V2_LINE_ATTR_ID_DEBOUNCE:
            packed += _ATTRIBUTE_32.pack(attribute.id, 0, attribute.value, b"", attribute.mask)
        else:
            packed += _ATTRIBUTE.pack(attribute.id, 0, attribute.value, attribute.mask)
    return bytes(packed.ljust(LINE_CONFIG_SIZE, b"\0"))


def unpack_line_config(packed: bytes) -> tuple[int, list[Attribute]]:
    """Take a ``struct gpio_v2_line_config`` apart: flags and attributes.

    Raises:
        OSError: EINVAL for what the kernel refuses: a wrong size, more than
            GPIO_V2_LINE_NUM_ATTRS_MAX attributes, padding that is not zero.
    """
    if len(packed) != LINE_CONFIG_SIZE:
        raise OSError(
            errno.EINVAL,
            f"a struct gpio_v2_line_config has {LINE_CONFIG_SIZE} bytes, not {len(packed)}",
        )
    flags, count, padding = _CONFIG.unpack_from(packed)
    if count > GPIO_V2_LINE_NUM_ATTRS_MAX:
        raise OSError(
            errno.EINVAL,
            f"num_attrs is {count}, a line config has at most {GPIO_V2_LINE_NUM_ATTRS_MAX}",
        )
    end = _CONFIG.size + count * _ATTRIBUTE.size
    attributes = [_attribute(packed, at) for at in range(_CONFIG.size, end, _ATTRIBUTE.size)]
    if any(padding) or any(packed[end:]):
        raise OSError(errno.EINVAL, "the padding of a line config is not zero")
    return flags, attributes


def _attribute(packed: bytes, at: int) -> Attribute:
    identity, padding, value, mask = _ATTRIBUTE.unpack_from(packed, at)
    if padding:
        raise OSError(errno.EINVAL, "the padding of a line config attribute is not zero")
    if identity == GPIO_V2_LINE_ATTR_ID_DEBOUNCE:
        value = _ATTRIBUTE_32.unpack_from(packed, at)[2]
    return Attribute(identity, value, mask)


class LineChange(NamedTuple):
    """``struct gpio_v2_line_info_changed``.

    Attributes:
        event: ``GPIO_V2_LINE_CHANGED_*``.
        timestamp_ns: CLOCK_MONOTONIC, nanoseconds.
        offset: of the line.
        name: empty when the line has none.
        consumer: empty when nobody uses the line.
        flags: ``GPIO_V2_LINE_FLAG_*``.
        debounce_us: debounce period in microseconds, 0 is none.
    """

    event: int
    timestamp_ns: int
    offset: int
    name: str
    consumer: str
    flags: int
    debounce_us: int


def pack_line_change(change: LineChange) -> bytes:
    """Make a ``struct gpio_v2_line_info_changed``; long names are cut to 31 bytes."""
    debounced = bool(change.debounce_us)
    return _INFO_CHANGED.pack(
        change.name.encode()[: GPIO_MAX_NAME_SIZE - 1],
        change.consumer.encode()[: GPIO_MAX_NAME_SIZE - 1],
        change.offset,
        debounced,
        change.flags,
        GPIO_V2_LINE_ATTR_ID_DEBOUNCE if debounced else 0,
        0,
        change.debounce_us,
        change.timestamp_ns,
        change.event,
    )


def unpack_line_change(packed: bytes) -> LineChange:
    """Take a ``struct gpio_v2_line_info_changed`` apart."""
    name, consumer, offset, count, flags, identity, _, period, stamp, event = _INFO_CHANGED.unpack(
        packed
    )
    debounced = count and identity == GPIO_V2_LINE_ATTR_ID_DEBOUNCE
    return LineChange(
        event, stamp, offset, _text(name), _text(consumer), flags, period if debounced else 0
    )


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")
