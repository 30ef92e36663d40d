# SPDX-License-Identifier: BSD-3-Clause
"""gpiozero on our lines: GPIOZERO_PIN_FACTORY=rpmsg, then LED("rpmsg:LED_GREEN").

A pin is called as its line: ``[rpmsg:][CHIP/]LINE``, where LINE is a name or an offset
(which needs the chip). Without CHIP the first line of that name on the service is meant.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from types import MethodType
from typing import Any, NamedTuple
from weakref import WeakMethod, ref

from gpiozero import exc
from gpiozero.pins import Factory, Pin, PinInfo

import bridge
from bridge.line import Bias, Direction, Edge, Value

__all__ = ["BridgeFactory", "BridgePin"]

SCHEME = "rpmsg:"

_BIAS = {"up": Bias.PULL_UP, "down": Bias.PULL_DOWN, "floating": Bias.DISABLED}
_EDGES = {"both": Edge.BOTH, "rising": Edge.RISING, "falling": Edge.FALLING, "none": Edge.NONE}
_DIRECTIONS = {"input": Direction.INPUT, "output": Direction.OUTPUT}

Changed = Callable[[float, int], None]


class _Line(NamedTuple):
    """Where a pin is."""

    chip: str
    offset: int
    name: str


class _Board:
    """What gpiozero looks pins up in: any line of the service is one."""

    def __init__(self, factory: BridgeFactory) -> None:
        self._factory = factory

    def find_pin(self, name: str) -> Iterator[tuple[None, PinInfo]]:
        """Yield the pin of that name."""
        yield None, self._factory.info(name)


class BridgeFactory(Factory):
    """Makes pins of the lines of a service, and hands their edges out, in one thread."""

    def __init__(self, socket: str | None = None) -> None:
        """Use the service on `socket`; None is $GPIO_BRIDGE_SOCKET, or the default one."""
        super().__init__()
        self._socket = socket
        self._board = _Board(self)
        self._lines: dict[str, _Line] = {}
        self.pins: dict[_Line, BridgePin] = {}
        self._edges = _EdgeThread()

    def close(self) -> None:
        """Release the lines of all pins."""
        for pin in list(self.pins.values()):
            pin.close()
        self._edges.close()

    def pin(self, name: str) -> BridgePin:
        """Return the pin of a line; the same one for the same line."""
        line = self.line(name)
        if line not in self.pins:
            self.pins[line] = BridgePin(self, line, self.info(name), self._edges)
        return self.pins[line].open()

    def line(self, name: str) -> _Line:
        """Return where the line of a pin is. Raises gpiozero's PinInvalidPin."""
        if name in self._lines:
            return self._lines[name]
        wanted = str(name).removeprefix(SCHEME)
        chip, separator, line = wanted.rpartition("/")
        try:
            found = self._on_chip(chip, line) if separator else self._anywhere(line)
        except (FileNotFoundError, ValueError) as error:
            raise exc.PinInvalidPin(f"{name}: {error}") from None
        return self._lines.setdefault(name, found)

    def _anywhere(self, line: str) -> _Line:
        found = bridge.find_line(line, socket=self._socket)
        if found is None:
            raise ValueError(f"no chip has a line {line!r}; write NAME or CHIP/OFFSET")
        return self._on_chip(found[0], line)

    def _on_chip(self, chip: str, line: str) -> _Line:
        path = chip
        if self._socket and "#" not in chip and "/" not in chip and ":" not in chip:
            path = f"{self._socket}#{chip}"
        with bridge.Chip(path) as opened:
            offset = opened.line_offset_from_id(line)
            name = opened.get_line_info(offset).name
            return _Line(path, offset, name or f"{chip}/{offset}")

    def info(self, name: str) -> PinInfo:
        """Return gpiozero's description of a pin."""
        line = self.line(name)
        # The same for whatever the pin was called: gpiozero reserves pins by this.
        names = frozenset({line.name, f"{SCHEME}{line.name}"})
        return PinInfo(line.offset, line.name, names, "", None, None, frozenset({"gpio"}))

    def ticks(self) -> float:
        """Return the time in s of CLOCK_MONOTONIC, which edges have, too."""
        return time.monotonic()

    def ticks_diff(self, later: float, earlier: float) -> float:
        """Return the time between two ticks, in s."""
        return later - earlier

    def _get_board_info(self) -> _Board:
        return self._board


