# SPDX-License-Identifier: BSD-3-Clause
"""A program that imports gpiod has chips of the kernel and ours, in one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .guest import Guest
from .test_gpiochip_link import Sim, served
from .uml import in_kernel

_PROGRAM = """
import sys
import gpiod
from gpiod.line import Direction, Edge, Value

kernels, ours = sys.argv[1:]
assert gpiod.is_gpiochip_device(kernels) and gpiod.is_gpiochip_device(ours)
assert not gpiod.is_gpiochip_device("/dev/null")
output = gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value.ACTIVE)
edges = gpiod.LineSettings(edge_detection=Edge.BOTH)
for path, line, key in ((kernels, 2, "KEY"), (ours, "LED", "SENSOR")):
    with gpiod.Chip(path) as chip:
        assert isinstance(chip, gpiod.Chip)
        print(type(chip).__module__, chip.get_info().label)
        assert isinstance(chip.get_info(), gpiod.ChipInfo)
        info = chip.watch_line_info(line)
        assert isinstance(info, gpiod.LineInfo) and info.direction is Direction.INPUT
        with chip.request_lines({line: output, key: edges}, consumer="both") as request:
            assert request.get_value(line) is Value.ACTIVE
            changed = chip.read_info_event()
            assert isinstance(changed, gpiod.InfoEvent)
            assert changed.event_type is gpiod.InfoEvent.Type.LINE_REQUESTED
            request.set_value(line, Value.INACTIVE)
            print("press", key, flush=True)
            sys.stdin.readline()
            assert request.wait_edge_events(60)
            (event,) = request.read_edge_events()
            assert isinstance(event, gpiod.EdgeEvent)
            print(event.event_type is gpiod.EdgeEvent.Type.RISING_EDGE)
            request.reconfigure_lines({line: gpiod.LineSettings(direction=Direction.INPUT)})
    try:
        chip.get_info()
    except gpiod.ChipClosedError as error:
        print(error)
    try:
        request.get_value(line)
    except gpiod.RequestReleasedError as error:
        print(error)
"""


@in_kernel()
def test_chips_of_both_kinds_in_one_process(guest: Guest) -> None:
    sim = Sim()
    Path("/run/program.py").write_text(_PROGRAM)
    with served(guest, f"gpiochip:{sim.path}") as serve:
        program = subprocess.Popen(
            [
                *(sys.executable, "-m", "bridge.as_gpiod", "/run/program.py"),
                *(sim.path, "host-0"),
            ],
            env={**os.environ, "GPIO_BRIDGE_SOCKET": serve.socket},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert program.stdin is not None and program.stdout is not None
        said = []
        for line in program.stdout:
            said.append(line.strip())
            if line.startswith("press"):
                sim.drive({"KEY": 1, "SENSOR": 3}[line.split()[1]], 1)
                program.stdin.write("\n")
                program.stdin.flush()
        guest.say("\n".join(said))
        assert program.wait() == 0
    ended = ["True", "I/O operation on closed chip", "GPIO lines have been released"]
    assert said == [
        *("gpiod.chip pins of this Linux", "press KEY", *ended),
        *("bridge.client.chip pins of this Linux", "press SENSOR", *ended),
    ]
