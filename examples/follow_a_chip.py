# SPDX-License-Identifier: BSD-3-Clause
"""Outlive the firmware: when its chip goes away, wait for it and request the lines again.

python examples/follow_a_chip.py [CHIP]    until Ctrl-C
"""

import contextlib
import errno
import sys
import time

import bridge as gpiod
from bridge.line import Edge

BUTTON = {"BUTTON_USER": gpiod.LineSettings(edge_detection=Edge.RISING, active_low=True)}


def appeared(path: str) -> gpiod.Chip:
    """Return the chip once it is there."""
    while True:
        try:
            return gpiod.Chip(path)
        except FileNotFoundError:  # also while there is no service
            time.sleep(0.2)


def watch(chip: gpiod.Chip) -> None:
    """Print presses. Raises OSError ENODEV when the firmware, link or service goes away."""
    with chip.request_lines(BUTTON, consumer="follow_a_chip") as request:
        while True:
            for event in request.read_edge_events():
                print("press", event.line_seqno)


def follow(path: str) -> None:
    """Print presses, whatever happens to the firmware meanwhile."""
    while True:
        try:
            with appeared(path) as chip:
                print(path, "is there")
                watch(chip)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise  # a line in use, no permission: waiting does not help
            print(path, "went away")


with contextlib.suppress(KeyboardInterrupt):
    follow(sys.argv[1] if len(sys.argv) > 1 else "fw-0")
