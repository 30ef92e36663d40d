# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge run beside gpio-sim: what libgpiod's tools print is the same."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bridge.bench.rig import Serve
from bridge.cli.run import LIBRARY
from firmware_stub import Stub

from .gpio_bed import read_line
from .guest import Guest
from .test_gpiochip_link import NAMES, Sim
from .uml import in_kernel

LATE_S = 60.0
# Nothing outside pulls it: what a program asks for decides, as on any line of gpio-sim.
BIASED = 1
BOARD = 'controller 0 label "pins of this Linux" lines 8\n' + "".join(
    f"pull 0/{line} down\n" for line in range(8) if line != BIASED
)
ROUNDS = 15
COMMANDS_1 = [
    ["gpioinfo", "CHIP"],
    ["gpiofind", "LED"],
    ["gpiofind", "nope"],
    ["gpioget", "CHIP", "0", "3", "7"],
    ["gpioget", "-l", "-B", "pull-up", "CHIP", "1"],
    ["gpioget", "CHIP", "8"],
    ["gpioget", "CHIP", "0", "0"],
    ["gpioset", "CHIP", "0=1", "3=0"],
    ["gpioset", "-D", "open-drain", "CHIP", "3=1"],
    ["gpioset", "CHIP", "0=2"],
    ["gpiomon", "-n", "0", "CHIP"],
]
COMMANDS_2 = [
    ["gpioinfo", "-c", "CHIP"],
    ["gpioget", "-c", "CHIP", "0", "3", "7"],
    ["gpioget", "-l", "-b", "pull-up", "-c", "CHIP", "1"],
    ["gpioget", "LED", "KEY"],
    ["gpioget", "-c", "CHIP", "8"],
    ["gpioget", "-c", "CHIP", "0", "0"],
    ["gpioset", "-t0", "-c", "CHIP", "0=1", "3=0"],
    ["gpioset", "-t0", "-d", "open-drain", "-c", "CHIP", "3=1"],
]


class Place:
    """A chip, and how a tool sees it."""

    def __init__(self, chip: str, environment: dict[str, str], drive: Callable[[int, int], None]):
        self.chip = chip
        self.drive = drive
        self._environment = {**os.environ, **environment}

    def start(self, words: list[str]) -> subprocess.Popen[str]:
        return self._start("stdbuf", "-oL", *words)

    def _start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [word.replace("CHIP", self.chip) for word in words],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def says(self, words: list[str]) -> tuple[int, str]:
        process = self.start(words)
        out, _ = process.communicate(timeout=LATE_S)
        return process.returncode, out.replace(self.chip, "CHIP")

    def takes_ms(self, *words: str) -> float:
        """How long a program takes, in milliseconds."""
        times = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            self._start(*words).communicate(timeout=LATE_S)
            times.append((time.perf_counter() - start) * 1000)
        return median(times)


def edges(place: Place, words: list[str], armed: Callable[[], object]) -> list[str]:
    """What a monitor prints of line 1, without the times."""
    place.drive(1, 0)  # gpio-sim keeps the bias that somebody asked for
    process = place.start(words)
    armed()
    found = []
    for level in (1, 0, 1, 0):
        place.drive(1, level)
        found.append(re.sub(r"\d+[.]\d+", "TIME", read_line(process, LATE_S)))
    process.wait(LATE_S)
    return found


def kernel_armed() -> None:
    """Wait until gpiomon has its interrupt."""
    deadline = time.monotonic() + LATE_S
    while "gpiomon" not in Path("/proc/interrupts").read_text():
        assert time.monotonic() < deadline, "gpiomon has no interrupt"
        time.sleep(0.01)


@in_kernel()
def test_transcripts_are_those_on_gpio_sim(guest: Guest) -> None:
    sim = Sim()
    names = "+".join(f'"{name}"' for name in NAMES)
    with (
        Stub(BOARD, socket=Path("/run/fw.sock")) as stub,
        Serve(Path("/run"), "--link", f"{stub.url},name=fw,names.0={names}") as serve,
    ):
        serve.wait_for_chips(1)
        kernels = Place(sim.chip, {}, sim.drive)
        number = int(sim.chip.removeprefix("gpiochip")) + 1
        environment = {
            "LD_PRELOAD": str(LIBRARY),
            "GPIO_BRIDGE_RUN": serve.socket,
            "GPIO_BRIDGE_RUN_CHIPS": f"{number}:fw-0",
        }
        ours = Place(
            f"gpiochip{number}",
            environment,
            lambda line, level: stub.pull(f"0/{line}", "up" if level else "down"),
        )
        assert ours.says(["gpiodetect"]) == (
            0,
            f"{sim.chip} [pins of this Linux] (8 lines)\nCHIP [pins of this Linux] (8 lines)\n",
        )
        old = " v1." in kernels.says(["gpiodetect", "--version"])[1]
        commands = COMMANDS_1 if old else COMMANDS_2
        for words in commands:
            if words[-1] in ("LED", "KEY"):
                continue  # a name that both have: the kernel's chip comes first
            assert ours.says(words) == kernels.says(words), words
        monitor = ["gpiomon", "-n", "4", "CHIP", "1"]
        if not old:
            monitor = ["gpiomon", "-n", "4", "-c", "CHIP", "1"]
        assert edges(ours, monitor, lambda: stub.wait_armed("0/1", LATE_S)) == edges(
            kernels, monitor, kernel_armed
        )
        # By path, which opens no other chip.
        get = ["gpioget", *([] if old else ["-c"]), "/dev/CHIP", "0"]
        # Figures for who reads the console (pytest -s): no verdict by how fast a host is.
        figures = [
            f"{name} {place.takes_ms(*words):.2f} ms"
            for place, name, words in [
                (kernels, "--help", ["gpioget", "--help"]),
                (ours, "--help under run", ["gpioget", "--help"]),
                (kernels, "on gpio-sim", get),
                (ours, "under run", get),
            ]
        ]
        guest.say(f"gpioget: {', '.join(figures)}")
