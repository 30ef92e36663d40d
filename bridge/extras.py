# SPDX-License-Identifier: BSD-3-Clause
"""Packages that only some uses need, and what to say where one is not installed."""

from __future__ import annotations

import errno


def missing(what: str, package: str) -> OSError:
    """The error of a use whose package is not there (ENOSYS).

    Args:
        what: that needs it, as in "rpmsg links".
        package: its name for pip.
    """
    return OSError(errno.ENOSYS, f"{what} need the Python package {package}: pip install {package}")
