# SPDX-License-Identifier: BSD-3-Clause
"""Frames of the serial line (docs/protocol.md 12), independent of the bridge's own code."""

from __future__ import annotations

import struct

from cobs import cobs


def crc32c(data: bytes) -> int:
    """CRC-32C bit by bit (RFC 3720 B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def encode(frame: bytes) -> bytes:
    """A frame as it is on the wire."""
    wire: bytes = cobs.encode(frame + struct.pack("<I", crc32c(frame)))
    return wire + b"\0"


def decode(wire: bytes) -> bytes:
    """The frame in what stands between two delimiters."""
    whole: bytes = cobs.decode(wire)
    assert struct.pack("<I", crc32c(whole[:-4])) == whole[-4:]
    return whole[:-4]
