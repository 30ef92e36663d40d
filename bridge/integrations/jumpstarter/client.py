# SPDX-License-Identifier: BSD-3-Clause
"""jumpstarter's clients of our drivers, and their commands in `j`."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, NamedTuple, TextIO

import click
from jumpstarter.client import DriverClient
from jumpstarter.client.decorators import driver_click_group

__all__ = ["BoardClient", "Edge", "InputClient", "OutputClient"]


class Edge(NamedTuple):
    """One edge of an input."""

    rising: bool
    #: CLOCK_MONOTONIC of the exporter's host, in ns.
    timestamp_ns: int
    #: Counts the edges of the line, from 1; a gap is edges that were lost.
    seqno: int


@dataclass(kw_only=True)
class OutputClient(DriverClient):
    """A line that is driven."""

    def set(self, value: bool) -> None:
        """Drive a value."""
        self.call("set", value)

    def on(self) -> None:
        """Drive it active."""
        self.call("on")

    def off(self) -> None:
        """Drive it inactive."""
        self.call("off")

    def get(self) -> bool:
        """Return the value."""
        return bool(self.call("get"))

    def pulse(self, seconds: float) -> None:
        """Drive it active for so long: a press of a button, a reset."""
        self.on()
        try:
            time.sleep(seconds)
        finally:
            self.off()

    def cli(self) -> Any:
        """Commands: on, off, get, pulse."""

        @driver_click_group(self)
        def base() -> None:
            """An output of the coprocessor."""

        base.command("on")(self.on)
        base.command("off")(self.off)

        @base.command()
        def get() -> None:
            """Print the value, 0 or 1."""
            click.echo(int(self.get()))

        @base.command()
        @click.argument("seconds", type=click.FloatRange(0))
        def pulse(seconds: float) -> None:
            """Drive it active for so long."""
            self.pulse(seconds)

        return base


@dataclass(kw_only=True)
class InputClient(DriverClient):
    """A line that is read."""

    def get(self) -> bool:
        """Return the value."""
        return bool(self.call("get"))

    def edges(self) -> Generator[Edge, None, None]:
        """Yield edges as they come, without end."""
        stream = self.streamingcall("edges")
        next(stream)  # it listens
        for rising, timestamp_ns, seqno in stream:
            yield Edge(bool(rising), int(timestamp_ns), int(seqno))

    def record(self, file: TextIO, count: int) -> None:
        """Write `count` edges as they come: time in ns, 1 or 0, number, with tabs between."""
        file.write("timestamp_ns\tlevel\tseqno\n")
        file.flush()
        for edge in itertools.islice(self.edges(), count):
            file.write(f"{edge.timestamp_ns}\t{int(edge.rising)}\t{edge.seqno}\n")
            file.flush()

    def cli(self) -> Any:
        """Commands: get, record."""

        @driver_click_group(self)
        def base() -> None:
            """An input of the coprocessor."""

        @base.command()
        def get() -> None:
            """Print the value, 0 or 1."""
            click.echo(int(self.get()))

        @base.command()
        @click.option("-n", "count", type=click.IntRange(1), default=1, show_default=True)
        @click.option("-o", "output", type=click.File("w"), default=sys.stdout)
        def record(count: int, output: TextIO) -> None:
            """Write edges as they come, one a line, with tabs."""
            self.record(output, count)

        return base


@dataclass(kw_only=True)
class BoardClient(DriverClient):
    """The simulated board."""

    def command(self, text: str) -> str:
        """Have the board do something, in the words of docs/stub.md."""
        return str(self.call("command", text))

    def cli(self) -> Any:
        """The board's own language."""

        @click.command()
        @click.argument("words", nargs=-1, required=True)
        def board(words: tuple[str, ...]) -> None:
            """Have the simulated board do something: press BUTTON_USER, read LED_GREEN."""
            said = self.command(" ".join(words))
            if said:
                click.echo(said)

        return board
