# SPDX-License-Identifier: BSD-3-Clause
"""URLs of rpmsg links: what they say, and which processor they mean."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from bridge import wire
from bridge.link.rpmsg_sysfs import ADDR_ANY, Node, Processor, Sysfs

_USAGE = "write rpmsg:, rpmsg:remoteproc=NAME, rpmsg:device=NAME or rpmsg:/dev/rpmsgN"
_VIA = ("auto", "bind", "ctrl")
_CLAIM = {"no": False, "yes": True}


@dataclass(frozen=True)
class Target:
    """An rpmsg URL taken apart.

    Attributes:
        remoteproc: name of the processor, or None.
        device: name of a device above the channels in sysfs, or None.
        node: path of an endpoint device, or None.
        via: ``auto``, ``bind`` or ``ctrl``.
        endpoint: (name, src, dst) of a static endpoint, or None.
        claim: channels that a module of the kernel is for are used, too.
    """

    remoteproc: str | None = None
    device: str | None = None
    node: str | None = None
    via: str = "auto"
    endpoint: tuple[str, int, int] | None = None
    claim: bool = False

    def select(self, sysfs: Sysfs) -> tuple[Processor, Node | None]:
        """The processor that is meant, and the node if one is.

        Raises:
            OSError: ENOENT it is not there (yet), ENOTUNIQ several are.
        """
        if self.node is not None:
            return self._select_node(sysfs, self.node)
        present = sysfs.processors()
        found = [processor for processor in present if self._matches(processor)]
        if len(found) == 1:
            return found[0], None
        titles = ", ".join(processor.title for processor in found or present)
        if found:
            raise OSError(
                errno.ENOTUNIQ,
                f"{len(found)} processors have rpmsg ({titles}); say which: "
                "rpmsg:remoteproc=NAME or rpmsg:device=NAME",
            )
        wanted = f" called {self.remoteproc or self.device}" if self._named else ""
        others = f"; there is {titles}" if present else f"; {self._advice()}"
        raise OSError(errno.ENOENT, f"no processor{wanted} has rpmsg{others}")

    def _advice(self) -> str:
        """Why nothing has rpmsg: what the remote processors are doing."""
        from bridge.remoteproc import processors

        idle = [p for p in processors() if self.remoteproc in (None, p.name) and not p.up]
        if not idle:
            return "is its firmware running?"
        return "; ".join(
            f"{p.name} is {p.state}: gpio-bridge remoteproc start {p.name}" for p in idle
        )

    @property
    def _named(self) -> bool:
        return self.remoteproc is not None or self.device is not None

    def _matches(self, processor: Processor) -> bool:
        if self.remoteproc is not None:
            return "/remoteproc/" in processor.path and processor.title == self.remoteproc
        return self.device is None or self.device in processor.path.split("/")

    @staticmethod
    def _select_node(sysfs: Sysfs, path: str) -> tuple[Processor, Node]:
        if not os.path.exists(path):
            raise OSError(errno.ENOENT, f"{path} does not exist; does a channel have it?")
        # A stable link of udev's leads to whatever number the node has now.
        devname = os.path.basename(os.path.realpath(path))
        for processor in sysfs.processors():
            for node in sysfs.nodes(processor):
                if node.devname == devname:
                    return processor, node
        raise OSError(errno.ENODEV, f"{path} is no rpmsg endpoint; {_USAGE}")


def parse(rest: str) -> Target:
    """Take what follows ``rpmsg:`` apart.

    Raises:
        OSError: EINVAL, with what would be right.
    """
    where, _, query = rest.partition("?")
    options = _options(rest, query)
    kind, equals, name = where.partition("=")
    target: dict[str, Any] = {"via": options.pop("via", "auto")}
    if where.startswith("/"):
        target["node"] = where
    elif equals and name and kind in ("remoteproc", "device"):
        target[kind] = name
    elif where:
        raise OSError(errno.EINVAL, f'"rpmsg:{rest}" is no link URL; {_USAGE}')
    if target["via"] not in _VIA:
        raise OSError(errno.EINVAL, f'"rpmsg:{rest}": via is one of {", ".join(_VIA)}')
    claim = options.pop("claim", "no")
    if claim not in _CLAIM:
        raise OSError(errno.EINVAL, f'"rpmsg:{rest}": claim is one of {", ".join(_CLAIM)}')
    target["claim"] = _CLAIM[claim]
    if "dst" in options:
        target["endpoint"] = _endpoint(rest, options)
    if options:
        raise OSError(
            errno.EINVAL,
            f'"rpmsg:{rest}": {", ".join(options)} is no option here; '
            "there are via, claim, and dst with src and name",
        )
    return Target(**target)


def _options(rest: str, query: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(query, strict_parsing=True)) if query else {}
    except ValueError:
        raise OSError(errno.EINVAL, f'"rpmsg:{rest}": options are KEY=VALUE, joined by &') from None


def _endpoint(rest: str, options: dict[str, str]) -> tuple[str, int, int]:
    name = options.pop("name", f"{wire.CHANNEL_PREFIX}0")
    if not wire.is_controller(name):
        raise OSError(
            errno.EINVAL,
            f'"rpmsg:{rest}": a controller\'s name is {wire.CHANNEL_PREFIX}INDEX or '
            f"{wire.CHANNEL_RAW}, at most {wire.CHANNEL_NAME_MAX} characters",
        )
    try:
        dst = int(options.pop("dst"), 0)
        src = int(options.pop("src", str(ADDR_ANY)), 0)
    except ValueError:
        dst = src = -1
    # The kernel treats addresses as signed, so half of them are not possible.
    if not 0 <= dst < 1 << 31 or not (0 <= src < 1 << 31 or src == ADDR_ANY):
        raise OSError(
            errno.EINVAL, f'"rpmsg:{rest}": dst and src are addresses from 0 to 0x7fffffff'
        )
    return name, src, dst
