# SPDX-License-Identifier: BSD-3-Clause
"""Requesting, values, reconfiguring (libgpiod's tests_line_request)."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

import bridge as gpiod
from bridge.line import Bias, Clock, Direction, Drive, Edge, Value
from tests.client.libgpiod.conftest import MakeSim
from tests.sim import SILENT_MS
from tests.sim import Chip as Sim

ACTIVE, INACTIVE = Value.ACTIVE, Value.INACTIVE
INPUT = gpiod.LineSettings(direction=Direction.INPUT)
OUTPUT = gpiod.LineSettings(direction=Direction.OUTPUT)
UP, DOWN = Sim.Pull.UP, Sim.Pull.DOWN

Request = Callable[..., gpiod.LineRequest]


@pytest.fixture(params=["method", "function"])
def request_lines(request: pytest.FixtureRequest, chip: gpiod.Chip, sim: Sim) -> Request:
    """Chip.request_lines() and the module's function of that name."""
    if request.param == "method":
        return chip.request_lines
    return lambda *words, **more: gpiod.request_lines(sim.dev_path, *words, **more)


def offsets_and_lines(request: gpiod.LineRequest) -> tuple[list[int], list[int | str]]:
    with request:
        assert request.num_lines == len(request.offsets)
        return request.offsets, request.lines


# ---- arguments ---------------------------------------------------------------------


def test_configs_of_a_wrong_type(request_lines: Request) -> None:
    for wrong in ("foobar", None):
        with pytest.raises(AttributeError):
            request_lines(wrong)
    for wrong in ({None: None}, {1.5: None}, {((0, 1),): None}):
        with pytest.raises(TypeError):
            request_lines(wrong)
    with pytest.raises(AttributeError):
        request_lines({0: "output"})
    with pytest.raises(TypeError):
        request_lines()


def test_lines_that_are_not_there(request_lines: Request) -> None:
    with pytest.raises(ValueError):
        request_lines({(0, 1, 2, 8): None})
    with pytest.raises(ValueError):
        request_lines({-1: None})
    with pytest.raises(FileNotFoundError):
        request_lines({"nonexistent": None})


def test_no_lines(request_lines: Request) -> None:
    for nothing in ({}, {(): None}):
        with pytest.raises(ValueError):
            request_lines(nothing)


def test_wrong_consumers_and_sizes(chip: gpiod.Chip) -> None:
    with pytest.raises(TypeError):
        chip.request_lines({0: None}, consumer=4)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        chip.request_lines({0: None}, event_buffer_size="4")  # type: ignore[arg-type]
    with pytest.raises(OverflowError):
        chip.request_lines({0: None}, event_buffer_size=-1)
    with pytest.raises(ValueError):
        chip.request_lines({0: gpiod.LineSettings(edge_detection=Edge.BOTH)}, None, 1)
    with chip.request_lines({0: None}, None, 1):
        pass


