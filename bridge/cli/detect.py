# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge detect: list the chips, in gpiodetect's words."""

from __future__ import annotations

import sys

import click

from bridge.cli import common
from bridge.cli.main import sentence
from bridge.client.chip import list_chips


@click.command(context_settings=common.CONTEXT)
@common.socket_option
@click.argument("chips", nargs=-1, metavar="[CHIP]...")
def detect(socket: str | None, chips: tuple[str, ...]) -> int:
    """List chips: name, label and number of lines. Without CHIP, all of them.

    \b
      gpio-bridge detect
      gpio-bridge detect fw-0
      gpio-bridge detect vhost-user:/run/fw.sock    (no service needed)
    """
    common.signals_as_usual()
    status = 0
    if not chips:
        for info in list_chips(socket):
            print(f"{info.name} [{info.label}] ({info.num_lines} lines)")
    for id in chips:
        try:
            with common.open_chip(id, socket) as chip:
                info = chip.get_info()
        except (OSError, ValueError) as error:
            print(
                f"gpio-bridge detect: unable to open chip '{id}': {sentence(error)}",
                file=sys.stderr,
            )
            status = 1
            continue
        print(f"{info.name} [{info.label}] ({info.num_lines} lines)")
    return status
