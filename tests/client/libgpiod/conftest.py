# SPDX-License-Identifier: BSD-3-Clause
"""Simulated chips for tests of what libgpiod's own Python tests check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import bridge as gpiod
from tests.sim import Chip as Sim

MakeSim = Callable[..., Sim]


@pytest.fixture
def make_sim() -> Iterator[MakeSim]:
    """Make simulated chips that are gone when the test ends."""
    made: list[Sim] = []

    def make(**arguments: Any) -> Sim:
        made.append(Sim(**arguments))
        return made[-1]

    yield make
    for sim in made:
        sim.close()


@pytest.fixture(params=["all", "config,names,tag,epoch"], ids=["hardware", "emulation"])
def sim(make_sim: MakeSim, request: pytest.FixtureRequest) -> Sim:
    """Eight lines, two with names; pins can do bias, drive and debounce, or cannot."""
    return make_sim(num_lines=8, line_names={5: "foo", 7: "bar"}, features=request.param)


@pytest.fixture
def chip(sim: Sim) -> Iterator[gpiod.Chip]:
    """The simulated chip, open."""
    with gpiod.Chip(sim.dev_path) as opened:
        yield opened
