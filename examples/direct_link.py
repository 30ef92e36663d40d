# SPDX-License-Identifier: BSD-3-Clause
"""No service: the link to the firmware lives in this process.

Chips and requests of a process share the link, and it ends with the last of them. A
channel's index behind # chooses the controller.

python examples/direct_link.py [URL]
"""

import sys

import bridge as gpiod
from bridge.line import Direction

url = sys.argv[1] if len(sys.argv) > 1 else "vhost-user:/tmp/fw.sock"

with gpiod.Chip(f"{url}#0") as first, gpiod.Chip(f"{url}#1") as second:
    for chip in (first, second):
        print(chip.get_info())
    dip = {"DIP_0": gpiod.LineSettings(direction=Direction.INPUT)}
    with first.request_lines(dip, consumer="direct_link") as request:
        print("DIP_0", request.get_value("DIP_0").name)
