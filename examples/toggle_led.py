# SPDX-License-Identifier: BSD-3-Clause
"""Toggle a LED: request a line as an output, set its value.

python examples/toggle_led.py [CHIP]
"""

import sys
import time

import bridge as gpiod
from bridge.line import Direction, Value

chip = sys.argv[1] if len(sys.argv) > 1 else "fw-0"
led = {"LED_GREEN": gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value.INACTIVE)}

with gpiod.request_lines(chip, led, consumer="toggle_led") as request:
    for value in (Value.ACTIVE, Value.INACTIVE) * 3:
        request.set_value("LED_GREEN", value)
        print("LED_GREEN", request.get_value("LED_GREEN").name)
        time.sleep(0.1)