@pytest.mark.parametrize(
    "settings",
    [
        {"direction": Direction.OUTPUT, "edge_detection": Edge.BOTH},
        {"direction": Direction.INPUT, "drive": Drive.OPEN_DRAIN},
        {"drive": Drive.OPEN_SOURCE},
        {"bias": Bias.PULL_UP},
        {"debounce_period": timedelta(milliseconds=1)},
        {"direction": Direction.OUTPUT, "debounce_period": timedelta(milliseconds=1)},
        {"direction": Direction.INPUT, "bias": Bias.UNKNOWN},
    ],
)
def test_settings_that_exclude_each_other(chip: gpiod.Chip, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        chip.request_lines({0: gpiod.LineSettings(**settings)})
    with chip.request_lines({0: None}) as request, pytest.raises(ValueError):
        request.reconfigure_lines({0: gpiod.LineSettings(**settings)})


def test_the_hardware_clock_is_not_there(make_sim: MakeSim) -> None:
    with (
        gpiod.Chip(make_sim(features="none").dev_path) as chip,
        pytest.raises(NotImplementedError, match="TIMESTAMP"),
    ):
        chip.request_lines({0: gpiod.LineSettings(event_clock=Clock.HTE)})


@pytest.mark.parametrize(
    "config",
    [{(0, 0): None}, {(0, 1): None, (2, 0): None}, {(5, "foo"): None}, {5: None, "foo": None}],
)
def test_lines_that_repeat(request_lines: Request, config: Any) -> None:
    with pytest.raises(ValueError, match="line must be configured exactly once - offset"):
        request_lines(config)


# ---- requesting --------------------------------------------------------------------


def test_positional_arguments(request_lines: Request, chip: gpiod.Chip) -> None:
    with request_lines({(0, 5, 3, 1): None}, "foobar", 32) as request:
        assert request.offsets == [0, 5, 3, 1]
        assert chip.get_line_info(0).consumer == "foobar"


def test_keyword_arguments(request_lines: Request, chip: gpiod.Chip) -> None:
    with request_lines(config={(0, 5): None}, consumer="foobar", event_buffer_size=16):
        assert chip.get_line_info(5).consumer == "foobar"


@pytest.mark.parametrize(
    ("config", "offsets", "lines"),
    [
        ({4: None}, [4], [4]),
        ({(4,): None}, [4], [4]),
        ({frozenset([4]): None}, [4], [4]),
        ({range(2, 5): None}, [2, 3, 4], [2, 3, 4]),
        ({"foo": None}, [5], ["foo"]),
        ({(1, 2, "foo", "bar"): None}, [1, 2, 5, 7], [1, 2, "foo", "bar"]),
        ({"2": None}, [2], ["2"]),
    ],
)
def test_what_a_key_can_be(
    request_lines: Request, config: Any, offsets: list[int], lines: list[Any]
) -> None:
    assert offsets_and_lines(request_lines(config)) == (offsets, lines)


@pytest.mark.parametrize(
    ("consumer", "shown"), [("foobar", "foobar"), ("", "?"), (None, "?"), ("x" * 40, "x" * 31)]
)
def test_consumer(chip: gpiod.Chip, consumer: str | None, shown: str) -> None:
    with chip.request_lines({0: None}, consumer):
        assert chip.get_line_info(0).consumer == shown


def test_a_mixed_config(chip: gpiod.Chip) -> None:
    config = {
        (0, 2): gpiod.LineSettings(Direction.OUTPUT, output_value=ACTIVE),
        (1, 3): gpiod.LineSettings(edge_detection=Edge.BOTH, event_clock=Clock.REALTIME),
    }
    with chip.request_lines(config):
        assert chip.get_line_info(2).direction is Direction.OUTPUT
        info = chip.get_line_info(3)
        assert (info.direction, info.edge_detection) == (Direction.INPUT, Edge.BOTH)
        assert info.event_clock is Clock.REALTIME


def test_a_direction_is_kept_by_as_is(make_sim: MakeSim) -> None:
    sim = make_sim(num_lines=2, on_release="keep")
    with gpiod.Chip(sim.dev_path) as chip:
        with chip.request_lines({0: OUTPUT}):
            pass
        with chip.request_lines({0: None}) as request:
            assert chip.get_line_info(0).direction is Direction.OUTPUT
            request.set_value(0, ACTIVE)
        assert sim.get_value(0) is Sim.Value.ACTIVE


def test_it_survives_its_chip(sim: Sim) -> None:
    with gpiod.Chip(sim.dev_path) as chip:
        request = chip.request_lines({0: None})
    with request:
        assert request.get_values() == [INACTIVE]
        assert request.chip_name == sim.name


# ---- values ------------------------------------------------------------------------


def test_getting_values(chip: gpiod.Chip, sim: Sim) -> None:
    for offset in (1, 3, 5):
        sim.set_pull(offset, UP)
    with chip.request_lines({(0, 1, 2, 3, 5): INPUT}) as request:
        assert request.get_values([1]) == [ACTIVE]
        assert request.get_value(1) is ACTIVE
        sim.set_pull(1, DOWN)
        assert request.get_value(1) is INACTIVE
        assert request.get_values([0, 3, 5]) == [INACTIVE, ACTIVE, ACTIVE]
        everything = [INACTIVE, INACTIVE, INACTIVE, ACTIVE, ACTIVE]
        for every in (None, [], (), range(0)):
            assert request.get_values(every) == everything
        assert request.get_values(["foo", 2]) == [ACTIVE, INACTIVE]  # requested as 5
        assert request.get_values([3, 3]) == [ACTIVE, ACTIVE]
        for wrong in ([9], ["nonexistent"], ["3"], range(6)):
            with pytest.raises(ValueError):
                request.get_values(wrong)
        with pytest.raises(TypeError):
            request.get_values(True)  # type: ignore[arg-type]
        with pytest.raises(OverflowError):
            request.get_values([-1])


def test_setting_values(chip: gpiod.Chip, sim: Sim) -> None:
    with chip.request_lines({(0, 1, "bar", 3): OUTPUT}) as request:
        request.set_values({0: ACTIVE, "bar": ACTIVE})
        request.set_value(1, ACTIVE)
        assert [sim.get_value(at).value for at in (0, 1, 7, 3)] == [1, 1, 1, 0]
        request.set_values({7: ACTIVE, "bar": INACTIVE})  # one line: the last one wins
        assert sim.get_value(7) is Sim.Value.INACTIVE
        for wrong in ({0: INACTIVE, 9: ACTIVE}, {"nonexistent": ACTIVE}, {}):
            with pytest.raises(ValueError):
                request.set_values(wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError):
            request.set_values({at: ACTIVE for at in range(64)})
        with pytest.raises(AttributeError):
            request.set_values({0: 1})  # type: ignore[dict-item]
        assert sim.get_value(0) is Sim.Value.ACTIVE  # nothing was set


def test_setting_an_input_sets_nothing(chip: gpiod.Chip, sim: Sim) -> None:
    with chip.request_lines({0: OUTPUT, 1: INPUT}) as request:
        with pytest.raises(PermissionError):
            request.set_values({0: ACTIVE, 1: ACTIVE})
        assert sim.get_value(0) is Sim.Value.INACTIVE


def test_values_by_name(chip: gpiod.Chip, sim: Sim) -> None:
    with chip.request_lines({("foo", "bar", 0): INPUT, 1: OUTPUT}) as request:
        sim.set_pull(7, UP)
        request.set_value(1, ACTIVE)
        assert request.get_values(["bar", "foo", 0, 1]) == [ACTIVE, INACTIVE, INACTIVE, ACTIVE]


def test_output_values_for_all(chip: gpiod.Chip, sim: Sim) -> None:
    config = {(0, 1, 2, "foo"): gpiod.LineSettings(Direction.OUTPUT, output_value=ACTIVE)}
    with chip.request_lines(config, output_values={0: ACTIVE, 1: INACTIVE, 6: ACTIVE}):
        assert [sim.get_value(at).value for at in (0, 1, 2, 5)] == [1, 0, 0, 0]
    with chip.request_lines(config, output_values={"foo": ACTIVE, 2: ACTIVE}):
        assert [sim.get_value(at).value for at in (0, 1, 2, 5)] == [0, 0, 1, 1]
    for nothing in ({}, None):
        with chip.request_lines(config, output_values=nothing):
            assert [sim.get_value(at).value for at in (0, 1, 2, 5)] == [1, 1, 1, 1]
    with pytest.raises(FileNotFoundError):
        chip.request_lines(config, output_values={"nonexistent": ACTIVE})
    with pytest.raises(ValueError):
        chip.request_lines(config, output_values={8: ACTIVE})
    with pytest.raises(AttributeError):
        chip.request_lines(config, output_values={0: True})  # type: ignore[dict-item]


def test_active_low(chip: gpiod.Chip, sim: Sim) -> None:
    low = gpiod.LineSettings(Direction.OUTPUT, active_low=True, output_value=ACTIVE)
    with chip.request_lines({0: low}) as request:
        assert sim.get_value(0) is Sim.Value.INACTIVE
        assert request.get_value(0) is ACTIVE
        request.set_value(0, INACTIVE)
        assert sim.get_value(0) is Sim.Value.ACTIVE


# ---- emulated drives ---------------------------------------------------------------


@pytest.mark.parametrize("features", ["all", "none"])
@pytest.mark.parametrize("active_low", [False, True])
@pytest.mark.parametrize(
    ("drive", "driven", "away"), [(Drive.OPEN_DRAIN, 0, UP), (Drive.OPEN_SOURCE, 1, DOWN)]
)
def test_a_drive_that_lets_go(
    make_sim: MakeSim, drive: Drive, driven: int, away: Sim.Pull, active_low: bool, features: str
) -> None:
    """One level is driven; for the other one the pull decides."""
    sim = make_sim(num_lines=3, features=features)
    on = Value(driven ^ active_low)
    off = Value(1 - on.value)
    settings = gpiod.LineSettings(
        Direction.OUTPUT, drive=drive, active_low=active_low, output_value=off
    )
    sim.set_pull(0, away)
    with gpiod.Chip(sim.dev_path) as chip, chip.request_lines({(0, 1): settings}) as request:
        assert sim.get_value(0).value == 1 - driven
        sim.set_pull(0, DOWN if away is UP else UP)
        assert sim.get_value(0).value == driven  # nobody drives against the pull
        sim.set_pull(0, away)
        request.set_values({0: on, 1: off})
        assert sim.get_value(0).value == driven
        assert request.get_value(0) is on
        request.set_value(0, off)
        assert sim.get_value(0).value == 1 - driven
        info = chip.get_line_info(0)
        assert (info.direction, info.drive) == (Direction.OUTPUT, drive)


def test_a_drive_that_drives_at_once(chip: gpiod.Chip, sim: Sim) -> None:
    settings = gpiod.LineSettings(Direction.OUTPUT, drive=Drive.OPEN_SOURCE, output_value=ACTIVE)
    with chip.request_lines({0: settings}) as request:
        assert sim.get_value(0) is Sim.Value.ACTIVE
        request.reconfigure_lines({0: OUTPUT})
        request.set_value(0, INACTIVE)
        sim.set_pull(0, UP)
        assert sim.get_value(0) is Sim.Value.INACTIVE  # push-pull now


# ---- reconfiguring -----------------------------------------------------------------


@pytest.fixture
def held(chip: gpiod.Chip) -> Iterator[gpiod.LineRequest]:
    """Outputs, active-low, open-drain, named and not."""
    settings = gpiod.LineSettings(Direction.OUTPUT, active_low=True, drive=Drive.OPEN_DRAIN)
    with chip.request_lines({(7, 0, 2, "foo"): settings}) as request:
        yield request


def is_as_requested(chip: gpiod.Chip, line: int) -> bool:
    info = chip.get_line_info(line)
    found = (info.direction, info.active_low, info.drive)
    return found == (Direction.OUTPUT, True, Drive.OPEN_DRAIN)


@pytest.mark.parametrize("lines", [(0, 2, 5), (5, 2, 0), ("foo", 0, 2), (2, "foo")])
def test_reconfigure(chip: gpiod.Chip, held: gpiod.LineRequest, lines: Any) -> None:
    held.reconfigure_lines({lines: INPUT})
    for line in lines:
        info = chip.get_line_info(line)
        assert (info.direction, info.active_low) == (Direction.INPUT, False)
        assert info.drive is Drive.PUSH_PULL
    assert is_as_requested(chip, 7)


def test_reconfigure_leaves_what_is_not_mentioned(
    chip: gpiod.Chip, held: gpiod.LineRequest, sim: Sim
) -> None:
    held.set_value(2, INACTIVE)
    only_low = gpiod.LineSettings(active_low=False)  # as is: nothing of it counts
    held.reconfigure_lines({0: INPUT, 2: None, "foo": only_low})
    assert chip.get_line_info(0).direction is Direction.INPUT
    for line in (2, 5, 7):
        assert is_as_requested(chip, line)
    held.reconfigure_lines({})
    assert is_as_requested(chip, 2)


def test_reconfigure_warns_of_strangers(chip: gpiod.Chip, held: gpiod.LineRequest) -> None:
    with pytest.warns(UserWarning, match="Line offset '6' was not included") as caught:
        held.reconfigure_lines({(0, 6): INPUT})
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="Line name 'buzz' was not included") as caught:
        held.reconfigure_lines({("foo", "buzz"): INPUT})
    assert len(caught) == 1
    assert chip.get_line_info(0).direction is Direction.INPUT
    assert chip.get_line_info(5).direction is Direction.INPUT


