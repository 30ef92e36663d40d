# SPDX-License-Identifier: BSD-3-Clause
"""labgrid's drivers: a line as an output, as an input with edges, and a button on an output."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Protocol

import attr
from labgrid.driver.common import Driver
from labgrid.driver.exception import ExecutionError
from labgrid.factory import target_factory
from labgrid.protocol import DigitalOutputProtocol
from labgrid.step import step
from labgrid.util.agentwrapper import AgentError, AgentException, AgentWrapper

import bridge
from bridge.integrations.labgrid.protocol import (
    BIASES,
    EDGES,
    ButtonProtocol,
    DigitalInputProtocol,
    EdgeEvent,
    EdgeProtocol,
)
from bridge.integrations.labgrid.resource import NetworkGPIOBridgeLine
from bridge.line import Direction, Value

__all__ = ["DigitalOutputButtonDriver", "GPIOBridgeInputDriver", "GPIOBridgeOutputDriver"]

_AGENTS = str(Path(__file__).parent / "agents")
_RESOURCES = {"line": {"GPIOBridgeLine", "NetworkGPIOBridgeLine"}}


class _Way(Protocol):
    """How a driver reaches its line."""

    def set(self, value: bool) -> None:
        """Drive it."""

    def get(self) -> bool:
        """Read an output."""

    def read(self) -> bool:
        """Read an input."""

    def watch(self, edge: str) -> None:
        """Collect edges."""

    def edges(self, timeout: float) -> list[EdgeEvent]:
        """Return them."""

    def close(self) -> None:
        """Let go of what this client has."""


class _Here:
    """A line of this host, requested by this process."""

    def __init__(self, line: Any) -> None:
        self._line = line
        self._request: bridge.LineRequest | None = None

    def _settings(self, **more: Any) -> bridge.LineSettings:
        return bridge.LineSettings(active_low=self._line.active_low, **more)

    def _input(self, **more: Any) -> bridge.LineSettings:
        return self._settings(direction=Direction.INPUT, bias=BIASES[self._line.bias], **more)

    def _ask(self, settings: bridge.LineSettings) -> bridge.LineRequest:
        self._request = bridge.request_lines(
            self._line.chip,
            {self._line.line: settings},
            consumer=f"labgrid {self._line.target.name}",
            event_buffer_size=1024,
        )
        return self._request

    def set(self, value: bool) -> None:
        wanted = Value.ACTIVE if value else Value.INACTIVE
        if self._request is None:
            self._ask(self._settings(direction=Direction.OUTPUT, output_value=wanted))
        else:
            self._request.set_value(self._line.line, wanted)

    def get(self) -> bool:
        if self._request is not None:
            return bool(self._request.get_value(self._line.line).value)
        with self._ask(self._settings()) as request:
            self._request = None
            return bool(request.get_value(self._line.line).value)

    def read(self) -> bool:
        request = self._request or self._ask(self._input())
        return bool(request.get_value(self._line.line).value)

    def watch(self, edge: str) -> None:
        self.close()
        self._ask(self._input(edge_detection=EDGES[edge]))

    def edges(self, timeout: float) -> list[EdgeEvent]:
        request = self._request
        if request is None or not request.wait_edge_events(timeout):
            return []
        rising = bridge.EdgeEvent.Type.RISING_EDGE
        return [
            EdgeEvent(event.event_type is rising, event.timestamp_ns, event.line_seqno)
            for event in request.read_edge_events(1024)
        ]

    def close(self) -> None:
        request, self._request = self._request, None
        if request is not None:
            request.release()


class _There:
    """A line of another host: the keeper there holds it, labgrid's agent reaches the keeper."""

    def __init__(self, line: NetworkGPIOBridgeLine) -> None:
        self._line = line
        self._wrapper = AgentWrapper(line.host)
        try:
            self._agent = self._wrapper.load("gpio_bridge", path=_AGENTS)
        except BaseException:
            self._wrapper.close()
            raise

    def _call(self, does: str, wait: float = 0, **more: Any) -> Any:
        line = self._line
        request = {
            "does": does, "place": line.place, "chip": line.chip, "line": line.line,
            "active_low": line.active_low, "bias": line.bias, **more,
        }  # fmt: skip
        try:
            answer = self._agent.call(line.socket, request, wait)
        except (AgentError, AgentException) as error:
            raise ExecutionError(f"{line.line} of {line.chip} on {line.host}: {error}") from None
        if "error" in answer:
            raise ExecutionError(f"{line.line} of {line.chip} on {line.host}: {answer['error']}")
        return answer["result"]

    def set(self, value: bool) -> None:
        self._call("set", value=value, until=self._line.until, fallback=self._line.fallback)

    def get(self) -> bool:
        return bool(self._call("get"))

    def read(self) -> bool:
        return bool(self._call("read"))

    def watch(self, edge: str) -> None:
        self._call("watch", edge=edge)

    def edges(self, timeout: float) -> list[EdgeEvent]:
        return [EdgeEvent(*edge) for edge in self._call("edges", wait=timeout, timeout=timeout)]

    def close(self) -> None:
        self._wrapper.close()


