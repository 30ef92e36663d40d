# SPDX-License-Identifier: BSD-3-Clause
"""Which files there are, of which kind, and where each goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["HELP", "KINDS", "SystemFile", "help_files", "system_files"]

HELP = "help"
KINDS = {
    "rules": "udev rules: groups of the device nodes, links, the start of the service",
    "units": "systemd units, and a link to the program where systemd finds it",
    "users": "the service's user, groups and directory (sysusers.d, tmpfiles.d)",
    "modules": "kernel modules at boot (modules-load.d)",
    "dbus": "the policy of the system bus for io.gpiod1",
    HELP: "manual pages, completion of bash and zsh",
}
"""What can be installed by itself, and what it is."""

# Of an installed package; in the tree they are where their source is.
_PACKAGED = Path(__file__).parent / "files"
_TREE = Path(__file__).parents[2] / "udev"


class SystemFile(NamedTuple):
    """A file and its place.

    Attributes:
        kind: key in `KINDS`.
        place: absolute path on the system.
        content: what is in it.
    """

    kind: str
    place: str
    content: bytes


def system_files(prefix: str) -> list[SystemFile]:
    """Return the files of udev/, as its table `places` has them.

    Args:
        prefix: what they go below, /usr or /usr/local.
    """
    folder = _PACKAGED if _PACKAGED.is_dir() else _TREE
    rows = [line.split() for line in (folder / "places").read_text().splitlines()]
    return [
        SystemFile(kind, _place(prefix, place), (folder / name).read_bytes())
        for kind, name, place in (row for row in rows if row and row[0] != "#")
    ]


def _place(prefix: str, place: str) -> str:
    # The system bus reads policies below /usr/share and /etc only.
    if prefix != "/usr" and place.startswith("share/dbus-1/"):
        return f"/etc/{place.removeprefix('share/')}"
    return f"{prefix}/{place}"


def help_files(prefix: str, pages: Mapping[str, str], bash: str, zsh: str) -> list[SystemFile]:
    """Return manual pages and completions as files.

    Args:
        prefix: as of `system_files`.
        pages: the manual pages by file name.
        bash: completion of that shell.
        zsh: completion of that shell.
    """
    share = f"{prefix}/share"
    texts = {f"{share}/man/man1/{name}": page for name, page in pages.items()}
    texts[f"{share}/bash-completion/completions/gpio-bridge"] = bash
    texts[f"{share}/zsh/site-functions/_gpio-bridge"] = zsh
    return [SystemFile(HELP, place, text.encode()) for place, text in texts.items()]
