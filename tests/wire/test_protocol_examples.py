# SPDX-License-Identifier: BSD-3-Clause
"""The hex examples of docs/protocol.md are those that the firmware core is tested with.

test_wire.c sends them to a device; here is shown that it has the document's, all of them
and in their order. Those of section 12 are in test_serial.c, and decoded by a foreign
codec in tests/link/test_serial.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "protocol.md").read_text()
CORE_TESTS = ROOT / "tests" / "firmware_stub" / "core"
TEST = (CORE_TESTS / "test_wire.c").read_text()
HEX = re.compile(r"(?:[0-9a-f]{2} )*[0-9a-f]{2}")
#: `hex`, or `hex`, the label
CELL = re.compile(rf"`({HEX.pattern})`(, the label)?")


def section(title: str) -> str:
    """The text below a heading, up to the next one."""
    text = DOCUMENT.partition(f"\n{title}\n")[2]
    assert text
    return re.split(r"^#+ ", text, maxsplit=1, flags=re.MULTILINE)[0]


def label() -> str:
    found = re.search(
        rf"The label is\n`({HEX.pattern})`", section("## 10. Examples of the extensions")
    )
    assert found
    return found[1]


def document_hex(text: str, columns: tuple[int, ...]) -> list[str]:
    """The messages in these columns of a table, row by row; the first column is words."""
    found = []
    for row in text.splitlines():
        cells = row.split("|")[1:-1]
        for column in columns:
            cell = CELL.fullmatch(cells[column].strip()) if column < len(cells) else None
            if cell:
                found.append(f"{cell[1]} {label()}" if cell[2] else cell[1])
    return found


def hex_of_test(function: str) -> list[str]:
    """The messages in a function of test_wire.c."""
    body = re.search(rf"static void {function}\(void\)\n{{\n(.*?)\n}}\n", TEST, re.DOTALL)
    assert body, function
    # Literals in a row are one.
    text = re.sub(r'"\s*"', "", body[1].replace("LABEL", f'"{label()}"'))
    return [string for string in re.findall(r'"([^"]*)"', text) if HEX.fullmatch(string)]


BASELINE = section("### 3.5 Examples")
EXTENSIONS, ALONE = section("## 10. Examples of the extensions").split("The label is")


@pytest.mark.parametrize(
    ("text", "columns", "function", "count"),
    [
        (BASELINE, (1, 2), "baseline_examples", 29),
        (BASELINE, (1, 3), "padded_examples", 29),
        (EXTENSIONS, (1, 2), "extension_examples", 22),
        (ALONE, (1, 2), "config_alone_example", 6),
        (section("### 11.7 Examples"), (1, 2), "streaming_examples", 24),
    ],
)
def test_the_examples_are_tested(
    text: str, columns: tuple[int, ...], function: str, count: int
) -> None:
    found = document_hex(text, columns)
    assert found == hex_of_test(function)
    assert len(found) == count


def test_the_examples_in_sentences_are_tested() -> None:
    event, padded = re.findall(
        rf"`({HEX.pattern})`", BASELINE.rpartition("\n\n")[0].split("\n\n")[-1]
    )
    assert [event, padded] == [
        string for string in hex_of_test("an_event_carries_16_bits_of_line") if string[:2] == "01"
    ]
    # The probes are examples of 3.5, too.
    probes = re.findall(rf"`({HEX.pattern})`", section("### 6.2 Resynchronisation"))
    assert len(probes) == 2
    assert set(probes) <= set(hex_of_test("baseline_examples"))


def test_the_frames_are_tested() -> None:
    frames = re.findall(rf"`({HEX.pattern})` \|\n", section("### 12.7 Examples"))
    assert len(frames) == 12
    literals = re.findall(r'"([^"]*)"', (CORE_TESTS / "test_serial.c").read_text())
    assert set(frames) <= set(literals)
