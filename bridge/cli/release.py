# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge release: give kept lines back."""

from __future__ import annotations

from bridge.cli import common
from bridge.cli.options import Command, Failure
from bridge.cli.output import sentence

COMMAND = Command(
    "release",
    "LINE...",
    "Give lines back that `gpio-bridge keep` keeps.",
    """
gpio-bridge release LED_GREEN
gpio-bridge release -c fw-0 3

What becomes of the pin, the service's configuration says (on_release).
""",
    [*common.LINE_OPTIONS],
)


def main(arguments: list[str]) -> int:
    """Run the tool; return its exit status."""
    options, lines = COMMAND.parse(arguments)
    if not lines:
        raise Failure("at least one GPIO line must be specified")
    found = common.Lines.asked(lines, options)
    if found.report("release"):
        return 1
    for owner, group in found.by_chip():
        try:
            owner.release_lines([line.offset for line in group])
        except (OSError, ValueError, NotImplementedError) as error:
            raise Failure(f"unable to release lines: {sentence(error)}") from None
    found.close()
    return 0
