# SPDX-License-Identifier: BSD-3-Clause
"""Wait for a button or for the keyboard, whichever comes first: a request's fd in select.

python examples/wait_for_button.py [CHIP]
"""

import select
import sys

import bridge as gpiod
from bridge.line import Bias, Edge

chip = sys.argv[1] if len(sys.argv) > 1 else "fw-0"
button = {
    "BUTTON_USER": gpiod.LineSettings(edge_detection=Edge.BOTH, bias=Bias.PULL_UP, active_low=True)
}

with gpiod.request_lines(chip, button, consumer="wait_for_button") as request:
    print("Press BUTTON_USER, or Enter to stop")
    while True:
        ready, _, _ = select.select([request.fd, sys.stdin], [], [])
        if sys.stdin in ready:
            break
        for event in request.read_edge_events():
            word = "pressed" if event.event_type is event.Type.RISING_EDGE else "released"
            print(f"{word} at {event.timestamp_ns / 1e9:.6f} s")
