# SPDX-License-Identifier: BSD-3-Clause
"""Power a sensor and wait, for a limited time, until its ready line says that it is up.

python examples/power_up_sensor.py [CHIP]
"""

import sys

import bridge as gpiod
from bridge.line import Direction, Edge, Value

LINES = {
    "EN_SENSOR": gpiod.LineSettings(direction=Direction.OUTPUT),
    "SENSOR_READY": gpiod.LineSettings(edge_detection=Edge.RISING),
}


def power_up(path: str, timeout_s: float = 1.0) -> gpiod.LineRequest:
    """Return a request that holds the sensor's power; its release may let the power go.

    Raises TimeoutError when the sensor is not ready after `timeout_s`.
    """
    request = gpiod.request_lines(path, LINES, consumer="power_up_sensor")
    request.set_value("EN_SENSOR", Value.ACTIVE)
    if not request.wait_edge_events(timeout_s):
        request.release()
        raise TimeoutError(f"SENSOR_READY is not active {timeout_s:g} s after EN_SENSOR")
    return request


if __name__ == "__main__":
    with power_up(sys.argv[1] if len(sys.argv) > 1 else "fw-1"):
        print("the sensor is ready")
