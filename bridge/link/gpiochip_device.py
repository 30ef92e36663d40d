# SPDX-License-Identifier: BSD-3-Clause
"""A local GPIO chip as the device side of docs/protocol.md.

A thread of its own, since lines behind I2C or SPI sleep. It knows CONFIG, NAMES
and TAG. Edges follow 4.1: while a line is masked the latest edge is latched. The
kernel's character device has no level interrupts; they are made of edges and a
look at the line.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import socket
import struct
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import gpiod
from gpiod.line import Direction, Edge, Value

from bridge import wire
from bridge.shim.ffi import lib

if TYPE_CHECKING:
    from gpiod.line_request import LineRequest

log = logging.getLogger(__name__)

CONSUMER = "gpio-bridge"
"""Who holds the lines, for the kernel's other users."""

FEATURES: int = wire.F_CONFIG | wire.F_NAMES | wire.F_TAG

_EDGES = {
    wire.IRQ_TYPE_NONE: Edge.NONE,
    wire.IRQ_TYPE_EDGE_RISING: Edge.RISING,
    wire.IRQ_TYPE_EDGE_FALLING: Edge.FALLING,
    lib.VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH: Edge.BOTH,
    lib.VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH: Edge.BOTH,
    lib.VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW: Edge.BOTH,
}
_LEVELS = {
    lib.VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH: Value.ACTIVE,
    lib.VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW: Value.INACTIVE,
}
_VALUES = (Value.INACTIVE, Value.ACTIVE)

_REQUEST = struct.Struct("<HHI")
_EXTENDED = struct.Struct("<HHIHH")
_REPLY = struct.Struct("<BBB")
_EXTENDED_REPLY = struct.Struct("<BBBBHH")
_EVENT = struct.Struct("<BH")
_AT_ONCE = timedelta(0)


class _Refused(Exception):
    """The request is answered ERR."""


