# SPDX-License-Identifier: BSD-3-Clause
"""A run as a table, as JSON, and as a JUnit file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bridge.conformance.check import Check
from bridge.conformance.runner import FAILED, PASSED, SKIPPED, WARNED, Progress, Run
from bridge.extras import missing

if TYPE_CHECKING:
    from rich.console import Console

_LATE_TOLD_MS = 100
_COLOURS = {PASSED: "green", FAILED: "bold red", WARNED: "yellow", SKIPPED: "dim"}


def as_json(run: Run) -> dict[str, Any]:
    """A run as JSON, with the keys of docs/conformance.md."""
    return {
        "url": run.options.url,
        "level": run.options.level,
        "channel": run.channel,
        "label": run.label,
        "ngpio": run.ngpio,
        "dialect": dialect(run),
        "features": run.features,
        "kind": run.kind,
        "late_ms": run.late_ms,
        "counts": {outcome: run.count(outcome) for outcome in _COLOURS},
        "checks": [
            {
                "id": result.check.id,
                "title": result.check.title,
                "section": result.check.section,
                "grade": result.check.grade,
                "outcome": result.outcome,
                "message": result.message,
                "seconds": round(result.seconds, 4),
            }
            for result in run.results
        ],
    }


def dialect(run: Run) -> str:
    """Name of the dialect that the firmware speaks."""
    return "rpmsg-gpio-padded" if run.form == 4 else "rpmsg-gpio"


@contextmanager
def progress() -> Iterator[Progress]:
    """A callable that tells which check runs, on standard error if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}")
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("connecting", total=None)

        def begins(check: Check, number: int, count: int) -> None:
            bar.update(task, completed=number, total=count, description=check.id)

        yield begins


def print_run(run: Run) -> None:
    """Print a run: as a table on a terminal, else a record a line with tabs in between."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if console.is_terminal:
        _print_table(console, run)
    else:
        for result in run.results:
            check = result.check
            print(*(check.id, result.outcome, check.grade, check.section), sep="\t", end="\t")
            print(result.message or check.title)
    for line in _summary(run):
        print(line, file=sys.stdout if console.is_terminal else sys.stderr)


def _summary(run: Run) -> list[str]:
    lines = [
        f"{run.channel} {run.label!r}, {run.ngpio} lines, {dialect(run)}, {run.kind} device, "
        f"extensions: {' '.join(run.features) or 'none'}",
        ", ".join(f"{run.count(outcome)} {outcome}" for outcome in _COLOURS)
        + f" (level {run.options.level}; P is docs/protocol.md, V virtio 1.3)",
    ]
    if run.late_ms >= _LATE_TOLD_MS:
        lines.append(f"this host was busy: its timers were up to {run.late_ms} ms late")
    return lines


def _print_table(console: Console, run: Run) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("check", "rule", "section", "grade", "outcome")
    for result in run.results:
        check = result.check
        colour = _COLOURS[result.outcome]
        rule = Text(check.title)
        if result.message:
            rule.append(f"\n{result.message}", colour)
        table.add_row(check.id, rule, check.section, check.grade, Text(result.outcome, colour))
    console.print(table)


def print_list(checks: list[Check]) -> None:
    """Print what there is to check: as a table on a terminal, else a check a line."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table("check", "rule", "section", "grade", "needs")
    for check in checks:
        row = (check.id, check.title, check.section, check.grade, " ".join(check.needs))
        table.add_row(*row)
        if not console.is_terminal:
            print(*row, sep="\t")
    if console.is_terminal:
        console.print(table)


def require_junit() -> None:
    """Raise an error before the checks when the report would lack a package.

    Raises:
        OSError: ENOSYS without the package junitparser.
    """
    try:
        import junitparser  # noqa: F401
    except ImportError:
        raise missing("JUnit files", "junitparser") from None


def write_junit(run: Run, path: str) -> None:
    """Write a run as a JUnit file: one test case a check.

    Raises:
        OSError: what open(2) says.
    """
    from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

    suite = TestSuite(f"conformance of {run.channel}")
    for name, value in (
        ("url", run.options.url),
        ("level", run.options.level),
        ("label", run.label),
        ("dialect", dialect(run)),
        ("features", " ".join(run.features)),
    ):
        suite.add_property(name, value)
    for result in run.results:
        case = TestCase(result.check.id, f"{result.check.section}", round(result.seconds, 4))
        case.system_out = f"{result.check.grade}: {result.check.title}"
        if result.outcome == FAILED:
            case.result = [Failure(result.message, result.check.grade)]
        elif result.outcome == SKIPPED:
            case.result = [Skipped(result.message)]
        elif result.outcome == WARNED:
            case.system_err = result.message
        suite.add_testcase(case)
    document = JUnitXml()
    document.add_testsuite(suite)
    document.write(path, pretty=True)
