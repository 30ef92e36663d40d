# SPDX-License-Identifier: BSD-3-Clause
"""docs/virtio-conformance.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/virtio-conformance.md").read_text()
CORPUS = ROOT / "tests/export/corpus"


def rows(page: str) -> list[list[str]]:
    """Cells of the tables' rows, without their heads."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if line.startswith("|")
    ]
    return [row for row in cells if not set(row[0]) <= set("-") and row[1] not in ("tests", "file")]


def test_every_named_test_exists() -> None:
    table = rows(PAGE)
    sources = {}
    for letter, file in table:
        if re.fullmatch("[A-Z]", letter):
            path = re.match(r"tests/\S+\.(py|c)", file)
            assert path is not None, file
            sources[letter] = (ROOT / path[0]).read_text()
    statements = [row for row in table if row[0] not in sources]
    assert len(sources) == 8
    assert len(statements) > 30
    for statement, named in statements:
        for part in named.split(";"):
            letter, *names = re.findall(r"[\w-]+", part)
            assert names, statement
            for name in names:
                exists = re.search(rf"^(def|static void) {name}\(", sources[letter], re.MULTILINE)
                assert exists or (letter == "H" and (CORPUS / name).exists()), (statement, name)
