# SPDX-License-Identifier: BSD-3-Clause
"""What a recording waits for."""

from __future__ import annotations

import pytest

from bridge.cli.common import parse_period
from bridge.recording.model import HIGH, LOW, code_of
from bridge.recording.trigger import Trigger

NAMES = ["A", "B"]
#: A rises at 10 us, falls at 12, rises at 30 and falls at 80; B rises at 20.
CHANGES = [(10, 0, HIGH), (12, 0, LOW), (20, 1, HIGH), (30, 0, HIGH), (80, 0, LOW)]


def happens(expression: str) -> int | None:
    """When an expression becomes true, in us."""
    trigger = Trigger(expression, NAMES, parse_period)
    if trigger.begin(0, [LOW, LOW]):
        return 0
    at = trigger.feed(
        [time * 1000 for time, *_ in CHANGES], [code_of(*change) for _, *change in CHANGES]
    )
    return None if at is None else CHANGES[at][0]


@pytest.mark.parametrize(
    ("expression", "when"),
    [
        ("A:rising", 10),
        ("A:falling", 12),
        ("B:edge", 20),
        ("B:falling", None),
        ("A=0", 0),
        ("A=1", 10),
        ("A=on,B=on", 30),
        ("A:falling, B=1", 80),
        ("A:high<5us", 12),
        ("A:high<1us", None),
        ("A:high>5us", 80),
        ("A:low>5us", 10),
        ("A:low<20us", 30),
        ("A:pulse<3us", 12),
        ("A:pulse>40us", 80),
    ],
)
def test_expressions(expression: str, when: int | None) -> None:
    assert happens(expression) == when


def test_a_pulse_that_does_not_end_is_long_as_well() -> None:
    trigger = Trigger("A:high>5ms", NAMES, parse_period)
    assert not trigger.begin(0, [LOW, LOW])
    assert trigger.due() is None
    assert trigger.feed([1_000_000], [code_of(0, HIGH)]) is None
    assert trigger.due() == 6_000_000


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("A", "'A' is no term"),
        ("C:rising", "no line C is recorded; recorded are A, B"),
        ("A=2", "2 is no level"),
        ("A:up", "up in 'A:up' is none of rising, falling, edge"),
        ("A:rising<5us", "is none of high, low, pulse"),
        ("A:rising,B:rising", "wants two edges or pulses at one moment"),
    ],
)
def test_what_is_no_expression_is_refused(expression: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Trigger(expression, NAMES, parse_period)
