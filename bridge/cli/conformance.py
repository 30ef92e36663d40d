# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge conformance: check firmware against docs/protocol.md and virtio 5.18."""

from __future__ import annotations

import json
import sys

import click

_COULD_NOT_RUN = 2


class _Command(click.Command):
    """Ends with 2 when the command line is wrong, since 1 means that firmware is."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; errors are printed as for every verb."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            where = "gpio-bridge conformance"
            print(f"{where}: {error.format_message()}", file=sys.stderr)
            print(f"{where}: try {where} --help", file=sys.stderr)
            ctx.exit(_COULD_NOT_RUN)


def _words(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[str]:
    """Click callback: `4,5` and several options become one list."""
    return [word for value in values for word in value.split(",") if word]


def _pairs(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> list[tuple[str, str]]:
    """Click callback: `4=5,OUT=IN` becomes pairs."""
    pairs = []
    for word in _words(ctx, parameter, values):
        out, equals, into = word.partition("=")
        if not (out and equals and into):
            raise click.BadParameter(f"{word} is no pair; write OUT=IN")
        pairs.append((out, into))
    return pairs


@click.command(
    cls=_Command,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--link", "url", metavar="URL", help="Link to the firmware.")
@click.option(
    "--controller", type=click.IntRange(0), metavar="N",
    help="Index of the channel, rpmsg-io-N, or address of an rpmsg-raw (default: the first "
    "that is announced).",
)  # fmt: skip
@click.option(
    "--drive", multiple=True, callback=_words, metavar="LINES",
    help="Lines that may be driven, by name or number: 4,LED_GREEN.",
)  # fmt: skip
@click.option(
    "--loop", "loops", multiple=True, callback=_pairs, metavar="OUT=IN",
    help="Lines with a wire in between; both may be used, OUT is driven.",
)  # fmt: skip
@click.option(
    "--level", type=click.Choice(["strict", "lenient"]), default="strict", show_default=True,
    help="Whether a SHOULD that is not kept is a failure or a warning.",
)  # fmt: skip
@click.option("--only", multiple=True, callback=_words, metavar="CHECKS", help="Run only these.")
@click.option(
    "--lines", type=click.IntRange(1, 65535), metavar="N",
    help="Number of lines, for firmware that neither tells nor refuses.",
)  # fmt: skip
@click.option(
    "--timeout-ms", type=click.IntRange(1, 60000), default=1000, show_default=True, metavar="N",
    help="Deadline of a reply or an event.",
)  # fmt: skip
@click.option(
    "--settle-ms", type=click.IntRange(1, 10000), default=20, show_default=True, metavar="N",
    help="How long to watch that nothing comes; more for a slow wire.",
)  # fmt: skip
@click.option("--junit", metavar="FILE", help="Also write a JUnit file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--list", "list_only", is_flag=True, help="Show the checks and end.")
def conformance(
    url: str | None,
    controller: int | None,
    drive: list[str],
    loops: list[tuple[str, str]],
    level: str,
    only: list[str],
    lines: int | None,
    timeout_ms: int,
    settle_ms: int,
    junit: str | None,
    as_json: bool,
    list_only: bool,
) -> int:
    """Check firmware against the protocol and the virtio GPIO device, over any link.

    Lines are left alone unless --drive or --loop name them. What is named begins and
    ends with direction NONE. No service may use the link meanwhile.

    \b
      gpio-bridge conformance --link vhost-user:/run/fw.sock
      gpio-bridge conformance --link serial:/dev/ttyUSB0 --drive LED --level lenient
      gpio-bridge conformance --link rpmsg: --loop LOOP_OUT=LOOP_IN --junit result.xml
      gpio-bridge conformance --list

    Ends with 0 when nothing failed, 1 when a check did, 2 when none could be made.
    """
    from bridge.conformance import report

    if list_only:
        from bridge.conformance.check import all_checks

        report.print_list(all_checks())
        return 0
    try:
        if url is None:
            raise OSError(None, "say which firmware: --link URL")
        from bridge.cli.reach import refuse_held

        refuse_held(url)
        from bridge.cli.signals import ends_on_signals
        from bridge.conformance.runner import Options, run

        ends_on_signals()
        if junit is not None:
            report.require_junit()
        with report.progress() as progress:
            done = run(
                Options(url, controller, drive, loops, level, lines, timeout_ms, settle_ms, only),
                progress,
            )
        if junit is not None:
            report.write_junit(done, junit)
    except OSError as error:
        name = f": {error.filename}" if error.filename else ""
        print(f"gpio-bridge conformance: {error.strerror or error}{name}", file=sys.stderr)
        return _COULD_NOT_RUN
    if as_json:
        print(json.dumps(report.as_json(done)))
    else:
        report.print_run(done)
    return 0 if done.passed else 1
