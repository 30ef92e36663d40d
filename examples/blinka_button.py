# SPDX-License-Identifier: BSD-3-Clause
"""Adafruit Blinka on lines of the coprocessor: the LED follows the button, three times.

pip install adafruit-blinka; python examples/blinka_button.py [CHIP]
"""

import os
import sys
import time

from bridge import as_gpiod

# On a board Blinka finds out by itself; a PC plays a BeaglePlay, whose AM625 has a Cortex-M4.
os.environ.setdefault("BLINKA_FORCECHIP", "AM625X")
os.environ.setdefault("BLINKA_FORCEBOARD", "BEAGLE_PLAY")
as_gpiod.install()  # or, for a program as it is: python -m bridge.as_gpiod PROGRAM

import digitalio  # noqa: E402
from adafruit_blinka.microcontroller.generic_linux.libgpiod_pin import Pin  # noqa: E402

LED_GREEN, BUTTON_USER = 0, 6


def main(chip: str = "fw-0") -> None:
    """Blinka's way of edges: look, again and again."""
    with (
        digitalio.DigitalInOut(Pin((chip, LED_GREEN))) as led,
        digitalio.DigitalInOut(Pin((chip, BUTTON_USER))) as button,
    ):
        led.switch_to_output(value=False)
        button.switch_to_input(pull=digitalio.Pull.UP)
        print("Press the button")
        for _ in range(3):
            for pressed in (True, False):
                while button.value is pressed:  # it is active-low
                    time.sleep(0.01)
                led.value = pressed
            print("pressed, released")


if __name__ == "__main__":
    main(*sys.argv[1:])
