# SPDX-License-Identifier: BSD-3-Clause
"""The two state errors; everything else is a builtin exception, as in libgpiod."""

from __future__ import annotations

__all__ = ["ChipClosedError", "RequestReleasedError"]


class ChipClosedError(Exception):
    """A member of a closed chip was used."""

    def __init__(self) -> None:
        super().__init__("I/O operation on closed chip")


class RequestReleasedError(Exception):
    """A member of a released line request was used."""

    def __init__(self) -> None:
        super().__init__("GPIO lines have been released")
