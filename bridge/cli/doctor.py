# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge doctor: what goes wrong on boards, and what to do."""

from __future__ import annotations

import json as json_format
import os
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bridge.doctor.bundle import Contents
    from bridge.doctor.findings import Finding, Place

_STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--socket",
    metavar="PATH",
    help="Control socket of the service [default: $GPIO_BRIDGE_SOCKET or "
    "/run/rpmsg-gpio-bridge/control.sock].",
)
@click.option("--link", metavar="URL", help="Try this link in this process, not the service.")
@click.option(
    "--kernel-config",
    metavar="FILE",
    help="Look at this kernel configuration only, such as .config of a build for the board.",
)
@click.option(
    "--kernel-fragment",
    is_flag=True,
    help="Print the options to merge into the kernel's configuration, for this board's SoC.",
)
@click.option("--json", is_flag=True, help="Print one JSON object.")
@click.option("--bundle", metavar="FILE", help="Also put all of it into a tar.gz for a bug report.")
def doctor(
    socket: str | None,
    link: str | None,
    kernel_config: str | None,
    kernel_fragment: bool,
    json: bool,
    bundle: str | None,
) -> int:
    """Check kernel, processors, channels, nodes, groups, service and firmware.

    What is a problem depends on the links in use: a service on vhost-user: and serial:
    links needs nothing of a board. Problems come first, the cause of the others before
    them, and each says what to do; the exit status is 1 when there is one. Nothing is
    changed: a free line of each chip is read as it is.

    \b
      gpio-bridge doctor
      gpio-bridge doctor --json
      gpio-bridge doctor --link vhost-user:/run/fw.sock    (no service needed)
      gpio-bridge doctor --kernel-config build/.config     (of a kernel that does not run here)
      gpio-bridge doctor --kernel-fragment > rpmsg-gpio-bridge.config
      gpio-bridge doctor --bundle /tmp/report.tar.gz

    A bundle has the findings, the service's status and configuration, the last messages of its
    links, the kernel's lines about them, and versions; not the names of users and of the host. What
    could not be read is told. It is a new file that only its owner can read.
    """
    from bridge.cli.output import tell_of_silence
    from bridge.cli.reach import refuse_held
    from bridge.control_protocol import default_socket
    from bridge.doctor import kernel
    from bridge.doctor.examination import examine
    from bridge.doctor.findings import Place
    from bridge.link import resolve
    from bridge.remoteproc import sysfs_root

    tell_of_silence("gpio-bridge doctor")
    if link is not None:
        resolve(link)  # otherwise it would be taken for the name of a chip
        refuse_held(link)
    place = Place(
        sysfs=sysfs_root(),
        socket=socket or default_socket(),
        link=link,
        kernel_config=kernel_config,
    )
    if kernel_fragment:
        print(kernel.fragment(place), end="")
        return 0
    contents = None
    if bundle is None:
        found = examine(place)
    else:
        found, contents = _bundled(bundle, place)
    problems = sum(finding.level == "problem" for finding in found)
    if json:
        findings = [finding._asdict() for finding in found]
        print(json_format.dumps({"findings": findings, "problems": problems}, indent=2))
    else:
        _print(found, problems)
    if contents is not None:
        print(f"{bundle}: {', '.join(contents.put)}", file=sys.stderr)
        for one in contents.missing:
            print(f"could not be read: {one}", file=sys.stderr)
    return 1 if problems else 0


def _bundled(path: str, place: Place) -> tuple[list[Finding], Contents]:
    """What was found, and what is in the new archive; there is none when this fails."""
    from bridge.cli.output import open_new
    from bridge.doctor.bundle import write
    from bridge.doctor.examination import examine

    archive = open_new(path)
    try:
        with archive:
            found = examine(place)
            return found, write(archive, place, found)
    except BaseException:
        os.unlink(path)
        raise


def _print(found: list[Finding], problems: int) -> None:
    if os.isatty(1):
        _print_table(found)
    else:
        for finding in found:
            remedy = f" -> {finding.remedy}" if finding.remedy else ""
            print(f"{finding.level:8} {finding.check:11} {finding.what}{remedy}")
    many = "" if problems == 1 else "s"
    print(f"{problems} problem{many}" if problems else "no problem found")


def _print_table(found: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("", "check", "found", box=None, pad_edge=False)
    for finding in found:
        text = Text(finding.what)
        if finding.remedy:
            text.append(f"\n-> {finding.remedy}", "bold")
        table.add_row(Text(finding.level, _STYLES[finding.level]), finding.check, text)
    Console(highlight=False).print(table)
