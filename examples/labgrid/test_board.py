# SPDX-License-Identifier: BSD-3-Clause
"""A test of the board: pytest --lg-env desk.yaml, or place.yaml once it is acquired."""

import pytest


@pytest.fixture
def running(strategy):
    """The board, powered and out of reset, for one test; off afterwards."""
    strategy.transition("running")
    yield
    strategy.transition("off")


def test_board_is_up(running, target):
    assert target.get_driver("DigitalInputProtocol").get()


def test_board_is_off_without_power(strategy, target):
    strategy.transition("off")
    assert not target.get_driver("DigitalInputProtocol").get()