class BridgePin(Pin):
    """A line, requested at its first use, until the device that uses it is closed."""

    def __init__(
        self, factory: BridgeFactory, line: _Line, info: PinInfo, edges: _EdgeThread
    ) -> None:
        """Make the pin of a line; for BridgeFactory only."""
        super().__init__()
        self._factory = factory
        self._line = line
        self._info = info
        self._thread = edges
        self._settings = bridge.LineSettings()
        self._request: bridge.LineRequest | None = None
        self._edges = "both"
        self._changed: Callable[[], Changed | None] | None = None
        self._pwm: _SoftwarePwm | None = None
        self._lock = threading.RLock()
        self._closed = False

    def __repr__(self) -> str:
        """The pin as its device was called."""
        return f"{SCHEME}{self._line.name}"

    def open(self) -> BridgePin:
        """Be of use to a device, the first one or the next."""
        self._closed = False
        return self

    def close(self) -> None:
        """Release the line. Who still uses the pin is told so by gpiozero's DeviceClosed."""
        self._set_frequency(None)
        self._set_when_changed(None)
        with self._lock:
            self._closed = True
            request, self._request = self._request, None
            self._settings = bridge.LineSettings()
            if request is not None:
                request.release()

    def output_with_state(self, state: bool) -> None:
        """Become an output that drives `state` from its first moment."""
        self._configure(
            direction=Direction.OUTPUT, output_value=_value(state), edge_detection=Edge.NONE
        )

    def input_with_pull(self, pull: str) -> None:
        """Become an input with that pull at once."""
        self._configure(direction=Direction.INPUT, bias=self._bias(pull))

    # ---- settings ------------------------------------------------------------------

    def _configure(self, **changes: Any) -> bridge.LineRequest:
        """Give the line other settings, requesting it if need be."""
        with self._lock:
            if self._closed:
                # A thread that reads the device's values was late: it is not to take the line.
                raise exc.GPIODeviceClosed(f"pin {self!r} is closed")
            settings = bridge.LineSettings(
                **{
                    name: changes.get(name, getattr(self._settings, name))
                    for name in (
                        "direction", "edge_detection", "bias", "debounce_period", "output_value"
                    )
                }
            )  # fmt: skip
            offset = self._line.offset
            if self._request is None:
                self._request = self._ask(settings)
            else:
                self._request.reconfigure_lines({offset: settings})
            self._settings = settings
            return self._request

    def _ask(self, settings: bridge.LineSettings) -> bridge.LineRequest:
        try:
            return bridge.request_lines(
                self._line.chip, {self._line.offset: settings}, consumer="gpiozero"
            )
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise exc.GPIOPinInUse(f"pin {self!r}: {error.strerror}") from None
            raise

    def _held(self) -> bridge.LineRequest:
        return self._request or self._configure()

    def _bias(self, pull: str) -> Bias:
        if pull not in _BIAS:
            raise exc.PinInvalidPull(f'invalid pull "{pull}" for pin {self!r}')
        return _BIAS[pull]

    def _get_info(self) -> PinInfo:
        return self._info

    def _get_function(self) -> str:
        direction = self._settings.direction
        if direction is Direction.AS_IS:
            with bridge.Chip(self._line.chip) as chip:
                direction = chip.get_line_info(self._line.offset).direction
        return "output" if direction is Direction.OUTPUT else "input"

    def _set_function(self, value: str) -> None:
        if value not in _DIRECTIONS:
            raise exc.PinInvalidFunction(f'invalid function "{value}" for pin {self!r}')
        self._set_when_changed(None)
        changes: dict[str, Any] = {"direction": _DIRECTIONS[value]}
        if value == "output":  # an output has no pull and no edges to wait for
            changes.update(bias=Bias.AS_IS, debounce_period=timedelta())
        self._configure(**changes)

    def _get_state(self) -> float:
        if self._pwm is not None:
            return self._pwm.duty
        with self._lock:
            return self._held().get_value(self._line.offset).value

    def _set_state(self, value: float) -> None:
        if self._settings.direction is not Direction.OUTPUT:
            raise exc.PinSetInput(f"cannot set state of pin {self!r}")
        if self._pwm is not None:
            if not 0 <= value <= 1:
                raise exc.PinInvalidState(f'invalid state "{value}" for pin {self!r}')
            self._pwm.duty = value
            return
        with self._lock:
            self._held().set_value(self._line.offset, _value(value))

    def _get_pull(self) -> str:
        words = {bias: word for word, bias in _BIAS.items()}
        return words.get(self._settings.bias, "floating")

    def _set_pull(self, value: str) -> None:
        if self._settings.direction is Direction.OUTPUT:
            raise exc.PinFixedPull(f"cannot set pull on non-input pin {self!r}")
        self._configure(direction=Direction.INPUT, bias=self._bias(value))

    def _get_bounce(self) -> float | None:
        return self._settings.debounce_period.total_seconds() or None

    def _set_bounce(self, value: float | None) -> None:
        if value is not None and value < 0:
            raise exc.PinInvalidBounce("bounce must be 0 or greater")
        self._configure(direction=Direction.INPUT, debounce_period=timedelta(seconds=value or 0))

    # ---- edges -----------------------------------------------------------------------

    def _get_edges(self) -> str:
        return self._edges

    def _set_edges(self, value: str) -> None:
        if value not in _EDGES:
            raise exc.PinInvalidEdges(f'invalid edge specification "{value}" for pin {self!r}')
        with self._lock:
            self._edges = value
            if self._changed is not None:
                self._configure(edge_detection=_EDGES[value])

    def _get_when_changed(self) -> Changed | None:
        return self._changed() if self._changed is not None else None

    def _set_when_changed(self, value: Changed | None) -> None:
        with self._lock:
            was, self._changed = self._changed, None
            if value is not None:
                # Weak, as gpiozero's own pins do it: a device ends with its last user.
                self._changed = WeakMethod(value) if isinstance(value, MethodType) else ref(value)
            if self._changed is not None and was is None:
                request = self._configure(
                    direction=Direction.INPUT, edge_detection=_EDGES[self._edges]
                )
                self._thread.add(request, self._report)
            elif self._changed is None and was is not None and self._request is not None:
                self._thread.remove(self._request)
                with suppress(OSError):  # the chip may be gone
                    self._configure(edge_detection=Edge.NONE)

    def _report(self, event: bridge.EdgeEvent) -> None:
        """Tell the device of an edge."""
        changed = self._get_when_changed()
        if changed is not None:
            rose = event.event_type is bridge.EdgeEvent.Type.RISING_EDGE
            changed(event.timestamp_ns / 1e9, int(rose))

    # ---- PWM -------------------------------------------------------------------------

    def _get_frequency(self) -> float | None:
        return None if self._pwm is None else self._pwm.frequency

    def _set_frequency(self, value: float | None) -> None:
        if not value:
            pwm, self._pwm = self._pwm, None
            if pwm is not None:
                pwm.stop()
        elif self._pwm is not None:
            self._pwm.frequency = value
        elif self._settings.direction is not Direction.OUTPUT:
            raise exc.PinPWMFixedValue(f"cannot start PWM on pin {self!r}")
        else:
            request, offset = self._held(), self._line.offset
            self._pwm = _SoftwarePwm(
                lambda high: request.set_value(offset, _value(high)), frequency=value
            )


