# SPDX-License-Identifier: BSD-3-Clause
"""What a check is, and the table of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

MUST = "MUST"
SHOULD = "SHOULD"

_MODULES = ("serial", "messages", "lines", "interrupts", "negotiation", "extensions")

Function = Callable[[Any], None]
"""Takes a `bridge.conformance.driver.Driver`; one that needs "serial" a `framing.Framing`."""


class Failed(Exception):
    """The firmware breaks the rule; the text says what it did, and what is right."""


class Silent(Failed):
    """A message that must come did not come in time."""


class Skipped(Exception):
    """The check cannot be made here; the text says why."""


@dataclass(frozen=True)
class Check:
    """One rule of the documents, and how to see whether firmware keeps it.

    Attributes:
        id: stays the same from version to version.
        title: the rule in a sentence.
        section: where it stands: "P 3.4" is docs/protocol.md, "V 5.18.6" virtio 1.3.
        grade: MUST, or SHOULD, which only the strict level asks for.
        needs: "drive" lines that may be driven, "loop" a wire between two of
            them, "serial" a serial link, and names of extensions ("TAG");
            "CREDITS|TIMESTAMP" is either.
        run: returns, or raises Failed or Skipped.
    """

    id: str
    title: str
    section: str
    grade: str
    needs: tuple[str, ...]
    run: Function


_checks: list[Check] = []


def check(
    id: str, title: str, section: str, grade: str = MUST, needs: str = ""
) -> Callable[[Function], Function]:
    """Add a function to the table; the arguments are those of `Check`, `needs` in words."""

    def add(function: Function) -> Function:
        _checks.append(Check(id, title, section, grade, tuple(needs.split()), function))
        return function

    return add


def all_checks() -> list[Check]:
    """Every check, in the order in which they run."""
    for module in _MODULES:
        import_module(f"bridge.conformance.checks.{module}")
    return list(_checks)
