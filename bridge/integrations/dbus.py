# SPDX-License-Identifier: BSD-3-Clause
"""The D-Bus interface io.gpiod1 of libgpiod 2, on our chips: for `gpiocli` and GLib programs.

    python -m bridge.integrations.dbus [--bus system|session|ADDRESS]

A process beside the service. Chips are `/io/gpiod1/chips/gpiochipN`, their names (`fw-0`)
the property Name; requests live in this process, as with libgpiod's gpio-manager, until
somebody releases them or their chip goes.
"""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable
from datetime import timedelta
from typing import Annotated, Any

import click
from dbus_fast import (
    BusType,
    DBusError,
    Message,
    NameFlag,
    PropertyAccess,
    RequestNameReply,
    Variant,
)
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import (
    DBusBool,
    DBusBytes,
    DBusObjectPath,
    DBusSignature,
    DBusStr,
    DBusUInt32,
    DBusUInt64,
)
from dbus_fast.errors import InvalidAddressError
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal

import bridge
from bridge import LineSettings, RequestReleasedError, aio
from bridge.control_protocol import default_socket
from bridge.line import Bias, Clock, Direction, Drive, Edge, Value

__all__ = ["Manager"]

_log = logging.getLogger(__name__)

ROOT = "/io/gpiod1"
CHIPS = f"{ROOT}/chips"
REQUESTS = f"{ROOT}/requests"
NAME = "io.gpiod1"
_OBJECTS = "org.freedesktop.DBus.ObjectManager"
_INVALID = "org.freedesktop.DBus.Error.InvalidArgs"

LineConfig = Annotated[list[Any], DBusSignature("(a(aua{sv})ai)")]
Options = Annotated[dict[str, Any], DBusSignature("a{sv}")]
Offsets = Annotated[list[int], DBusSignature("au")]
Values = Annotated[list[int], DBusSignature("ai")]
NewValues = Annotated[dict[int, int], DBusSignature("a{ui}")]
Paths = Annotated[list[str], DBusSignature("ao")]
EdgeRecord = Annotated[list[int], DBusSignature("(ittt)")]

_READ = PropertyAccess.READ
_DIRECTIONS = {"input": Direction.INPUT, "output": Direction.OUTPUT, "as-is": Direction.AS_IS}
_EDGES = {"falling": Edge.FALLING, "rising": Edge.RISING, "both": Edge.BOTH}
_DRIVES = {
    "push-pull": Drive.PUSH_PULL, "open-drain": Drive.OPEN_DRAIN, "open-source": Drive.OPEN_SOURCE
}  # fmt: skip
_BIASES = {
    "disabled": Bias.DISABLED, "pull-up": Bias.PULL_UP, "pull-down": Bias.PULL_DOWN,
    "as-is": Bias.AS_IS,
}  # fmt: skip
_CLOCKS = {"monotonic": Clock.MONOTONIC, "realtime": Clock.REALTIME, "hte": Clock.HTE}
_SETTINGS: dict[str, tuple[str, str, Any]] = {
    "direction": ("direction", "s", _DIRECTIONS),
    "edge": ("edge_detection", "s", _EDGES),
    "active-low": ("active_low", "b", None),
    "drive": ("drive", "s", _DRIVES),
    "bias": ("bias", "s", _BIASES),
    "debounce-period": ("debounce_period", "x", None),
    "event-clock": ("event_clock", "s", _CLOCKS),
}


def _word(member: Any) -> str:
    """An enum's member in the words of the interface."""
    return str(member.name).lower().replace("_", "-")


def _invalid(sentence: str) -> DBusError:
    return DBusError(_INVALID, sentence)


def _failed(what: str, error: Exception) -> DBusError:
    return DBusError(f"{NAME}.{what}Failed", getattr(error, "strerror", None) or str(error))


