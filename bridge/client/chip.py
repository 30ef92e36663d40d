# SPDX-License-Identifier: BSD-3-Clause
"""Chips: open one, ask about its lines, request some of them."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from bridge import uapi
from bridge.client import address, line_info
from bridge.client.chip_info import ChipInfo
from bridge.client.control import Connection, default_socket
from bridge.client.exception import ChipClosedError
from bridge.client.line_settings import LineSettings, debounce_us, flags_of
from bridge.line import Value

if TYPE_CHECKING:
    from bridge.client.direct import Direct
    from bridge.client.line_info import LineInfo
    from bridge.client.line_request import LineRequest

__all__ = ["Chip", "find_line", "is_gpiochip_device", "list_chips", "request_lines"]

# GPIO_V2_LINE_NUM_ATTRS_MAX of <linux/gpio.h>.
_ATTRIBUTES_MAX = 10

LineConfig = Mapping[Any, "LineSettings | None"]


class Chip:
    """One chip: a controller of a coprocessor, seen through its own control connection."""

    _connection: Connection | None = None
    _direct: Direct | None = None
    _info: ChipInfo | None = None

    def __init__(self, path: str) -> None:
        """Open a chip.

        `path` is a chip's name (``fw-0``: the service on $GPIO_BRIDGE_SOCKET or the
        default socket), ``SOCKET#NAME``, or a link URL, which runs the link inside
        this process (``vhost-user:/run/fw.sock#NAME``; a URL without NAME opens its
        first chip).

        Raises FileNotFoundError when there is no such chip or no service,
        ConnectionRefusedError and PermissionError as connect(2), TypeError when
        `path` is no str, TimeoutError when nobody answers in time.
        """
        where = address.parse(path)
        self._path = path
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
        return _chip_info(self._connection.call("chip", chip=name))

    def __bool__(self) -> bool:
        """Whether the chip is open."""
        return self._connection is not None

    def __enter__(self) -> Chip:
        """Return the chip. Raises ChipClosedError when it is closed."""
        self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the chip."""
        self.close()

    def __del__(self) -> None:
        """Let go of the connection as the descriptor of a collected file is let go."""
        if self._connection is not None:
            self._connection.close()
        if self._direct is not None:
            self._direct.abandon()

    def _open(self) -> Connection:
        if self._connection is None:
            raise ChipClosedError
        return self._connection

    def close(self) -> None:
        """Close the chip; its line requests stay. May be called again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        direct, self._direct = self._direct, None
        if direct is not None:
            direct.close()

    @property
    def path(self) -> str:
        """The path exactly as given. Raises ChipClosedError."""
        self._open()
        return self._path

    @property
    def fd(self) -> int:
        """The chip's descriptor, HUP when the service is gone. Raises ChipClosedError."""
        return self._open().fileno()

    def fileno(self) -> int:
        """Return the chip's descriptor, for select and its kin. Raises ChipClosedError."""
        return self.fd

    def get_info(self) -> ChipInfo:
        """Return name, label and number of lines, read once. Raises ChipClosedError."""
        self._open()
        assert self._info is not None
        return self._info

    def line_offset_from_id(self, id: str | int) -> int:
        """Return the offset of a line given by name, offset, or offset as str.

        A name is looked up first; of several lines with this name the lowest offset
        is returned. Raises FileNotFoundError for an unknown name, ValueError for an
        offset that the chip does not have, ChipClosedError.
        """
        connection = self._open()
        if isinstance(id, int):
            offset = int(id)
        elif isinstance(id, str):
            offset = self._offset_of_name(connection, id)
        else:
            raise TypeError(f"a line is named by str or int, not {type(id).__name__}")
        if offset >= self.get_info().num_lines:
            raise ValueError(
                f"line offset of out range: {self._name} has no line {offset}, its last is "
                f"{self.get_info().num_lines - 1}"
            )
        return offset

    def _offset_of_name(self, connection: Connection, name: str) -> int:
        if name == "":  # in the kernel's interface an unnamed line is called ""
            for line in _lines(connection, self._name):
                if line["name"] is None:
                    return int(line["offset"])
        else:
            found = connection.call("find", name=name, chip=self._name)["found"]
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

        Raises as line_offset_from_id() does, and OSError ENODEV when the chip is gone.
        """
        connection = self._open()
        offset = self.line_offset_from_id(line)
        if offset < 0:
            raise ValueError(f"line offset {offset} is negative: offsets start at 0")
        reply = connection.call("lines", chip=self._name, first=offset)
        return line_info.from_wire(reply["lines"][0])

    def get_all_line_info(self) -> list[LineInfo]:
        """Return a snapshot of every line in a few packets (not in libgpiod).

        Raises ChipClosedError, and OSError ENODEV when the chip is gone.
        """
        return [line_info.from_wire(line) for line in _lines(self._open(), self._name)]

    def watch_line_info(self, line: int | str) -> NoReturn:
        """Not there yet. Raises NotImplementedError."""
        raise NotImplementedError("watching line info is not implemented yet")

    def unwatch_line_info(self, line: int | str) -> NoReturn:
        """Not there yet. Raises NotImplementedError."""
        raise NotImplementedError("watching line info is not implemented yet")

    def wait_info_event(self, timeout: float | None = None) -> NoReturn:
        """Not there yet. Raises NotImplementedError."""
        raise NotImplementedError("info events are not implemented yet")

    def read_info_event(self) -> NoReturn:
        """Not there yet. Raises NotImplementedError."""
        raise NotImplementedError("info events are not implemented yet")

    def request_lines(
        self,
        config: LineConfig,
        consumer: str | None = None,
        event_buffer_size: int | None = None,
        output_values: Mapping[int | str, Value] | None = None,
    ) -> LineRequest:
        """Request lines for exclusive use.

        `config` maps a line (offset or name) or a tuple of lines to LineSettings, or
        to None for the defaults. `consumer` is shown to others (31 bytes, default
        ``?``). `event_buffer_size` is in events (default and rounding as the kernel:
        16 a line, a power of two, 1024 at most). `output_values` overrides the
        output value of every line of the request; lines that it lacks are inactive.

        Raises FileNotFoundError (unknown name), ValueError (bad offset, repeated
        line, settings that exclude each other), OSError EBUSY (held by another; the
        message says whom), E2BIG (more than 64 lines, or more different settings
        than the kernel's 10 attributes), ENODEV, ETIMEDOUT (the firmware did not
        answer), EIO (it refused), NotImplementedError, ChipClosedError.
        """
        connection = self._open()
        values = self._output_values(output_values)
        plan = self._plan(config)
        lines = [_wire_line(line.offset, line.settings, values) for line in plan]
        _check_size(lines)
        size = _event_buffer_size(event_buffer_size)
        if consumer is not None and not isinstance(consumer, str):
            raise TypeError(f"consumer must be str, not {type(consumer).__name__}")
        names = self._names(connection, plan)
        reply, fds = connection.request(
            chip=self._name, lines=lines, consumer=consumer or "", event_buffer_size=size
        )
        from bridge.client.line_request import LineRequest

        return LineRequest(
            self._name,
            [line.id for line in plan],
            reply["offsets"],
            names,
            fds,
            reply["timeout_ms"],
            event_buffer_size or 64,
            self._direct.share() if self._direct else None,
        )

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

    def _names(self, connection: Connection, plan: list[_Line]) -> dict[str, int]:
        """Return what lines of the request can be called beside their offsets.

        A name that the caller used wins over the name of a line requested by offset.
        """
        names: dict[str, int] = {}
        by_offset = {line.offset for line in plan if isinstance(line.id, int)}
        known: dict[int, str] = {}
        if by_offset:
            known = {
                line["offset"]: line["name"]
                for line in _lines(connection, self._name, min(by_offset), max(by_offset))
                if line["name"]
            }
        for line in plan:
            if isinstance(line.id, str):
                names[line.id] = line.offset
            elif line.offset in known:
                names.setdefault(known[line.offset], line.offset)
        return names

    def __repr__(self) -> str:
        """An expression that opens the chip again after ``import bridge as gpiod``."""
        return f'gpiod.Chip("{self._path}")' if self else "<Chip CLOSED>"

    def __str__(self) -> str:
        """As libgpiod prints it."""
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


def _wire_line(
    offset: int, settings: LineSettings, values: dict[int, Value] | None
) -> dict[str, int]:
    value = settings.output_value if values is None else values.get(offset, Value.INACTIVE)
    return {
        "offset": offset,
        "flags": flags_of(settings),
        "value": value.value,
        "debounce_us": debounce_us(settings),
    }


def _check_size(lines: list[dict[str, int]]) -> None:
    """Raise OSError E2BIG where libgpiod's packing into the kernel's struct would."""
    if len(lines) > uapi.GPIO_V2_LINES_MAX:
        raise OSError(
            errno.E2BIG, f"{len(lines)} lines in one request: {uapi.GPIO_V2_LINES_MAX} is the most"
        )
    flags = {line["flags"] for line in lines}
    periods = {line["debounce_us"] for line in lines} - {0}
    outputs = any(line["flags"] & uapi.GPIO_V2_LINE_FLAG_OUTPUT for line in lines)
    attributes = len(flags) - 1 + len(periods) + outputs
    if attributes > _ATTRIBUTES_MAX:
        raise OSError(
            errno.E2BIG,
            f"the lines need {attributes} different attributes (flags, debounce periods, "
            f"output values): {_ATTRIBUTES_MAX} is the most in one request",
        )


def _event_buffer_size(size: int | None) -> int:
    if size is None:
        return 0
    if not isinstance(size, int):
        raise TypeError(f"event_buffer_size must be int, not {type(size).__name__}")
    if not 0 <= size < 1 << 32:
        raise OverflowError(f"event_buffer_size {size} is no number of events")
    return size


def _chip_info(chip: dict[str, Any]) -> ChipInfo:
    return ChipInfo(chip["name"], chip["label"], chip["num_lines"])


def _lines(
    connection: Connection, chip: str, first: int = 0, last: int | None = None
) -> Iterable[dict[str, Any]]:
    """Fetch the lines of a chip from `first` on, page by page, at least up to `last`."""
    following: int | None = max(first, 0)
    while following is not None and (last is None or following <= last):
        reply = connection.call("lines", chip=chip, first=following)
        yield from reply["lines"]
        following = reply["next"]


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
    """Return whether `path` opens a chip.

    Raises TypeError when it is no str and ValueError for an embedded NUL only.
    """
    address.parse(path)
    try:
        Chip(path).close()
    except OSError:
        return False
    return True


def list_chips(socket: str | None = None) -> list[ChipInfo]:
    """Return the chips of a service, in version order of their names (not in libgpiod).

    `socket` is the path of its control socket (None: the default one). Raises OSError
    when there is no service.
    """
    connection = Connection.open(socket or default_socket())
    try:
        return [_chip_info(chip) for chip in connection.call("chips")["chips"]]
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
        found = connection.call("find", name=name, chip=chip)["found"]
    finally:
        connection.close()
    return (found[0][0], found[0][1]) if found else None
