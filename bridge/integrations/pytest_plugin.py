# SPDX-License-Identifier: BSD-3-Clause
"""pytest plug-in: simulated pins for the tests of an application or of firmware.

pytest loads this file whenever the package is installed, so it imports next to nothing;
what a fixture needs is imported when a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bridge.bench.rig import Serve
    from firmware_stub import Stub

__all__ = ["Pin"]


class Pin:
    """One pin of the simulated board, touched from outside the chip, by name.

    Get one from the fixture ``gpio_line``. Every method raises OSError with a sentence
    when the board has no such line or a wait took too long. Timeouts are in seconds.
    """

    def __init__(self, stub: Stub, name: str) -> None:
        """Name a pin: a line's name or ``CONTROLLER/OFFSET``."""
        stub.read(name)  # whether it is there
        self._stub = stub
        self.name = name

    @property
    def level(self) -> int:
        """The physical level, 0 or 1."""
        return self._stub.read(self.name)

    @property
    def edges(self) -> int:
        """How many edges the pin has seen since power-up."""
        return self._stub.count(self.name).edges

    def wait(self, level: int, timeout: float = 10.0) -> None:
        """Wait until the pin has this level."""
        self._stub.wait_level(self.name, level, timeout)

    def wait_edges(self, count: int, timeout: float = 10.0) -> None:
        """Wait until the pin has seen so many edges since power-up."""
        self._stub.wait_edges(self.name, count, timeout)

    def wait_armed(self, timeout: float = 10.0) -> None:
        """Wait until the firmware looks for edges, so that none is lost."""
        self._stub.wait_armed(self.name, timeout)

    def drive(self, level: int) -> None:
        """Drive the pin from outside, until ``float``."""
        self._stub.drive(self.name, level)

    def float(self) -> None:
        """Stop to drive it."""
        self._stub.float_(self.name)

    def press(self) -> None:
        """Press the button on the pin."""
        self._stub.press(self.name)

    def release(self) -> None:
        """Let go of the button."""
        self._stub.release(self.name)

    def pulse(self, count: int, hz: int) -> None:
        """Begin `count` pulses of `hz` Hz; wait_edges() says when they are over."""
        self._stub.pulse(self.name, count, hz)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the setting that names the board."""
    parser.addini(
        "gpio_board",
        "board of the fixture gpio_stub: a file, relative to this one, or a shipped board's name",
        default="demo",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare our marker."""
    config.addinivalue_line(
        "markers", "gpio_board(board): the board of this test: a file, a shipped name, or its text"
    )


@pytest.fixture
def gpio_board(request: pytest.FixtureRequest) -> str:
    """The board: of the marker gpio_board, else of the setting; override it to make one."""
    marker = request.node.get_closest_marker("gpio_board")
    board = str(marker.args[0] if marker else request.config.getini("gpio_board"))
    file = (request.config.inipath or request.config.rootpath / "x").parent / board
    return str(file) if "\n" not in board and file.is_file() else board


@pytest.fixture
def gpio_stub(gpio_board: str) -> Iterator[Stub]:
    """The firmware on a simulated board, powered up for this test (firmware_stub.Stub).

    Its ``url`` is a chip's path that needs no service.
    """
    from firmware_stub import Stub

    with Stub(gpio_board) as stub:
        yield stub


@pytest.fixture
def gpio_service(
    gpio_stub: Stub, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Serve]:
    """A service on that board, found by whatever this test runs.

    $GPIO_BRIDGE_SOCKET names its control socket, and chips are called ``fw-0`` and so on.
    """
    from bridge.bench.rig import Serve

    directory = Path(tmp_path_factory.mktemp("gpio"))
    with Serve(directory, "--link", f"{gpio_stub.url},name=fw") as serve:
        serve.wait_for_chips(len(gpio_stub.channels()))
        monkeypatch.setenv("GPIO_BRIDGE_SOCKET", serve.socket)
        yield serve


@pytest.fixture
def gpio_line(gpio_stub: Stub) -> Callable[[str], Pin]:
    """A pin of the board, by name: ``gpio_line("LED").wait(1)``, ``.press()``, ``.level``."""
    return lambda name: Pin(gpio_stub, name)
