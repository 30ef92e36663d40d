# SPDX-License-Identifier: BSD-3-Clause
"""A chip as the GPIO character device shows it, for programs that know that (docs/cdev.md).

An ioctl takes and gives the structs of ``<linux/gpio.h>``, v2 and v1, checked as
drivers/gpio/gpiolib-cdev.c does. The pump does gets, sets and events; the rest is here.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import struct
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from bridge import uapi
from bridge.chips.chip import Chip
from bridge.chips.line import Line
from bridge.chips.line_config import LineConfig, configs_of, event_capacity
from bridge.chips.requester import Requester
from bridge.shim.cdev import ChipDescriptor
from bridge.shim.ffi import lib
from bridge.shim.pump import LineForm, Report, ReportKind

log = logging.getLogger(__name__)

EVENTS_OF_V1 = 16
"""Events that a line event of v1 keeps."""

_EVENTS_MAX = 16 * uapi.GPIO_V2_LINES_MAX  # the kernel's

_CHIP_INFO = struct.Struct("=32s32sI")
# struct gpio_v2_line_request: offsets, consumer, config, num_lines, event_buffer_size,
# padding, fd.
_LINE_REQUEST = struct.Struct(f"=64I32s{uapi.LINE_CONFIG_SIZE}sII20si")
# struct gpiohandle_request: lineoffsets, flags, default_values, consumer_label, lines, fd.
_HANDLE_REQUEST = struct.Struct("=64II64s32sIi")
# struct gpioevent_request: lineoffset, handleflags, eventflags, consumer_label, fd.
_EVENT_REQUEST = struct.Struct("=III32si")
# struct gpioline_info: line_offset, flags, name, consumer.
_INFO_V1 = struct.Struct("=II32s32s")
# struct gpioline_info_changed: info, timestamp, event_type.
_CHANGED_V1 = struct.Struct("=72sQI20x")
_OFFSET = struct.Struct("=I")
_INFO_SIZE = 256
_INFO_OFFSET_AT = 64
_INFO_PADDING_AT = 240

# GPIOHANDLE_REQUEST_* in the order of their bits, as v2 calls them.
_HANDLE_FLAGS = (
    uapi.GPIO_V2_LINE_FLAG_INPUT,
    uapi.GPIO_V2_LINE_FLAG_OUTPUT,
    uapi.GPIO_V2_LINE_FLAG_ACTIVE_LOW,
    uapi.GPIO_V2_LINE_FLAG_OPEN_DRAIN,
    uapi.GPIO_V2_LINE_FLAG_OPEN_SOURCE,
    uapi.GPIO_V2_LINE_FLAG_BIAS_PULL_UP,
    uapi.GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN,
    uapi.GPIO_V2_LINE_FLAG_BIAS_DISABLED,
)
# GPIOLINE_FLAG_*: the first two are KERNEL and IS_OUT.
_LINE_FLAGS = (
    uapi.GPIO_V2_LINE_FLAG_USED,
    uapi.GPIO_V2_LINE_FLAG_OUTPUT,
    *_HANDLE_FLAGS[2:],
)
_NO_EVENT_HAS = (
    uapi.GPIO_V2_LINE_FLAG_OUTPUT
    | uapi.GPIO_V2_LINE_FLAG_OPEN_DRAIN
    | uapi.GPIO_V2_LINE_FLAG_OPEN_SOURCE
)
_EDGES = (uapi.GPIO_V2_LINE_FLAG_EDGE_RISING, uapi.GPIO_V2_LINE_FLAG_EDGE_FALLING)


class Visitor(Protocol):
    """The user of a program that has a chip open: rights, budget and turns."""

    def info(self, chip: Chip, line: Line) -> Mapping[str, Any]:
        """A line as the control socket shows it to this program."""

    def check_watch(self, chip: Chip, line: Line) -> None:
        """Raise OSError EACCES when the user may not watch a line."""

    async def requester(self, chip: Chip, lines: int, memory: int) -> Requester:
        """Who asks for lines. Raises OSError when the user has as many as allowed."""

    def turn(self, work: Callable[[], None]) -> object:
        """Call `work` when it is this user's turn."""

    def left(self) -> None:
        """The chip is closed."""


