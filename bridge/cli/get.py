# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge get: read lines, in gpioget's words."""

from __future__ import annotations

from bridge.cli import common
from bridge.cli.options import JSON, Command, Failure, Option
from bridge.cli.output import print_json, sentence
from bridge.client.line_settings import LineSettings
from bridge.line import Direction

COMMAND = Command(
    "get",
    "LINE...",
    "Read lines, by name or, with --chip, by offset.",
    """
gpio-bridge get BUTTON_USER
gpio-bridge get -c fw-0 3 4
gpio-bridge get --numeric --active-low --bias pull-up BUTTON_USER
""",
    [
        Option("-a --as-is", "Leave the direction as it is."),
        common.BIAS,
        common.consumer_option("gpio-bridge get"),
        common.ACTIVE_LOW,
        Option(
            "-p --hold-period PERIOD",
            "Time between requesting the lines and reading them (ms without a unit).",
            common.parse_period,
            0,
        ),
        JSON,
        Option("--numeric", "Print 0 and 1."),
        *common.LINE_OPTIONS,
    ],
)


def main(arguments: list[str]) -> int:
    """Run the tool; return its exit status."""
    options, lines = COMMAND.parse(arguments)
    if not lines:
        raise Failure("at least one GPIO line must be specified")
    found = common.Lines.asked(lines, options)
    if found.report("get"):
        return 1
    settings = LineSettings(
        direction=Direction.AS_IS if options.as_is else Direction.INPUT,
        bias=options.bias,
        active_low=options.active_low,
    )
    values = dict.fromkeys(found.found, False)
    for owner, group in found.by_chip():
        offsets = tuple(line.offset for line in group)
        try:
            request = owner.request_lines({offsets: settings}, options.consumer)
        except (OSError, ValueError, NotImplementedError) as error:
            raise Failure(f"unable to request lines: {sentence(error)}") from None
        with request:
            common.pause(options.hold_period)
            values.update(zip(group, map(bool, request.get_values()), strict=True))
    if options.json:
        print_json(common.value_objects(values))
    else:
        pairs = ((line.id, active) for line, active in values.items())
        print(common.value_words(pairs, options.unquoted, options.numeric))
    found.close()
    return 0
