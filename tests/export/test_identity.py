# SPDX-License-Identifier: BSD-3-Clause
"""A guest's lines stay on their controller, whatever the order of announcements."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from bridge.client.control import Connection
from bridge.export.selection import Place

from .conftest import Exported, Start
from .frontend import OUT, SET_DIRECTION, SET_VALUE

Eventually = Callable[[Callable[[], bool], str], None]

TWO = """
controller 0 channel rpmsg-raw lines 4
controller 1 channel rpmsg-raw lines 4
"""
PATIENCE_S = 15.0


@pytest.fixture
def two(export: Start) -> Exported:
    return export("chip=fw-1,lines=1", "all", board=TWO)


@pytest.fixture
def connection(two: Exported) -> Iterator[Connection]:
    connection = Connection.open(two.rig.serve.socket)
    connection.wait(PATIENCE_S, count=2)
    yield connection
    connection.close()


def test_lines_are_set_up_again_on_their_controller(
    two: Exported, connection: Connection, eventually: Eventually
) -> None:
    with two.guest() as driver:
        driver.ok(SET_VALUE, 0, 1)
        driver.ok(SET_DIRECTION, 0, OUT)
        for controller in (0, 1):
            two.stub.fault("announce", controller, "destroyed")
        connection.wait(PATIENCE_S, count=0)
        for number, controller in enumerate((1, 0), start=1):
            two.stub.fault("announce", controller, "created")
            connection.wait(PATIENCE_S, count=number)
        eventually(lambda: two.stub.read("1/1") == 1, "the guest's line")
        assert two.stub.state("0/1").direction == "none"


def test_the_next_service_knows_a_controller_by_its_address() -> None:
    """It may number them otherwise: what the guest had is for this one alone."""
    assert Place("fw-1", 1, None, None, address=0x401).identity == ["fw-1", 1, None, 0x401]
    assert Place("fw-1", 1, None, None).identity == ["fw-1", 1, None]
