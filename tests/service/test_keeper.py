# SPDX-License-Identifier: BSD-3-Clause
"""Outputs that stay: kept by the service when the program that set them has ended."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.bench.rig import Serve
from bridge.client.chip import Chip
from bridge.client.control import Connection
from bridge.client.line_settings import LineSettings
from bridge.line import Direction, Value
from firmware_stub import Stub
from tests.processes import LATE_S
from tests.users import ALICE, BOB, needs_root, open_directory, user

Eventually = Callable[[Callable[[], bool], str], None]

LED, LOOP_OUT, BUTTON = 0, 4, 6
ON, OFF = Value.ACTIVE, Value.INACTIVE


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub("demo") as started:
        yield started


@pytest.fixture
def serve(stub: Stub, tmp_path: Path) -> Iterator[Serve]:
    with Serve(tmp_path, "--link", f"{stub.url},name=fw", "--timeout-ms", "10000") as started:
        started.wait_for_chips(2)
        yield started


def tool(serve: Serve, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bridge.cli", words[0], "--socket", serve.socket, *words[1:]],
        capture_output=True,
        text=True,
        timeout=LATE_S,
    )


def kept(serve: Serve) -> list[dict[str, Any]]:
    connection = Connection.open(serve.socket)
    try:
        found: list[dict[str, Any]] = connection.call("status")["kept"]
        return found
    finally:
        connection.close()


def test_an_output_stays_when_the_tool_has_ended(serve: Serve, stub: Stub) -> None:
    assert tool(serve, "keep", "LED_GREEN=on").returncode == 0
    assert stub.state("LED_GREEN").direction == "out" and stub.read("LED_GREEN") == 1
    assert 'consumer="gpio-bridge keep"' in tool(serve, "info", "LED_GREEN").stdout
    assert "kept     fw-0:LED_GREEN" in tool(serve, "status").stdout
    assert tool(serve, "keep", "LED_GREEN=off").returncode == 0
    assert stub.read("LED_GREEN") == 0 and stub.state("LED_GREEN").direction == "out"
    (line,) = kept(serve)
    assert line == {
        "chip": "fw-0", "offset": LED, "name": "LED_GREEN", "value": 0, "uid": os.getuid(),
        "consumer": "gpio-bridge keep", "on_restart": "restore", "held": True, "why": "",
    }  # fmt: skip
    assert tool(serve, "release", "LED_GREEN").returncode == 0
    assert stub.state("LED_GREEN").direction == "none"
    assert kept(serve) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("keep", "LED_GREEN"), "write LINE=VALUE"),
        (("keep", "LED_GREN=1"), "cannot find line 'LED_GREN'"),
        (("keep", "LOOP_OUT=1"), 'is held by "a test"'),
        (("release", "LED_GREEN"), "is not kept: it is free"),
        (("release", "LOOP_OUT"), 'is not kept: "a test" holds it'),
        (("keep", "--on-restart", "hold", "LED_GREEN=1"), "invalid policy"),
    ],
)
def test_what_cannot_be_kept_or_released(
    serve: Serve, words: tuple[str, ...], sentence: str
) -> None:
    with (
        Chip(f"{serve.socket}#fw-0") as chip,
        chip.request_lines({LOOP_OUT: LineSettings(direction=Direction.OUTPUT)}, "a test"),
    ):
        told = tool(serve, *words)
    assert told.returncode == 1 and sentence in told.stderr
    assert kept(serve) == []


def test_of_several_lines_all_are_kept_or_none(serve: Serve, stub: Stub) -> None:
    with (
        Chip(f"{serve.socket}#fw-0") as chip,
        chip.request_lines({LOOP_OUT: LineSettings(direction=Direction.OUTPUT)}),
    ):
        with pytest.raises(OSError) as error:
            chip.keep_lines({LED: ON, LOOP_OUT: ON})
        assert error.value.errno == errno.EBUSY
        assert kept(serve) == [] and stub.state("LED_GREEN").direction == "none"
        chip.keep_lines({LED: ON, "DIP_0": OFF})
        chip.release_lines([LED, "DIP_0"])


def test_a_raw_client_cannot_keep_an_input_or_with_a_strange_policy(serve: Serve) -> None:
    with Chip(f"{serve.socket}#fw-0") as chip:
        connection = Connection.open(serve.socket)
        packed = bytes(272)
        for extra, sentence in (({}, "only outputs"), ({"on_restart": "hold"}, "on_restart is")):
            with pytest.raises((OSError, ValueError), match=sentence):
                connection.call("keep", chip="fw-0", offsets=[BUTTON], config=packed, **extra)
        connection.close()
        assert not chip.get_line_info(BUTTON).used


def test_a_kept_line_is_nobody_elses(serve: Serve) -> None:
    with Chip(f"{serve.socket}#fw-0") as chip:
        chip.keep_lines({LED: ON}, consumer="lab")
        with pytest.raises(OSError, match=r'is kept by "lab" of user id \d+ \(gpio-bridge release'):
            chip.request_lines({LED: LineSettings(direction=Direction.OUTPUT)})


def test_services_whose_sockets_differ_in_their_end_keep_apart(stub: Stub, tmp_path: Path) -> None:
    serve = Serve(tmp_path, "--link", f"{stub.url},name=fw")
    serve.socket = str(tmp_path / "board.1")
    with serve:
        serve.wait_for_chips(2)
        with Chip(f"{serve.socket}#fw-0") as chip:
            chip.keep_lines({LED: ON})
        assert (tmp_path / "board.1.kept").exists()


@needs_root
def test_another_user_neither_changes_nor_releases_it(stub: Stub) -> None:
    with (
        open_directory() as directory,
        Serve(directory, "--link", f"{stub.url},name=fw", "--mode", "0666") as serve,
    ):
        serve.wait_for_chips(2)
        with Chip(f"{serve.socket}#fw-0") as chip:
            chip.keep_lines({LED: ON}, consumer="lab")
        with user(ALICE):
            chip = Chip(f"{serve.socket}#fw-0")
        with chip:
            for act in (lambda: chip.keep_lines({LED: OFF}), lambda: chip.release_lines([LED])):
                with pytest.raises(OSError, match='is kept by "lab" of user id 0') as error:
                    act()
                assert error.value.errno == errno.EBUSY
            chip.keep_lines({LOOP_OUT: ON})
        assert [(one["uid"], one["value"]) for one in kept(serve)] == [(0, 1), (ALICE, 1)]
        with Chip(f"{serve.socket}#fw-0") as chip:
            chip.release_lines([LOOP_OUT])  # root may
        assert [one["uid"] for one in kept(serve)] == [0]


@needs_root
def test_who_may_not_see_a_line_hears_nothing_of_it(stub: Stub) -> None:
    with open_directory() as directory:
        rules = directory / "rules.toml"
        rules.write_text(f'[[access]]\nlines = ["LED_GREEN"]\nusers = [{ALICE}]\nmay = ["drive"]\n')
        rules.chmod(0o644)
        link = f"{stub.url},name=fw"
        with Serve(directory, "-c", str(rules), "--link", link, "--mode", "0666") as serve:
            serve.wait_for_chips(2)
            with user(ALICE), Chip(f"{serve.socket}#fw-0") as chip:
                chip.keep_lines({LED: ON}, consumer="hers")
                assert [one["consumer"] for one in kept(serve)] == ["hers"]
            with user(BOB), Chip(f"{serve.socket}#fw-0") as chip:
                for act in (lambda: chip.keep_lines({LED: OFF}), lambda: chip.release_lines([LED])):
                    with pytest.raises(PermissionError, match="may not see line 0 of") as error:
                        act()
                    assert "hers" not in str(error.value)
                assert kept(serve) == []
            assert [one["consumer"] for one in kept(serve)] == ["hers"]


def test_a_consumer_is_escaped_where_it_is_named(serve: Serve) -> None:
    held = {LOOP_OUT: LineSettings(direction=Direction.OUTPUT)}
    with (
        Chip(f"{serve.socket}#fw-0") as chip,
        chip.request_lines(held, "a\x1b[2Jtest"),
        pytest.raises(ValueError) as error,
    ):
        chip.release_lines([LOOP_OUT])
    assert 'not kept: "a\\x1b[2Jtest" holds it' in error.value.args[1]


def test_it_counts_on_the_account_of_its_user(serve: Serve) -> None:
    def lines() -> int:
        connection = Connection.open(serve.socket)
        try:
            users = connection.call("status")["users"]
            return int(next(user["lines"] for user in users if user["uid"] == os.getuid()))
        finally:
            connection.close()

    with Chip(f"{serve.socket}#fw-0") as chip:
        chip.keep_lines({LED: ON, LOOP_OUT: ON})
        assert lines() == 2
        chip.release_lines([LED, LOOP_OUT])
        assert lines() == 0


def wait(condition: Callable[[], bool], serve: Serve) -> None:
    """Wait for what comes with the chips, at most as long as for them."""
    connection = Connection.open(serve.socket)
    try:
        for _ in range(2000):
            if condition():
                return
            connection.wait(30, count=2)
    finally:
        connection.close()
    raise AssertionError(kept(serve))


def test_it_is_driven_again_when_the_firmware_restarts(serve: Serve, stub: Stub) -> None:
    with Chip(f"{serve.socket}#fw-0") as chip:
        chip.keep_lines({"LED_GREEN": ON})
        chip.keep_lines({"LOOP_OUT": ON}, on_restart="release")
    stub.restart()
    wait(
        lambda: [(one["name"], one["held"]) for one in kept(serve)] == [("LED_GREEN", True)], serve
    )
    assert stub.read("LED_GREEN") == 1 and stub.state("LED_GREEN").direction == "out"
    assert stub.state("LOOP_OUT").direction == "none"


def test_the_next_service_keeps_it(serve: Serve, stub: Stub, tmp_path: Path) -> None:
    with Chip(f"{serve.socket}#fw-0") as chip:
        chip.keep_lines({"LED_GREEN": ON})
    assert serve.process is not None
    serve.process.kill()
    serve.process.wait()
    assert stub.read("LED_GREEN") == 1, "pins stay"
    with Serve(tmp_path, "--link", f"{stub.url},name=fw") as following:
        following.wait_for_chips(2)
        wait(lambda: [one["held"] for one in kept(following)] == [True], following)
        assert tool(following, "release", "LED_GREEN").returncode == 0
        assert not (tmp_path / "control.kept").exists()


@pytest.mark.parametrize("content", ["", "{}", "[1]", '[{"chip": "fw-0"}]', "[" * 100_000])
def test_a_strange_file_of_kept_lines_is_no_harm(
    stub: Stub, tmp_path: Path, content: str, eventually: Eventually
) -> None:
    (tmp_path / "control.kept").write_text(content)
    (tmp_path / "control.kept").chmod(0o600)
    with Serve(tmp_path, "--link", f"{stub.url},name=fw") as serve:
        serve.wait_for_chips(2)
        assert kept(serve) == []
        why = "kept any more" if "[{" in content or content == "[1]" else "known any more"
        eventually(lambda: why in serve.log, why)


def entry(**other: object) -> dict[str, object]:
    """A line in the file of kept lines."""
    return {"chip": "fw-0", "name": "LED_GREEN", "uid": os.getuid(), "groups": [], "consumer": "x",
            "offset": 0, "flags": 8, "value": 1, "on_restart": "restore", **other}  # fmt: skip


def resumed(tmp_path: Path, *entries: dict[str, object]) -> None:
    """What the service before this one has kept."""
    (tmp_path / "control.kept").write_text(json.dumps(entries))
    (tmp_path / "control.kept").chmod(0o600)


def test_a_strange_line_in_the_file_costs_no_other_one(stub: Stub, tmp_path: Path) -> None:
    resumed(tmp_path, {**entry(), "flags": "x"}, entry())
    with Serve(tmp_path, "--link", f"{stub.url},name=fw") as serve:
        wait(lambda: [one["held"] for one in kept(serve)] == [True], serve)
    assert stub.read("LED_GREEN") == 1


def test_a_line_of_a_chip_that_is_gone_for_good_is_released(stub: Stub, tmp_path: Path) -> None:
    resumed(tmp_path, *(entry(chip="old-0", offset=at, name=n) for at, n in ((0, "X"), (1, None))))
    with Serve(tmp_path, "--link", f"{stub.url},name=fw") as serve:
        serve.wait_for_chips(2)
        assert "kept     old-0:X" in tool(serve, "status").stdout
        wrong = tool(serve, "release", "-c", "old-0", "2")
        assert wrong.returncode == 1 and "cannot find" in wrong.stderr
        assert tool(serve, "release", "X").returncode == 0
        assert [one["offset"] for one in kept(serve)] == [1]
        assert tool(serve, "release", "-c", "old-0", "1").returncode == 0
        assert kept(serve) == [] and not (tmp_path / "control.kept").exists()


@needs_root
def test_nobody_else_releases_a_line_of_a_chip_that_is_gone(stub: Stub) -> None:
    with open_directory() as directory:
        resumed(directory, entry(chip="old-0"))
        with Serve(directory, "--link", f"{stub.url},name=fw", "--mode", "0666") as serve:
            serve.wait_for_chips(2)
            with user(ALICE):
                connection = Connection.open(serve.socket)
                with pytest.raises(OSError, match='there is no chip "old-0"'):
                    connection.call("release", chip="old-0", offsets=[0])
                connection.close()
            assert len(kept(serve)) == 1


def test_firmware_that_restarts_while_no_service_runs_counts(
    serve: Serve, stub: Stub, tmp_path: Path
) -> None:
    with Chip(f"{serve.socket}#fw-0") as chip:
        chip.keep_lines({"LED_GREEN": ON})
        chip.keep_lines({"LOOP_OUT": ON}, on_restart="release")
    assert serve.process is not None
    serve.process.kill()
    serve.process.wait()
    stub.restart()
    with Serve(tmp_path, "--link", f"{stub.url},name=fw") as following:
        following.wait_for_chips(2)
        expected = [("LED_GREEN", True)]
        wait(lambda: [(one["name"], one["held"]) for one in kept(following)] == expected, following)
        assert stub.state("LOOP_OUT").direction == "none"


def test_a_line_is_not_driven_on_what_may_be_another_controller(tmp_path: Path) -> None:
    board = "".join(f'controller {n} channel rpmsg-raw label "{n}" lines 2\n' for n in (0, 1))
    with Stub(board) as stub:
        unnamed = {"name": None, "controller": {"label": "B", "address": 0x400, "epoch": 1}}
        resumed(tmp_path, entry(**unnamed))
        with Serve(tmp_path, "--link", f"{stub.url},name=fw") as serve:
            wait(lambda: "may be another controller" in str(kept(serve)), serve)
            assert stub.state("0/0").direction == "none"


def test_lines_whose_names_have_changed_places_are_both_kept(stub: Stub, tmp_path: Path) -> None:
    before = (("LED_RED", 0, 1), ("LED_GREEN", 1, 0))
    resumed(tmp_path, *(entry(name=n, offset=at, value=value) for n, at, value in before))
    with Serve(tmp_path, "--link", f"{stub.url},name=fw") as serve:
        serve.wait_for_chips(2)
        wait(lambda: [one["held"] for one in kept(serve)] == [True, True], serve)
        assert [(one["name"], one["value"]) for one in kept(serve)] == [
            ("LED_GREEN", 0), ("LED_RED", 1),
        ]  # fmt: skip
        assert stub.read("LED_RED") == 1 and stub.read("LED_GREEN") == 0


def test_a_file_that_others_may_write_counts_for_nothing(
    stub: Stub, tmp_path: Path, eventually: Eventually
) -> None:
    resumed(tmp_path, entry())
    (tmp_path / "control.kept").chmod(0o622)
    with Serve(tmp_path, "--link", f"{stub.url},name=fw") as serve:
        serve.wait_for_chips(2)
        assert kept(serve) == []
        eventually(lambda: "others may write to it" in serve.log, "a word about it")


def test_a_link_url_keeps_nothing(stub: Stub) -> None:
    with Chip(stub.url) as chip, pytest.raises(NotImplementedError, match="keeps nothing"):
        chip.keep_lines({LED: ON})
