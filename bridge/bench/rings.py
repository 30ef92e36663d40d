# SPDX-License-Identifier: BSD-3-Clause
"""The measurement of gpio-bridge bench rings."""

from __future__ import annotations

from typing import Any

from bridge.bench.measure import Tell, percentile, round_trips, silent
from bridge.bench.rig import direct_chip
from firmware_stub import Stub
from firmware_stub.emulated.rings import RingMcu

RATIO_MAX = 4.0
"""What a get of the emulated MCU may take, in gets of the firmware stub."""

_TURNS = 4


def measure_rings(seconds: float, machine: str, tell: Tell = silent) -> dict[str, Any]:
    """Compare `get_value()` of firmware on an emulated MCU with that of the stub.

    Both links are in this process; they take turns, so that what else the machine does
    meets both. `seconds` is for each. Raises OSError as `RingMcu` does.
    """
    samples: dict[str, list[int]] = {"stub": [], "mcu": []}
    with (
        Stub("demo") as stub,
        RingMcu(machine) as mcu,
        direct_chip(stub.url) as stub_chip,
        direct_chip(mcu.url) as mcu_chip,
    ):
        for _ in range(_TURNS):
            for name, chip in (("stub", stub_chip), ("mcu", mcu_chip)):
                tell(name)
                samples[name] += round_trips(chip, seconds / _TURNS)
    result: dict[str, Any] = {"machine": machine}
    for name, taken in samples.items():
        for percent in (50, 99):
            result[f"{name}_p{percent}_us"] = round(percentile(taken, percent) / 1000, 1)
    result["ratio"] = round(result["mcu_p50_us"] / result["stub_p50_us"], 2)
    return result
