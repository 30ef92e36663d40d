# SPDX-License-Identifier: BSD-3-Clause
"""Edge events as one buffer."""

from __future__ import annotations

import fcntl
import os
import struct

import pytest

import bridge as gpiod
from bridge.line import Edge
from firmware_stub import Stub

SENSOR = 8
RECORD = struct.Struct("=QIIII24x")
BOTH = gpiod.LineSettings(edge_detection=Edge.BOTH)


@pytest.fixture(autouse=True)
def quiet_board(stub: Stub) -> None:
    """Every test starts with its line low."""
    stub.float_("SENSOR_IRQ")


def test_records_are_those_of_the_kernel(chip: gpiod.Chip, stub: Stub) -> None:
    with chip.request_lines({SENSOR: BOTH}, event_buffer_size=64) as request:
        stub.wait_armed("SENSOR_IRQ")
        stub.pulse("SENSOR_IRQ", 20, 0)
        stub.wait_edges("SENSOR_IRQ", 40)
        records = []
        while len(records) < 40:
            assert request.wait_edge_events(30)
            view = request.read_edge_event_array()
            assert view.readonly
            assert len(view) % RECORD.size == 0
            records += list(RECORD.iter_unpack(view))
            # Columns without a copy.
            assert list(view.cast("Q")[::6]) == [r[0] for r in RECORD.iter_unpack(view)]
    assert [record[1:] for record in records] == [
        (1 + (number - 1) % 2, SENSOR, number, number) for number in range(1, 41)
    ]
    stamps = [record[0] for record in records]
    assert stamps == sorted(stamps)


def test_what_is_left_stays(chip: gpiod.Chip, stub: Stub) -> None:
    with chip.request_lines({SENSOR: BOTH}, event_buffer_size=16) as request:
        for level in (1, 0, 1):
            stub.wait_armed("SENSOR_IRQ")
            stub.drive("SENSOR_IRQ", level)
        assert request.wait_edge_events(30)
        assert len(request.read_edge_event_array(0)) == 0
        first = request.read_edge_event_array(1)
        assert len(first) == RECORD.size
        kept = bytes(first)
        assert request.wait_edge_events(30)
        (event,) = request.read_edge_events(1)
        assert event.line_seqno == 2
        assert bytes(first) == kept  # the buffer is the caller's


def test_it_blocks_and_raises_as_the_other(chip: gpiod.Chip, stub: Stub) -> None:
    request = chip.request_lines({SENSOR: BOTH})
    fcntl.fcntl(request.fd, fcntl.F_SETFL, os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        request.read_edge_event_array()
    with pytest.raises(OverflowError):
        request.read_edge_event_array(-1)
    request.release()
    with pytest.raises(gpiod.RequestReleasedError):
        request.read_edge_event_array()