def test_reconfigure_the_same_line_twice(chip: gpiod.Chip, held: gpiod.LineRequest) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        held.reconfigure_lines({"foo": OUTPUT, 5: INPUT})
    assert chip.get_line_info(5).direction is Direction.INPUT


def test_reconfigure_wrongly(chip: gpiod.Chip, held: gpiod.LineRequest) -> None:
    with pytest.raises(AttributeError):
        held.reconfigure_lines(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="line 0: "):
        held.reconfigure_lines(
            {2: INPUT, 0: gpiod.LineSettings(Direction.OUTPUT, edge_detection=Edge.BOTH)}
        )
    assert is_as_requested(chip, 2)  # all is checked before anything changes


def test_reconfigure_drives_an_output_again(chip: gpiod.Chip, sim: Sim) -> None:
    with chip.request_lines({(0, 1): OUTPUT}, output_values={0: ACTIVE, 1: ACTIVE}) as request:
        request.reconfigure_lines({0: OUTPUT})
        assert [sim.get_value(at).value for at in (0, 1)] == [0, 1]
        request.reconfigure_lines({1: gpiod.LineSettings(Direction.OUTPUT, output_value=ACTIVE)})
        assert sim.get_value(1) is Sim.Value.ACTIVE


def test_reconfigure_the_edges(chip: gpiod.Chip, sim: Sim) -> None:
    """Events that wait stay, and so do the numbers."""
    with chip.request_lines({0: gpiod.LineSettings(edge_detection=Edge.RISING)}) as request:
        sim.set_pull(0, UP)
        assert request.wait_edge_events(30)
        request.reconfigure_lines({0: gpiod.LineSettings(edge_detection=Edge.FALLING)})
        sim.set_pull(0, DOWN)
        sim.set_pull(0, UP)
        request.reconfigure_lines({0: INPUT})
        assert sim.stub.state("0/0").irq == "none"
        sim.set_pull(0, DOWN)
        request.reconfigure_lines(
            {0: gpiod.LineSettings(edge_detection=Edge.BOTH, active_low=True)}
        )
        sim.set_pull(0, UP)
        kinds = []
        while len(kinds) < 3 and request.wait_edge_events(30):
            kinds += [(e.event_type.value, e.line_seqno) for e in request.read_edge_events()]
        assert kinds == [(1, 1), (2, 2), (2, 3)]