class Device:
    """A chip as one program has it open; it watches lines, as a `bridge.chips.watchers.Watcher`.

    Args:
        chip: that is opened.
        visitor: who has it.

    Attributes:
        fd: the program's descriptor; whoever takes it closes it.
        info: the chip's ``struct gpiochip_info``.

    Raises:
        OSError: ENODEV, the chip is gone; EMFILE, ENOMEM.
    """

    def __init__(self, chip: Chip, visitor: Visitor) -> None:
        chip.check_online()
        self._chip = chip
        self._visitor = visitor
        identity = chip.identity
        self.info = _CHIP_INFO.pack(_name(identity.name), _name(identity.label), len(chip.lines))
        self._id = chip.dispatcher.listen(self)
        try:
            self._descriptor = ChipDescriptor(chip.dispatcher.pump, self._id)
        except BaseException:
            chip.dispatcher.forget(self._id)
            raise
        self.fd = self._descriptor.fd
        self._open = True
        self._v1_watches: bool | None = None  # the version of the first watch
        self._now: dict[int, Callable[[bytes], bytes | None]] = {
            lib.GPIO_GET_CHIPINFO_IOCTL: self._chip_info,
            lib.GPIO_GET_LINEINFO_UNWATCH_IOCTL: self._unwatch,
        }
        self._later: dict[int, Callable[[bytes], Coroutine[Any, Any, tuple[bytes, int]]]] = {
            lib.GPIO_V2_GET_LINEINFO_IOCTL: self._line_info,
            lib.GPIO_V2_GET_LINEINFO_WATCH_IOCTL: self._watch_line_info,
            lib.GPIO_V2_GET_LINE_IOCTL: self._get_line,
            lib.GPIO_GET_LINEINFO_IOCTL: self._line_info_v1,
            lib.GPIO_GET_LINEINFO_WATCH_IOCTL: self._watch_line_info_v1,
            lib.GPIO_GET_LINEHANDLE_IOCTL: self._get_handle,
            lib.GPIO_GET_LINEEVENT_IOCTL: self._get_event,
        }
        self._event_form = LineForm.EVENT
        chip.watchers.add(self)

    # ---- as a watcher of the chip --------------------------------------------

    def push(self, record: bytes) -> None:
        """Queue an info event."""
        self._descriptor.push(_changed_v1(record) if self._v1_watches else record)

    def hang_up(self) -> None:
        """The chip is gone: the program sees HUP and ENODEV."""
        self._end()

    def close(self) -> None:
        """The program let go. May be repeated."""
        self._end()
        self._chip.watchers.forget(self)

    def _end(self) -> None:
        if not self._open:
            return
        self._open = False
        self._chip.dispatcher.forget(self._id)
        self._descriptor.close()
        self._visitor.left()

    # ---- ioctls -------------------------------------------------------------

    def reported(self, report: Report) -> None:
        """An ioctl came, or the program is gone."""
        if report.kind == ReportKind.HANGUP:
            self.close()
        elif report.kind == ReportKind.OPERATION:
            self._visitor.turn(functools.partial(self._ioctl, report))

    def _ioctl(self, report: Report) -> None:
        if not self._open:
            return
        if self._answer_info(report):
            return
        later = self._later.get(report.number)
        if later is not None:
            self._event_form = LineForm.EVENT_32 if report.value else LineForm.EVENT
            work = self._answer_later(later(report.body))
            self._chip.tasks.spawn(work, f"{self._chip.name}: ioctl {report.number:#x}")
            return
        now = self._now.get(report.number)
        try:
            if now is None:
                raise OSError(errno.EINVAL, "no ioctl of a chip")
            self._descriptor.answer(argument=now(report.body))
        except OSError as error:
            self._descriptor.answer(error.errno or errno.EIO)

    async def _answer_later(self, work: Coroutine[Any, Any, tuple[bytes, int]]) -> None:
        try:
            argument, fd = await work
        except OSError as error:
            log.debug("chip %s: refused: %s", self._chip.name, error.strerror)
            self._descriptor.answer(error.errno or errno.EIO)
        except BaseException:
            self._descriptor.answer(errno.EIO)
            raise
        else:
            self._descriptor.answer(argument=argument, fd=fd)

    def _answer_info(self, report: Report) -> bool:
        """Answer the most frequent ioctl at once: the info of a line that is not being released."""
        v1 = report.number == lib.GPIO_GET_LINEINFO_IOCTL
        if not v1 and report.number != lib.GPIO_V2_GET_LINEINFO_IOCTL:
            return False
        try:
            offset = _info_offset_v1(report.body) if v1 else _info_offset(report.body)
            line = self._chip.line(offset)
            if line.holder is not None and line.holder.going:
                return False
            info = _info(self._visitor.info(self._chip, line))
        except OSError as error:
            self._descriptor.answer(error.errno or errno.EIO)
        else:
            self._descriptor.answer(argument=_info_v1(info) if v1 else info)
        return True

    def _chip_info(self, argument: bytes) -> bytes:
        _check_size(argument, _CHIP_INFO.size)
        return self.info

    async def _settled(self, offset: int) -> Mapping[str, Any]:
        """A line, once a release that is under way has ended, as after close(2)."""
        holder = self._chip.line(offset).holder
        if holder is not None and holder.going:
            await asyncio.wait((asyncio.ensure_future(holder.release()),))
        return self._visitor.info(self._chip, self._chip.line(offset))

    async def _line_info(self, argument: bytes) -> tuple[bytes, int]:
        offset = _info_offset(argument)
        return _info(await self._settled(offset)), -1

    async def _line_info_v1(self, argument: bytes) -> tuple[bytes, int]:
        return _info_v1(_info(await self._settled(_info_offset_v1(argument)))), -1

    async def _watch_line_info(self, argument: bytes) -> tuple[bytes, int]:
        return _info(await self._watch(_info_offset(argument), v1=False)), -1

    async def _watch_line_info_v1(self, argument: bytes) -> tuple[bytes, int]:
        return _info_v1(_info(await self._watch(_info_offset_v1(argument), v1=True))), -1

    async def _watch(self, offset: int, v1: bool) -> Mapping[str, Any]:
        line = self._chip.line(offset)
        if self._v1_watches not in (None, v1):
            raise OSError(errno.EPERM, "watches of v1 and of v2 do not go together")
        self._v1_watches = v1
        self._visitor.check_watch(self._chip, line)
        await self._settled(offset)
        if not self._open:
            raise OSError(errno.ENODEV, "the chip is closed")
        self._chip.watchers.watch(self, self._chip.line(offset))
        return self._visitor.info(self._chip, line)

    def _unwatch(self, argument: bytes) -> bytes:
        _check_size(argument, _OFFSET.size)
        self._chip.watchers.unwatch(self, self._chip.line(_OFFSET.unpack(argument)[0]))
        return argument

    # ---- lines --------------------------------------------------------------

    async def _get_line(self, argument: bytes) -> tuple[bytes, int]:
        _check_size(argument, _LINE_REQUEST.size)
        *offsets, consumer, config, count, size, padding, _ = _LINE_REQUEST.unpack(argument)
        if not 1 <= count <= uapi.GPIO_V2_LINES_MAX or any(padding):
            raise OSError(errno.EINVAL, "1 to 64 lines, and no padding")
        configs = configs_of(config, offsets[:count], self._chip.source_clock)
        return argument, await self._request(configs, consumer, size, LineForm.V2)

    async def _get_handle(self, argument: bytes) -> tuple[bytes, int]:
        _check_size(argument, _HANDLE_REQUEST.size)
        *offsets, flags, values, consumer, count, _ = _HANDLE_REQUEST.unpack(argument)
        if not 1 <= count <= uapi.GPIO_V2_LINES_MAX:
            raise OSError(errno.EINVAL, "1 to 64 lines")
        flags = _flags_of_v1(flags)
        configs = [
            LineConfig(offset, flags, int(value != 0))
            for offset, value in zip(offsets[:count], values, strict=False)
        ]
        return argument, await self._request(configs, consumer, 0, LineForm.HANDLE)

    async def _get_event(self, argument: bytes) -> tuple[bytes, int]:
        _check_size(argument, _EVENT_REQUEST.size)
        offset, handle, edges, consumer, _ = _EVENT_REQUEST.unpack(argument)
        flags = _flags_of_v1(handle)
        if flags & _NO_EVENT_HAS or edges >> len(_EDGES):
            raise OSError(errno.EINVAL, "an event is of an input")
        flags |= uapi.GPIO_V2_LINE_FLAG_INPUT | _mapped(edges, _EDGES)
        configs = [LineConfig(offset, flags)]
        return argument, await self._request(configs, consumer, EVENTS_OF_V1, self._event_form)

    async def _request(
        self, configs: list[LineConfig], consumer: bytes, size: int, form: LineForm
    ) -> int:
        """Take lines; return the program's descriptor of them."""
        size = min(size, _EVENTS_MAX)
        room = event_capacity(size, len(configs), edges=False) * uapi.LINE_EVENT_SIZE
        requester = await self._visitor.requester(self._chip, len(configs), room)
        name = consumer.split(b"\0", 1)[0].decode("utf-8", "replace")
        fds, _ = await self._chip.request(configs, name, size, requester, form)
        return fds[0]