def _settings(given: dict[str, Variant]) -> LineSettings:
    """Settings of lines as the interface writes them."""
    made: dict[str, Any] = {}
    for key, value in given.items():
        if key not in _SETTINGS:
            raise _invalid(f"no setting {key!r}; write one of {', '.join(_SETTINGS)}")
        name, signature, words = _SETTINGS[key]
        if value.signature != signature:
            raise _invalid(f"{key} must be of type {signature}, not {value.signature}")
        if words is not None and value.value not in words:
            raise _invalid(f"{key} {value.value!r}: write one of {', '.join(words)}")
        made[name] = value.value if words is None else words[value.value]
        if key == "debounce-period":
            made[name] = timedelta(microseconds=value.value)
    return LineSettings(**made)


def _config(given: list[Any]) -> tuple[dict[int, LineSettings], dict[int | str, Value]]:
    """Settings and output values by offset."""
    lines, values = given
    config: dict[int, LineSettings] = {}
    for offsets, settings in lines:
        for offset in offsets:
            if offset in config:
                raise _invalid(f"line {offset} is there twice")
            config[offset] = _settings(settings)
    if len(values) > len(config):
        raise _invalid(f"{len(values)} values for {len(config)} lines")
    return config, {
        offset: Value.ACTIVE if value else Value.INACTIVE
        for offset, value in zip(config, values, strict=False)
    }


def _interfaces(face: ServiceInterface) -> dict[str, dict[str, Variant]]:
    """What an object manager says of an object."""
    return {
        face.name: {
            one.name: Variant(one.signature, getattr(face, one.name))
            for one in face.introspect().properties
        }
    }


class _Line(ServiceInterface):
    """io.gpiod1.Line, of a snapshot that info events replace."""

    def __init__(self, path: str, info: bridge.LineInfo) -> None:
        super().__init__(f"{NAME}.Line")
        self.path = path
        self.info = info
        self.request = "/"

    @dbus_property(access=_READ)
    def Offset(self) -> DBusUInt32:
        return self.info.offset

    @dbus_property(access=_READ)
    def Name(self) -> DBusStr:
        return self.info.name or ""

    @dbus_property(access=_READ)
    def Used(self) -> DBusBool:
        return self.info.used

    @dbus_property(access=_READ)
    def Consumer(self) -> DBusStr:
        return self.info.consumer or ""

    @dbus_property(access=_READ)
    def Direction(self) -> DBusStr:
        return _word(self.info.direction)

    @dbus_property(access=_READ)
    def EdgeDetection(self) -> DBusStr:
        return _word(self.info.edge_detection)

    @dbus_property(access=_READ)
    def Bias(self) -> DBusStr:
        return _word(self.info.bias)

    @dbus_property(access=_READ)
    def Drive(self) -> DBusStr:
        return _word(self.info.drive)

    @dbus_property(access=_READ)
    def ActiveLow(self) -> DBusBool:
        return self.info.active_low

    @dbus_property(access=_READ)
    def Debounced(self) -> DBusBool:
        return self.info.debounced

    @dbus_property(access=_READ)
    def DebouncePeriodUs(self) -> DBusUInt64:
        return self.info.debounce_period // timedelta(microseconds=1)

    @dbus_property(access=_READ)
    def EventClock(self) -> DBusStr:
        return _word(self.info.event_clock)

    @dbus_property(access=_READ)
    def Managed(self) -> DBusBool:
        return self.request != "/"

    @dbus_property(access=_READ)
    def RequestPath(self) -> DBusObjectPath:
        return self.request

    @dbus_signal()
    def EdgeEvent(self, event: Any) -> EdgeRecord:
        return [
            int(event.event_type is bridge.EdgeEvent.Type.RISING_EDGE),
            event.timestamp_ns, event.global_seqno, event.line_seqno,
        ]  # fmt: skip

    def _values(self) -> dict[str, Any]:
        names = (
            "Used Consumer Direction EdgeDetection Bias Drive ActiveLow Debounced "
            "DebouncePeriodUs EventClock Managed RequestPath"
        )
        return {name: getattr(self, name) for name in names.split()}

    def change(self, info: bridge.LineInfo | None = None, request: str | None = None) -> None:
        """Take over a new snapshot or request, and tell what is different."""
        before = self._values()
        self.info = info or self.info
        self.request = request or self.request
        changed = {name: now for name, now in self._values().items() if now != before[name]}
        if changed:
            self.emit_properties_changed(changed)


