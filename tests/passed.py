# SPDX-License-Identifier: BSD-3-Clause
"""A plugin of pytest for a suite that several machines run: what passed elsewhere is left out.

``-p tests.passed --passed-to=FILE`` writes the ids of the tests that pass, one a line.
``-p tests.passed --passed=FILE...`` leaves out those that each of these files has.
"""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the options above."""
    parser.addoption("--passed-to", type=Path, metavar="FILE")
    parser.addoption("--passed", type=Path, metavar="FILE", action="append", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Write what passes, once for all processes of the run."""
    if config.option.passed_to and not hasattr(config, "workerinput"):
        # A line at a time, so that the file is whole whatever ends the run.
        file = config.option.passed_to.open("w", buffering=1)
        config.pluginmanager.register(_Writer(file))
        config.add_cleanup(file.close)


class _Writer:
    def __init__(self, file: TextIO) -> None:
        self._file = file

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self._file.write(f"{report.nodeid}\n")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what passed on each of the other machines."""
    lists = [set(file.read_text().splitlines()) for file in config.option.passed]
    passed = set.intersection(*lists) if lists else set()
    left_out = [item for item in items if item.nodeid in passed]
    items[:] = [item for item in items if item.nodeid not in passed]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
