# SPDX-License-Identifier: BSD-3-Clause
"""A switch that bounces, on a pin without a resistor: debounce and bias.

What the pin cannot do itself, debounce for one, the service does; what nobody can do,
a pull for one, is refused with NotImplementedError.

python examples/debounce_and_bias.py [CHIP]
"""

import sys
from datetime import timedelta

import bridge as gpiod
from bridge.line import Bias, Edge

path = sys.argv[1] if len(sys.argv) > 1 else "fw-0"
switch = gpiod.LineSettings(
    edge_detection=Edge.BOTH,
    bias=Bias.PULL_UP,
    active_low=True,
    debounce_period=timedelta(milliseconds=5),
)

with (
    gpiod.Chip(path) as chip,
    chip.request_lines({"BUTTON_POWER": switch}, consumer="debounce_and_bias") as request,
):
    info = chip.get_line_info("BUTTON_POWER")
    print(f"BUTTON_POWER: bias {info.bias.name}, debounced for {info.debounce_period}")
    edges = 0
    while edges < 2:  # a press and a release
        for event in request.read_edge_events():
            edges = event.line_seqno
            print(event.event_type.name, edges)
