# SPDX-License-Identifier: BSD-3-Clause
"""What the Python fuzz targets share: values at the edges of what is expected, and a run."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable

INTEGERS = [
    *(0, 1, 2, 3, 5, 7, 8, 15, 16, 40, 63, 64, 65, 100, 255, 256, 257, 1023, 1024, 1025),
    *(4095, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, -1, -2, -(2**31)),
    -(2**63),
]
STRINGS = [
    *("", "²", "0", "-1", "fw-0", "fw-1", "fw-9", "LED_GREEN", "DIP_0", "\0", "a\0b", "\x1b[2J"),
    *(
        "Tür",
        "\ud7ff",
        "\U0010ffff",
        "x" * 31,
        "x" * 32,
        "x" * 4000,
        "../..",
        "%s%n",
        "\u0661",
        "\n",
    ),
]


def scalar(pick: random.Random) -> object:
    """A value of any plain type."""
    kind = pick.randrange(8)
    if kind < 3:
        return pick.choice(INTEGERS)
    if kind < 6:
        return pick.choice(STRINGS)
    return pick.choice([None, True, False, 0.5, float("nan"), float("inf"), b"", b"\xff\0"])


def value(pick: random.Random, depth: int = 0) -> object:
    """Any value, nested now and then."""
    kind = pick.randrange(10)
    if depth > 3 or kind < 7:
        return scalar(pick)
    if kind < 9:
        return [value(pick, depth + 1) for _ in range(pick.randrange(4))]
    return {pick.choice(STRINGS): value(pick, depth + 1) for _ in range(pick.randrange(4))}


def run(target: Callable[[random.Random], int]) -> int:
    """Call a target with one seed after the other within the time of the command line.

    A target returns how many inputs it made of a seed. One that raises is reported with
    its seed, which repeats it: status 1.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, help="this one only")
    args = parser.parse_args()
    seed = time.time_ns() if args.seed is None else args.seed
    end = time.monotonic() + args.seconds
    count = 0
    while time.monotonic() < end:
        try:
            count += target(random.Random(seed))
        except Exception:
            print(f"--seed {seed} finds this:", file=sys.stderr)
            raise
        if args.seed is not None:
            break
        seed += 1
    print(f"stat::number_of_executed_units: {count}")
    return 0
