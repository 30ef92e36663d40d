# SPDX-License-Identifier: BSD-3-Clause
"""Records as pcapng files, which Wireshark opens with rpmsg_gpio.lua; docs/trace.md has the layout.

Three kinds of blocks are all that such a file needs, and the service writes one when a link dies,
on boards where no package can be had: a library for them would be longer than this.
"""

from __future__ import annotations

import errno
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from bridge.trace.record import TraceKind, TraceRecord

__all__ = ["DISSECTOR", "Interface", "Writer", "channel_records", "pack", "read"]

DISSECTOR = str(Path(__file__).with_name("rpmsg_gpio.lua"))
"""What Wireshark needs to read the messages in such a file."""

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_MAGIC = 0x1A2B3C4D
_LINKTYPE_USER0 = 147
_IF_NAME, _IF_TSRESOL, _EPB_FLAGS, _SHB_USERAPPL = 2, 9, 2, 4
_NANOSECONDS = 9
_BLOCK_MAX = 1 << 20
_INBOUND, _OUTBOUND = 1, 2
_OUT = (TraceKind.SENT, TraceKind.SENT_AGAIN, TraceKind.TIMEOUT)
_IN = (TraceKind.RECEIVED, TraceKind.REPEATED, TraceKind.DAMAGED)

#: What stands before each message: version, kind, features, our address, the firmware's, number.
_HEADER = struct.Struct("<BBHIII")
_VERSION = 1
_BLOCK = struct.Struct("<II")
_EPB = struct.Struct("<IIIII")


class Interface(NamedTuple):
    """A link, which is an interface of the file; `channels` are (name, address)."""

    number: int
    name: str
    channels: Sequence[tuple[str, int]] = ()

    @classmethod
    def of(cls, link: Mapping[str, Any]) -> Interface:
        """A link as an answer of the control socket has it."""
        channels = [(name, address) for name, address in link["channels"]]
        return cls(link["number"], link["name"], channels)


class Writer:
    """A file that is written as the records come.

    Args:
        file: open for writing bytes.
        links: those that records may be of.
        realtime: times are of CLOCK_REALTIME already, as read() has them.
    """

    def __init__(self, file: BinaryIO, links: Sequence[Interface], realtime: bool = False) -> None:
        self._file = file
        self._interfaces = {link.number: at for at, link in enumerate(links)}
        self._offset_ns = 0 if realtime else time.time_ns() - time.monotonic_ns()
        program = _option(_SHB_USERAPPL, b"gpio-bridge trace")
        file.write(_block(_SECTION, struct.pack("<IHHq", _MAGIC, 1, 0, -1) + program))
        for link in links:
            options = _option(_IF_NAME, link.name.encode()) + _option(
                _IF_TSRESOL, bytes([_NANOSECONDS])
            )
            file.write(_block(_INTERFACE, struct.pack("<HHI", _LINKTYPE_USER0, 0, 0) + options))

    def write(self, record: TraceRecord) -> None:
        """Add a record; one of a link that is none of ours is left out."""
        interface = self._interfaces.get(record.link)
        if interface is None:
            return
        time_ns = record.time_ns + self._offset_ns
        head = _HEADER.pack(
            _VERSION, record.kind, record.features, record.source, record.address, record.number
        )
        kept = len(head) + len(record.data)
        direction = _OUTBOUND if record.kind in _OUT else _INBOUND if record.kind in _IN else 0
        self._file.write(
            _block(
                _PACKET,
                _EPB.pack(
                    interface,
                    time_ns >> 32,
                    time_ns & 0xFFFFFFFF,
                    kept,
                    len(head) + record.length,
                )
                + _padded(head + record.data)
                + _option(_EPB_FLAGS, struct.pack("<I", direction)),
            )
        )


def channel_records(links: Iterable[Interface], time_ns: int) -> Iterator[TraceRecord]:
    """Records that tell which channels there are, for readers that came later."""
    for link in links:
        for name, address in link.channels:
            data = name.encode()
            yield TraceRecord(
                time_ns, 0, 0, address, link.number, TraceKind.CHANNEL, 0, len(data), data
            )


def pack(
    records: Iterable[TraceRecord], links: Sequence[Interface], realtime: bool = False
) -> bytes:
    """The bytes of a whole file; arguments as those of Writer."""
    from io import BytesIO

    file = BytesIO()
    writer = Writer(file, links, realtime)
    whole = list(records)
    for record in channel_records(links, whole[0].time_ns if whole else time.monotonic_ns()):
        writer.write(record)
    for record in whole:
        writer.write(record)
    return file.getvalue()


def read(file: BinaryIO, path: str) -> tuple[list[Interface], list[TraceRecord]]:
    """Read such a file; times are those of CLOCK_REALTIME.

    Args:
        file: open for reading bytes.
        path: of it, for messages.

    Raises:
        OSError: EINVAL, it is no file of ours.
    """
    links: list[Interface] = []
    records: list[TraceRecord] = []
    for number, (kind, body) in enumerate(_blocks(file, path)):
        if number == 0 and kind != _SECTION:
            raise _strange(path)
        try:
            if kind == _INTERFACE:
                links.append(_read_interface(body, len(links), path))
            elif kind == _PACKET:
                records.append(_read_packet(body, len(links), path))
        except (struct.error, IndexError):
            raise _strange(path) from None
    return links, records


def _strange(path: str) -> OSError:
    return OSError(errno.EINVAL, f"{path}: no pcapng file of gpio-bridge trace")


def _blocks(file: BinaryIO, path: str) -> Iterator[tuple[int, bytes]]:
    """Type and body of each block; a file that ends within one was not closed."""
    while head := file.read(_BLOCK.size):
        if len(head) < _BLOCK.size:
            return
        kind, length = _BLOCK.unpack(head)
        if length % 4 or not 12 <= length <= _BLOCK_MAX:
            raise _strange(path)
        body = file.read(length - _BLOCK.size)
        if len(body) < length - _BLOCK.size:
            return
        yield kind, body[:-4]


def _read_interface(body: bytes, number: int, path: str) -> Interface:
    linktype, _, _ = struct.unpack_from("<HHI", body)
    options = dict(_options(body[8:]))
    if linktype != _LINKTYPE_USER0 or options.get(_IF_TSRESOL) != bytes([_NANOSECONDS]):
        raise _strange(path)
    return Interface(number, options.get(_IF_NAME, b"link").decode("utf-8", "replace"))


def _read_packet(body: bytes, links: int, path: str) -> TraceRecord:
    interface, high, low, kept, length = _EPB.unpack_from(body)
    if interface >= links or kept < _HEADER.size or _EPB.size + kept > len(body):
        raise _strange(path)
    version, kind, features, source, address, number = _HEADER.unpack_from(body, _EPB.size)
    if version != _VERSION:
        raise _strange(path)
    data = body[_EPB.size + _HEADER.size : _EPB.size + kept]
    return TraceRecord(
        high << 32 | low,
        number,
        source,
        address,
        interface,
        kind,
        features,
        length - _HEADER.size,
        data,
    )


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _option(code: int, value: bytes) -> bytes:
    """One option, and the end of options."""
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _options(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        code, length = struct.unpack_from("<HH", data, at)
        if code == 0:
            return
        yield code, data[at + 4 : at + 4 + length]
        at += 4 + length + -length % 4


def _block(kind: int, body: bytes) -> bytes:
    body += bytes(4)  # the end of its options
    length = 12 + len(body)
    return _BLOCK.pack(kind, length) + body + struct.pack("<I", length)
