# SPDX-License-Identifier: BSD-3-Clause
"""The part of a link's configuration that fits nothing of its firmware: most likely a typo."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase

from bridge.chips.chip import Chip
from bridge.errors import did_you_mean
from bridge.service.config import LinkConfig

KEPT_MAX = 4096
"""Names that are kept for hints, beside those in the configuration."""


class Seen:
    """The chips and line names that a link has had, held against its configuration.

    Args:
        config: of the link.
        name: of the link.

    Attributes:
        told: the mistakes that `mistakes` found last.
    """

    def __init__(self, config: LinkConfig, name: str) -> None:
        self.told: list[str] = []
        self._config = config
        self._name = name
        self._numbers: set[str] = set()
        self._lines: set[str] = set()
        self._fitting: set[str] = set()  # patterns

    def add(self, number: str, chip: Chip) -> None:
        """A chip came, under this number."""
        config = self._config
        numbers = {*config.labels, *config.names, *config.raw}
        _keep(self._numbers, (number,), numbers)
        _keep(self._lines, chip.line_names, {*config.lines_on_restart, *config.lines_on_release})
        for pattern in config.lines_on_release:
            if any(fnmatchcase(name, pattern) for name in chip.line_names):
                self._fitting.add(pattern)

    def mistakes(self) -> list[str]:
        """The sentences about configuration that fits nothing seen so far; only new ones."""
        found = [*self._numbers_nobody_has(), *self._lines_nobody_has()]
        fresh = [mistake for mistake in found if mistake not in self.told]
        self.told = found
        return fresh

    def _numbers_nobody_has(self) -> Iterable[str]:
        there = ", ".join(f"{self._name}-{number}" for number in sorted(self._numbers)[:8])
        for key in ("labels", "names", "raw"):
            for number in getattr(self._config, key):
                if number not in self._numbers:
                    yield f"{key} of {number}: there is no chip {self._name}-{number}, but {there}"

    def _lines_nobody_has(self) -> Iterable[str]:
        for key in ("on_restart", "on_release"):
            for line in getattr(self._config, f"lines_{key}"):
                if line not in self._lines and line not in self._fitting:
                    hint = did_you_mean(line, self._lines)
                    yield f'{key} of "{line}": no line is called so{hint and f"; {hint}"}'


def _keep(kept: set[str], found: Iterable[str], wanted: Collection[str]) -> None:
    """Keep the names that were wanted, and as many others as there is room for."""
    others = []
    for name in found:
        if name in wanted:
            kept.add(name)
        elif name not in kept:
            others.append(name)
    kept.update(itertools.islice(others, max(0, KEPT_MAX - len(kept))))
