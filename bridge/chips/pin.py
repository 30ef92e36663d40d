# SPDX-License-Identifier: BSD-3-Clause
"""A line on its own controller, and what it does there by itself (LINE_CONFIG)."""

from __future__ import annotations

from bridge import wire
from bridge.chips.controller import AUTO, EXTENDED, Controller
from bridge.chips.line import Line
from bridge.chips.line_config import LineConfig
from bridge.shim.ffi import lib
from bridge.shim.pump import Controller as PumpController
from bridge.shim.pump import Report


class Pin:
    """Requests to the firmware about one line.

    A chip that is put together out of lines of others has their pins, so that its requests need not
    ask where they go.

    Args:
        controller: that has the line.
        gpio: number of the line there.
    """

    __slots__ = ("_caps", "controller", "gpio")

    def __init__(self, controller: Controller, gpio: int) -> None:
        self.controller = controller
        self.gpio = gpio
        self._caps: wire.LineCaps | None = None

    @property
    def place(self) -> tuple[PumpController, int]:
        """Where the pump finds the line: its controller, and its number there."""
        return self.controller.handle, self.gpio

    async def ask(self, kind: int, value: int = 0, form: int = AUTO) -> Report:
        """Send one request and wait for its outcome, as `Controller.ask`."""
        return await self.controller.ask(kind, self.gpio, value, form)

    async def call(self, kind: int, value: int = 0) -> Report:
        """As `ask`, but a failed request raises, as `Controller.call`."""
        return await self.controller.call(kind, self.gpio, value)

    def failure(self, report: Report, kind: int) -> OSError:
        """The exception for a failed report."""
        return self.controller.failure(report, kind, self.gpio)

    async def caps(self) -> wire.LineCaps:
        """What the pin can do beside its level; nothing without LINE_CONFIG.

        It is asked for once, when the line is first requested with such settings.

        Raises:
            OSError: as `call`; a refusal is no error, but a pin that can do nothing.
        """
        if not self.controller.features & wire.F_LINE_CONFIG:
            return wire.LineCaps()
        if self._caps is None:
            reply = await self.ask(wire.MSG_GET_LINE_CAPS, form=EXTENDED)
            if reply.reason == lib.GB_REASON_STATUS:
                return wire.LineCaps()
            if reply.error:
                raise self.failure(reply, wire.MSG_GET_LINE_CAPS)
            self._caps = wire.parse_line_caps(reply.body, reply.value)
        return self._caps

    async def configure(self, config: wire.PinConfig) -> None:
        """Give the pin its bias, drive and debounce; nothing without LINE_CONFIG.

        Raises:
            OSError: as `call`.
        """
        if not self.controller.features & wire.F_LINE_CONFIG:
            return
        body, check = wire.pack_pin_config(config)
        reply = await self.controller.ask(wire.MSG_SET_LINE_CONFIG, self.gpio, check, body=body)
        if reply.error:
            raise self.failure(reply, wire.MSG_SET_LINE_CONFIG)


async def pin_config(pin: Pin, line: Line, config: LineConfig) -> wire.PinConfig:
    """What a pin will do by itself of the settings of its line. Raises as `Pin.caps`."""
    caps = await pin.caps() if config.asks_pin else wire.LineCaps()
    return config.pin_config(caps, line.pin_config or wire.PinConfig())


async def set_pin(pin: Pin, line: Line, config: LineConfig) -> LineConfig:
    """Let a pin do by itself what it can do (LINE_CONFIG), and return what is left.

    To be called before the direction is set: an open-drain line is never driven high.

    Raises:
        OSError: as `Pin.call`.
    """
    wanted = await pin_config(pin, line, config)
    if wanted != line.pin_config:
        line.pin_config = None
        await pin.configure(wanted)
        line.pin_config = wanted
    return config.without(wanted)


async def drive(pin: Pin, line: Line, config: LineConfig) -> None:
    """Make a line an output with its value.

    Raises:
        OSError: as `Pin.call`.
    """
    if config.floats:
        await pin.call(wire.MSG_SET_DIRECTION, wire.DIRECTION_IN)
    else:
        await pin.call(wire.MSG_SET_VALUE, config.physical_value)
        await pin.call(wire.MSG_SET_DIRECTION, wire.DIRECTION_OUT)
    line.set_direction(wire.DIRECTION_OUT)  # what it is for its user


async def make_input(pin: Pin, line: Line) -> None:
    """Make a line an input.

    Raises:
        OSError: as `Pin.call`.
    """
    await pin.call(wire.MSG_SET_DIRECTION, wire.DIRECTION_IN)
    line.set_direction(wire.DIRECTION_IN)
