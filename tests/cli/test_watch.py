# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge watch: what the screen shows, and what its keys do."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable

import bridge as gpiod
from bridge.bench.rig import Rig
from bridge.recording import formats
from bridge.screen.app import Watch
from bridge.screen.board import Board, Row
from tests.processes import LATE_S

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
        eventually(lambda: not online(), "a chip that is gone", LATE_S)
        assert len(board.rows) == 24
        eventually(online, "the chip is back", LATE_S)
        assert any("fw-0 is gone" in text for text in board.messages)
        assert any("fw-0 is back" in text for text in board.messages)
        fresh_rig.stub.wait_armed("BUTTON_USER", LATE_S)
        fresh_rig.stub.press("BUTTON_USER")

        def counted() -> bool:
            board.refresh()
            return row_of(board, "BUTTON_USER").edges == 1

        eventually(counted, "the edge is counted", LATE_S)
    finally:
        board.close()


def test_a_chip_that_comes_back_with_other_lines(
    fresh_rig: Rig, tmp_path: Path, eventually: Eventually
) -> None:
    """Another firmware has fewer lines: those that are no more stay on the screen as gone."""
    small = tmp_path / "small.board"
    small.write_text("controller 0 lines 2\nline 0/0 OTHER\n")
    board = Board(fresh_rig.serve.socket, everything)

    def online() -> list[str]:
        board.refresh()
        return [row.name for row in board.rows.values() if row.online]

    try:
        board.refresh()
        board.follow(row_of(board, "BUTTON_USER"))
        fresh_rig.stub.kill()
        eventually(lambda: not online(), "the chips are gone", LATE_S)
        fresh_rig.stub.board = small
        fresh_rig.stub.start()
        eventually(lambda: online() == ["OTHER", "fw-0 1"], "the lines that are left", LATE_S)
        assert len(board.rows) == 24
        assert any("edges of BUTTON_USER are not counted" in text for text in board.messages)
    finally:
        board.close()