class _SoftwarePwm:
    """A thread that sets a line high and low: for dimming LEDs, not for servos."""

    def __init__(self, set_level: Callable[[bool], None], frequency: float) -> None:
        """Begin at a duty of 0. `frequency` is in Hz."""
        self._set_level = set_level
        self._frequency = frequency
        self._duty = 0.0
        self._change = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="gpiozero PWM", daemon=True)
        self._thread.start()

    @property
    def duty(self) -> float:
        """The part of a period that the line is high, 0 to 1."""
        return self._duty

    @duty.setter
    def duty(self, value: float) -> None:
        with self._change:
            self._duty = value
            self._change.notify()

    @property
    def frequency(self) -> float:
        """Periods a second."""
        return self._frequency

    @frequency.setter
    def frequency(self, value: float) -> None:
        with self._change:
            self._frequency = value
            self._change.notify()

    def stop(self) -> None:
        """End, with the line low."""
        with self._change:
            self._ending = True
            self._change.notify()
        self._thread.join()

    def _run(self) -> None:
        with suppress(OSError, bridge.RequestReleasedError):  # told to whoever sets the pin next
            while not self._ending:
                self._period()
            self._set_level(False)

    def _period(self) -> None:
        with self._change:
            duty, period = self._duty, 1 / self._frequency
        for level, part in ((True, duty), (False, 1 - duty)):
            if not part:
                continue
            self._set_level(level)
            with self._change:
                if not self._ending and duty == self._duty:
                    # All of a level waits for another duty, not for the period's end.
                    self._change.wait(None if part == 1 else part * period)


