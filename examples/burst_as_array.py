# SPDX-License-Identifier: BSD-3-Clause
"""Thousands of edges: read a burst as one array, without an object for each edge.

python examples/burst_as_array.py [CHIP]
"""

import struct
import sys

import bridge as gpiod
from bridge.line import Edge

EDGES = 2000
# struct gpio_v2_line_event: timestamp_ns, id, offset, seqno, line_seqno, padding.
EVENT = struct.Struct("=QIIII24x")

chip = sys.argv[1] if len(sys.argv) > 1 else "fw-0"
tacho = {"PWM_TACHO": gpiod.LineSettings(edge_detection=Edge.BOTH)}

with gpiod.request_lines(chip, tacho, consumer="burst_as_array", event_buffer_size=1024) as request:
    print(f"Waiting for {EDGES} edges of PWM_TACHO")
    times: list[int] = []
    counted = 0  # line_seqno counts the lost ones, too
    while counted < EDGES:
        events = request.read_edge_event_array()
        times += events.cast("Q")[:: EVENT.size // 8]
        _, _, _, _, counted = EVENT.unpack(events[-EVENT.size :])

span = (times[-1] - times[0]) / 1e9
print(f"{counted} edges in {span:.6f} s, {counted - len(times)} lost")
