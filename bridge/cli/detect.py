# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge detect: list the chips, in gpiodetect's words."""

from __future__ import annotations

import sys

from bridge.cli import common
from bridge.cli.options import Command
from bridge.client.chip import list_chips
from bridge.client.chip_info import ChipInfo

COMMAND = Command(
    "detect",
    "[CHIP]...",
    "List chips: name, label and number of lines. Without CHIP, all of them.",
    """
gpio-bridge detect
gpio-bridge detect fw-0
gpio-bridge detect vhost-user:/run/fw.sock    (no service needed)
""",
    [common.SOCKET],
)


def main(arguments: list[str]) -> int:
    """Run the tool; return its exit status."""
    options, chips = COMMAND.parse(arguments)
    status = 0
    if not chips:
        for info in list_chips(options.socket):
            _print(info)
    for id in chips:
        try:
            with common.open_chip(id, options.socket) as chip:
                info = chip.get_info()
        except (OSError, ValueError) as error:
            print(
                f"gpio-bridge detect: unable to open chip '{id}': {common.sentence(error)}",
                file=sys.stderr,
            )
            status = 1
        else:
            _print(info)
    return status


def _print(info: ChipInfo) -> None:
    print(f"{info.name} [{info.label}] ({info.num_lines} lines)")
