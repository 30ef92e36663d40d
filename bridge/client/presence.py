# SPDX-License-Identifier: BSD-3-Clause
"""Chips that come and go: what udev tells of gpiochips (not in libgpiod)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

from bridge.client import chip_info
from bridge.client.chip_info import ChipInfo
from bridge.client.control import Connection
from bridge.control_protocol import CHIPS, default_socket
from bridge.waiting import in_seconds

__all__ = ["follow_chips", "wait_for_chip"]

# How long the service is asked to wait at once, in s; then it is asked again.
_AT_ONCE_S = 600.0


def wait_for_chip(
    name: str, timeout: timedelta | float | None = None, socket: str | None = None
) -> bool:
    """Wait until a service has a chip; return whether it has.

    Args:
        name: of the chip, as in list_chips().
        timeout: a timedelta or seconds; None waits for ever, 0 does not wait.
        socket: path of the control socket; None: the default one.

    Raises:
        OSError: there is no service, or it ended meanwhile.
        ValueError: `timeout` is negative.
        TypeError: `timeout` is something else.
    """
    timeout_s = in_seconds(timeout)
    with closing(Connection.open(socket or default_socket())) as connection:
        return has_chip(connection, name, timeout_s)


def follow_chips(socket: str | None = None) -> Iterator[list[ChipInfo]]:
    """Yield the chips of a service, as list_chips(), now and each time some came or went.

    What came and went between two looks is not seen. It ends by an exception only; close()
    of the generator closes its connection.

    Args:
        socket: path of the control socket; None: the default one.

    Raises:
        OSError: there is no service, or it ended meanwhile.
    """
    with closing(Connection.open(socket or default_socket())) as connection:
        yield from changes(connection)


def has_chip(connection: Connection, name: str, timeout_s: float | None) -> bool:
    """As wait_for_chip(), on a connection."""
    ends = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        left = _AT_ONCE_S if ends is None else max(0.0, ends - time.monotonic())
        if _wait(connection, min(left, _AT_ONCE_S), chip=name) is not None:
            return True
        if left <= _AT_ONCE_S and ends is not None:
            return False


def changes(connection: Connection) -> Iterator[list[ChipInfo]]:
    """As follow_chips(), on a connection."""
    state = ""
    while True:
        answer = _wait(connection, _AT_ONCE_S, state=state)
        if answer is not None:
            state = answer["state"]
            yield [chip_info.from_wire(chip) for chip in connection.chips()]


def _wait(connection: Connection, timeout_s: float, **what: Any) -> dict[str, Any] | None:
    """Return the service's answer, None when it did not come about.

    Raises OSError when the service hangs or is gone.
    """
    try:
        return connection.wait(timeout_s, **what)
    except TimeoutError:
        connection.call(CHIPS, after="")  # which a service that hangs does not answer either
        return None
