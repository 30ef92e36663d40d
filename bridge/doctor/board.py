# SPDX-License-Identifier: BSD-3-Clause
"""Checks of the processors, their channels and device nodes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from bridge import wire
from bridge.doctor.findings import Finding, Place, ok, problem
from bridge.link.rpmsg_sysfs import CHARDEV, BusChannel, Node, Processor, Sysfs, claimant
from bridge.remoteproc import processors
from bridge.text import printable

RULES = "60-rpmsg-gpio-bridge.rules"


def remote_processors(place: Place) -> Iterator[Finding]:
    """Their states."""
    check = "remoteproc"
    found = processors(place.sysfs, place.dev)
    if not found:
        where = f"{place.sysfs}/class/remoteproc"
        yield problem(check, "no-remoteproc", f"{where} has no processor")
    for processor in found:
        state = processor.state
        if processor.up:
            yield ok(check, f"{processor.name} is {state}, firmware {processor.firmware}")
        elif state == "crashed":
            detail = f"{processor.name}, recovery {processor.recovery}"
            yield problem(check, "remoteproc-crashed", detail)
        else:
            detail = f"{processor.name} is {state}, firmware {processor.firmware}"
            yield problem(check, "remoteproc-down", detail)


def channels(place: Place) -> Iterator[Finding]:
    """Check what the firmware announced, and which driver has it."""
    check = "channels"
    modules = os.path.join(place.libraries[-1], "modules", os.uname().release)
    sysfs = Sysfs(place.sysfs, place.dev, modules)
    aliases = sysfs.aliases()
    for processor in sysfs.processors():
        announced = [c for c in sysfs.channels(processor) if wire.is_controller(c.name)]
        made = [n for n in sysfs.nodes(processor) if wire.is_controller(n.name)]
        if not announced and not made:
            yield problem(check, "no-channel", f"{processor.title} has {_names(sysfs, processor)}")
        for channel in announced:
            yield _channel(check, processor, channel, made, aliases)


def _names(sysfs: Sysfs, processor: Processor) -> str:
    own = ("rpmsg_ctrl", "rpmsg_ns")
    names = [c.name for c in sysfs.channels(processor) if c.name not in own]
    return f"only {', '.join(map(printable, names))}" if names else "no channel at all"


def _channel(
    check: str,
    processor: Processor,
    channel: BusChannel,
    made: list[Node],
    aliases: list[tuple[str, str]],
) -> Finding:
    what = f"{processor.title}: {channel.name} at {channel.dst:#x}"
    if channel.driver not in (None, CHARDEV):
        return problem(check, "other-driver", f"{what} has driver {channel.driver}")
    nodes = [
        node.devname
        for node in made
        if node.parent == channel.path or (node.name, node.dst) == (channel.name, channel.dst)
    ]
    module = None if nodes else claimant(channel.name, aliases)
    if module is not None:
        return problem(check, "other-driver", f"{what} is left to the kernel's {module}")
    if not nodes:
        return problem(check, "no-node", what)
    return ok(check, f"{what} is {nodes[0]}, driver {channel.driver or 'none (made by ioctl)'}")


def nodes(place: Place) -> Iterator[Finding]:
    """Check who may open the device nodes, and where their links are."""
    check = "nodes"
    sysfs = Sysfs(place.sysfs, place.dev)
    links = _links(place)
    for node in sysfs.nodes():
        if not wire.is_controller(node.name):
            continue
        path = os.path.join(place.dev, node.devname)
        if not os.path.exists(path):
            yield problem(check, "no-node", f"{node.name}: {path} does not exist")
            continue
        status = os.stat(path)
        about = f"{path} ({group_name(status.st_gid)}, {status.st_mode & 0o777:04o})"
        if os.access(path, os.R_OK | os.W_OK):
            yield ok(check, f"{about} may be opened")
        else:
            yield problem(check, "node-permission", about)
        if path not in links:
            yield problem(check, "no-link", path)


def _links(place: Place) -> set[str]:
    """Nodes that a link leads to."""
    folder = Path(place.dev, "rpmsg-gpio")
    links = folder.iterdir() if folder.is_dir() else ()
    return {os.path.join(place.dev, os.path.basename(os.path.realpath(link))) for link in links}


def group_name(number: int) -> str:
    """Name of a group, or its number where it has none."""
    import grp

    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def rules(place: Place) -> Iterator[Finding]:
    """Our udev rules."""
    for library in place.libraries:
        path = Path(library, "udev/rules.d", RULES)
        if path.exists():
            yield ok("udev", f"{path} is there")
            return
    yield problem("udev", "no-rules", f"{RULES} is in no rules.d of udev")
