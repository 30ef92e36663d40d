# SPDX-License-Identifier: BSD-3-Clause
"""Run the pump until the tank is full; give up in time.

python pump_guard.py [CHIP]
"""

import sys

import bridge as gpiod
from bridge.line import Direction, Edge, Value


def fill(chip: str = "fw-0", timeout_s: float = 60.0) -> None:
    """Return when the tank is full; raise TimeoutError when it leaks. The pump is off then."""
    config = {
        "PUMP": gpiod.LineSettings(direction=Direction.OUTPUT),
        "TANK_FULL": gpiod.LineSettings(edge_detection=Edge.RISING, active_low=True),
    }
    with gpiod.request_lines(chip, config, consumer="pump_guard") as lines:
        if lines.get_value("TANK_FULL"):
            return
        lines.set_value("PUMP", Value.ACTIVE)
        full = lines.wait_edge_events(timeout_s)
        lines.set_value("PUMP", Value.INACTIVE)
    if not full:
        raise TimeoutError(f"the tank is not full after {timeout_s:g} s")


if __name__ == "__main__":
    fill(*sys.argv[1:])