def _check_size(argument: bytes, size: int) -> None:
    if len(argument) != size:
        raise OSError(errno.EINVAL, f"the ioctl takes {size} bytes, not {len(argument)}")


def _name(text: str) -> bytes:
    return text.encode()[: uapi.GPIO_MAX_NAME_SIZE - 1]


def _info_offset(argument: bytes) -> int:
    _check_size(argument, _INFO_SIZE)
    if any(argument[_INFO_PADDING_AT:]):
        raise OSError(errno.EINVAL, "the padding of a line info is not zero")
    offset: int = _OFFSET.unpack_from(argument, _INFO_OFFSET_AT)[0]
    return offset


def _info_offset_v1(argument: bytes) -> int:
    _check_size(argument, _INFO_V1.size)
    offset: int = _OFFSET.unpack_from(argument)[0]
    return offset


def _info(info: Mapping[str, Any]) -> bytes:
    """``struct gpio_v2_line_info``, with which a record of a change begins."""
    change = uapi.LineChange(
        0,
        0,
        info["offset"],
        info["name"] or "",
        info["consumer"] or "",
        info["flags"],
        info["debounce_us"],
    )
    return uapi.pack_line_change(change)[:_INFO_SIZE]


def _info_v1(packed: bytes) -> bytes:
    """``struct gpioline_info`` of a ``struct gpio_v2_line_info``."""
    flags = int.from_bytes(packed[72:80], uapi.BYTE_ORDER)
    found = sum(1 << bit for bit, flag in enumerate(_LINE_FLAGS) if flags & flag)
    offset = _OFFSET.unpack_from(packed, _INFO_OFFSET_AT)[0]
    return _INFO_V1.pack(offset, found, packed[:32], packed[32:64])


def _changed_v1(record: bytes) -> bytes:
    change = uapi.unpack_line_change(record)
    return _CHANGED_V1.pack(_info_v1(record[:_INFO_SIZE]), change.timestamp_ns, change.event)


def _mapped(bits: int, flags: tuple[int, ...]) -> int:
    """The flags whose places have bits."""
    return sum(flag for place, flag in enumerate(flags) if bits >> place & 1)


def _flags_of_v1(bits: int) -> int:
    if bits >> len(_HANDLE_FLAGS):
        raise OSError(errno.EINVAL, f"flags {bits:#x} are none of v1")
    return _mapped(bits, _HANDLE_FLAGS)