class _EdgeThread:
    """One thread that waits for the edges of all pins of a factory."""

    def __init__(self) -> None:
        self._selector: selectors.BaseSelector | None = None
        self._wake: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def add(self, request: bridge.LineRequest, report: Callable[[bridge.EdgeEvent], None]) -> None:
        """Call `report` with each edge of a request, in the thread."""
        with self._lock:
            if self._selector is None:
                self._selector = selectors.DefaultSelector()
                self._wake, woken = socket.socketpair()
                self._selector.register(woken, selectors.EVENT_READ, None)
                self._thread = threading.Thread(
                    target=self._run, args=(self._selector, woken),
                    name="gpiozero edges", daemon=True,
                )  # fmt: skip
                self._thread.start()
            os.set_blocking(request.fd, False)
            self._selector.register(request.fd, selectors.EVENT_READ, (request, report))

    def remove(self, request: bridge.LineRequest) -> None:
        """Report no more edges of a request."""
        with self._lock, suppress(KeyError, ValueError, bridge.RequestReleasedError):
            if self._selector is not None:
                self._selector.unregister(request.fd)

    def close(self) -> None:
        """End the thread."""
        with self._lock:
            wake, self._wake = self._wake, None
            thread, self._thread = self._thread, None
            self._selector = None
        if wake is not None and thread is not None:
            wake.close()
            if thread is not threading.current_thread():
                thread.join()

    def _run(self, selector: selectors.BaseSelector, woken: socket.socket) -> None:
        with woken, selector:
            while True:
                for key, _ in selector.select():
                    if key.data is None:
                        return
                    self._read(selector, key.fd, *key.data)

    def _read(
        self,
        selector: selectors.BaseSelector,
        fd: int,
        request: bridge.LineRequest,
        report: Callable[[bridge.EdgeEvent], None],
    ) -> None:
        try:
            events = request.read_edge_events()
        except BlockingIOError:
            return
        except (OSError, bridge.RequestReleasedError):
            with self._lock, suppress(KeyError, ValueError):  # the chip is gone
                selector.unregister(fd)
            return
        for event in events:
            try:
                report(event)
            except Exception:  # of the user's function: told, and other pins go on
                told = (*sys.exc_info(), threading.current_thread())
                threading.excepthook(threading.ExceptHookArgs(told))


def _value(state: object) -> Value:
    return Value.ACTIVE if state else Value.INACTIVE
