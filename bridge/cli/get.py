# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge get: read lines, in gpioget's words."""

from __future__ import annotations

import time

import click

from bridge.cli import common
from bridge.cli.main import sentence
from bridge.client.line_settings import LineSettings
from bridge.line import Bias, Direction


@click.command(context_settings=common.CONTEXT)
@click.option("-a", "--as-is", is_flag=True, help="Leave the direction as it is.")
@common.active_low_option
@common.bias_option
@common.consumer_option("gpio-bridge get")
@click.option(
    "-p", "--hold-period", metavar="PERIOD", callback=common.period,
    help="Time between requesting the lines and reading them (ms without a unit).",
)  # fmt: skip
@click.option("--numeric", is_flag=True, help="Print 0 and 1.")
@common.line_options
@click.argument("lines", nargs=-1, metavar="LINE...")
def get(
    socket: str | None,
    chip: str | None,
    by_name: bool,
    strict: bool,
    unquoted: bool,
    as_is: bool,
    active_low: bool,
    bias: Bias | None,
    consumer: str,
    hold_period: int | None,
    numeric: bool,
    lines: tuple[str, ...],
) -> int:
    """Read lines, by name or, with --chip, by offset.

    \b
      gpio-bridge get BUTTON_USER
      gpio-bridge get -c fw-0 3 4
      gpio-bridge get --numeric --active-low --bias pull-up BUTTON_USER
    """
    common.signals_as_usual()
    if not lines:
        raise click.UsageError("at least one GPIO line must be specified")
    found = common.Lines(lines, chip, socket, by_name, strict)
    if found.report("get"):
        return 1
    settings = LineSettings(
        direction=Direction.AS_IS if as_is else Direction.INPUT,
        bias=bias or Bias.AS_IS,
        active_low=active_low,
    )
    values: dict[tuple[int, int], bool] = {}
    for owner, group in found.by_chip():
        offsets = tuple(line.offset for line in group)
        try:
            request = owner.request_lines({offsets: settings}, consumer)
        except (OSError, ValueError, NotImplementedError) as error:
            raise click.ClickException(f"unable to request lines: {sentence(error)}") from None
        with request:
            if hold_period:
                time.sleep(hold_period / 1e6)
            for offset, value in zip(offsets, request.get_values(), strict=True):
                values[id(owner), offset] = bool(value)
    found.close()
    pairs = ((line.id, values[id(line.chip), line.offset]) for line in found.found)
    print(common.value_words(pairs, unquoted, numeric))
    return 0
