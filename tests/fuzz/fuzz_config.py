# SPDX-License-Identifier: BSD-3-Clause
"""The configuration: whatever a file or a flag says is taken, or refused with a sentence."""

from __future__ import annotations

import contextlib
import random
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

sys.path.insert(0, str(Path(__file__).parent))

from generator import STRINGS, run, value

from bridge.service import config

KEYS = [
    *("socket", "mode", "group", "timeout_ms", "extensions", "lines", "on_release", "on_restart"),
    *("link", "export", "chip", "remoteproc", "name", "url", "labels", "names", "label", "path"),
    *("auto_stop", "lines_on_restart", "lines_on_release", "policy"),
]
VALUES = [
    *("vhost-user:/tmp/fw.sock", "rpmsg:", "rpmsg:/dev/rpmsg0", "serial:/dev/ttyS0?baud=9600"),
    *("gpiochip:/dev/gpiochip0", "vhost-user-gpio:/run/guest.sock", "restore", "hold", "keep"),
    *("LED_GREEN", "LED_GREEN=led", "fw-0/LED_GREEN=x", "0-7", "7-0", "tags", "660", "all", "none"),
    *("serial:/dev/ttyS0?baud=x", "vhost-user:", ":", "=", ",", "a=b=c", "[", "rpmsg:remoteproc="),
]
LINES = [
    'socket = "/run/x.sock"', "mode = 0o660", "timeout_ms = 1000", "[[link]]", "[[export]]",
    "[[chip]]", "[link.labels]", "[link.names]", 'url = "vhost-user:/tmp/fw.sock"', 'name = "m4"',
    'lines = ["LED_GREEN", "fw-0/BUTTON=key"]', "lines = 16", 'extensions = ["tag", "epoch"]',
    'remoteproc = ["m4"]', 'on_restart = "restore"', 'url = "vhost-user-gpio:/run/g.sock"',
    'chip = "fw-0"', "[link.lines_on_restart]", '0 = "bank"',
]  # fmt: skip


def _table(pick: random.Random, depth: int = 0) -> dict[str, object]:
    table: dict[str, object] = {}
    for _ in range(pick.randrange(6)):
        kind = pick.randrange(6)
        if kind < 2:
            chosen: object = pick.choice(VALUES)
        elif kind == 2 and depth < 2:
            chosen = [_table(pick, depth + 1) for _ in range(pick.randrange(3))]
        elif kind == 3 and depth < 2:
            chosen = _table(pick, depth + 1)
        elif kind == 4:
            chosen = [pick.choice(VALUES) for _ in range(pick.randrange(4))]
        else:
            chosen = value(pick)
        table[pick.choice(KEYS if pick.random() < 0.95 else STRINGS)] = chosen
    return table


def _text(pick: random.Random) -> str:
    text = "\n".join(pick.choice(LINES) for _ in range(pick.randrange(12)))
    for _ in range(pick.randrange(3)):
        at = pick.randrange(len(text) + 1)
        text = (
            text[:at]
            + pick.choice([*STRINGS, '"', "]", "=", "\r"])
            + text[at + pick.randrange(3) :]
        )
    return text


def refused_at_most(pick: random.Random) -> int:
    """One round of each way in."""
    with contextlib.suppress(config.ConfigError):
        config.from_table(_table(pick), "fuzz")
    with contextlib.suppress(config.ConfigError, tomllib.TOMLDecodeError):
        config.from_table(tomllib.loads(_text(pick)), "fuzz")
    flag = "".join(
        pick.choice([*VALUES, *STRINGS, ",", "=", "?"]) for _ in range(pick.randrange(5))
    )
    with contextlib.suppress(config.ConfigError):
        config.link_from_flag(flag, {})
    with contextlib.suppress(config.ConfigError):
        config.export_from_flag(flag)
    return 4


if __name__ == "__main__":
    sys.exit(run(refused_at_most))
