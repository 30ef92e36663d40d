# SPDX-License-Identifier: BSD-3-Clause
"""How benchmarks show what they do and what came out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from operator import getitem
from typing import TYPE_CHECKING, Any

from bridge.cli.signals import ends_on_signals

if TYPE_CHECKING:
    from bridge.bench.measure import Tell


@contextmanager
def progress() -> Iterator[Tell]:
    """A callable that tells which part is measured, on standard error if that is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda part: None
        return
    with console.status("starting") as status:
        yield status.update


def measured(measure: Callable[[Tell], dict[str, Any]], as_json: bool) -> dict[str, Any] | None:
    """The result of `measure`; None when it was printed already, as one JSON object."""
    ends_on_signals()
    with progress() as tell:
        result = measure(tell)
    if as_json:
        print(json.dumps(result))
    return None if as_json else result


def print_figures(
    title: str, rows: Sequence[tuple[str, str, str]], target: str = "target", **results: Any
) -> None:
    """Print figures of results, a column each with its head.

    A row has the figure's key, such as "edges.lost", its unit, and what it should be.
    """
    print_table(
        title,
        ("figure", *results, "unit", target),
        [
            (key, *(reduce(getitem, key.split("."), one) for one in results.values()), *rest)
            for key, *rest in rows
        ],
    )


def print_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows: as a table on a terminal, else a row a line with tabs in between.

    The first of `heads` is that of the figures' names.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        for row in rows:
            print(*row, sep="\t")
        return
    table = Table(heads[0], title=title)
    for head in heads[1:]:
        table.add_column(head, justify="left" if head in _WORDS else "right")
    for row in rows:
        table.add_row(*map(str, row))
    console.print(table)


# Columns that are no numbers.
_WORDS = ("unit", "target", "target, pinned", "party", "which calls")
