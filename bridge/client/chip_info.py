# SPDX-License-Identifier: BSD-3-Clause
"""What a chip says about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["ChipInfo"]


@dataclass(frozen=True, repr=False)
class ChipInfo:
    """An immutable snapshot: the chip's name, its label and how many lines it has."""

    name: str
    label: str
    num_lines: int

    def __str__(self) -> str:
        """The text that libgpiod prints for it."""
        return f'<ChipInfo name="{self.name}" label="{self.label}" num_lines={self.num_lines}>'

    __repr__ = __str__


def from_wire(chip: dict[str, Any]) -> ChipInfo:
    """Return what the service says of a chip."""
    return ChipInfo(chip["name"], chip["label"], chip["num_lines"])
