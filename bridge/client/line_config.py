# SPDX-License-Identifier: BSD-3-Clause
"""Settings of several lines packed as libgpiod packs them (lib/line-config.c)."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import NamedTuple

from bridge import uapi
from bridge.client.line_settings import LineSettings, debounce_us, flags_of
from bridge.line import Value

__all__ = ["LineAttributes", "config_of", "pack"]


class LineAttributes(NamedTuple):
    """What the kernel's interface says of one line; `value` is 0 or 1, logical."""

    flags: int
    value: int
    debounce_us: int

    @property
    def output(self) -> bool:
        """Whether the line shall be an output."""
        return bool(self.flags & uapi.GPIO_V2_LINE_FLAG_OUTPUT)


def config_of(settings: LineSettings, value: Value | None = None) -> LineAttributes:
    """Return what `settings` ask for; `value` overrides their output value.

    Raises ValueError and AttributeError as flags_of() and debounce_us() do.
    """
    wanted = settings.output_value if value is None else value
    return LineAttributes(flags_of(settings), wanted.value, debounce_us(settings))


def pack(configs: Sequence[LineAttributes]) -> bytes:
    """Return the struct gpio_v2_line_config of all lines of a request.

    Raises OSError E2BIG when their settings are more than it holds, or the lines are.
    """
    return uapi.pack_line_config(configs[0].flags, _attributes_of(configs))


def _attributes_of(configs: Sequence[LineAttributes]) -> list[uapi.Attribute]:
    """Return the attributes that the lines need beside the first line's flags."""
    if len(configs) > uapi.GPIO_V2_LINES_MAX:
        raise OSError(
            errno.E2BIG,
            f"{len(configs)} lines in one request: {uapi.GPIO_V2_LINES_MAX} is the most",
        )
    masks: dict[tuple[int, int], int] = {}
    if any(config.output for config in configs):
        values = sum(config.value << index for index, config in enumerate(configs))
        every = sum(config.output << index for index, config in enumerate(configs))
        masks[uapi.GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES, values] = every
    for kind, field in (
        (uapi.GPIO_V2_LINE_ATTR_ID_DEBOUNCE, "debounce_us"),
        (uapi.GPIO_V2_LINE_ATTR_ID_FLAGS, "flags"),
    ):
        default = configs[0].flags if field == "flags" else 0
        for index, config in enumerate(configs):
            setting = getattr(config, field)
            if setting != default:
                masks[kind, setting] = masks.get((kind, setting), 0) | 1 << index
    if len(masks) > uapi.GPIO_V2_LINE_NUM_ATTRS_MAX:
        raise OSError(
            errno.E2BIG,
            f"the lines need {len(masks)} different attributes (flags, debounce periods, "
            f"output values): {uapi.GPIO_V2_LINE_NUM_ATTRS_MAX} is the most in one request",
        )
    return [uapi.Attribute(kind, value, mask) for (kind, value), mask in masks.items()]
