# SPDX-License-Identifier: BSD-3-Clause
"""The module's own functions, and opening chips (libgpiod's tests_module and tests_chip)."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

import bridge as gpiod
from tests.client.libgpiod.conftest import MakeSim
from tests.sim import Chip as Sim


def test_versions_are_three_numbers() -> None:
    for version in (gpiod.__version__, gpiod.api_version, gpiod.version.__version__):
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)


def test_what_is_no_gpiochip_device(sim: Sim, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    for path in ("/dev/null", "/dev/nonexistent", "/tmp", str(link), sim.socket, "x:y:z"):
        assert gpiod.is_gpiochip_device(path) is False


def test_what_is_a_gpiochip_device(sim: Sim, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(sim.dev_path)
    assert gpiod.is_gpiochip_device(sim.dev_path)
    assert gpiod.is_gpiochip_device(path=sim.dev_path)
    assert gpiod.is_gpiochip_device(str(link))
    assert gpiod.is_gpiochip_device(f"{sim.socket}#{sim.name}")


def test_wrong_arguments_of_is_gpiochip_device(sim: Sim) -> None:
    for wrong in (4, b"/dev/null", Path("/dev/null")):
        with pytest.raises(TypeError):
            gpiod.is_gpiochip_device(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        gpiod.is_gpiochip_device()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        gpiod.is_gpiochip_device(sim.dev_path, 4)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="null byte"):
        gpiod.is_gpiochip_device("/dev/\0null")


def test_open(sim: Sim) -> None:
    for chip in (gpiod.Chip(sim.dev_path), gpiod.Chip(path=sim.dev_path)):
        with chip:
            assert chip.get_info().name == sim.name
            assert chip.fd >= 0
            assert chip.fileno() == chip.fd


def test_open_by_link(sim: Sim, tmp_path: Path) -> None:
    link = tmp_path / "my-chip"
    link.symlink_to(sim.dev_path)
    with gpiod.Chip(str(link)) as chip:
        assert chip.path == str(link)
        assert chip.get_info().name == sim.name


def test_the_path_is_gone_with_the_chip(sim: Sim) -> None:
    assert os.path.lexists(sim.dev_path)
    sim.close()
    assert not os.path.lexists(sim.dev_path)


@pytest.mark.parametrize(
    ("path", "number"),
    [("/dev/nonexistent", errno.ENOENT), ("/tmp", errno.ENOTTY), ("/dev/null", errno.ENODEV)],
)
def test_open_what_is_no_chip(path: str, number: int) -> None:
    with pytest.raises(OSError) as error:
        gpiod.Chip(path)
    assert error.value.errno == number
    assert path in str(error.value.strerror)


def test_open_a_link_without_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError) as error:
        gpiod.Chip(str(tmp_path / "a"))
    assert error.value.errno == errno.ELOOP


def test_open_without_or_with_a_wrong_path() -> None:
    with pytest.raises(TypeError):
        gpiod.Chip()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        gpiod.Chip(4)  # type: ignore[arg-type]


def test_a_chip_is_true_while_it_is_open(sim: Sim) -> None:
    chip = gpiod.Chip(sim.dev_path)
    assert chip
    chip.close()
    chip.close()
    assert not chip


def test_properties_can_not_be_assigned(sim: Sim) -> None:
    with gpiod.Chip(sim.dev_path) as chip:
        for name in ("path", "fd"):
            with pytest.raises(AttributeError):
                setattr(chip, name, "x")
        assert chip.path == sim.dev_path


def test_line_offset_from_id(make_sim: MakeSim) -> None:
    sim = make_sim(num_lines=8, line_names={1: "foo", 4: "baz"})
    with gpiod.Chip(sim.dev_path) as chip:
        assert chip.line_offset_from_id("baz") == 4
        assert chip.line_offset_from_id(id="baz") == 4
        assert [chip.line_offset_from_id(at) for at in (0, 1, 7)] == [0, 1, 7]
        assert chip.line_offset_from_id("2") == 2
        assert chip.line_offset_from_id("") == 0  # the first line without a name
        assert chip.line_offset_from_id(-1) == -1  # as with libgpiod
        with pytest.raises(FileNotFoundError):
            chip.line_offset_from_id("nonexistent")
        for wrong in (8, "8"):
            with pytest.raises(ValueError, match="line offset of out range"):
                chip.line_offset_from_id(wrong)
        for wrong in (None, 1.5, b"baz"):
            with pytest.raises(TypeError):
                chip.line_offset_from_id(wrong)  # type: ignore[arg-type]


def test_names_that_occur_twice_or_look_like_offsets(make_sim: MakeSim) -> None:
    sim = make_sim(num_lines=8, line_names={2: "twin", 5: "twin", 7: "6"})
    with gpiod.Chip(sim.dev_path) as chip:
        assert [chip.line_offset_from_id(id) for id in ("twin", "6", 6, "5")] == [2, 7, 6, 5]
        with chip.request_lines({(5, "twin"): None}) as request:
            assert (request.offsets, request.lines) == ([5, 2], [5, "twin"])


def test_a_closed_chip_can_not_be_used(sim: Sim) -> None:
    chip = gpiod.Chip(sim.dev_path)
    chip.close()
    for use in (
        lambda: chip.path,
        lambda: chip.fd,
        chip.fileno,
        chip.get_info,
        chip.__enter__,
        chip.read_info_event,
        lambda: chip.wait_info_event(0),
        lambda: chip.line_offset_from_id(0),
        lambda: chip.get_line_info(0),
        lambda: chip.watch_line_info(0),
        lambda: chip.unwatch_line_info(0),
        lambda: chip.request_lines({0: None}),
    ):
        with pytest.raises(gpiod.ChipClosedError, match="I/O operation on closed chip"):
            use()


def test_string_forms_of_a_chip(make_sim: MakeSim) -> None:
    sim = make_sim(label="foobar", num_lines=4)
    chip = gpiod.Chip(sim.dev_path)
    assert repr(chip) == f'gpiod.Chip("{sim.dev_path}")'
    with eval(repr(chip), {"gpiod": gpiod}) as again:
        assert again.path == chip.path
    assert str(chip) == (
        f'<Chip path="{sim.dev_path}" fd={chip.fd} '
        f'info=<ChipInfo name="{sim.name}" label="foobar" num_lines=4>>'
    )
    chip.close()
    assert str(chip) == repr(chip) == "<Chip CLOSED>"


def test_chip_info(make_sim: MakeSim) -> None:
    sim = make_sim(label="foobar", num_lines=16)
    with gpiod.Chip(sim.dev_path) as chip:
        info = chip.get_info()
    assert (info.name, info.label, info.num_lines) == (sim.name, "foobar", 16)
    for name in ("name", "label", "num_lines"):
        with pytest.raises(AttributeError):
            setattr(info, name, 0)


def test_line_info(make_sim: MakeSim) -> None:
    sim = make_sim(
        num_lines=4, line_names={0: "foo"}, hogs={0: ("hogger", Sim.Direction.OUTPUT_HIGH)}
    )
    with gpiod.Chip(sim.dev_path) as chip:
        assert str(chip.get_line_info(0)) == (
            '<LineInfo offset=0 name="foo" used=True consumer="hogger" '
            "direction=Direction.OUTPUT active_low=False bias=Bias.UNKNOWN "
            "drive=Drive.PUSH_PULL edge_detection=Edge.NONE event_clock=Clock.MONOTONIC "
            "debounced=False debounce_period=0:00:00>"
        )
        free = chip.get_line_info(line=2)
        assert (free.offset, free.name, free.used, free.consumer) == (2, None, False, None)
        assert free.direction is gpiod.line.Direction.INPUT
        assert chip.get_line_info("foo") == chip.get_line_info(0)
        assert chip.get_line_info("2") == free
        for wrong in (4, -1):
            with pytest.raises(ValueError):
                chip.get_line_info(wrong)
        with pytest.raises(TypeError):
            chip.get_line_info()  # type: ignore[call-arg]