def test_chips_that_are_not_shown_are_asked_once(
    fresh_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What watch costs the service does not grow with what it does not show."""
    opened: list[str] = []

    class Counted(gpiod.Chip):
        def __init__(self, path: str) -> None:
            opened.append(path.rpartition("#")[2])
            super().__init__(path)

    monkeypatch.setattr("bridge.screen.board.Chip", Counted)
    board = Board(fresh_rig.serve.socket, lambda chip, line: chip == "fw-0")
    try:
        for _ in range(3):
            board._chips_due = 0.0
            board.refresh()
        assert opened.count("fw-1") == 1
    finally:
        board.close()


@asynccontextmanager
async def watching(rig: Rig) -> AsyncIterator[tuple[Watch, Board, Pilot[None]]]:
    """The screen, by textual's own pilot, on 80x24; the cursor is on LED_GREEN."""
    board = Board(rig.serve.socket, everything)
    app = Watch(board, rig.serve.socket, 0.1)
    try:
        async with app.run_test(size=(80, 24)) as pilot:
            await until(lambda: len(lines(app)) == 24)
            yield app, board, pilot
            await pilot.press("q")
    finally:
        board.close()


def test_keys_of_the_screen(fresh_rig: Rig) -> None:
    async def use() -> None:
        async with watching(fresh_rig) as (app, _, pilot):
            await pilot.press("t")
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

    asyncio.run(use())


def test_a_recording_that_failed_is_told(fresh_rig: Rig) -> None:
    async def use() -> None:
        async with watching(fresh_rig) as (app, board, pilot):
            await pilot.press("r")
            await until(lambda: "is held by" in board.messages[-1])
            await until(lambda: app._recorder is None)

    with fresh_rig.chip() as chip, chip.request_lines({"LED_GREEN": gpiod.LineSettings()}):
        asyncio.run(use())


def lines(app: Watch) -> dict[str, list[str]]:
    """The cells of the table, by line."""
    table = app.query_one(DataTable)
    rows = [table.get_row_at(number) for number in range(table.row_count)]
    return {row[1]: row for row in rows if row[1]}


async def until(state: Callable[[], bool]) -> bool:
    """Wait for a state of the screen."""
    deadline = time.monotonic() + LATE_S
    while not state():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    return True


class Terminal:
    """watch in a terminal of 80x24, as over ssh."""

    def __init__(self, socket: str, directory: Path, *words: str) -> None:
        """Start it in a directory; `words` are put before the command, and behind it."""
        self._tmux = ["tmux", "-L", f"watch-{os.getpid()}", "-f", "/dev/null"]
        command = f"NO_COLOR=1 {sys.executable} -m bridge.cli watch --socket {socket}"
        subprocess.run(
            [
                *(*self._tmux, "new-session", "-d", "-x", "80", "-y", "24", "-c", str(directory)),
                " ".join([command, *words]),
            ],
            check=True,
        )

    def press(self, *keys: str) -> None:
        """Press keys."""
        subprocess.run([*self._tmux, "send-keys", *keys], check=True)

    @property
    def text(self) -> str:
        """What is on the screen; nothing when the program has ended."""
        shown = subprocess.run([*self._tmux, "capture-pane", "-p"], capture_output=True, text=True)
        return shown.stdout

    def log_to(self, path: Path) -> None:
        """Write all bytes from now on to a file, too."""
        subprocess.run([*self._tmux, "pipe-pane", f"cat > {path}"], check=True)

    def close(self) -> None:
        """End it."""
        subprocess.run([*self._tmux, "kill-server"], capture_output=True)


@pytest.fixture
def terminal(fresh_rig: Rig, tmp_path: Path, eventually: Eventually) -> Iterator[Terminal]:
    """A terminal with the board of `fresh_rig`."""
    if not shutil.which("tmux"):
        pytest.skip("tmux is not installed")
    shown = Terminal(fresh_rig.serve.socket, tmp_path)
    try:
        eventually(lambda: "> LED_GREEN       in  low" in shown.text, "the screen", LATE_S)
        yield shown
    finally:
        shown.close()


def test_the_screen_on_the_page_is_what_watch_shows(
    terminal: Terminal, eventually: Eventually
) -> None:
    page = (Path(__file__).parents[2] / "docs/recording.md").read_text()
    shown = re.search(r"```text\n(fw-0 fw-1\n.*?)```", page, re.S)
    assert shown is not None

    def timeless(text: str) -> list[str]:
        lines = [line.rstrip() for line in text.rstrip().splitlines()]
        return [re.sub(r"\d\d:\d\d:\d\d", "12:34:56", line) for line in lines]

    terminal.press("h")
    eventually(
        lambda: timeless(terminal.text) == timeless(shown[1]), "the screen of the page", LATE_S
    )


def test_keys_on_a_terminal(
    fresh_rig: Rig, terminal: Terminal, tmp_path: Path, eventually: Eventually
) -> None:
    stub = fresh_rig.stub
    terminal.press("h")
    eventually(lambda: stub.state("LED_GREEN").direction == "out", "h holds", LATE_S)
    before = stub.count("LED_GREEN").edges
    terminal.press("p")
    eventually(lambda: stub.count("LED_GREEN").edges == before + 2, "p gives a pulse", LATE_S)
    assert stub.read("LED_GREEN") == 0
    terminal.press("m")
    eventually(lambda: " s since mark" in terminal.text, "m marks", LATE_S)
    terminal.press("r")
    eventually(lambda: "recording fw-0-0-" in terminal.text, "r records", LATE_S)
    eventually(lambda: list(tmp_path.glob("fw-0-0-*.vcd")), "a file", LATE_S)
    (recorded,) = tmp_path.glob("fw-0-0-*.vcd")
    stub.wait_armed("LED_GREEN", LATE_S)
    stub.pulse("LED_GREEN", 1, 1000)
    eventually(lambda: formats.read(str(recorded)).waves[0].levels == [0, 1, 0], "edges", LATE_S)
    terminal.press("r")
    eventually(lambda: f"{recorded.name} is written" in terminal.text, "r ends it", LATE_S)
    terminal.press("l")
    eventually(lambda: "link fw up vhost-user:" in terminal.text, "l shows links", LATE_S)
    terminal.press("l")
    eventually(lambda: "link fw up" not in terminal.text, "and hides them", LATE_S)
    terminal.press("q")
    eventually(lambda: not terminal.text, "its end", LATE_S)


def test_a_chip_that_goes_and_comes_back_stays_on_the_screen(
    fresh_rig: Rig, terminal: Terminal, eventually: Eventually
) -> None:
    fresh_rig.stub.kill()
    eventually(lambda: "> LED_GREEN       in  gone" in terminal.text, "it is gone", LATE_S)
    assert "fw-0 (gone) fw-1 (gone)" in terminal.text
    fresh_rig.stub.start()
    eventually(lambda: "> LED_GREEN       in  low" in terminal.text, "it is back", LATE_S)


def test_what_changes_is_drawn_and_not_all_of_it(
    fresh_rig: Rig, terminal: Terminal, tmp_path: Path, eventually: Eventually
) -> None:
    """For a console of 115,200 baud, which has 1,152 bytes for each of ten looks a second."""
    log = tmp_path / "log"
    eventually(lambda: terminal.text.count("______________") > 10, "all strips are full", LATE_S)
    fresh_rig.stub.clock("SENSOR_IRQ", 3)
    terminal.log_to(log)
    began = time.monotonic()
    eventually(lambda: log.exists() and log.stat().st_size > 5000, "the screen changes", LATE_S)
    looks = (time.monotonic() - began) * 10 + 1
    assert log.stat().st_size <= looks * 1152 + 5000


def test_without_textual_it_says_what_to_install(socket_path: str) -> None:
    code = (
        "import sys; sys.modules['textual'] = None; from bridge.cli.main import main; "
        "main(['watch'])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=LATE_S
    )
    assert "full-screen views need the Python package textual: pip install textual" in run.stderr
