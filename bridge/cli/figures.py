# SPDX-License-Identifier: BSD-3-Clause
"""How benchmarks show what they do and what came out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

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
