# SPDX-License-Identifier: BSD-3-Clause
"""The levels of lines that nobody holds."""

from __future__ import annotations

import pytest

import bridge as gpiod
from bridge.bench.rig import Rig
from bridge.line import Direction, Value
from firmware_stub import Stub


@pytest.mark.every_firmware
def test_lines_are_read_without_a_request(chip: gpiod.Chip, stub: Stub) -> None:
    levels = chip.get_levels()
    assert len(levels) == 16
    assert (levels[10], levels[11]) == (True, False)  # DIP_0, DIP_1
    stub.drive("DIP_1", 1)
    assert chip.get_levels()[11] is True
    stub.drive("DIP_1", 0)
    assert not any(info.used for info in chip.get_all_line_info())
    assert stub.state("DIP_1").direction == "none"


def test_lines_that_others_hold_are_read_as_the_pin_is(chip: gpiod.Chip, rig: Rig) -> None:
    settings = gpiod.LineSettings(
        direction=Direction.OUTPUT, active_low=True, output_value=Value.ACTIVE
    )
    with rig.chip() as other, other.request_lines({4: settings}):
        assert (chip.get_levels()[4], chip.get_levels()[5]) == (False, False)


def test_strict_firmware_reads_lines_with_a_direction_only() -> None:
    with Rig(strict=True) as rig, rig.chip() as chip:
        assert set(chip.get_levels()) == {None}
        with chip.request_lines({10: gpiod.LineSettings(direction=Direction.INPUT)}):
            assert chip.get_levels()[9:12] == [None, True, None]


def test_silent_firmware_costs_one_time_out() -> None:
    with Rig(arguments=("--timeout-ms", "100"), features="none") as rig, rig.chip() as chip:
        rig.stub.fault("mute", 1)
        assert None in chip.get_levels()
        assert chip.get_levels()[10] is True
