# SPDX-License-Identifier: BSD-3-Clause
"""Simulated chips in the shape of libgpiod's gpiosim helper, on top of the firmware stub.

A test-suite written for ``tests.gpiosim.Chip`` of libgpiod's Python bindings can be
pointed at `Chip`: every instance is a board of its own, with a firmware and a service.
"""

from __future__ import annotations

import itertools
import tempfile
from contextlib import ExitStack
from enum import Enum
from pathlib import Path

import bridge
from bridge.line import Direction as LineDirection
from bridge.line import Value as LineValue
from bridge.service import Config, LinkConfig, ServiceThread
from bridge.service.chip_links import directory_of
from firmware_stub import Stub

_numbers = itertools.count()


#: Deadline of requests to a firmware that is silent on purpose; on a busy host it answers later.
SILENT_MS = 2000


class Chip:
    """A chip with `num_lines` lines, all of them inputs that are pulled down."""

    class Pull(Enum):
        """What pulls a line."""

        UP = "up"
        DOWN = "down"

    class Value(Enum):
        """The level of a line."""

        INACTIVE = 0
        ACTIVE = 1

    class Direction(Enum):
        """The direction of a hogged line."""

        INPUT = 1
        OUTPUT_HIGH = 2
        OUTPUT_LOW = 3

    def __init__(
        self,
        label: str | None = None,
        num_lines: int | None = None,
        line_names: dict[int, str] | None = None,
        hogs: dict[int, tuple[str, Direction]] | None = None,
        on_release: str = "none",
        features: str = "all",
        timeout_ms: int = 20_000,
    ) -> None:
        """Start the board; the chip is there when this returns.

        `hogs` are lines that are in use: offset -> (consumer, direction). `on_release`
        and `features` are those of the service and the firmware; requests to it end
        after `timeout_ms`, which is short where it is silent on purpose.
        """
        count = num_lines or 1
        link = f"sim{next(_numbers)}"
        self._stack = ExitStack()
        try:
            directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
            self.stub = self._stack.enter_context(
                Stub(
                    _board(label or link, count),
                    socket=directory / "fw.sock",
                    features=features,
                )
            )
            self.socket = str(directory / "control.sock")
            self._thread = ServiceThread(
                Config(
                    links=(
                        LinkConfig(
                            self.stub.url,
                            name=link,
                            on_release=on_release,
                            names={"0": _names(count, line_names or {})},
                        ),
                    ),
                    socket=self.socket,
                    timeout_ms=timeout_ms,
                )
            )
            self._stack.callback(self._thread.close)
            self.name = self._thread.wait_chip(f"{link}-0", 60)
            self.dev_path = f"{directory_of(self.socket)}/{self.name}"
            self._hogs = [
                self._stack.enter_context(self._hog(offset, *hog))
                for offset, hog in (hogs or {}).items()
            ]
        except BaseException:
            self._stack.close()
            raise

    def _hog(self, offset: int, consumer: str, direction: Direction) -> bridge.LineRequest:
        output = direction is not Chip.Direction.INPUT
        high = direction is Chip.Direction.OUTPUT_HIGH
        settings = bridge.LineSettings(
            direction=LineDirection.OUTPUT if output else LineDirection.INPUT,
            output_value=LineValue.ACTIVE if high else LineValue.INACTIVE,
        )
        return bridge.request_lines(self.dev_path, {offset: settings}, consumer)

    def close(self) -> None:
        """Take the chip away. May be repeated."""
        self._stack.close()

    def __enter__(self) -> Chip:
        """Return the chip."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take the chip away."""
        self.close()

    def __del__(self) -> None:
        """Dropping the last reference takes the chip away, as with gpiosim."""
        self._stack.close()

    def set_pull(self, offset: int, pull: Pull) -> None:
        """Pull a line; an armed line has reported its edge when it is armed again.

        A line whose interrupt is enabled is waited for first: an edge while the
        firmware masks it would be latched, and two would be one.
        """
        line = f"0/{offset}"
        if self.stub.state(line).irq != "none":
            self.stub.wait_armed(line)
        self.stub.pull(line, pull.value)

    def get_value(self, offset: int) -> Value:
        """Return the level of a line, driven or not."""
        return Chip.Value(self.stub.read(f"0/{offset}"))


def _names(count: int, names: dict[int, str]) -> tuple[str, ...]:
    # The service's, not the board's: like gpiosim's they may occur twice, or be digits.
    return tuple(names.get(offset, "") for offset in range(count))


def _board(label: str, count: int) -> str:
    lines = [f'controller 0 label "{label}" lines {count}']
    lines += [f"pull 0/{at} down" for at in range(count)]
    return "\n".join([*lines, ""])
