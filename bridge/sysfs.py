# SPDX-License-Identifier: BSD-3-Clause
"""What sysfs says: attributes, and how it calls remote processors."""

from __future__ import annotations

import re
from pathlib import Path

REMOTEPROC = re.compile(r"remoteproc\d+")


def read_attribute(path: str | Path) -> str:
    """The text of a sysfs file without the newline that ends it. Raises OSError."""
    text = Path(path).read_text(encoding="ascii", errors="backslashreplace")
    return text.removesuffix("\n")  # a name may end with a space, which makes it another name