class _Chip(ServiceInterface):
    """io.gpiod1.Chip, its lines and its requests."""

    def __init__(self, manager: "Manager", path: str, chip: aio.Chip) -> None:
        super().__init__(f"{NAME}.Chip")
        self.manager = manager
        self.path = path
        self.chip = chip
        self.info = chip.get_info()
        self.lines: dict[int, _Line] = {}
        self.requests: dict[str, _Request] = {}

    @dbus_property(access=_READ)
    def Name(self) -> DBusStr:
        return self.info.name

    @dbus_property(access=_READ)
    def Label(self) -> DBusStr:
        return self.info.label

    @dbus_property(access=_READ)
    def NumLines(self) -> DBusUInt32:
        return self.info.num_lines

    @dbus_property(access=_READ)
    def Path(self) -> DBusBytes:
        return os.fsencode(self.chip.path) + b"\0"

    @dbus_method()
    async def RequestLines(
        self, line_config: LineConfig, request_config: Options
    ) -> DBusObjectPath:
        config, values = _config(line_config)
        consumer, size = "gpio-manager", 0
        for key, value in request_config.items():
            if (key, value.signature) == ("consumer", "s"):
                consumer = value.value
            elif (key, value.signature) == ("event-buffer-size", "u"):
                size = value.value
            else:
                raise _invalid(f"{key} of type {value.signature}: write consumer s, "
                               "event-buffer-size u")  # fmt: skip
        try:
            granted = await self.chip.request_lines(config, consumer, size, values)
        except (OSError, ValueError, NotImplementedError) as error:
            raise _failed("Request", error) from None
        return self.manager.add_request(self, granted)


class _Request(ServiceInterface):
    """io.gpiod1.Request."""

    def __init__(self, chip: _Chip, path: str, request: aio.LineRequest) -> None:
        super().__init__(f"{NAME}.Request")
        self.chip = chip
        self.path = path
        self.offsets = request.offsets
        self._request = request
        self._events = asyncio.ensure_future(self._tell())

    async def _tell(self) -> None:
        """Send edges to whom it may concern, until the lines are released."""
        with contextlib.suppress(OSError, RequestReleasedError):
            async for event in self._request.edge_events():
                self.chip.lines[event.line_offset].EdgeEvent(event)

    async def end(self) -> None:
        """Release the lines."""
        self._events.cancel()
        await self._request.release()

    @dbus_property(access=_READ)
    def ChipPath(self) -> DBusObjectPath:
        return self.chip.path

    @dbus_property(access=_READ)
    def LinePaths(self) -> Paths:
        return [f"{self.chip.path}/line{offset}" for offset in self.offsets]

    @dbus_method()
    async def Release(self) -> None:
        await self.chip.manager.remove_request(self)

    @dbus_method()
    async def ReconfigureLines(self, line_config: LineConfig) -> None:
        config, values = _config(line_config)
        for offset, settings in config.items():
            settings.output_value = values.get(offset, settings.output_value)
        for offset in config:
            if offset not in self.offsets:
                raise _invalid(f"line {offset} is not in {self.path}")
        try:
            await self._request.reconfigure_lines(config)
        except (OSError, ValueError, NotImplementedError, RequestReleasedError) as error:
            raise _failed("Reconfigure", error) from None

    @dbus_method()
    async def GetValues(self, offsets: Offsets) -> Values:
        try:
            values = await self._request.get_values(offsets)
        except (OSError, ValueError, RequestReleasedError) as error:
            raise _failed("GetValues", error) from None
        return [value.value for value in values]

    @dbus_method()
    async def SetValues(self, values: NewValues) -> None:
        if not values:
            raise _invalid("no values to set")
        try:
            await self._request.set_values(
                {line: Value.ACTIVE if value else Value.INACTIVE for line, value in values.items()}
            )
        except (OSError, ValueError, RequestReleasedError) as error:
            raise _failed("SetValues", error) from None


class Manager:
    """All of it on one bus."""

    def __init__(self, bus: MessageBus, socket: str) -> None:
        """Offer the chips of the service on `socket` on a bus that is connected."""
        self._bus = bus
        bus.add_message_handler(self._objects)
        # The objects of each object manager, by their paths.
        self._managed: dict[str, dict[str, ServiceInterface]] = {CHIPS: {}, REQUESTS: {}}
        self._socket = socket
        self._numbers: dict[str, int] = {}
        self._chips: dict[str, _Chip] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # Chips of one firmware come back together, and each is looked for.
        self._finding = asyncio.Lock()
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def serve(self, ready: Callable[[], None]) -> None:
        """Serve until the service is gone. Raises OSError then, or when the name is taken."""
        for name in await self._there():
            await self._take(name)
        reply = await self._bus.request_name(NAME, NameFlag.DO_NOT_QUEUE)
        if reply is not RequestNameReply.PRIMARY_OWNER:
            raise OSError(errno.EADDRINUSE, f"somebody else has the name {NAME} on this bus")
        ready()
        self._begin(self._follow())
        await self._end

    async def _follow(self) -> None:
        """Take in chips as they come; those that go say so themselves."""
        async for _ in aio.follow_chips(self._socket):
            await self._find()

    def _begin(self, looking: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(looking)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and not self._end.done():
            self._end.set_exception(task.exception() or OSError())

    async def _find(self) -> None:
        """Take in the chips that are new."""
        async with self._finding:
            while not all([await self._take(name) for name in await self._there()]):
                await asyncio.sleep(1)  # one that cannot be opened is not to be flooded

    async def _there(self) -> list[str]:
        return [chip.name for chip in await asyncio.to_thread(bridge.list_chips, self._socket)]

    async def _take(self, name: str) -> bool:
        """Return whether the chip is taken in, now or before."""
        if name in self._chips:
            return True
        try:
            chip = await aio.Chip.open(f"{self._socket}#{name}")
            await self._add(name, chip)
        except OSError as error:
            _log.warning("chip %s: %s", name, error.strerror)
            return False
        return True

    async def _add(self, name: str, chip: aio.Chip) -> None:
        number = self._numbers.setdefault(name, len(self._numbers))
        face = _Chip(self, f"{CHIPS}/gpiochip{number}", chip)
        for offset in range(face.info.num_lines):
            info = await chip.watch_line_info(offset)
            face.lines[offset] = _Line(f"{face.path}/line{offset}", info)
        self._chips[name] = face
        self._export(CHIPS, face.path, face)
        for line in face.lines.values():
            self._export(face.path, line.path, line)
        self._begin(self._watch(name, face))
        _log.info("chip %s is %s", name, face.path)

    async def _watch(self, name: str, face: _Chip) -> None:
        """Tell what changes of a chip's lines, and that it goes."""
        try:
            async for event in face.chip.info_events():
                face.lines[event.line_info.offset].change(event.line_info)
        except (OSError, bridge.ChipClosedError):
            _log.info("chip %s is gone", name)
        for request in list(face.requests.values()):
            await self.remove_request(request)
        for line in face.lines.values():
            self._unexport(face.path, line.path, line)
        self._unexport(CHIPS, face.path, face)
        del self._chips[name]
        await face.chip.close()
        await self._find()  # it may be back already

    # ---- requests --------------------------------------------------------------------

    def add_request(self, chip: _Chip, granted: aio.LineRequest) -> str:
        """Make an object of a request; return its path."""
        taken = {path for one in self._chips.values() for path in one.requests}
        numbers: Iterable[int] = range(len(taken) + 1)
        path = next(p for n in numbers if (p := f"{REQUESTS}/request{n}") not in taken)
        request = chip.requests[path] = _Request(chip, path, granted)
        self._export(REQUESTS, path, request)
        for offset in request.offsets:
            chip.lines[offset].change(request=path)
        return path

    async def remove_request(self, request: _Request) -> None:
        """Release its lines; the object is gone then."""
        if request.chip.requests.pop(request.path, None) is None:
            return
        await request.end()
        self._unexport(REQUESTS, request.path, request)
        for offset in request.offsets:
            request.chip.lines[offset].change(request="/")

    # ---- objects ---------------------------------------------------------------------

    def _export(self, manager: str, path: str, face: ServiceInterface) -> None:
        """Add an object, and say so as its object manager does."""
        self._bus.export(path, face)
        self._managed.setdefault(manager, {})[path] = face
        self._signal(manager, "InterfacesAdded", "oa{sa{sv}}", [path, _interfaces(face)])

    def _objects(self, call: Message) -> Message | None:
        """Answer GetManagedObjects: a manager has its own objects, and not those below them."""
        if (call.interface, call.member) != (_OBJECTS, "GetManagedObjects"):
            return None
        managed = self._managed.get(call.path or "")
        if managed is None:
            return None
        objects = {path: _interfaces(face) for path, face in managed.items()}
        return Message.new_method_return(call, "a{oa{sa{sv}}}", [objects])

    def _unexport(self, manager: str, path: str, face: ServiceInterface) -> None:
        self._bus.unexport(path, face)
        del self._managed[manager][path]
        self._signal(manager, "InterfacesRemoved", "oas", [path, [face.name]])

    def _signal(self, path: str, member: str, signature: str, body: list[Any]) -> None:
        self._bus.send(Message.new_signal(path, _OBJECTS, member, signature, body))


async def _run(bus_name: str, socket: str) -> None:
    kinds = {"system": BusType.SYSTEM, "session": BusType.SESSION}
    if bus_name in kinds:
        bus = MessageBus(bus_type=kinds[bus_name])
    else:
        try:
            bus = MessageBus(bus_address=bus_name)
        except InvalidAddressError as error:
            raise OSError(errno.EINVAL, f"bus {bus_name}: {error}; write system, session or an "
                          "address as unix:path=/run/bus") from None  # fmt: skip
    try:
        await bus.connect()
    except OSError as error:
        raise OSError(error.errno, f"bus {bus_name}: {error.strerror}") from None
    manager = Manager(bus, socket)
    serving = asyncio.ensure_future(manager.serve(lambda: _log.info("%s is served", NAME)))
    gone = asyncio.ensure_future(bus.wait_for_disconnect())  # type: ignore[no-untyped-call]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, serving.cancel)
    await asyncio.wait((serving, gone), return_when=asyncio.FIRST_COMPLETED)
    if not serving.done():
        raise OSError(errno.ENOTCONN, "the bus is gone")
    with contextlib.suppress(asyncio.CancelledError):
        serving.result()
    bus.disconnect()


@click.command("python -m bridge.integrations.dbus")
@click.option(
    "--bus", "bus_name", metavar="system|session|ADDRESS", default="system", show_default=True,
    help="The bus to be on.",
)  # fmt: skip
@click.option("--socket", metavar="PATH", default=None, help="Control socket of the service.")
def main(bus_name: str, socket: str | None) -> None:
    """Offer libgpiod's D-Bus interface io.gpiod1 on the chips of the service.

    Ends with status 1 when the service or the bus is gone.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        asyncio.run(_run(bus_name, socket or default_socket()))
    except (OSError, DBusError) as error:
        sys.exit(f"io.gpiod1: {getattr(error, 'strerror', None) or error}")


if __name__ == "__main__":
    main()
