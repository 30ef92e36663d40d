# SPDX-License-Identifier: BSD-3-Clause
"""Opening chips, and what to say when that fails: who has the link, what was meant."""

from __future__ import annotations

import errno
import glob
import os
from typing import Any, NamedTuple

from bridge import errors
from bridge.client import address
from bridge.client.chip import Chip
from bridge.client.control import Connection
from bridge.client.direct import Direct
from bridge.control_protocol import CHIP, DEFAULT_SOCKET, STATUS, default_socket


class NoChip(FileNotFoundError):
    """There is no such chip; the sentence begins with libgpiod's words."""

    def __init__(self, id: str, why: str) -> None:
        """Say that `id`, as typed, leads to no chip, and why."""
        super().__init__(errno.ENOENT, f"cannot find GPIO chip character device '{id}' ({why})")


def locate(path: str, socket: str | None) -> address.Address:
    """Take a --chip option apart; a bare name is looked for on `socket`.

    Raises NoChip when nothing is at a path, else as address.parse().
    """
    try:
        return address.parse(path, socket)
    except FileNotFoundError as error:
        raise NoChip(path, str(error.strerror)) from None


def open_chip(path: str, socket: str | None) -> Chip:
    """Open the chip of a --chip option; a bare name is looked for on `socket`.

    Raises NoChip, with a similar name where there is one, else as Chip(), with more to say where a
    service has the link.
    """
    id = path
    where = locate(path, socket)
    if where.url is not None:
        _prepare(where.url)
    elif socket is not None and path == where.chip:
        path = f"{where.socket}#{path}"
    try:
        return Chip(path)
    except FileNotFoundError as error:
        if where.socket is None or not os.path.exists(where.socket):
            raise
        connection = Connection.open(where.socket)
        try:
            raise no_chip(id, error, connection, where.chip) from None
        finally:
            connection.close()


def chips_of_link(url: str, name: str) -> list[dict[str, Any]]:
    """Return a chip of a link that lives in this process; all of its chips for "".

    Raises OSError when none comes up in 5 s, or a service has the link.
    """
    _prepare(url)
    direct = Direct(url)
    try:
        connection, found = direct.open(name)
        try:
            return [connection.call(CHIP, chip=found)] if name else connection.chips()
        finally:
            connection.close()
    finally:
        direct.close()


def no_chip(id: str, error: OSError, connection: Connection, name: str) -> NoChip:
    """Return that there is no chip where `id` leads, with what may be meant instead."""
    from bridge.link import schemes

    hint = errors.did_you_mean(name, [chip["name"] for chip in connection.chips()])
    if name in schemes():
        hint = f"a link URL has a colon: {name}:"
    return NoChip(id, f"{error.strerror}; {hint}" if hint else str(error.strerror))


def _prepare(url: str) -> None:
    """Prepare for a link in this process: the service's code runs, and logs, here.

    Raises OSError EBUSY where a service has the link: a firmware serves one driver, and a second
    one would wait in vain.
    """
    import logging

    # The exception says why there is no chip; the log need not say it again.
    logging.basicConfig(format="gpio-bridge: %(message)s", level=logging.ERROR)
    refuse_held(url)


class Holder(NamedTuple):
    """A service that has a link: its control socket and process, and what it calls the link."""

    socket: str
    pid: int
    link: str


def refuse_held(url: str) -> None:
    """Raise OSError EBUSY, with the service's name, when one has this link up."""
    holder = holder_of(url)
    if holder is not None:
        raise OSError(
            errno.EBUSY,
            f"the service on {holder.socket} (pid {holder.pid}) has this link, as {holder.link}: "
            f"use its chips (gpio-bridge detect --socket {holder.socket}), or stop it",
        )


def holder_of(url: str) -> Holder | None:
    """Return the service that has this link up, of those that we may ask."""
    for socket in dict.fromkeys((default_socket(), DEFAULT_SOCKET, *_sockets())):
        status = _status(socket) if os.path.exists(socket) else {"links": []}
        for link in status["links"]:
            if link["state"] == "up" and _same(url, link["url"]):
                return Holder(socket, status["pid"], link["name"])
    return None


def _status(socket: str) -> dict[str, Any]:
    """What the service on `socket` says of itself, if it does to us."""
    try:
        connection = Connection.open(socket)
        try:
            return connection.call(STATUS)
        finally:
            connection.close()
    except (OSError, ValueError):
        return {"links": []}


def _same(one: str, other: str) -> bool:
    """Whether two URLs lead to the same firmware, as far as they tell."""
    (scheme, target), (other_scheme, other_target) = _target(one), _target(other)
    discovers = scheme == "rpmsg" and not (target and other_target)
    return scheme == other_scheme and (target == other_target or discovers)


def _target(url: str) -> tuple[str, str]:
    scheme, _, rest = url.partition(":")
    rest = rest.partition("?")[0]
    return scheme, os.path.realpath(rest) if rest.startswith("/") else rest


def _sockets() -> list[str]:
    """The sockets where services of the system listen (gpio-bridge@.service)."""
    return sorted(glob.glob(os.path.join(os.path.dirname(DEFAULT_SOCKET), "*.sock")))
