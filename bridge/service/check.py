# SPDX-License-Identifier: BSD-3-Clause
"""Check a configuration without starting anything (``serve --check``)."""

from __future__ import annotations

import grp
import importlib.util
import os
from collections.abc import Iterator

from bridge.extras import missing
from bridge.link import resolve
from bridge.service.config import Config
from bridge.service.service import check_chip_names, link_names


def check(config: Config) -> list[str]:
    """Print what would be served; return what stands in its way, a sentence each.

    Raises:
        OSError: EINVAL, two chips would have one name.
    """
    check_chip_names(config)
    print(f"socket  {config.socket}, mode {config.mode:04o}, group {config.group or '(its own)'}")
    for link, name in zip(config.links, link_names(config), strict=True):
        print(f"link    {name}: {link.url}")
    for chip in config.chips:
        print(f"chip    {chip.name}: {len(chip.picks)} lines of {', '.join(sorted(chip.chips))}")
    for export in config.exports:
        where = export.path if export.for_guest else f"{export.kind} by {export.path}"
        print(f"export  {export.name}: {where}, of {', '.join(sorted(export.chips))}")
    return list(_problems(config))


def _problems(config: Config) -> Iterator[str]:
    """What is not as the configuration has it, on this machine and for this user."""
    guests = (one.path for one in config.exports if one.for_guest)
    for path in (config.socket, *guests):
        folder = os.path.dirname(path or "") or "."
        if path and not os.path.isdir(folder):
            yield f"{path}: its directory {folder} does not exist"
        elif path and not os.access(folder, os.W_OK):
            yield f"{path}: this user may not write to {folder}"
    for group in filter(None, (config.group, config.trace_group)):
        try:
            grp.getgrnam(group)
        except KeyError:
            yield f"group {group} does not exist: systemd-sysusers or groupadd makes it"
    for link in config.links:
        for module, package in getattr(resolve(link.url).backend, "PACKAGES", {}).items():
            if importlib.util.find_spec(module) is None:
                yield str(missing(f"links such as {link.url}", package).strerror)
    for export in config.exports:
        if export.kind == "uinput" and importlib.util.find_spec("evdev") is None:
            yield str(missing("exports uinput:", "evdev").strerror)
