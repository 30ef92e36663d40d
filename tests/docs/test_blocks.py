# SPDX-License-Identifier: BSD-3-Clause
"""Every block of code in the documentation is run, or says what it needs.

The language of a block says what is done with it:

    sh        commands, with a comment behind some
    console   `$ command`, and what it prints: numbers may be others
    python    a program; `<!-- after: CODE -->` before it is run first
    toml      a configuration of the service, which `serve --check` takes
    c, dts, ini, json, text    nothing

`<!-- needs: WHAT -->` before a block says why it is not run here. All commands of a page
are one session of a shell, below a directory of its own that is /tmp and /run to it. What
would run in a terminal of its own, firmware and service, runs in the background; a page that
starts none finds both running.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from bridge.bench.rig import Serve
from firmware_stub import Stub
from tests.processes import LATE_S

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "examples/README.md", *sorted(ROOT.glob("docs/**/*.md"))]
RUN = ("sh", "console", "python", "toml")
OTHERS = ("c", "dts", "ini", "json", "text")
_BLOCK = re.compile(
    r"^(?:<!-- (?P<word>needs|after): (?P<text>.*?) -->\n)?"
    r"```(?P<language>[^\n]*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_SERVER = re.compile(r"python -m firmware_stub\b|gpio-bridge serve\b(?!.*--check)")
_DONE = "--- done "


class Block(NamedTuple):
    """A block of code: `marker` is what the comment before it says."""

    line: int
    language: str
    code: str
    marker: tuple[str | None, str]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(
            text.count("\n", 0, found.start("language")) + 1,
            found["language"],
            found["code"],
            (found["word"], found["text"] or ""),
        )
        for found in _BLOCK.finditer(text)
    ]


def commands(block: Block) -> list[tuple[str, list[str]]]:
    """The commands of a block, and the lines that each is to print."""
    found: list[tuple[str, list[str]]] = []
    code = block.code.replace("\\\n", " ")
    if block.language == "sh":
        # A here-document belongs to its command.
        whole = re.finditer(r"^(?:.*<<'(\w+)'\n(?:.*\n)*?\1\n|.+\n)", code, re.MULTILINE)
        return [(match[0].rstrip("\n"), []) for match in whole]
    for line in code.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


class Session:
    """A shell, and the firmware and service that it uses."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._stack = contextlib.ExitStack()
        self._served = False
        self._environment = {
            **os.environ,
            "GPIO_BRIDGE_SOCKET": str(directory / "gpio.sock"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }
        self._shell = subprocess.Popen(
            ["bash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=self._environment,
            start_new_session=True,
        )
        self._pending = b""
        (directory / "examples").symlink_to(ROOT / "examples")

    def close(self) -> None:
        """End what runs."""
        os.killpg(self._shell.pid, signal.SIGTERM)
        self._shell.communicate(timeout=LATE_S)
        self._stack.close()

    def local(self, text: str) -> str:
        """Text with the paths of this session."""
        return re.sub(r"(?<![\w/])/(?:tmp|run)/", f"{self.directory}/", text)

    def need(self, code: str) -> None:
        """Start what a block counts on: firmware at each socket, else a service on one."""
        if not _SERVER.search(code) and "--link" not in code and not self._served:
            self._start_firmware("fw.sock")
            service = Serve(self.directory, "--link", f"vhost-user:{self.directory}/fw.sock")
            service.socket = str(self.directory / "gpio.sock")
            self._stack.enter_context(service).wait_for_chips(2)
            self._served = True
        for name in re.findall(r"vhost-user:/(?:tmp|run)/([\w.]+)", code):
            self._start_firmware(name)

    def _start_firmware(self, name: str) -> None:
        if not (self.directory / name).exists():
            self._stack.enter_context(Stub("demo", socket=self.directory / name))

    def run(self, command: str, expected: list[str]) -> None:
        """Run a command, and compare what it prints where something is expected."""
        if _SERVER.search(command):
            self._serve(command)
            return
        status, output = self._ask(self.local(command), len(expected))
        assert status == 0 or expected, f"{command}: status {status}\n{output}"
        if expected:
            wanted = self.local("\n".join(expected))
            assert re.fullmatch(_pattern(wanted), output.strip()), (
                f"{command} printed\n{output}\ninstead of\n{wanted}"
            )

    def _serve(self, command: str) -> None:
        """Run in the background, and wait until somebody listens."""
        self._served = self._served or "gpio-bridge serve" in command
        told = re.search(r"--socket (\S+)", command)
        if told is None or "gpio-bridge serve" in command:
            # When a page starts two services, the second one takes the place of the first.
            self._ask("kill $service && wait $service", 0)
        socket = Path(self.local(told[1]) if told else self.directory / "gpio.sock")
        log = self.directory / "log"
        background = self.local(command).removesuffix("&")
        self._ask(f"{background} >{log} 2>&1 &", 0)
        if "gpio-bridge serve" in command:
            self._ask("service=$!", 0)
        deadline = time.monotonic() + LATE_S
        while not socket.exists():
            assert self._ask("kill -0 $!", 0)[0] == 0, f"{command}: {log.read_text()}"
            assert time.monotonic() < deadline, f"{command}: {log.read_text()}"
            time.sleep(0.01)
        if "gpio-bridge serve" in command:
            self._ask("until gpio-bridge detect | grep -q .; do sleep 0.05; done", 0)

    def _ask(self, command: str, lines: int) -> tuple[int, str]:
        """Have the shell run a command: its status, and what was printed until then.

        What was started in the background may print the last of so many lines later.
        """
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{command}\necho; echo '{_DONE}'$?\n".encode())
        self._shell.stdin.flush()
        output = ""
        status: int | None = None
        deadline = time.monotonic() + LATE_S
        while status is None or len(output.splitlines()) < lines:
            line = self._line(deadline, f"{command}\n{output}")
            if line.startswith(_DONE):
                status = int(line.removeprefix(_DONE))
                output = output.removesuffix("\n")
            else:
                output += line
        return status, output

    def _line(self, deadline: float, what: str) -> str:
        assert self._shell.stdout is not None
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self._shell.stdout], [], [], left)[0], what
            piece = os.read(self._shell.stdout.fileno(), 65536)
            assert piece, f"the shell ended: {what}"
            self._pending += piece
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode() + "\n"

    def python(self, code: str) -> None:
        """Run a program."""
        run = subprocess.run(
            [sys.executable, "-c", self.local(code)],
            cwd=self.directory,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=LATE_S,
        )
        assert run.returncode == 0, run.stderr

    def toml(self, code: str) -> None:
        """Have a configuration checked; one that has no link gets one."""
        file = self.directory / "config.toml"
        file.write_text(self.local(code))
        link = "" if "[[link]]" in code else "--link vhost-user:/tmp/fw.sock"
        status, said = self._ask(self.local(f"gpio-bridge serve -c {file} {link} --check"), 0)
        assert status == 0, said