def test_an_output_has_no_edges_any_more(chip: gpiod.Chip, sim: Sim) -> None:
    with chip.request_lines({0: gpiod.LineSettings(edge_detection=Edge.BOTH)}) as request:
        request.reconfigure_lines({0: OUTPUT})
        request.set_value(0, ACTIVE)
        assert request.get_value(0) is ACTIVE
        assert not request.wait_edge_events(0)
        request.reconfigure_lines({0: gpiod.LineSettings(edge_detection=Edge.BOTH)})
        sim.set_pull(0, UP)
        assert request.wait_edge_events(30)


def test_edges_later_need_a_buffer_too(chip: gpiod.Chip) -> None:
    with chip.request_lines({0: None}, None, 1) as request, pytest.raises(ValueError):
        request.reconfigure_lines({0: gpiod.LineSettings(edge_detection=Edge.BOTH)})


def test_reconfigure_64_lines(make_sim: MakeSim) -> None:
    sim = make_sim(num_lines=64)
    every = tuple(range(64))
    with gpiod.request_lines(sim.dev_path, {every: INPUT}) as request:
        request.reconfigure_lines({every: OUTPUT})
        request.set_values(dict.fromkeys(every, ACTIVE))
        assert request.get_values() == 64 * [ACTIVE]


def test_reconfigure_when_the_firmware_is_silent(make_sim: MakeSim) -> None:
    sim = make_sim(num_lines=2, timeout_ms=SILENT_MS)
    with gpiod.request_lines(sim.dev_path, {(0, 1): INPUT}) as request:
        sim.stub.fault("stall", "on")
        with pytest.raises(TimeoutError, match="did not answer"):
            request.reconfigure_lines({(0, 1): OUTPUT})
        sim.stub.fault("stall", "off")
        request.reconfigure_lines({(0, 1): OUTPUT})
        request.set_value(1, ACTIVE)
        assert sim.get_value(1) is Sim.Value.ACTIVE


