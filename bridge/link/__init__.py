# SPDX-License-Identifier: BSD-3-Clause
"""Ways to reach a coprocessor, chosen by the scheme of a URL.

A backend is a module with three functions:

``connect(rest, timeout_ms)``
    Blocks for at most `timeout_ms` and returns an opened ``struct gb_link``;
    raises OSError(errno, sentence).
``watch_path(rest)``
    The path whose appearance makes a new attempt worth while, or None.
``short_name(rest)``
    A name for the link where the configuration gives none.

and perhaps

``watch_subsystem(rest)``
    The kernel's subsystem whose uevents make a new attempt worth while, or None;
    then there is no path to watch.
``PACKAGES``
    Modules of other packages that its links need, and what pip calls those.

Other packages add a scheme through the entry-point group
``rpmsg_gpio_bridge.links`` (entry-point name = scheme, value = module).
"""

from __future__ import annotations

import errno
import importlib
from typing import Any, NamedTuple, Protocol, cast

from bridge.errors import did_you_mean

ENTRY_POINTS = "rpmsg_gpio_bridge.links"

_MODULES = {
    "vhost-user": "bridge.link.vhost_user",
    "rpmsg": "bridge.link.rpmsg",
    "serial": "bridge.link.serial",
    "gpiochip": "bridge.link.gpiochip",
}
# These schemes mean something without a target: `rpmsg:` finds the processor.
_BARE = {"rpmsg"}


class Backend(Protocol):
    """What a module of this table provides (see the module's docstring)."""

    def connect(self, rest: str, timeout_ms: int) -> Any:
        """Open the link."""

    def watch_path(self, rest: str) -> str | None:
        """Path to watch while the link is away."""

    def short_name(self, rest: str) -> str:
        """Default name of the link."""


class LinkUrl(NamedTuple):
    """A link URL taken apart: its backend and what follows the scheme."""

    backend: Backend
    rest: str


def resolve(url: str) -> LinkUrl:
    """Find the backend of a link URL, importing only that one.

    Args:
        url: ``scheme:rest``, for example ``vhost-user:/run/fw.sock``.

    Raises:
        OSError: EINVAL when the URL has no scheme or nothing behind it,
            EPROTONOSUPPORT when no backend knows the scheme.
    """
    scheme, colon, rest = url.partition(":")
    if not colon and url in _BARE:
        raise OSError(errno.EINVAL, f'"{url}" is no link URL; a colon ends the scheme: {url}:')
    if not colon or not scheme or not (rest or scheme in _BARE):
        raise OSError(
            errno.EINVAL,
            f'"{url}" is no link URL; write SCHEME:TARGET, as in vhost-user:/run/fw.sock',
        )
    module = _MODULES.get(scheme)
    if module is not None:
        return LinkUrl(cast("Backend", importlib.import_module(module)), rest)
    from importlib.metadata import entry_points

    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name == scheme:
            return LinkUrl(cast("Backend", entry.load()), rest)
    hint = did_you_mean(scheme, schemes())
    raise OSError(
        errno.EPROTONOSUPPORT,
        f'no kind of link is called "{scheme}" (in "{url}"); there are: {", ".join(schemes())}'
        + (f"; {hint}" if hint else ""),
    )


def schemes() -> list[str]:
    """The schemes of link URLs: ours, and those that other packages add."""
    from importlib.metadata import entry_points

    return sorted({*_MODULES, *(entry.name for entry in entry_points(group=ENTRY_POINTS))})
