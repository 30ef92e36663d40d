# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge watch: what the screen shows, and what its keys do."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from textual.widgets import DataTable

import bridge as gpiod
from bridge.bench.rig import Rig
from bridge.screen.app import Watch
from bridge.screen.board import Board, Row

LATE = 60.0
Eventually = Callable[..., None]


def everything(chip: str, line: str | None) -> bool:
    return True


def row_of(board: Board, name: str) -> Row:
    return next(row for row in board.rows.values() if row.name == name)


def test_levels_are_seen_and_nobody_is_disturbed(fresh_rig: Rig) -> None:
    board = Board(fresh_rig.serve.socket, everything)
    try:
        board.refresh()
        assert len(board.rows) == 24
        assert (row_of(board, "DIP_0").level, row_of(board, "DIP_1").level) == (True, False)
        fresh_rig.stub.drive("DIP_1", 1)
        board.refresh()
        row = row_of(board, "DIP_1")
        assert (row.level, row.edges, row.counted) == (True, 1, False)
        assert fresh_rig.stub.state("DIP_1").direction == "none"
    finally:
        board.close()


def test_a_chip_that_goes_and_comes_back_stays(fresh_rig: Rig, eventually: Eventually) -> None:
    board = Board(fresh_rig.serve.socket, everything)

    def online() -> bool:
        board.refresh()
        return row_of(board, "DIP_0").online

    try:
        board.refresh()
        board.follow(row_of(board, "BUTTON_USER"))
        fresh_rig.stub.restart()
        eventually(lambda: not online(), "a chip that is gone", LATE)
        assert len(board.rows) == 24
        eventually(online, "the chip is back", LATE)
        assert any("fw-0 is gone" in text for text in board.messages)
        assert any("fw-0 is back" in text for text in board.messages)
        fresh_rig.stub.wait_armed("BUTTON_USER", LATE)
        fresh_rig.stub.press("BUTTON_USER")

        def counted() -> bool:
            board.refresh()
            return row_of(board, "BUTTON_USER").edges == 1

        eventually(counted, "the edge is counted", LATE)
    finally:
        board.close()


def test_keys_of_the_screen(fresh_rig: Rig) -> None:
    """By textual's own pilot, on 80x24."""

    async def use() -> None:
        board = Board(fresh_rig.serve.socket, everything)
        app = Watch(board, fresh_rig.serve.socket, 0.1)
        try:
            async with app.run_test(size=(80, 24)) as pilot:
                await until(lambda: len(lines(app)) == 24)
                await pilot.press("t")  # the cursor is on LED_GREEN
                await until(lambda: fresh_rig.stub.read("LED_GREEN") == 1)
                await until(lambda: lines(app)["LED_GREEN"][2:4] == ["out", "high"])
                await until(lambda: "gpio-bridge watch" in lines(app)["LED_GREEN"][7])
                await pilot.press("u")
                await until(lambda: fresh_rig.stub.state("LED_GREEN").direction == "none")
                await pilot.press("slash", *"button_user", "enter")
                await until(lambda: list(lines(app)) == ["BUTTON_USER"])
                await pilot.press("e")
                await until(lambda: fresh_rig.stub.state("BUTTON_USER").armed)
                fresh_rig.stub.press("BUTTON_USER")
                await until(lambda: lines(app)["BUTTON_USER"][3] == "low")
                await pilot.press("q")
        finally:
            board.close()

    asyncio.run(use())


def test_a_recording_that_failed_is_told(fresh_rig: Rig) -> None:
    async def use() -> None:
        board = Board(fresh_rig.serve.socket, everything)
        app = Watch(board, fresh_rig.serve.socket, 0.1)
        try:
            async with app.run_test(size=(80, 24)) as pilot:
                await until(lambda: len(lines(app)) == 24)
                await pilot.press("r")  # the cursor is on LED_GREEN
                await until(lambda: app._recorder is not None and app._recorder.poll() is not None)
                await pilot.press("r")
                assert "is held by" in board.messages[-1]
                await pilot.press("q")
        finally:
            board.close()

    with fresh_rig.chip() as chip, chip.request_lines({"LED_GREEN": gpiod.LineSettings()}):
        asyncio.run(use())


def lines(app: Watch) -> dict[str, list[str]]:
    """The cells of the table, by line."""
    table = app.query_one(DataTable)
    rows = [table.get_row_at(number) for number in range(table.row_count)]
    return {row[1]: row for row in rows if row[1]}


async def until(state: Callable[[], bool]) -> bool:
    """Wait for a state of the screen."""
    deadline = time.monotonic() + LATE
    while not state():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    return True


def test_on_a_terminal_without_colours(fresh_rig: Rig, eventually: Eventually) -> None:
    """In tmux, as over ssh; and without colours."""
    if not shutil.which("tmux"):
        pytest.skip("tmux is not installed")
    tmux = ["tmux", "-L", f"watch-{os.getpid()}", "-f", "/dev/null"]
    command = f"NO_COLOR=1 {sys.executable} -m bridge.cli watch --socket {fresh_rig.serve.socket}"
    subprocess.run([*tmux, "new-session", "-d", "-x", "80", "-y", "24", command], check=True)

    def screen() -> str:
        shown = subprocess.run([*tmux, "capture-pane", "-p"], capture_output=True, text=True)
        return shown.stdout

    try:
        eventually(lambda: "DIP_0           in  high" in screen(), "the screen", LATE)
        assert "> LED_GREEN       in  low" in screen()
        assert "q quit" in screen()
        subprocess.run([*tmux, "send-keys", "q"], check=True)
        eventually(lambda: not screen(), "its end", LATE)
    finally:
        subprocess.run([*tmux, "kill-server"], capture_output=True)


def test_without_textual_it_says_what_to_install(socket_path: str) -> None:
    code = (
        "import sys; sys.modules['textual'] = None; from bridge.cli.main import main; "
        "main(['watch'])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LATE)
    assert "full-screen views need the Python package textual: pip install textual" in run.stderr
