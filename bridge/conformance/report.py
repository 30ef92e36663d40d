# SPDX-License-Identifier: BSD-3-Clause
"""A run as a table, as JSON, and as a JUnit file."""

from __future__ import annotations

from typing import Any

from bridge.conformance.check import Check
from bridge.conformance.runner import FAILED, PASSED, SKIPPED, WARNED, Run
from bridge.extras import missing

_COLOURS = {PASSED: "green", FAILED: "bold red", WARNED: "yellow", SKIPPED: "dim"}


def as_json(run: Run) -> dict[str, Any]:
    """A run in the words of docs/conformance.md."""
    return {
        "url": run.options.url,
        "level": run.options.level,
        "channel": run.channel,
        "label": run.label,
        "ngpio": run.ngpio,
        "dialect": dialect(run),
        "features": run.features,
        "kind": run.kind,
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


def print_table(run: Run) -> None:
    """Print a run for a person, with rich."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    console.print(
        f"{escape(run.channel)} {escape(repr(run.label))}, {run.ngpio} lines, {dialect(run)}, "
        f"{run.kind} device, extensions: {' '.join(run.features) or 'none'}"
    )
    table = Table("check", "rule", "section", "grade", "outcome")
    for result in run.results:
        check = result.check
        colour = _COLOURS[result.outcome]
        rule = check.title
        if result.message:
            rule += f"\n[{colour}]{escape(result.message)}[/]"
        outcome = f"[{colour}]{result.outcome}[/]"
        table.add_row(check.id, rule, check.section, check.grade, outcome)
    console.print(table)
    counts = ", ".join(f"{run.count(outcome)} {outcome}" for outcome in _COLOURS)
    console.print(f"{counts} (level {run.options.level}; P is docs/protocol.md, V virtio 1.3)")


def print_list(checks: list[Check]) -> None:
    """Print what there is to check."""
    from rich.console import Console
    from rich.table import Table

    table = Table("check", "rule", "section", "grade", "needs")
    for check in checks:
        table.add_row(check.id, check.title, check.section, check.grade, " ".join(check.needs))
    Console(highlight=False).print(table)


def require_junit() -> None:
    """Say before the checks what their report would lack.

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
