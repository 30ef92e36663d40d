# SPDX-License-Identifier: BSD-3-Clause
"""Chips: open one, ask about its lines, request some of them."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bridge import uapi
from bridge.client import address, chip_info, line_config, line_info
from bridge.client.chip_info import ChipInfo
from bridge.client.control import Connection
from bridge.client.exception import ChipClosedError
from bridge.client.line_settings import LineConfig, LineSettings
from bridge.control_protocol import (
    CLOCK,
    FIND,
    KEEP,
    LEVELS,
    LINES,
    RELEASE,
    UNWATCH,
    WATCH,
    default_socket,
)
from bridge.line import Direction, Value

if TYPE_CHECKING:
    from bridge.client.direct import Direct
    from bridge.client.info_event import InfoEvent
    from bridge.client.line_info import LineInfo
    from bridge.client.line_request import LineRequest
    from bridge.clock_info import ClockInfo
    from bridge.shim.info_queue import InfoReader

__all__ = ["Chip", "find_line", "is_gpiochip_device", "list_chips", "request_lines"]

# Of the answer to LEVELS; "-" is none.
_LEVELS = {"0": False, "1": True}


class Chip:
    """One chip: a controller of a coprocessor, seen through its own control connection.

    Every member but ``bool()``, ``close()`` and the string forms raises ChipClosedError
    once the chip is closed, and OSError ENODEV once the chip is gone, as with libgpiod's
    ``Chip``. Members may be called from several threads.
    """

    _connection: Connection | None = None
    _direct: Direct | None = None
    _info: ChipInfo | None = None
    _events: tuple[int, int] | InfoReader | None = None
    _handle = 0

    def __init__(self, path: str) -> None:
        """Open a chip.

        Args:
            path: a chip's name (``fw-0``: the service on $GPIO_BRIDGE_SOCKET or the
                default socket), ``SOCKET#NAME``, the chip's path in the directory beside
                the control socket (``/run/rpmsg-gpio-bridge/control.chips/fw-0``) or a
                symbolic link to it, or a link URL, which runs the link inside this process
                (``vhost-user:/run/fw.sock#NAME``; a URL without NAME opens its first chip).

        Raises:
            FileNotFoundError: there is no such chip or no service.
            ConnectionRefusedError, PermissionError: as of connect(2).
            OSError: ENOTTY or ENODEV, the path leads to something else (gpiod_chip_open()).
            TypeError: `path` is no str.
            TimeoutError: nobody answers in time.
        """
        where = address.parse(path)
        self._path = path
        self._lock = threading.Lock()  # of _events: for reading, for asking for fd, for closing
        try:
            self._info = self._connect(where)
        except BaseException:
            self.close()
            raise
        self._name = self._info.name

    def _connect(self, where: address.Address) -> ChipInfo:
        name = where.chip
        if where.url is not None:
            from bridge.client.direct import Direct

            self._direct = Direct(where.url)
            self._connection, name = self._direct.open(name)
        else:
            assert where.socket is not None
            self._connection = Connection.open(where.socket)
        reply, (bell, ring) = self._connection.open_chip(name)
        self._handle = reply["handle"]
        # Most chips are never watched: the shim is loaded when one is.
        self._events = (ring, bell)
        return chip_info.from_wire(reply)

    def __bool__(self) -> bool:
        """Whether the chip is open."""
        return self._connection is not None

    def __enter__(self) -> Chip:
        """Return the chip. Raises ChipClosedError when it is closed."""
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the chip."""
        self.close()

    def __del__(self) -> None:
        """Let go of the connection, as a collected file lets go of its descriptor."""
        self._close_events(wake=False)  # nobody reads, and a forked process may have it now
        if self._connection is not None:
            self._connection.close()
        if self._direct is not None:
            self._direct.abandon()

    def _open(self) -> Connection:
        if self._connection is None:
            raise ChipClosedError
        return self._connection

    @contextmanager
    def _asking(self) -> Iterator[Connection]:
        """The connection, for one call; another thread may close the chip meanwhile."""
        connection = self._open()
        try:
            yield connection
        except OSError:
            if self._connection is None:
                raise ChipClosedError from None
            raise

    def _call(self, op: str, **arguments: Any) -> dict[str, Any]:
        with self._asking() as connection:
            return connection.call(op, handle=self._handle, **arguments)

    def _call_firmware(self, op: str, offsets: list[int], **arguments: Any) -> None:
        with self._asking() as connection:
            connection.call_firmware(
                op, len(offsets), handle=self._handle, offsets=offsets, **arguments
            )

    def close(self) -> None:
        """Close the chip; its line requests stay. May be called again."""
        connection, self._connection = self._connection, None
        with self._lock:
            self._close_events()
        if connection is not None:
            connection.close()
        direct, self._direct = self._direct, None
        if direct is not None:
            direct.close()

    def _close_events(self, wake: bool = True) -> None:
        events, self._events = self._events, None
        if isinstance(events, tuple):
            for fd in events:
                os.close(fd)
        elif events is not None:
            events.close(wake)

    def _open_events(self) -> tuple[int, int] | InfoReader:
        """Return the event side; the caller locks. Another thread may have closed the chip."""
        if self._events is None:
            raise ChipClosedError
        return self._events

    def _reader(self) -> InfoReader:
        """Return the queue of info events, mapped at its first use."""
        with self._lock:
            events = self._open_events()
            if isinstance(events, tuple):
                from bridge.shim.info_queue import InfoReader

                self._events = None  # the reader owns the descriptors, even when it fails
                events = self._events = InfoReader(*events)
            return events

    @property
    def path(self) -> str:
        """The path exactly as given. Raises ChipClosedError."""
        self._open()
        return self._path

    @property
    def fd(self) -> int:
        """The chip's descriptor: readable while info events wait; HUP and ERR when it is gone.

        O_NONBLOCK, set by fcntl(2), is honoured by read_info_event().

        Raises:
            ChipClosedError: the chip is closed.
        """
        with self._lock:
            events = self._open_events()
            return events[1] if isinstance(events, tuple) else events.fd

    def fileno(self) -> int:
        """Return the chip's descriptor, for select and its kin. Raises ChipClosedError."""
        return self.fd

    def get_info(self) -> ChipInfo:
        """Return name, label and number of lines, read when the chip was opened.

        It works for a chip that is gone, too.

        Raises:
            ChipClosedError: the chip is closed.
        """
        self._open()
        assert self._info is not None
        return self._info

    def line_offset_from_id(self, id: str | int) -> int:
        """Return the offset of a line given by name, offset, or offset as str.

        A name is looked up first; of several lines with this name the lowest offset
        is returned.

        Raises:
            FileNotFoundError: no line has this name.
            ValueError: the chip does not have this offset.
            ChipClosedError: the chip is closed.
        """
        self._open()
        if isinstance(id, int):
            offset = int(id)
        elif isinstance(id, str):
            offset = self._offset_of_name(id)
        else:
            raise TypeError(f"a line is named by str or int, not {type(id).__name__}")
        if offset >= self.get_info().num_lines:
            raise ValueError(
                f"line offset of out range: {self._name} has no line {offset}, its last is "
                f"{self.get_info().num_lines - 1}"
            )
        return offset

    def _offset_of_name(self, name: str) -> int:
        if name == "":  # the kernel's interface calls an unnamed line ""
            for line in self._lines():
                if line["name"] is None:
                    return int(line["offset"])
        else:
            found = self._call(FIND, name=name)["found"]
            if found:
                return int(found[0][1])
        try:
            return int(name)
        except ValueError:
            raise FileNotFoundError(
                errno.ENOENT, f"chip {self._name} has no line called {name!r}"
            ) from None

    def get_line_info(self, line: int | str) -> LineInfo:
        """Return a snapshot of one line's settings and user.

        Args:
            line: an offset, a name, or an offset as str.

        Raises:
            ValueError: the offset is negative.
            OSError: ENODEV, the chip is gone.
            Exception: as line_offset_from_id().
        """
        reply = self._call(LINES, first=self._offset(line), count=1)
        return line_info.from_wire(reply["lines"][0])

    def _offset(self, line: int | str) -> int:
        """Return the offset of a line. Raises ValueError where the kernel says EINVAL."""
        offset = self.line_offset_from_id(line)
        if offset < 0:
            raise ValueError(f"line offset {offset} is negative: offsets start at 0")
        return offset

    def get_all_line_info(self) -> list[LineInfo]:
        """Return a snapshot of every line in a few packets (not in libgpiod).

        Raises:
            ChipClosedError: the chip is closed.
            OSError: ENODEV, the chip is gone.
        """
        return [line_info.from_wire(line) for line in self._lines()]

    def _lines(self) -> Iterator[dict[str, Any]]:
        """Fetch the lines, page by page."""
        for page in self._pages(LINES):
            yield from page["lines"]

    def _pages(self, op: str) -> Iterator[dict[str, Any]]:
        """Fetch all answers of an operation that has a few lines in each."""
        following: int | None = 0
        while following is not None:
            page = self._call(op, first=following)
            yield page
            following = page["next"]

    def get_levels(self) -> list[bool | None]:
        """Return the levels of all pins, without a request for their lines (not in libgpiod).

        They are those of the pins, whoever holds the lines, with nothing that line settings make of
        them: True is high. None stands for a line that this user may not read, or that the firmware
        does not read, as a strict one while the line has no direction.

        Raises:
            ChipClosedError: the chip is closed.
            OSError: ENODEV, the chip is gone.
        """
        letters = "".join(page["levels"] for page in self._pages(LEVELS))
        return [_LEVELS.get(letter) for letter in letters]

    def clock(self) -> ClockInfo:
        """Return what is known of the coprocessor's clock (not in libgpiod; docs/timing.md).

        ``clock().bound_ns`` is the error bound of the timestamp of an edge now,
        ``clock().edges_bound_ns`` the largest one of those that came.

        Raises:
            ChipClosedError: the chip is closed.
            NotImplementedError: the firmware stamps no edges (TIMESTAMP).
            OSError: ENODEV, the chip is gone.
        """
        from bridge.clock_info import ClockInfo

        return ClockInfo(**self._call(CLOCK))

    def watch_line_info(self, line: int | str) -> LineInfo:
        """Return a snapshot of a line, and report what becomes of it as info events.

        At most 32 events wait, then the newest are dropped.

        Raises:
            OSError: EBUSY, this object watches the line already
                (GPIO_V2_GET_LINEINFO_WATCH_IOCTL).
            Exception: as get_line_info().
        """
        reply = self._call(WATCH, offset=self._offset(line))
        return line_info.from_wire(reply["line"])

    def unwatch_line_info(self, line: int | str) -> None:
        """End a watch; events that wait already can still be read.

        Raises:
            OSError: EBUSY, this object does not watch the line
                (GPIO_GET_LINEINFO_UNWATCH_IOCTL).
            Exception: as get_line_info().
        """
        self._call(UNWATCH, offset=self._offset(line))

    def wait_info_event(self, timeout: timedelta | float | None = None) -> bool:
        """Wait until an info event can be read; return whether one can.

        Args:
            timeout: a timedelta or seconds; None waits for ever, 0 does not wait.

        Raises:
            ValueError: `timeout` is negative.
            TypeError: `timeout` is something else.
            ChipClosedError: the chip is closed.
        """
        with self._lock:
            events = self._open_events()
        if not isinstance(events, tuple):
            return events.wait(timeout)
        from bridge.waiting import wait_readable

        return wait_readable(events[1], timeout)

    def read_info_event(self) -> InfoEvent:
        """Return the oldest info event that waits.

        It blocks when none waits, unless fd is O_NONBLOCK.

        Raises:
            BlockingIOError: no event waits, and fd is O_NONBLOCK.
            OSError: ENODEV, the chip is gone.
            ChipClosedError: the chip is closed.
        """
        from bridge.client import info_event

        return info_event.from_record(self._reader().read())

    def request_lines(
        self,
        config: LineConfig,
        consumer: str | None = None,
        event_buffer_size: int | None = None,
        output_values: Mapping[int | str, Value] | None = None,
    ) -> LineRequest:
        """Request lines for exclusive use.

        Args:
            config: maps a line (offset or name) or a tuple of lines to LineSettings, or
                to None for the defaults.
            consumer: shown to others; at most 31 bytes, default ``?``.
            event_buffer_size: in events; default and rounding are the kernel's: 16 a line,
                a power of two, but at most 262144 instead of 1024.
            output_values: overrides the output value of every line of the request; lines
                that it lacks are inactive.

        Raises:
            FileNotFoundError: a name is unknown.
            ValueError: an offset does not exist, a line is repeated, or settings exclude
                each other.
            OSError: EBUSY, another consumer holds a line (the message says which); E2BIG,
                more than 64 lines, or more different settings than the kernel's 10
                attributes; EIO, the firmware refused; ENODEV, the chip is gone.
            TimeoutError: the firmware did not answer.
            NotImplementedError: neither firmware nor service can do this.
            ChipClosedError: the chip is closed.
        """
        self._open()
        direct = self._direct  # read once: another thread may close the chip meanwhile
        values = self._output_values(output_values)
        plan = self._plan(config)
        packed = line_config.pack([_config(line, values) for line in plan])
        size = _event_buffer_size(event_buffer_size)
        if consumer is not None and not isinstance(consumer, str):
            raise TypeError(f"consumer must be str, not {type(consumer).__name__}")
        with self._asking() as connection:
            reply, fds = connection.request(
                handle=self._handle,
                offsets=[line.offset for line in plan],
                config=packed,
                consumer=(consumer or "")[: uapi.GPIO_MAX_NAME_SIZE],  # more is never shown
                event_buffer_size=size,
            )
        from bridge.client.line_request import LineRequest

        return LineRequest(
            self._name,
            [line.id for line in plan],
            reply["offsets"],
            _names(plan, reply["names"]),
            fds,
            reply["timeout_ms"],
            event_buffer_size or 64,
            direct.share() if direct else None,
        )

    def keep_lines(
        self,
        values: Mapping[int | str, Value],
        settings: LineSettings | None = None,
        consumer: str | None = None,
        on_restart: str = "restore",
    ) -> None:
        """Set outputs, and have the service keep them when this program ends (not in libgpiod).

        Nobody else gets them until release_lines(). A line that is kept already for the
        same user gets the new settings and value; of lines that are not, all are kept or none.

        Args:
            values: of the outputs, by offset or name.
            settings: of all of them; their direction is OUTPUT whatever it says here.
            consumer: shown to others; at most 31 bytes, default ``gpio-bridge keep``.
            on_restart: ``restore`` drives them again when the firmware restarts, ``release``
                forgets them then.

        Raises:
            OSError: EBUSY, another consumer holds a line, or another user keeps it; else as
                request_lines().
            NotImplementedError: this chip is a link URL's, which ends with this process.
        """
        wanted = replace(settings or LineSettings(), direction=Direction.OUTPUT)
        plan = self._plan({line: wanted for line in values})
        given = {line.offset: value for line, value in zip(plan, values.values(), strict=True)}
        named = {} if consumer is None else {"consumer": consumer[: uapi.GPIO_MAX_NAME_SIZE]}
        self._call_firmware(
            KEEP,
            offsets=[line.offset for line in plan],
            config=line_config.pack([_config(line, given) for line in plan]),
            on_restart=on_restart,
            **named,
        )

    def release_lines(self, lines: Collection[int | str]) -> None:
        """Give lines back that are kept (not in libgpiod).

        Raises:
            ValueError: a line is not kept.
            OSError: EBUSY, for another user it is.
        """
        self._call_firmware(RELEASE, offsets=[self._offset(line) for line in lines])

    def _output_values(
        self, output_values: Mapping[int | str, Value] | None
    ) -> dict[int, Value] | None:
        """Return the values by offset, None when there are none to override with."""
        if not output_values:
            return None
        return {self.line_offset_from_id(line): value for line, value in output_values.items()}

    def _plan(self, config: LineConfig) -> list[_Line]:
        """Flatten `config` to one entry a line, in its order."""
        plan: list[_Line] = []
        seen: set[int] = set()
        for key, settings in config.items():
            for id in (key,) if isinstance(key, int | str) else key:
                offset = self.line_offset_from_id(id)
                if offset in seen:
                    raise ValueError(
                        f"line must be configured exactly once - offset {offset} repeats"
                    )
                seen.add(offset)
                plan.append(_Line(id, offset, settings or LineSettings()))
        if not plan:
            raise ValueError("no lines to request: config must name at least one")
        return plan

    def __repr__(self) -> str:
        """An expression that opens the chip again after ``import bridge as gpiod``."""
        return f'gpiod.Chip("{self._path}")' if self else "<Chip CLOSED>"

    def __str__(self) -> str:
        """The text that libgpiod prints for it."""
        if not self:
            return "<Chip CLOSED>"
        return f'<Chip path="{self._path}" fd={self.fd} info={self.get_info()}>'


class _Line:
    """A line of a request: what the caller called it, its offset and settings."""

    __slots__ = ("id", "offset", "settings")

    def __init__(self, id: int | str, offset: int, settings: LineSettings) -> None:
        self.id = id
        self.offset = offset
        self.settings = settings


def _names(plan: list[_Line], known: list[str | None]) -> dict[str, int]:
    """Return what lines of a request can be called beside their offsets.

    A name that the caller used wins over the `known` name of a line requested by offset.
    """
    names: dict[str, int] = {}
    for line, name in zip(plan, known, strict=True):
        if isinstance(line.id, str):
            names[line.id] = line.offset
        elif name:
            names.setdefault(name, line.offset)
    return names


def _config(line: _Line, values: dict[int, Value] | None) -> line_config.LineAttributes:
    value = None if values is None else values.get(line.offset, Value.INACTIVE)
    return line_config.config_of(line.settings, value)


def _event_buffer_size(size: int | None) -> int:
    if size is None:
        return 0
    if not isinstance(size, int):
        raise TypeError(f"event_buffer_size must be int, not {type(size).__name__}")
    if not 0 <= size < 1 << 32:
        raise OverflowError(f"event_buffer_size {size} is no number of events")
    return size


def request_lines(
    path: str,
    config: LineConfig,
    consumer: str | None = None,
    event_buffer_size: int | None = None,
    output_values: Mapping[int | str, Value] | None = None,
) -> LineRequest:
    """Open the chip at `path`, request lines of it, close it; see Chip.request_lines()."""
    with Chip(path) as chip:
        return chip.request_lines(config, consumer, event_buffer_size, output_values)


def is_gpiochip_device(path: str) -> bool:
    """Return whether `path` opens a chip; every path that Chip() takes will do.

    Raises TypeError when it is no str and ValueError for an embedded NUL only.
    """
    if isinstance(path, str) and "\0" in path:
        raise ValueError("embedded null byte in a chip's path")
    try:
        Chip(path).close()
    except (OSError, ValueError):
        return False
    return True


def list_chips(socket: str | None = None) -> list[ChipInfo]:
    """Return the chips of a service, in version order of their names (not in libgpiod).

    `socket` is the path of its control socket (None: the default one). Raises OSError
    when there is no service.
    """
    connection = Connection.open(socket or default_socket())
    try:
        return [chip_info.from_wire(chip) for chip in connection.chips()]
    finally:
        connection.close()


def find_line(
    name: str, chip: str | None = None, socket: str | None = None
) -> tuple[str, int] | None:
    """Return (chip name, offset) of the first line called `name`, or None (not in libgpiod).

    `chip` limits the search to one chip, `socket` is as in list_chips(). Raises
    OSError when there is no service, FileNotFoundError when there is no such chip.
    """
    connection = Connection.open(socket or default_socket())
    try:
        found = connection.call(FIND, name=name, chip=chip, limit=1)["found"]
    finally:
        connection.close()
    return (found[0][0], found[0][1]) if found else None
