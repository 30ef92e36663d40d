# SPDX-License-Identifier: BSD-3-Clause
"""Words of others (consumers, firmware, clients), in sentences and on terminals."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: str) -> str:
    r"""Return `text` with everything escaped that is no visible character or blank.

    A terminal obeys ESC and BEL, a newline would begin a line of its own, and marks of the
    direction of text reorder what is shown: they become ``\x1b``, ``\n``, ``\u202e``.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )
