# SPDX-License-Identifier: BSD-3-Clause
"""The screen itself, by textual."""

from __future__ import annotations

import asyncio
import fcntl
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.coordinate import Coordinate
from textual.geometry import Region
from textual.widgets import DataTable, Input, Static

from bridge.client.line_info import LineInfo
from bridge.line import Bias, Direction, Drive
from bridge.screen.board import Board, Row
from bridge.text import printable

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Watch"]

_KEYS = "/ find e edges h hold t toggle p pulse u release m mark r record l links q quit"
_NAME_COLUMNS = 15
_COLUMNS = (("", 1), ("line", _NAME_COLUMNS), ("dir", 3), ("lvl", 4), ("edges/s", 8), ("last", 8))
_STRIP_COLUMNS = 14
_ABOUT_COLUMNS = 20  # of 80
_PANEL_S = 1.0  # how often links and clients are asked for
_LEVELS = {None: "?", False: "low", True: "high"}
_STRIP = {None: " ", False: "_", True: "-"}


class Lines(DataTable[str]):
    """A table that draws again what changed, and not all of it: a serial console is slow."""

    _changing = False

    def put(self, at: Coordinate, text: str) -> None:
        """Change a cell."""
        self._changing = True
        try:
            self.update_cell_at(at, text)
        finally:
            self._changing = False
        self.refresh_coordinate(at)

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> Self:
        """Draw again; not everything for a cell that changes."""
        if self._changing and not regions:
            return self
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)


class Watch(App[None]):
    """Chips and lines of a service."""

    CSS = """
    Lines { height: 1fr; scrollbar-size: 1 1; overflow-x: hidden; }
    #filter { height: 1; border: none; display: none; }
    #panel { height: auto; max-height: 14; display: none; }
    #status, #message, #keys { height: 1; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        ("slash", "filter", "filter"),
        ("escape", "leave", "leave"),
        ("e", "edges", "edges"),
        ("h", "hold", "hold"),
        ("t,space", "toggle_output", "toggle"),
        ("p", "pulse", "pulse"),
        ("u", "release", "release"),
        ("m", "mark", "mark"),
        ("r", "record", "record"),
        ("l", "links", "links"),
        ("q", "quit", "quit"),
    ]

    def __init__(self, board: Board, socket: str, period_s: float) -> None:
        """Show a board that is on the service of `socket`, looking again every `period_s`."""
        super().__init__()
        self._board = board
        self._socket = socket
        self._period_s = period_s
        self._looking = asyncio.Lock()
        self._filter = ""
        self._shown: list[tuple[str, int]] = []
        self._cells: list[tuple[str, ...]] = []
        self._marked: float | None = None
        self._recorder: subprocess.Popen[str] | None = None
        self._recorded = ""
        self._panel_due = 0.0

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield Static(id="status", markup=False)
        yield Lines(cursor_type="row", zebra_stripes=False, cell_padding=0)
        yield Static(id="panel", markup=False)
        yield Input(placeholder="part of a name", id="filter", compact=True)
        yield Static(id="message", markup=False)
        yield Static(_KEYS, id="keys", markup=False)

    async def on_mount(self) -> None:
        """Begin to look."""
        table = self._table
        for head, width in _COLUMNS:
            table.add_column(head, width=width + 1)
        table.add_column("signal", width=_STRIP_COLUMNS + 1)
        table.add_column("consumer, settings", width=40)
        table.focus()
        self.set_interval(self._period_s, self._look)
        await self._look()

    async def on_unmount(self) -> None:
        """End what we started."""
        self._stop_recording()

    @property
    def _table(self) -> Lines:
        return self.query_one(Lines)

    @property
    def _panel(self) -> Static:
        return self.query_one("#panel", Static)

    # ---- what is shown -------------------------------------------------------------

    async def _look(self) -> None:
        """Look at the board, in a thread, unless the last look still goes on, or its picture."""
        if self._looking.locked() or _shows_still():
            return
        async with self._looking:
            await asyncio.to_thread(self._board.refresh)
            if self._panel.display and time.monotonic() >= self._panel_due:
                await self._show_panel()
        recorder = self._recorder
        if recorder is not None and recorder.poll() is not None:
            self._stop_recording()  # it failed
        self._show()

    def _show(self) -> None:
        """Draw what changed."""
        rows = [
            row
            for _, row in sorted(self._board.rows.items())
            if self._filter in row.name.lower() or self._filter in row.chip.lower()
        ]
        table = self._table
        keys = [(row.chip, row.offset) for row in rows]
        if keys != self._shown:
            at = table.cursor_row
            table.clear()
            self._cells = []
            for _ in rows:
                table.add_row(*[""] * 8)
                self._cells.append(("",) * 8)
            self._shown = keys
            if rows:
                table.move_cursor(row=min(at, len(rows) - 1))
        now = time.monotonic()
        for number, row in enumerate(rows):
            cells = self._row(row, number == table.cursor_row, now)
            for column, (old, new) in enumerate(zip(self._cells[number], cells, strict=True)):
                if old != new:
                    table.put(Coordinate(number, column), new)
            self._cells[number] = cells
        self._text("#status", self._status(now))
        self._text("#message", printable(self._board.messages[-1]) if self._board.messages else "")

    def _text(self, where: str, text: str) -> None:
        widget = self.query_one(where, Static)
        if str(widget.content) != text:
            widget.update(text)

    def _row(self, row: Row, selected: bool, now: float) -> tuple[str, ...]:
        info = row.info
        direction = "out" if info and info.direction is Direction.OUTPUT else "in"
        rate = f"{row.rate:.3g}" if row.counted else f"~{row.rate:.3g}"
        last = "" if row.last is None else _ago(now - row.last)
        strip = "".join(_STRIP[level] for level in list(row.strip)[-_STRIP_COLUMNS:])
        return (
            ">" if selected else " ",
            printable(row.name)[:_NAME_COLUMNS],
            direction,
            _LEVELS[row.level] if row.online else "gone",
            rate if row.rate else "",
            last,
            strip,
            _about(info),
        )

    def _status(self, now: float) -> str:
        """What goes on, the line of the cursor where the table cuts it off, and the chips."""
        chips = sorted({row.chip for row in self._board.rows.values()})
        online = {row.chip for row in self._board.rows.values() if row.online}
        parts = []
        if self._filter:
            parts.append(f"filter: {self._filter}")
        if self._recorder is not None:
            parts.append(f"recording {self._recorded}")
        if self._marked is not None:
            parts.append(f"{now - self._marked:.1f} s since mark")
        if 0 <= self._table.cursor_row < len(self._shown):
            row = self._board.rows[self._shown[self._table.cursor_row]]
            name, about = printable(row.name), _about(row.info)
            if len(name) > _NAME_COLUMNS or len(about) > _ABOUT_COLUMNS:
                parts.append(f"{name}: {about}" if about else name)
        parts.append(" ".join(chip if chip in online else f"{chip} (gone)" for chip in chips))
        return "  ".join(parts) or "no chip is online"

    # ---- keys ----------------------------------------------------------------------

    async def _do(self, what: Callable[[Row], None]) -> None:
        """Do something with the line that the cursor is on; what goes wrong is a message."""
        at = self._table.cursor_row
        if not 0 <= at < len(self._shown):
            return
        row = self._board.rows[self._shown[at]]
        async with self._looking:
            try:
                await asyncio.to_thread(what, row)
            except (OSError, ValueError) as error:
                self._board.say(str(error.args[-1]))
        self._show()

    async def action_edges(self) -> None:
        """Count the edges of a line, or end that."""
        board = self._board
        await self._do(lambda row: board.let_go(row) if board.follows(row) else board.follow(row))

    async def action_hold(self) -> None:
        """Hold a line as an output."""
        await self._do(self._board.hold)

    async def action_toggle_output(self) -> None:
        """Toggle an output."""
        await self._do(self._board.toggle)

    async def action_pulse(self) -> None:
        """Toggle an output and back."""
        await self._do(self._board.pulse)

    async def action_release(self) -> None:
        """Give a line back."""
        await self._do(self._board.let_go)

    def action_mark(self) -> None:
        """Begin to tell the time since now."""
        self._marked = time.monotonic()
        self._board.say("mark")
        self._show()

    async def action_record(self) -> None:
        """Record the line that the cursor is on, or end that."""
        if self._recorder is not None:
            await asyncio.to_thread(self._stop_recording)
            self._show()
            return
        await self._do(self._start_recording)

    def _start_recording(self, row: Row) -> None:
        self._board.let_go(row)
        self._recorded = f"{row.chip}-{row.offset}-{time.strftime('%Y%m%d-%H%M%S')}.vcd"
        self._recorder = subprocess.Popen(
            [
                *(sys.executable, "-m", "bridge.cli", "record", "-q", "-o", self._recorded),
                *("-c", f"{self._socket}#{row.chip}", str(row.offset)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._board.say(f"{row.name} is recorded in {self._recorded}")

    def _stop_recording(self) -> None:
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.send_signal(signal.SIGINT)
            try:
                said = recorder.communicate(timeout=10)[1].strip()
            except subprocess.TimeoutExpired:
                recorder.kill()
                said = "the recorder did not end in 10 s, and was killed"
            failed = said or f"{self._recorded} is not written"
            self._board.say(failed if recorder.returncode else f"{self._recorded} is written")

    async def action_links(self) -> None:
        """Show links, clients and messages, or no longer."""
        async with self._looking:
            self._panel.display = not self._panel.display
            if self._panel.display:
                await self._show_panel()

    async def _show_panel(self) -> None:
        self._panel_due = time.monotonic() + _PANEL_S
        lines = await asyncio.to_thread(self._board.status)
        self._text("#panel", "\n".join(printable(line) for line in lines))

    def action_filter(self) -> None:
        """Ask for a part of names."""
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    def action_leave(self) -> None:
        """Leave the filter's field, and show all lines again."""
        field = self.query_one("#filter", Input)
        field.value = ""
        self._leave(field)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        self._filter = event.value.lower()
        self._show()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter."""
        self._leave(event.input)

    def _leave(self, field: Input) -> None:
        field.display = False
        self._table.focus()


def _shows_still() -> bool:
    """Whether a serial console has not sent all that it was given."""
    assert sys.__stderr__ is not None  # where textual draws
    try:
        left = fcntl.ioctl(sys.__stderr__.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return False  # no terminal
    return any(left)


def _ago(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"


def _about(info: LineInfo | None) -> str:
    """Who holds a line, and with which settings."""
    if info is None:
        return ""
    words = [printable(info.consumer or "kernel")] if info.used else []
    words += ["active-low"] * info.active_low
    if info.bias not in (Bias.AS_IS, Bias.UNKNOWN):
        words.append(info.bias.name.lower().replace("_", "-"))
    if info.drive is not Drive.PUSH_PULL:
        words.append(info.drive.name.lower().replace("_", "-"))
    if info.debounced:
        words.append(f"debounce {info.debounce_period.total_seconds() * 1e3:g} ms")
    return " ".join(words)
