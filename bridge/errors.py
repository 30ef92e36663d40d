# SPDX-License-Identifier: BSD-3-Clause
"""Errors in words: sentences for the pump's reasons, exceptions for errnos.

Inside the service every error is an ``OSError(errno, sentence)``. On the
client's surface `exception` turns the pair into what libgpiod's Python binding
raises for that errno.
"""

from __future__ import annotations

import errno as _errno
import os as _os
from collections.abc import Iterable

_SENTENCES = {
    "GB_REASON_NONE": "no further reason is known",
    "GB_REASON_TIMEOUT": "the firmware did not answer before the deadline",
    "GB_REASON_STATUS": "the firmware refused the request (status ERR)",
    "GB_REASON_LINK": "the link to the firmware is down",
    "GB_REASON_QUEUE": "too many requests wait for the firmware; try again later",
    "GB_REASON_NOT_OUTPUT": "the line is not an output; request it as output to set it",
    "GB_REASON_EMPTY": "no line is selected; select at least one line of the request",
    "GB_REASON_OPERATION": "the operation is malformed or unknown",
    "GB_REASON_REPLY": "the reply of the firmware makes no sense",
    "GB_REASON_RELEASED": "the request is over: its chip is gone, or its lines were released",
}

_by_number: dict[int, str] = {}

# A second guess may have a ratio of difflib that is less by this.
_ABOUT_AS_CLOSE = 0.1


def sentence(reason: int, number: int = 0) -> str:
    """The English sentence (no full stop) for an ``enum gb_reason``.

    Args:
        reason: ``GB_REASON_*`` of bridge/shim/pump/reports.h.
        number: errno that came with it, used where the reason says nothing.
    """
    if not _by_number:
        from bridge.shim.ffi import lib

        _by_number.update((int(getattr(lib, name)), text) for name, text in _SENTENCES.items())
    if reason == 0 and number:
        return _os.strerror(number)
    return _by_number.get(reason, f"reason {reason} is unknown to this version")


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Ask whether one of `words` was meant, whatever the case of letters; "" when none is close."""
    import difflib

    by_folded = {each.lower(): each for each in words}
    folded = word[:64].lower()
    close = difflib.get_close_matches(folded, by_folded)
    likeness = {each: difflib.SequenceMatcher(None, each, folded).ratio() for each in close}
    nearest = [each for each in close if likeness[each] > likeness[close[0]] - _ABOUT_AS_CLOSE]
    return f"did you mean {' or '.join(by_folded[each] for each in nearest)}?" if nearest else ""


def exception(number: int, message: str) -> Exception:
    """The exception libgpiod's Python binding raises for an errno.

    EINVAL gives ValueError, EOPNOTSUPP NotImplementedError, ENOMEM MemoryError
    (each with ``args == (errno, message)``); everything else is OSError, which
    Python narrows by itself (EPERM to PermissionError, ENOENT to
    FileNotFoundError, ETIMEDOUT to TimeoutError...).

    Args:
        number: errno, positive.
        message: the sentence to keep.
    """
    if number == _errno.EINVAL:
        return ValueError(number, message)
    if number == _errno.EOPNOTSUPP:
        return NotImplementedError(number, message)
    if number == _errno.ENOMEM:
        return MemoryError(number, message)
    return OSError(number, message)
