# SPDX-License-Identifier: BSD-3-Clause
"""A flattened device tree (Devicetree Specification 0.4, chapter 5), without dtc."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Union

Value = Union[str, int, "list[int]", None, "Mapping[str, Value]"]
"""A string, one cell, several cells, an empty property; or a node of its own."""

_MAGIC, _VERSION, _COMPATIBLE = 0xD00DFEED, 17, 16
_BEGIN, _END_NODE, _PROPERTY, _END = 1, 2, 3, 9
_HEADER = struct.Struct(">10I")


def _bytes(value: Value) -> bytes:
    if value is None:
        return b""
    if isinstance(value, str):
        return value.encode() + b"\0"
    cells = [value] if isinstance(value, int) else list(value)
    return struct.pack(f">{len(cells)}I", *cells)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def flatten(root: Mapping[str, Value]) -> bytes:
    """Return the blob of a tree.

    Args:
        root: properties and children by name; a mapping is a child.
    """
    strings = bytearray()

    def node(name: str, members: Mapping[str, Value]) -> bytes:
        data = struct.pack(">I", _BEGIN) + _padded(name.encode() + b"\0")
        # Properties stand in front of children.
        for key, value in members.items():
            if not isinstance(value, Mapping):
                raw = _bytes(value)
                data += struct.pack(">III", _PROPERTY, len(raw), len(strings)) + _padded(raw)
                strings.extend(key.encode() + b"\0")
        for key, value in members.items():
            if isinstance(value, Mapping):
                data += node(key, value)
        return data + struct.pack(">I", _END_NODE)

    structure = node("", root) + struct.pack(">I", _END)
    reserved = bytes(16)  # the empty map's end
    first = _HEADER.size + len(reserved)
    total = first + len(structure) + len(strings)
    header = _HEADER.pack(
        *(_MAGIC, total, first, first + len(structure), _HEADER.size),
        *(_VERSION, _COMPATIBLE, 0, len(strings), len(structure)),
    )
    return header + reserved + structure + bytes(strings)