# ---- released ----------------------------------------------------------------------


def test_string_forms(chip: gpiod.Chip, sim: Sim) -> None:
    request = chip.request_lines({(2, 6, 4, 1): None})
    assert str(request) == (
        f'<LineRequest chip="{sim.name}" num_lines=4 offsets=[2, 6, 4, 1] fd={request.fd}>'
    )
    request.release()
    assert str(request) == "<LineRequest RELEASED>"


def test_a_released_line_falls_back_to_its_pull(chip: gpiod.Chip, sim: Sim) -> None:
    with chip.request_lines({0: gpiod.LineSettings(Direction.OUTPUT, output_value=ACTIVE)}):
        assert sim.get_value(0) is Sim.Value.ACTIVE
    assert sim.get_value(0) is Sim.Value.INACTIVE


def test_busy(chip: gpiod.Chip, sim: Sim) -> None:
    with chip.request_lines({3: None}, "somebody"), gpiod.Chip(sim.dev_path) as other:
        with pytest.raises(OSError, match='held by "somebody"') as error:
            other.request_lines({(2, 3): None})
        assert error.value.errno == errno.EBUSY
        assert not other.get_line_info(2).used


@pytest.mark.parametrize("way", ["rx", "tx"])
def test_a_reconfiguration_that_failed_can_be_repeated(make_sim: MakeSim, way: str) -> None:
    """A message was lost, or its reply: the service assumes nothing about what it asked for."""
    sim = make_sim(
        num_lines=3, features="none", timeout_ms=SILENT_MS
    )  # which sends nothing by itself
    both = gpiod.LineSettings(edge_detection=Edge.BOTH)
    with gpiod.request_lines(sim.dev_path, {0: OUTPUT, 1: INPUT, 2: both}) as request:

        def repeat(config: dict[int, gpiod.LineSettings]) -> None:
            sim.stub.fault("drop", way, 1)
            with pytest.raises(TimeoutError):
                request.reconfigure_lines(config)
            request.reconfigure_lines(config)

        repeat({0: INPUT})
        assert sim.stub.state("0/0").direction == "in"
        repeat({1: both})
        assert sim.stub.state("0/1").irq == "edge-both"
        repeat({2: INPUT})
        assert sim.stub.state("0/2").irq == "none"
        sim.set_pull(1, Sim.Pull.UP)
        assert request.wait_edge_events(30)
        assert [event.line_offset for event in request.read_edge_events()] == [1]


def test_an_output_after_edges_that_failed_has_no_interrupt(make_sim: MakeSim) -> None:
    sim = make_sim(features="none", timeout_ms=SILENT_MS)
    with gpiod.request_lines(sim.dev_path, {0: INPUT}) as request:
        sim.stub.fault("drop", "tx", 1)  # it is enabled, but no message says so
        with pytest.raises(TimeoutError):
            request.reconfigure_lines({0: gpiod.LineSettings(edge_detection=Edge.BOTH)})
        assert sim.stub.state("0/0").irq == "edge-both"
        request.reconfigure_lines({0: OUTPUT})
        assert (sim.stub.state("0/0").irq, sim.stub.state("0/0").direction) == ("none", "out")