class _Line:
    """State of one line, as the firmware of a coprocessor keeps it."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.forget()

    def forget(self) -> None:
        self.direction: int = wire.DIRECTION_NONE
        self.value = 0
        self.irq_type: int = wire.IRQ_TYPE_NONE
        self.masked = self.latched = False
        self.request: LineRequest | None = None


class Device:
    """Serves one chip until the link is closed or the chip goes away.

    Args:
        chip: open; the device closes it.
        data: our end of the endpoint, a message a packet.
        control: our end of the link's control pair.
    """

    def __init__(self, chip: gpiod.Chip, data: socket.socket, control: socket.socket) -> None:
        self._chip = chip
        self._path = chip.path
        self._data, self._control = data, control
        info = chip.get_info()
        self._label = info.label.encode("ascii", "replace")[: lib.RPMSG_GPIO_LABEL_SIZE]
        self._lines = [_Line(offset) for offset in range(info.num_lines)]
        self._names = self._names_block()
        self._features = 0
        self._by_fd: dict[int, _Line] = {}
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[_Line, int], int]] = {
            wire.MSG_GET_DIRECTION: self._get_direction,
            wire.MSG_SET_DIRECTION: self._set_direction,
            wire.MSG_GET_VALUE: self._get_value,
            wire.MSG_SET_VALUE: self._set_value,
            wire.MSG_SET_IRQ_TYPE: self._set_irq_type,
        }

    def start(self) -> None:
        """Serve from a new thread. Raises OSError EAGAIN: there is none."""
        try:
            threading.Thread(target=self._run, name=f"gpiochip {self._path}", daemon=True).start()
        except RuntimeError as error:
            raise OSError(errno.EAGAIN, f"{self._path} cannot be served: {error}") from None

    def _names_block(self) -> bytes:
        """As of GET_LINE_NAMES: what is no name for virtio, or comes twice, is left out."""
        seen: set[str] = set()
        block = b""
        for line in self._lines:
            name = self._chip.get_line_info(line.offset).name or ""
            good = name.isascii() and name.isprintable() and name not in seen
            seen.add(name)
            block += (name.encode() if good else b"") + b"\0"
        return block if any(block) else b""

    # ---- the thread -------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._serve()
        except (BrokenPipeError, ConnectionResetError):
            pass  # the link was closed
        except OSError as error:
            self._down(error.strerror or os.strerror(error.errno or errno.EIO))
        except Exception as error:
            log.exception("%s: the chip is not served any more", self._path)
            self._down(repr(error))
        finally:
            for line in self._lines:
                self._release(line)
            for thing in (self._chip, self._data, self._control):
                thing.close()

    def _serve(self) -> None:
        self._poll.register(self._data, select.POLLIN)
        self._poll.register(self._control, 0)
        self._poll.register(self._chip.fd, 0)  # no watches: errors and hang-up only
        while True:
            ready = self._poll.poll()
            for fd, events in ready:
                if fd == self._chip.fd:
                    raise OSError(errno.ENODEV, "the chip is gone")
                if fd == self._control.fileno():
                    return
                if fd == self._data.fileno():
                    message = self._data.recv(lib.RPMSG_GPIO_MESSAGE_MAX)
                    if not message and events & select.POLLHUP:
                        return
                    if message:
                        self._message(message)
                elif fd in self._by_fd:
                    self._edges(self._by_fd[fd])

    def _down(self, why: str) -> None:
        from bridge.link.gpiochip import tell

        with contextlib.suppress(OSError):
            tell(self._control, lib.GB_RPMSG_DOWN, f"{self._path}: {why}")

    # ---- messages (3.4, 8.3) --------------------------------------------------------

    def _message(self, message: bytes) -> None:
        kind, gpio, value, tag, _ = _EXTENDED.unpack(message[:12].ljust(12, b"\0"))
        extended = len(message) == _EXTENDED.size
        status, result, body = lib.VIRTIO_GPIO_STATUS_OK, 0, b""
        answers_extended = extended and bool(self._features & wire.F_TAG)
        try:
            if extended and kind in (wire.MSG_GET_CONFIG, wire.MSG_GET_LINE_NAMES):
                answers_extended = self._offers(kind)
                body = self._described(kind, value)
            elif len(message) == _REQUEST.size and kind == wire.MSG_GET_FEATURES:
                self._features = 0
                body, answers_extended = struct.pack("<II", FEATURES, 0), True
            elif len(message) == _REQUEST.size and kind == wire.MSG_SET_FEATURES:
                self._features = 0
                self._accept(value)
            elif len(message) == _REQUEST.size or answers_extended:
                result = self._of_line(kind, gpio, value)
            else:
                raise _Refused
        except _Refused:
            status, result, body = lib.VIRTIO_GPIO_STATUS_ERR, 0, b""
        queue = lib.RPMSG_GPIO_QUEUE_REQUEST
        if answers_extended:
            tag = tag if self._features & wire.F_TAG else 0
            head = _EXTENDED_REPLY.pack(queue, 0, status, result, tag, 0)
        else:
            head = _REPLY.pack(queue, status, result)
        self._data.send(head + body)
        if kind == wire.MSG_SET_IRQ_TYPE and status == lib.VIRTIO_GPIO_STATUS_OK:
            self._armed(self._lines[gpio])  # after the reply, 4.1.7

    def _offers(self, kind: int) -> bool:
        feature = wire.F_CONFIG if kind == wire.MSG_GET_CONFIG else wire.F_NAMES
        return bool(self._features & (feature | wire.F_TAG))

    def _described(self, kind: int, offset: int) -> bytes:
        """Body of GET_CONFIG and GET_LINE_NAMES (9.1, 9.2)."""
        if kind == wire.MSG_GET_CONFIG:
            if not self._features & wire.F_CONFIG:
                raise _Refused
            label = self._label.ljust(lib.RPMSG_GPIO_LABEL_SIZE, b"\0")
            return struct.pack("<H2xI", len(self._lines), len(self._names)) + label
        if not self._features & wire.F_NAMES or offset > len(self._names):
            raise _Refused
        return self._names[offset : offset + wire.NAMES_PIECE]

    def _accept(self, features: int) -> None:
        if features & ~FEATURES:
            raise _Refused
        self._features = features

    def _of_line(self, kind: int, gpio: int, value: int) -> int:
        handler = self._handlers.get(kind)
        if handler is None or gpio >= len(self._lines):
            raise _Refused
        line = self._lines[gpio]
        try:
            return handler(line, value)
        except OSError as error:
            if error.errno == errno.ENODEV:
                raise
            log.warning(
                "%s: %s of line %d: %s",
                *(self._path, wire.message_name(kind), gpio, error.strerror or error),
            )
            raise _Refused from None

    # ---- lines (4) --------------------------------------------------------------------

    def _get_direction(self, line: _Line, _: int) -> int:
        return line.direction

    def _get_value(self, line: _Line, _: int) -> int:
        if line.request is not None:
            return int(line.request.get_value(line.offset) is Value.ACTIVE)
        with self._chip.request_lines({line.offset: gpiod.LineSettings()}, CONSUMER) as request:
            return int(request.get_value(line.offset) is Value.ACTIVE)

    def _set_value(self, line: _Line, value: int) -> int:
        if value > 1:
            raise _Refused
        if line.request is not None and line.direction == wire.DIRECTION_OUT:
            line.request.set_value(line.offset, _VALUES[value])
        line.value = value
        return 0

    def _set_direction(self, line: _Line, direction: int) -> int:
        if direction == wire.DIRECTION_NONE:
            self._release(line)
            line.forget()
        elif direction == wire.DIRECTION_OUT:
            self._configure(
                line,
                gpiod.LineSettings(direction=Direction.OUTPUT, output_value=_VALUES[line.value]),
            )
            line.direction, line.irq_type = direction, wire.IRQ_TYPE_NONE
        elif direction == wire.DIRECTION_IN:
            self._configure(line, _input(line.irq_type))
            line.direction = direction
        else:
            raise _Refused
        return 0

    def _set_irq_type(self, line: _Line, irq_type: int) -> int:
        if irq_type not in _EDGES:
            raise _Refused
        if irq_type == line.irq_type:
            return 0  # the re-arm, see _armed()
        if irq_type != wire.IRQ_TYPE_NONE or line.request is not None:
            if line.direction == wire.DIRECTION_OUT:
                raise _Refused
            self._configure(line, _input(irq_type))
            line.direction = wire.DIRECTION_IN
        line.irq_type = irq_type
        line.masked = line.latched = False
        return 0

    def _configure(self, line: _Line, settings: gpiod.LineSettings) -> None:
        if line.request is not None:
            line.request.reconfigure_lines({line.offset: settings})
            # What an interrupt of before has left.
            while line.request.wait_edge_events(_AT_ONCE):
                line.request.read_edge_events()
            return
        line.request = self._chip.request_lines({line.offset: settings}, CONSUMER)
        self._by_fd[line.request.fd] = line
        self._poll.register(line.request.fd, select.POLLIN)

    def _release(self, line: _Line) -> None:
        if line.request is None:
            return
        self._poll.unregister(line.request.fd)
        del self._by_fd[line.request.fd]
        line.request.release()
        line.request = None

    # ---- interrupts (4.1) ---------------------------------------------------------------

    def _edges(self, line: _Line) -> None:
        assert line.request is not None
        if not line.request.wait_edge_events(_AT_ONCE):
            return  # a message of the same turn dropped them, and reading blocks
        line.request.read_edge_events()
        if line.irq_type in _LEVELS:
            self._look(line)
        elif line.irq_type != wire.IRQ_TYPE_NONE:
            self._fire(line)

    def _look(self, line: _Line) -> None:
        assert line.request is not None
        active = line.request.get_value(line.offset) is _LEVELS[line.irq_type]
        if active and not line.masked:
            self._fire(line)

    def _fire(self, line: _Line) -> None:
        if line.masked:
            line.latched = True
            return
        line.masked = True
        self._data.send(_EVENT.pack(lib.RPMSG_GPIO_QUEUE_EVENT, line.offset))

    def _armed(self, line: _Line) -> None:
        """SET_IRQ_TYPE was answered: the line is not masked any more."""
        latched = line.latched
        line.masked = line.latched = False
        if line.irq_type in _LEVELS:
            self._look(line)
        elif latched:
            self._fire(line)


def _input(irq_type: int) -> gpiod.LineSettings:
    return gpiod.LineSettings(direction=Direction.INPUT, edge_detection=_EDGES[irq_type])
