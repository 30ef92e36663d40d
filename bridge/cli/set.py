# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge set: set lines and hold them, in gpioset's words."""

from __future__ import annotations

import itertools
import os
import select
import sys

from bridge.cli import common
from bridge.cli.options import Command, Failure, Option
from bridge.cli.output import complain, sentence
from bridge.cli.values import Handle, Held, parse_value
from bridge.client import address
from bridge.client.line_request import LineRequest
from bridge.client.line_settings import LineSettings
from bridge.line import Direction, Value


def _periods(text: str) -> list[int]:
    """Return PERIOD[,PERIOD]... in microseconds."""
    return [common.parse_period(word) for word in text.split(",")]


COMMAND = Command(
    "set",
    "LINE=VALUE...",
    "Set lines and hold them until killed: the lines are released when it ends.",
    """
gpio-bridge set LED_GREEN=on                       until Ctrl-C
gpio-bridge set -t0 -c fw-0 0=1                    set, and end at once
gpio-bridge set --toggle 500ms LED_GREEN=on        blink
gpio-bridge set --toggle 20ms,0 RESET=active       one pulse of 20 ms
gpio-bridge set --interactive LED_GREEN=off        set, get, toggle... at a prompt
gpio-bridge set --daemonize LED_GREEN=on           hold in the background, print its process id
gpio-bridge set --from x.vcd RESET_PHY=D0          play signal D0 of a recording

VALUE is 0, 1, off, on, inactive, active, false or true.
""",
    [
        common.BANNER,
        common.BIAS,
        common.consumer_option("gpio-bridge set"),
        common.DRIVE,
        Option(
            "--from FILE",
            "Drive the lines as in a recording, then end; LINE=SIGNAL or LINE, all without any.",
            str,
        ),
        Option("-i --interactive", "Set the lines, then wait for commands (see `help` there)."),
        common.ACTIVE_LOW,
        Option(
            "-p --hold-period PERIOD",
            "Shortest time to hold each set of values (ms without a unit).",
            common.parse_period,
            0,
        ),
        Option(
            "-t --toggle PERIOD[,PERIOD]...",
            "Toggle the lines after each period, over and over; a last period of 0 ends.",
            _periods,
        ),
        Option("-z --daemonize", "Print the process id and go to the background when set."),
        *common.LINE_OPTIONS,
    ],
)


def main(arguments: list[str]) -> int:
    """Run the tool; return its exit status."""
    options, words = COMMAND.parse(arguments)
    if getattr(options, "from") is not None:
        from bridge.cli.play import drive

        return drive(getattr(options, "from"), options, words)
    if options.interactive and options.toggle is not None:
        raise Failure("can't combine interactive with toggle")
    if not words:
        raise Failure("at least one GPIO line value must be specified")
    wanted = [parse_value(word) for word in words]
    found = common.Lines.asked([id for id, _ in wanted], options)
    if found.report("set"):
        return 1
    if options.daemonize and any(address.is_url(line.chip.path) for line in found.found):
        raise Failure("--daemonize needs a service: a link URL lives in this process")
    settings = LineSettings(
        direction=Direction.OUTPUT,
        bias=options.bias,
        drive=options.drive,
        active_low=options.active_low,
    )
    values = dict(zip(found.found, (value for _, value in wanted), strict=True))
    helds: dict[int, Held] = {}
    for owner, group in found.by_chip():
        helds[id(owner)] = _request(group, values, settings, options.consumer)
    handles = [Handle(line.id, helds[id(line.chip)], line.offset) for line in found.found]
    found.close()
    held = list(helds.values())
    if options.banner:
        common.print_banner("Setting", [handle.id for handle in handles])
    if options.daemonize:
        _daemonize(keep_streams=options.interactive)
    if options.toggle is not None:
        _toggle(held, options.toggle, options.hold_period)
    else:
        common.pause(options.hold_period)
        if options.interactive:
            from bridge.cli.interactive import converse

            converse(handles, options.unquoted)
        else:
            _wait_for_removal(held[0].request)
            complain(f"gpio-bridge set: {common.gone(held[0].request.chip_name)}")
    for each in held:
        each.request.release()
    return 0


def _request(
    group: list[common.Line],
    values: dict[common.Line, bool],
    settings: LineSettings,
    consumer: str,
) -> Held:
    initial: dict[int | str, Value] = {
        line.offset: Value.ACTIVE if values[line] else Value.INACTIVE for line in group
    }
    owner = group[0].chip
    try:
        request = owner.request_lines({tuple(initial): settings}, consumer, output_values=initial)
    except (OSError, ValueError, NotImplementedError) as error:
        raise Failure(
            f"unable to request lines on chip '{owner.path}': {sentence(error)}"
        ) from None
    return Held(request, initial)


def _toggle(held: list[Held], periods: list[int], hold: int) -> None:
    """Toggle for ever, or until a last period of 0."""
    ends = periods[-1] == 0
    if ends:
        periods = periods[:-1]
    if periods:
        for period in periods if ends else itertools.cycle(periods):
            common.pause(max(period, hold))
            for each in held:
                for offset, value in each.values.items():
                    each.values[offset] = Value.INACTIVE if value else Value.ACTIVE
                each.apply()
    common.pause(hold)


def _wait_for_removal(request: LineRequest) -> None:
    """Sleep until the chip is gone, which ends gpioset with status 0."""
    poller = select.poll()
    poller.register(request.fd, 0)  # HUP and ERR are always reported
    poller.poll()


def _daemonize(keep_streams: bool) -> None:
    """Go on in the background as daemon(3) does: new session, root directory, /dev/null.

    The process id goes to standard output, for whoever ends it later.
    """
    sys.stdout.flush()
    child = os.fork()
    if child:
        print(child, flush=True)
        os._exit(0)
    os.setsid()
    os.chdir("/")
    if keep_streams:
        return
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    os.close(null)