def _pattern(text: str) -> str:
    """A pattern for a text in which numbers, and blanks between words, may differ."""
    escaped = re.escape(" ".join(text.split()))
    return re.sub(r"\d+", r"\\d+", escaped).replace("\\ ", r"\s+")


@pytest.fixture
def session() -> Iterator[Session]:
    """A shell in a directory whose name is short enough for sockets."""
    directory = Path(tempfile.mkdtemp(prefix="docs-"))
    running = Session(directory)
    try:
        yield running
    finally:
        running.close()
        shutil.rmtree(directory)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_says_what_it_is(page: Path) -> None:
    fences = len(re.findall(r"^ *```", page.read_text(), re.MULTILINE))
    assert fences == 2 * len(blocks(page)), "a fence that is indented, or never closed"
    for block in blocks(page):
        known = ", ".join((*RUN, *OTHERS))
        assert block.language in (*RUN, *OTHERS), (
            f"{page.name}:{block.line}: say what the block is behind its first ```: {known}"
        )
        if block.language == "text":
            command = re.search(r"^(\$ |gpio-bridge |python |make )", block.code, re.MULTILINE)
            assert not command, f"{page.name}:{block.line}: this is sh or console, not text"


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(block.language in RUN for block in blocks(page))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_every_block_runs(page: Path, session: Session) -> None:
    for block in blocks(page):
        word, text = block.marker
        if block.language not in RUN or word == "needs":
            continue
        if block.language == "toml":
            session.toml(block.code)
            continue
        session.need(block.code)
        if block.language == "python":
            session.python(f"{text}\n{block.code}" if word == "after" else block.code)
        else:
            for command, expected in commands(block):
                session.run(command, expected)
