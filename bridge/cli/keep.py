# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge keep: outputs that stay when the program has ended."""

from __future__ import annotations

from bridge.cli import common
from bridge.cli.options import Choice, Command, Failure, Option
from bridge.cli.output import sentence
from bridge.cli.values import parse_value
from bridge.client.line_settings import LineSettings
from bridge.line import Direction, Value

COMMAND = Command(
    "keep",
    "LINE=VALUE...",
    "Set outputs and leave them so: the service keeps them until they are released.",
    """
gpio-bridge keep RESET_PHY=inactive LED_GREEN=on
gpio-bridge keep LED_GREEN=off                     another value
gpio-bridge keep -c fw-0 --active-low 3=active
gpio-bridge release RESET_PHY LED_GREEN

VALUE is 0, 1, off, on, inactive, active, false or true. `gpio-bridge status` shows what is
kept and for whom; nobody else gets these lines. They come back when the firmware restarts,
unless --on-restart says otherwise, and when the service does.
""",
    [
        common.BIAS,
        common.consumer_option("gpio-bridge keep"),
        common.DRIVE,
        common.ACTIVE_LOW,
        Option(
            "--on-restart POLICY",
            "restore (the default) drives a line again when the firmware restarts, release "
            "forgets it.",
            Choice("policy", {"restore": "restore", "release": "release"}),
            "restore",
        ),
        *common.LINE_OPTIONS,
    ],
)


def main(arguments: list[str]) -> int:
    """Run the tool; return its exit status."""
    options, words = COMMAND.parse(arguments)
    if not words:
        raise Failure("at least one GPIO line value must be specified")
    wanted = [parse_value(word) for word in words]
    found = common.Lines.asked([id for id, _ in wanted], options)
    if found.report("keep"):
        return 1
    settings = LineSettings(
        direction=Direction.OUTPUT,
        bias=options.bias,
        drive=options.drive,
        active_low=options.active_low,
    )
    values = dict(zip(found.found, (Value(int(value)) for _, value in wanted), strict=True))
    for owner, group in found.by_chip():
        try:
            owner.keep_lines(
                {line.offset: values[line] for line in group},
                settings,
                options.consumer,
                options.on_restart,
            )
        except (OSError, ValueError, NotImplementedError) as error:
            raise Failure(f"unable to keep lines: {sentence(error)}") from None
    found.close()
    return 0
