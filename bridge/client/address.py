# SPDX-License-Identifier: BSD-3-Clause
"""What a chip can be called: NAME, SOCKET#NAME or a link URL."""

from __future__ import annotations

import re
from typing import NamedTuple

from bridge.client.control import default_socket

__all__ = ["Address", "parse"]

# Two letters at least, so that nobody's C:\ is taken for a link.
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:")


class Address(NamedTuple):
    """Where a chip is: behind the service on `socket` or, directly, on the link `url`.

    Exactly one of `socket` and `url` is not None. `chip` is a chip's name, "" when a
    URL named none.
    """

    socket: str | None
    url: str | None
    chip: str


def parse(path: str, socket: str | None = None) -> Address:
    """Take a chip's path apart.

    `socket` is the control socket of a bare name (None: the default one). Raises
    TypeError when `path` is no str and ValueError for an embedded NUL, as open() does.
    """
    if not isinstance(path, str):
        raise TypeError(f"a chip's path must be str, not {type(path).__name__}")
    if "\0" in path:
        raise ValueError("embedded null byte in a chip's path")
    before, separator, after = path.rpartition("#")
    if _SCHEME.match(path):
        return Address(None, before, after) if separator else Address(None, path, "")
    if separator:
        return Address(before or default_socket(), None, after)
    return Address(socket or default_socket(), None, path)
