# SPDX-License-Identifier: BSD-3-Clause
"""LINE=VALUE on the command line, and lines that are held with their values."""

from __future__ import annotations

from typing import NamedTuple

from bridge.cli.options import Failure
from bridge.client.line_request import LineRequest
from bridge.line import Value

_WORDS = {
    "0": False, "inactive": False, "off": False, "false": False,
    "1": True, "active": True, "on": True, "true": True,
}  # fmt: skip


def parse_value(word: str) -> tuple[str, bool]:
    """Split LINE=VALUE at the first = outside quotes around the line. Raises Failure."""
    if word.startswith('"') and '"=' in word[1:]:
        id, _, value = word[1:].partition('"=')
    else:
        id, separator, value = word.partition("=")
        if not separator:
            hint = "options come before the lines" if word.startswith("-") else "write LINE=VALUE"
            raise Failure(f"invalid line value: '{word}' ({hint})")
    if value not in _WORDS:
        name, equals, last = word.rpartition("=")
        if equals and "=" in value and last in _WORDS:
            hint = f"""a name with = in it goes in quotes: '"{name}"={last}'"""
        else:
            hint = f"write {', '.join(_WORDS)}"
        raise Failure(f"invalid line value: '{value}' ({hint})")
    return id, _WORDS[value]


class Held:
    """The lines of one chip and their values now, by offset."""

    def __init__(self, request: LineRequest, values: dict[int | str, Value]) -> None:
        self.request = request
        self.values = values

    def apply(self) -> None:
        """Drive the lines to the values."""
        self.request.set_values(self.values)


class Handle(NamedTuple):
    """A line of the command line: its id there, and where its value is."""

    id: str
    held: Held
    offset: int

    @property
    def value(self) -> bool:
        """The value that was set last."""
        return bool(self.held.values[self.offset])

    def change(self, active: bool) -> None:
        """Note another value, to be applied."""
        self.held.values[self.offset] = Value.ACTIVE if active else Value.INACTIVE
