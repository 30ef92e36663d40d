# SPDX-License-Identifier: BSD-3-Clause
"""Test a program without a board: pytest, and the firmware on a simulated board.

pytest examples/test_power_up_sensor.py
"""

from collections.abc import Iterator

import pytest
from power_up_sensor import power_up

from firmware_stub import Stub

# On this board the sensor is ready when it is powered.
BOARD = """
controller 0 label sensors lines 2
line 0/0 EN_SENSOR
line 0/1 SENSOR_READY
wire EN_SENSOR SENSOR_READY
"""


@pytest.fixture
def board() -> Iterator[Stub]:
    """The simulated board; its url is a chip's path, without a service."""
    with Stub(BOARD) as stub:
        yield stub


def test_sensor_is_powered_until_the_request_ends(board: Stub) -> None:
    with power_up(board.url):
        assert board.read("EN_SENSOR") == 1
    board.wait_level("EN_SENSOR", 0)


def test_sensor_that_is_not_there(board: Stub) -> None:
    board.unwire("EN_SENSOR", "SENSOR_READY")
    with pytest.raises(TimeoutError, match="SENSOR_READY"):
        power_up(board.url, timeout_s=0.1)
    board.wait_level("EN_SENSOR", 0)  # nobody left it on
