# SPDX-License-Identifier: BSD-3-Clause
"""Arguments of operations, which are hostile until checked. All raise OSError EINVAL."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any

from bridge import uapi
from bridge.control_protocol import STRING_MAX

U32_MAX = 2**32 - 1

_MISSING = object()


def boolean(message: Mapping[str, Any], key: str, default: bool) -> bool:
    """A boolean, `default` where the client says nothing."""
    value = message.get(key, default)
    if not isinstance(value, bool):
        raise OSError(errno.EINVAL, f"{key} must be a boolean")
    return value


def string(message: Mapping[str, Any], key: str, default: object = _MISSING) -> str:
    """A string of at most STRING_MAX characters, required unless there is a default."""
    value = message.get(key, default)
    if not isinstance(value, str):
        raise OSError(errno.EINVAL, f"{key} must be a string")
    if len(value) > STRING_MAX:
        raise OSError(
            errno.EINVAL, f"{key} has {len(value)} characters; at most {STRING_MAX} are taken"
        )
    return value


def integer(
    message: Mapping[str, Any], key: str, low: int, high: int, default: object = _MISSING
) -> int:
    """An integer from `low` to `high`, required unless there is a default."""
    value = message.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise OSError(errno.EINVAL, f"{key} must be an integer from {low} to {high}")
    return value


def data(message: Mapping[str, Any], key: str) -> bytes:
    """Bytes, required."""
    value = message.get(key)
    if not isinstance(value, bytes):
        raise OSError(errno.EINVAL, f"{key} must be binary data")
    return value


def offsets(message: Mapping[str, Any]) -> list[int]:
    """The lines of a request."""
    value = message.get("offsets")
    if not isinstance(value, list):
        raise OSError(errno.EINVAL, "offsets must be a list of integers")
    if not 1 <= len(value) <= uapi.GPIO_V2_LINES_MAX:
        raise OSError(
            errno.EINVAL,
            f"a request takes 1 to {uapi.GPIO_V2_LINES_MAX} lines, not {len(value)}",
        )
    return [integer({"an offset": one}, "an offset", 0, U32_MAX) for one in value]
