# SPDX-License-Identifier: BSD-3-Clause
"""Many lines in the same instant: one request, one message for all of its values.

python examples/many_lines.py [CHIP]
"""

import sys

import bridge as gpiod
from bridge.line import Direction, Value

LEDS = ("LED_GREEN", "LED_RED", "LED_BLUE")
SWITCHES = ("DIP_0", "DIP_1")

chip = sys.argv[1] if len(sys.argv) > 1 else "fw-0"
config = {
    LEDS: gpiod.LineSettings(direction=Direction.OUTPUT),
    SWITCHES: gpiod.LineSettings(direction=Direction.INPUT),
}

with gpiod.request_lines(chip, config, consumer="many_lines") as request:
    for number in range(1 << len(LEDS)):
        # With firmware that has BULK, no LED changes before another one.
        request.set_values(
            {led: Value(number >> bit & 1) for bit, led in enumerate(LEDS)},
        )
    levels = request.get_values((*LEDS, *SWITCHES))
    for name, value in zip((*LEDS, *SWITCHES), levels, strict=True):
        print(f"{name:10} {value.name}")
