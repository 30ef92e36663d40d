# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge set: set lines and hold them, in gpioset's words."""

from __future__ import annotations

import itertools
import os
import select
import time
from typing import NamedTuple

import click

from bridge.cli import common
from bridge.cli.main import sentence
from bridge.client.line_request import LineRequest
from bridge.client.line_settings import LineSettings
from bridge.line import Bias, Direction, Drive, Value

_WORDS = {
    "0": False, "inactive": False, "off": False, "false": False,
    "1": True, "active": True, "on": True, "true": True,
}  # fmt: skip


def _periods(ctx: click.Context, parameter: click.Parameter, value: str | None) -> list[int] | None:
    """Click callback: PERIOD[,PERIOD]... in microseconds."""
    return None if value is None else [common.parse_period(word) for word in value.split(",")]


@click.command(context_settings=common.CONTEXT)
@click.option("--banner", is_flag=True, help="Print a line when everything is set.")
@common.active_low_option
@common.bias_option
@click.option(
    "-d", "--drive", metavar="DRIVE", callback=common.choice("drive", common.DRIVES),
    help="push-pull (the default), open-drain or open-source.",
)  # fmt: skip
@common.consumer_option("gpio-bridge set")
@click.option(
    "-p", "--hold-period", metavar="PERIOD", callback=common.period,
    help="Shortest time to hold each set of values (ms without a unit).",
)  # fmt: skip
@click.option(
    "-t", "--toggle", metavar="PERIOD[,PERIOD]...", callback=_periods,
    help="Toggle the lines after each period, over and over; a last period of 0 ends.",
)  # fmt: skip
@click.option("-z", "--daemonize", is_flag=True, help="Go to the background when set.")
@common.line_options
@click.argument("lines", nargs=-1, metavar="LINE=VALUE...")
def set(
    socket: str | None,
    chip: str | None,
    by_name: bool,
    strict: bool,
    unquoted: bool,
    banner: bool,
    active_low: bool,
    bias: Bias | None,
    drive: Drive | None,
    consumer: str,
    hold_period: int | None,
    toggle: list[int] | None,
    daemonize: bool,
    lines: tuple[str, ...],
) -> int:
    """Set lines and hold them until killed: the lines are released when it ends.

    \b
      gpio-bridge set LED_GREEN=on                       until Ctrl-C
      gpio-bridge set -t0 -c fw-0 0=1                    set, and end at once
      gpio-bridge set --toggle 500ms LED_GREEN=on        blink
      gpio-bridge set --toggle 20ms,0 RESET=active       one pulse of 20 ms
      gpio-bridge set --daemonize LED_GREEN=on           hold in the background

    VALUE is 0, 1, off, on, inactive, active, false or true.
    """
    common.signals_as_usual()
    if not lines:
        raise click.UsageError("at least one GPIO line value must be specified")
    wanted = [_parse(word) for word in lines]
    found = common.Lines([id for id, _ in wanted], chip, socket, by_name, strict)
    if found.report("set"):
        return 1
    if daemonize and any(":" in line.chip.path for line in found.found):
        raise click.UsageError("--daemonize needs a service: a link URL lives in this process")
    settings = LineSettings(
        direction=Direction.OUTPUT,
        bias=bias or Bias.AS_IS,
        drive=drive or Drive.PUSH_PULL,
        active_low=active_low,
    )
    values = dict(zip(found.found, (value for _, value in wanted), strict=True))
    held = [
        _request(owner.path, group, values, settings, consumer) for owner, group in found.by_chip()
    ]
    found.close()
    if banner:
        print(common.banner("Setting", [line.id for line in found.found]), flush=True)
    if daemonize:
        _daemonize()
    if toggle is not None:
        _toggle(held, toggle, hold_period or 0)
    else:
        _sleep(hold_period or 0)
        _wait_for_removal(held[0].request)
    for each in held:
        each.request.release()
    return 0


class _Held(NamedTuple):
    """The lines of one chip and their values now, by offset."""

    request: LineRequest
    values: dict[int | str, Value]


def _parse(word: str) -> tuple[str, bool]:
    """Split LINE=VALUE at the first = outside quotes around the line."""
    if word.startswith('"') and '"=' in word[1:]:
        id, _, value = word[1:].partition('"=')
    else:
        id, separator, value = word.partition("=")
        if not separator:
            raise click.BadParameter(f"invalid line value: '{word}' (write LINE=VALUE)")
    if value not in _WORDS:
        raise click.BadParameter(f"invalid line value: '{value}' (write {', '.join(_WORDS)})")
    return id, _WORDS[value]


def _request(
    path: str,
    group: list[common.Line],
    values: dict[common.Line, bool],
    settings: LineSettings,
    consumer: str,
) -> _Held:
    initial: dict[int | str, Value] = {
        line.offset: Value.ACTIVE if values[line] else Value.INACTIVE for line in group
    }
    owner = group[0].chip
    try:
        request = owner.request_lines({tuple(initial): settings}, consumer, output_values=initial)
    except (OSError, ValueError, NotImplementedError) as error:
        raise click.ClickException(
            f"unable to request lines on chip '{path}': {sentence(error)}"
        ) from None
    return _Held(request, initial)


def _toggle(held: list[_Held], periods: list[int], hold: int) -> None:
    """Toggle for ever, or until a last period of 0."""
    ends = periods[-1] == 0
    if ends:
        periods = periods[:-1]
    if periods:
        for period in periods if ends else itertools.cycle(periods):
            _sleep(max(period, hold))
            for each in held:
                for offset, value in each.values.items():
                    each.values[offset] = Value.INACTIVE if value else Value.ACTIVE
                each.request.set_values(each.values)
    _sleep(hold)


def _sleep(microseconds: int) -> None:
    if microseconds:
        time.sleep(microseconds / 1e6)


def _wait_for_removal(request: LineRequest) -> None:
    """Sleep until the chip is gone, which ends gpioset with status 0."""
    poller = select.poll()
    poller.register(request.fd, 0)  # HUP and ERR are always reported
    poller.poll()


def _daemonize() -> None:
    """Go on in the background as daemon(3): new session, root directory, /dev/null."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    os.close(null)