@attr.s(eq=False)
class _LineDriver(Driver):
    """What reaches a line while it is active."""

    bindings = _RESOURCES

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._way: _Way | None = None

    def on_activate(self) -> None:
        remote = isinstance(self.line, NetworkGPIOBridgeLine)
        self._way = _There(self.line) if remote else _Here(self.line)

    def on_deactivate(self) -> None:
        way, self._way = self._way, None
        if way is not None:
            way.close()

    @property
    def way(self) -> _Way:
        assert self._way is not None
        return self._way


@target_factory.reg_driver
@attr.s(eq=False)
class GPIOBridgeOutputDriver(_LineDriver, DigitalOutputProtocol):
    """A line as an output.

    Of a resource of this host it is held while the driver is active; of an exported one
    as the resource says.
    """

    @Driver.check_active
    @step(args=["status"])
    def set(self, status: bool) -> None:
        """Drive the value. Raises ExecutionError, or OSError on this host."""
        self.way.set(bool(status))

    @Driver.check_active
    @step(result=True)
    def get(self) -> bool:
        """Return the value; of a line that nobody drives yet, what it reads."""
        return self.way.get()


@target_factory.reg_driver
@attr.s(eq=False)
class GPIOBridgeInputDriver(_LineDriver, DigitalInputProtocol, EdgeProtocol):
    """A line as an input, held from its first use until the driver is deactivated."""

    @Driver.check_active
    @step(result=True)
    def get(self) -> bool:
        """Return the value. Raises ExecutionError, or OSError on this host."""
        return self.way.read()

    @Driver.check_active
    @step(args=["edge"])
    def watch(self, edge: str = "both") -> None:
        """Begin to collect edges; up to 1024 wait, then the oldest go. Raises as get()."""
        if edge not in EDGES:
            raise ValueError(f"no edge {edge!r}; write {', '.join(EDGES)}")
        self.way.watch(edge)

    @Driver.check_active
    @step(args=["timeout"])
    def edges(self, timeout: float = 0) -> list[EdgeEvent]:
        """Return the edges that wait, at least one unless `timeout` s passed; raises as get()."""
        return self.way.edges(timeout)


@target_factory.reg_driver
@attr.s(eq=False)
class DigitalOutputButtonDriver(Driver, ButtonProtocol):
    """A button of the board, pressed by any digital output."""

    bindings = {"output": DigitalOutputProtocol}  # noqa: RUF012 - labgrid reads it so

    @Driver.check_active
    @step()
    def press(self) -> None:
        """Press it, and keep it pressed."""
        self.output.set(True)

    @Driver.check_active
    @step()
    def release(self) -> None:
        """Let go of it."""
        self.output.set(False)

    @Driver.check_active
    @step(args=["seconds"])
    def press_for(self, seconds: float) -> None:
        """Press it for so long, whatever happens meanwhile."""
        self.output.set(True)
        try:
            time.sleep(seconds)
        finally:
            self.output.set(False)
