# SPDX-License-Identifier: BSD-3-Clause
"""What libgpiod's own shell tests check of its tools, checked of ours."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

import bridge as gpiod
from bridge.bench.rig import Rig
from bridge.line import Direction
from firmware_stub import Stub
from tests.processes import LATE_S, line_of

BOARD = """
controller 0 label "first" lines 4
line 0/1 foo
line 0/2 bar
line 0/3 a-rather-long-name
controller 1 label "second" lines 8
line 1/0 baz
line 1/4 foo
line 1/7 xyz
controller 2 label "third" lines 16
line 2/7 foo
line 2/11 zed
""" + "".join(
    f"pull {chip}/{line} down\n"
    for chip, count in ((0, 4), (1, 8), (2, 16))
    for line in range(count)
)
OUTPUT = gpiod.LineSettings(direction=Direction.OUTPUT)

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]
Eventually = Callable[[Callable[[], bool], str], None]


@pytest.fixture(scope="module")
def board() -> Iterator[Rig]:
    """Three chips; foo is a line of each of them."""
    with Rig(board=BOARD) as running:
        yield running


@pytest.fixture
def stub(board: Rig) -> Iterator[Stub]:
    """The board, with all pulls down again when the test ends."""
    yield board.stub
    for chip, count in ((0, 4), (1, 8), (2, 16)):
        for line in range(count):
            board.stub.pull(f"{chip}/{line}", "down")


@pytest.fixture
def run(cli: Run, board: Rig) -> Run:
    """Run a tool to its end."""
    return partial(cli, socket=board.serve.socket)


@pytest.fixture
def start(background: Start, board: Rig) -> Start:
    """Start a tool."""
    return partial(background, socket=board.serve.socket)


def ends(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end; return the status and what was still printed."""
    out, _ = process.communicate(timeout=LATE_S)
    return int(process.returncode), out


def fails(result: subprocess.CompletedProcess[str], *sentences: str, out: str = "") -> None:
    """Check for status 1 and these messages, each with the tool's name before it."""
    assert result.returncode == 1, result
    assert result.stdout == out
    for sentence in sentences:
        assert re.search(rf"^gpio-bridge \w+: {re.escape(sentence)}", result.stderr, re.MULTILINE)
    assert "Traceback" not in result.stderr


def says(result: subprocess.CompletedProcess[str], out: str) -> None:
    """Check for status 0 and this output."""
    assert (result.returncode, result.stdout, result.stderr) == (0, out, "")


# ---- options -----------------------------------------------------------------------


def test_options_as_getopt_parses_them(run: Run) -> None:
    says(run("get", "--num", "--chip=fw-0", "1"), "0\n")
    says(run("get", "-lc", "fw-0", "--", "1"), '"1"=active\n')
    says(run("get", "-cfw-0", "1"), '"1"=inactive\n')
    fails(
        run("get", "--b", "foo"),
        "option '--b' is ambiguous; possibilities: '--bias' '--by-name'",
        "try gpio-bridge get --help",
    )
    fails(run("get", "--nope", "foo"), "unrecognized option '--nope'")
    fails(run("get", "-x", "foo"), "invalid option -- 'x'")
    fails(run("get", "--bias"), "option '--bias' requires an argument")
    fails(run("get", "-c"), "option requires an argument -- 'c'")
    fails(run("get", "--numeric=1", "foo"), "option '--numeric' doesn't allow an argument")
    says(run("mon", "--silent", "--idle-timeout", "1ms", "foo"), "")


@pytest.mark.parametrize("tool", ["detect", "info", "get", "set", "mon", "notify"])
def test_help_and_version(run: Run, tool: str) -> None:
    for flag in ("-h", "--help", "--he"):
        result = run(tool, flag, "whatever follows")
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.startswith(f"Usage: gpio-bridge {tool} ")
        assert "--version" in result.stdout
        assert all(len(line) <= 100 for line in result.stdout.splitlines())
    says(run(tool, "--version"), f"gpio-bridge {tool} v{gpiod.__version__}\n")


# ---- detect ------------------------------------------------------------------------


def test_detect(run: Run, board: Rig) -> None:
    first, second = "fw-0 [first] (4 lines)\n", "fw-1 [second] (8 lines)\n"
    says(run("detect"), f"{first}{second}fw-2 [third] (16 lines)\n")
    says(run("detect", "fw-1", "fw-0"), second + first)
    path = board.serve.socket.removesuffix(".sock") + ".chips/fw-1"
    says(run("detect", path), second)
    missing = "cannot find GPIO chip character device 'nope'"
    fails(run("detect", "nope", "fw-0"), missing, out=first)


def test_detect_by_a_link_of_ones_own(run: Run, board: Rig, tmp_path: object) -> None:
    link = f"{tmp_path}/link"
    os.symlink(board.serve.socket.removesuffix(".sock") + ".chips/fw-0", link)
    says(run("detect", link), "fw-0 [first] (4 lines)\n")


# ---- info --------------------------------------------------------------------------


def test_info_of_a_chip(run: Run, board: Rig) -> None:
    says(
        run("info", "--chip", "fw-0"),
        "fw-0 - 4 lines:\n"
        "\tline   0:\tunnamed         \tinput\n"
        '\tline   1:\t"foo"           \tinput\n'
        '\tline   2:\t"bar"           \tinput\n'
        '\tline   3:\t"a-rather-long-name"\tinput\n',
    )
    lines = run("info").stdout.splitlines()
    assert len(lines) == 3 + 4 + 8 + 16


def test_info_of_lines(run: Run) -> None:
    says(run("info", "foo"), 'fw-0 1\t"foo"           \tinput\n')
    says(run("info", "--unquoted", "-c", "fw-1", "foo"), "fw-1 4\tfoo             \tinput\n")
    result = run("info", "zed", "baz", "bar")
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == [
        "fw-0 2", "fw-1 0", "fw-2 11",
    ]  # fmt: skip
    result = run("info", "-c", "fw-0", "1", "9", "nope", "foo")
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["fw-0 1"]
    assert result.returncode == 1
    assert "offset 9 is out of range on chip 'fw-0'" in result.stderr
    assert "cannot find line 'nope'" in result.stderr
    assert "lines '1' and 'foo' are the same line" in result.stderr
    result = run("info", "--strict", "foo")
    assert (result.returncode, len(result.stdout.splitlines())) == (1, 3)
    fails(run("info", "-c", "nope"), "")


def test_info_attributes(run: Run, start: Start) -> None:
    for arguments in (
        ["set", "--banner", "-l", "-d", "open-source", "-b", "pull-up", "-c", "fw-2", "0=1"],
        ["set", "--banner", "-C", "me", "-d", "open-drain", "-b", "pull-down", "-c", "fw-2", "1=1"],
        ["mon", "--banner", "-b", "disabled", "--utc", "-p", "10ms", "-c", "fw-2", "2"],
        ["mon", "--banner", "-e", "rising", "-p", "123us", "-c", "fw-2", "3"],
        ["mon", "--banner", "-e", "falling", "-l", "-p", "2s", "-c", "fw-2", "4"],
    ):
        line_of(start(*arguments))
    result = run("info", "-c", "fw-2", "0", "1", "2", "3", "4")
    assert [line.split("\t")[2] for line in result.stdout.splitlines()] == [
        'output active-low drive=open-source bias=pull-up consumer="gpio-bridge set"',
        'output drive=open-drain bias=pull-down consumer="me"',
        "input bias=disabled edges=both event-clock=realtime debounce-period=10ms "
        'consumer="gpio-bridge mon"',
        'input edges=rising debounce-period=123us consumer="gpio-bridge mon"',
        'input active-low edges=falling debounce-period=2s consumer="gpio-bridge mon"',
    ]


# ---- get ---------------------------------------------------------------------------


def test_get(run: Run, stub: Stub) -> None:
    stub.pull("1/4", "up")
    stub.pull("2/11", "up")
    says(run("get", "foo"), '"foo"=inactive\n')  # the one of the first chip
    says(run("get", "-c", "fw-1", "foo"), '"foo"=active\n')
    says(run("get", "-c", "fw-1", "4", "0"), '"4"=active "0"=inactive\n')
    says(run("get", "zed", "bar", "xyz"), '"zed"=active "bar"=inactive "xyz"=inactive\n')
    says(run("get", "--unquoted", "zed", "bar"), "zed=active bar=inactive\n")
    says(run("get", "--numeric", "zed", "bar"), "1 0\n")
    says(run("get", "-l", "zed", "bar"), '"zed"=inactive "bar"=active\n')
    says(run("get", "--numeric", "-c", "fw-1", *"01234567"), "0 0 0 0 1 0 0 0\n")
    says(run("get", "-c", "fw-1", " 4"), '" 4"=active\n')
    says(run("get", "--hold-period", "1ms", "bar"), '"bar"=inactive\n')
    says(run("get", "--as-is", "bar"), '"bar"=inactive\n')


def test_get_as_is_of_what_was_an_output(run: Run) -> None:
    """Nobody drives the pin any more; it is shown as it was, as gpiolib shows it."""
    says(run("set", "-t0", "bar=1"), "")
    assert "\toutput" in run("info", "bar").stdout
    says(run("get", "--as-is", "bar"), '"bar"=inactive\n')
    assert "\toutput" in run("info", "bar").stdout


def test_numbers_and_names_without_bounds(run: Run) -> None:
    long = "9" * 5000
    fails(run("get", "-p", long, "bar"), f"invalid period: {long} (too long)")
    fails(run("mon", "-n", long, "bar"), f"invalid number: '{long}'")
    fails(run("get", "-c", "fw-0", long), f"cannot find line '{long}'")
    fails(run("get", b"\xff"), r"'\udcff' is not UTF-8")
    fails(run("get", "-C", b"\xff", "bar"), r"unable to request lines: '\udcff' is not UTF-8")
    fails(run("detect", b"\xff"), r"unable to open chip '\udcff': '\udcff' is not UTF-8")


@pytest.mark.parametrize(
    "arguments",
    [
        ["get", "-p", "9223372036854775807us", "foo"],
        ["mon", "--banner", "--idle-timeout", "3000000000ms", "foo"],
        ["notify", "--banner", "--idle-timeout", "9223372036854775807us", "foo"],
        ["set", "--banner", "-t", "9223372036854775807us", "foo=1"],
        ["set", "--banner", "-p", "9223372036854775807us", "foo=1"],
    ],
)
def test_periods_longer_than_python_takes(start: Start, board: Rig, arguments: list[str]) -> None:
    """The tool waits; what time.sleep() and poll() refuse is no error."""
    with gpiod.Chip(f"{board.serve.socket}#fw-0") as chip:
        chip.watch_line_info("foo")
        process = start(*arguments)
        if arguments[0] == "notify":
            line_of(process)
        else:
            # The tool of the test before may release its lines only now.
            requested = gpiod.InfoEvent.Type.LINE_REQUESTED
            while chip.wait_info_event(LATE_S) and chip.read_info_event().event_type != requested:
                pass
            assert chip.get_line_info("foo").used
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
    process.terminate()
    assert process.wait(LATE_S) == -signal.SIGTERM


def test_get_refuses(run: Run) -> None:
    fails(run("get"), "at least one GPIO line must be specified")
    fails(run("get", "-c", "fw-0"), "at least one GPIO line must be specified")
    fails(
        run("get", "-c", "fw-0", "0", "4", "5"),
        "offset 4 is out of range on chip 'fw-0'",
        "offset 5 is out of range on chip 'fw-0'",
    )
    fails(run("get", "-c", "fw-0", "4000000000"), "cannot find line '4000000000'")
    fails(run("get", "nope"), "cannot find line 'nope' (gpio-bridge info shows the lines)")
    fails(run("get", "--strict", "foo"), "line 'foo' is not unique")
    for same in (("1", "1"), ("foo", "foo"), ("1", "foo"), ("foo", "1"), ("1", "01")):
        message = f"lines '{same[0]}' and '{same[1]}' are the same line"
        fails(run("get", "-c", "fw-0", *same), message)
    fails(run("get", "--bias", "bad", "foo"), "invalid bias: bad")
    for period in ("bad", "100msx", "1000u", "1ns"):
        fails(run("get", "--hold-period", period, "foo"), f"invalid period: {period}")


def test_consumers_are_seen(run: Run, start: Start) -> None:
    watch = start("notify", "--banner", "-e", "requested", "-F", "%C", "-n", "2", "bar")
    line_of(watch)
    assert run("get", "bar").returncode == 0
    assert run("get", "--consumer", "somebody", "bar").returncode == 0
    assert ends(watch) == (0, "gpio-bridge get\nsomebody\n")


# ---- set ---------------------------------------------------------------------------


def test_set_on_several_chips(run: Run, start: Start, stub: Stub) -> None:
    process = start("set", "--banner", "zed=1", "baz=off", "bar=active")
    assert line_of(process) == "Setting lines 'zed', 'baz', and 'bar'..."
    assert [stub.read(line) for line in ("2/11", "1/0", "0/2")] == [1, 0, 1]
    fails(run("get", "zed"), 'unable to request lines: line 11 ("zed") of chip fw-2 is held by')
    process.send_signal(signal.SIGTERM)
    assert process.wait(LATE_S) == -signal.SIGTERM


@pytest.mark.parametrize("word", ["1", "active", "on", "true", "0", "inactive", "off", "false"])
def test_set_words(run: Run, stub: Stub, word: str) -> None:
    high = word in ("1", "active", "on", "true")
    before = stub.count("0/2").edges
    says(run("set", "-t0", f"bar={word}"), "")
    assert (stub.count("0/2").edges > before) is high  # up, and down with the release


def test_set_drives(start: Start, stub: Stub) -> None:
    line_of(start("set", "--banner", "-d", "open-drain", "-c", "fw-0", "0=1", "1=0"))
    stub.pull("0/0", "up")
    stub.pull("0/1", "up")
    assert (stub.read("0/0"), stub.read("0/1")) == (1, 0)
    line_of(start("set", "--banner", "-d", "open-source", "-c", "fw-1", "0=1", "1=0"))
    stub.pull("1/1", "up")
    assert (stub.read("1/0"), stub.read("1/1")) == (1, 1)


def test_set_periods(run: Run) -> None:
    for arguments in (["--toggle", "60ms,0", "-p", "100ms"], ["-t0", "-p", "200ms"]):
        before = time.monotonic()
        says(run("set", *arguments, "bar=1"), "")
        assert time.monotonic() - before >= 0.2


def test_set_refuses(run: Run) -> None:
    fails(run("set"), "at least one GPIO line value must be specified")
    fails(run("set", "-c", "fw-0"), "at least one GPIO line value must be specified")
    for value in ("c", "3", "ACTIVE", ""):
        fails(run("set", f"bar={value}"), f"invalid line value: '{value}'")
    fails(run("set", "bar"), "invalid line value: 'bar'")
    fails(run("set", "-c", "fw-0", "4=1"), "offset 4 is out of range on chip 'fw-0'")
    fails(run("set", "nope=1"), "cannot find line 'nope'")
    fails(run("set", "-i", "-t", "1s", "bar=1"), "can't combine interactive with toggle")
    fails(run("set", "--drive", "bad", "bar=1"), "invalid drive: bad")
    fails(run("set", "-p", "bad", "bar=1"), "invalid period: bad")
    fails(run("set", "--strict", "foo=1"), "line 'foo' is not unique")
    fails(run("set", "-c", "fw-0", "1=1", "foo=1"), "lines '1' and 'foo' are the same line")


# ---- set --interactive -------------------------------------------------------------


class Prompt:
    """A dialogue with gpio-bridge set --interactive, through pipes."""

    def __init__(self, socket: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bridge.cli", "set", "--interactive", *arguments],
            env={**os.environ, "GPIO_BRIDGE_SOCKET": socket},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            errors="surrogateescape",
        )
        assert self.answer() == ""

    def answer(self) -> str:
        """Return what is printed before the next prompt."""
        prompt = "gpio-bridge set> "
        assert self.process.stdout is not None
        text = ""
        while not text.endswith(prompt):
            assert select.select([self.process.stdout], [], [], LATE_S)[0], text
            piece = os.read(self.process.stdout.fileno(), 4096).decode()
            assert piece, text
            text += piece
        return text.removesuffix(prompt)

    def tell(self, command: str) -> None:
        """Type a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def ask(self, command: str) -> str:
        """Type a line and return the answer."""
        self.tell(command)
        return self.answer()


@pytest.fixture
def prompt(board: Rig) -> Iterator[Callable[..., Prompt]]:
    """Start dialogues that are over when the test ends."""
    made: list[Prompt] = []

    def make(*arguments: str) -> Prompt:
        made.append(Prompt(board.serve.socket, *arguments))
        return made[-1]

    yield make
    for each in made:
        each.process.kill()
        each.process.communicate()


def test_a_dialogue(prompt: Callable[..., Prompt], stub: Stub) -> None:
    it = prompt("foo=1", "bar=0")
    assert it.ask("get") == '"foo"=active "bar"=inactive\n'
    assert it.ask("get bar") == '"bar"=inactive\n'
    assert it.ask('set bar=active "foo"=0') == ""
    assert (stub.read("0/1"), stub.read("0/2")) == (0, 1)
    assert it.ask("toggle") == ""
    assert (stub.read("0/1"), stub.read("0/2")) == (1, 0)
    assert it.ask("toggle foo") == ""
    assert stub.read("0/1") == 0
    assert it.ask('get "foo"') == '"foo"=inactive\n'
    before = time.monotonic()
    assert it.ask("sleep 50ms") == ""
    assert time.monotonic() - before >= 0.05
    text = it.ask("help")
    assert all(word in text for word in ("get", "set", "toggle", "sleep", "exit"))
    assert it.ask("") == ""
    it.tell("exit")
    assert it.process.wait(LATE_S) == 0


def test_unquoted_and_the_end_of_input(prompt: Callable[..., Prompt]) -> None:
    it = prompt("--unquoted", "foo=1", "bar=0")
    assert it.ask("get") == "foo=active bar=inactive\n"
    assert it.process.stdin is not None
    it.process.stdin.close()
    it.process.stdin = None  # so that communicate() does not flush it
    assert it.process.wait(LATE_S) == 0


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("get zed", "unknown line: 'zed'\n"),
        ("set zed=1", "unknown line: 'zed'\n"),
        ('get "foo', "invalid line id: '\"foo'\n"),
        ("set foo=3", "invalid line value: '3'"),
        ("set foo", "invalid line value: 'foo'"),
        ("set", "at least one GPIO line value must be specified\n"),
        ("sleep", "a period must be specified\n"),
        ("sleep 1 2", "only one period can be specified\n"),
        ("sleep bad", "invalid period: 'bad'\n"),
        ("caf\udce9", "unknown command: 'caf\\xe9'\n"),
        ("dance", "unknown command: 'dance'\nTry the 'help' command\n"),
        ("exit now", "too many command parameters provided\n"),
    ],
)
def test_wrong_commands(prompt: Callable[..., Prompt], command: str, answer: str) -> None:
    it = prompt("foo=1")
    assert it.ask(command).startswith(answer)
    assert it.ask("get") == '"foo"=active\n'


def test_a_dialogue_is_killed(prompt: Callable[..., Prompt]) -> None:
    it = prompt("foo=1")
    it.process.terminate()
    assert it.process.wait(LATE_S) == -signal.SIGTERM


def converse_on(
    board: Rig, terminal: int, before: Callable[[], object] | None = None
) -> subprocess.Popen[bytes]:
    """Start `set -i` on a terminal; `before` runs in its process."""
    return subprocess.Popen(
        [sys.executable, "-m", "bridge.cli", "set", "-i", "xyz=0"],
        env={**os.environ, "GPIO_BRIDGE_SOCKET": board.serve.socket, "TERM": "dumb"},
        stdin=terminal,
        stdout=terminal,
        start_new_session=True,
        preexec_fn=before,
    )


def test_completion_on_a_terminal(board: Rig) -> None:
    pytest.importorskip("readline")
    terminal, theirs = pty.openpty()
    process = converse_on(board, theirs)
    os.close(theirs)

    def until(wanted: str) -> str:
        text = ""
        while wanted not in text:
            assert select.select([terminal], [], [], LATE_S)[0], text
            text += os.read(terminal, 4096).decode()
        return text

    try:
        until("gpio-bridge set> ")
        os.write(terminal, b"tog\tx\t\n")
        board.stub.wait_level("1/7", 1)
        until("gpio-bridge set> ")
        os.write(terminal, b"set xy\tac\t\n")
        until("gpio-bridge set> ")
        os.write(terminal, b"toggle\nget\n")
        assert "inactive" in until("inactive")
    finally:
        process.kill()
        process.wait(LATE_S)
        os.close(terminal)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_it_was(board: Rig, number: int) -> None:
    pytest.importorskip("readline")
    terminal, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    process = converse_on(board, theirs, lambda: signal.signal(number, signal.SIG_DFL))
    try:
        text = b""
        while b"gpio-bridge set> " not in text:
            assert select.select([terminal], [], [], LATE_S)[0], text
            text += os.read(terminal, 4096)
        # The prompt is printed before the mode is set, and the mode is what is looked at.
        deadline = time.monotonic() + LATE_S
        while termios.tcgetattr(theirs) == before:
            assert time.monotonic() < deadline, "no line editing"
            time.sleep(0.005)
        process.send_signal(number)
        assert process.wait(LATE_S) == -number
        assert termios.tcgetattr(theirs) == before
    finally:
        process.kill()
        process.wait(LATE_S)
        os.close(theirs)
        os.close(terminal)


# ---- mon ---------------------------------------------------------------------------


def pulses(stub: Stub, line: str, count: int) -> None:
    """Make so many edges, each one when the one before was taken."""
    for number in range(count):
        stub.wait_armed(line)
        stub.pull(line, "down" if number % 2 else "up")


def test_mon_by_name_offset_and_chip(start: Start, stub: Stub) -> None:
    for arguments, text in (
        (["foo"], '"foo"'),
        (["--unquoted", "foo"], "foo"),
        (["-c", "fw-0", "1"], 'fw-0 1 "foo"'),
        (["-c", "fw-0", "foo"], 'fw-0 1 "foo"'),
        (["-c", "fw-0", "--unquoted", "foo"], "fw-0 1 foo"),
    ):
        process = start("mon", "--banner", "-n", "4", *arguments)
        assert line_of(process) == f"Monitoring line '{arguments[-1]}'..."
        pulses(stub, "0/1", 4)
        status, out = ends(process)
        assert status == 0
        lines = out.splitlines()
        assert len(lines) == 4
        for number, line in enumerate(lines):
            word = "falling" if number % 2 else "rising"
            assert re.fullmatch(rf"[0-9]+\.[0-9]{{9}}\t{word}\t{re.escape(text)}", line)


def test_mon_unnamed_and_across_chips(start: Start, stub: Stub) -> None:
    process = start("mon", "--banner", "-n", "2", "--format=%l %o %c", "bar", "xyz", "zed")
    assert line_of(process) == "Monitoring lines 'bar', 'xyz', and 'zed'..."
    pulses(stub, "1/7", 1)
    assert line_of(process) == "xyz 7 fw-1"
    pulses(stub, "2/11", 1)
    assert ends(process) == (0, "zed 11 fw-2\n")
    process = start("mon", "--banner", "-n", "1", "-c", "fw-0", "0")
    line_of(process)
    pulses(stub, "0/0", 1)
    assert re.fullmatch(r"[0-9.]+\trising\tfw-0 0\n", ends(process)[1])


@pytest.mark.parametrize(
    ("arguments", "edges", "words"),
    [
        (["-e", "rising"], 3, ["rising", "rising"]),  # it ends with the third: nothing is armed
        (["--edges=falling"], 4, ["falling", "falling"]),
        (["-l"], 4, ["falling", "rising", "falling", "rising"]),
    ],
)
def test_mon_edges(
    start: Start, stub: Stub, arguments: list[str], edges: int, words: list[str]
) -> None:
    process = start("mon", "--banner", f"-n{len(words)}", *arguments, "-F", "%E", "bar")
    line_of(process)
    pulses(stub, "0/2", edges)
    assert ends(process) == (0, "\n".join([*words, ""]))


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("%e %o", "1 2"),
        ("%e%o", "12"),
        ("%e %o %E %c %l", "1 2 rising fw-0 bar"),
        ("%S", r"[0-9]+\.[0-9]{9}"),
        ("%U", r"1970-01-[0-9]{2}T[0-9:]{8}\.[0-9]{9}Z"),
        ("%L", r"(1969|1970)-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{9}"),
        ("start%%end", "start%end"),
        ("%%e", "%e"),
        ("%", "%"),
        ("foo % bar", "foo % bar"),
        ("%x", "%x"),
    ],
)
def test_mon_formats(start: Start, stub: Stub, template: str, text: str) -> None:
    process = start("mon", "--banner", "-n1", "--event-clock=monotonic", "-F", template, "bar")
    line_of(process)
    pulses(stub, "0/2", 1)
    status, out = ends(process)
    assert status == 0
    assert re.fullmatch(text + "\n", out)


@pytest.mark.parametrize(
    ("arguments", "stamp"),
    [
        (["--utc"], r"20[0-9-]{8}T[0-9:]{8}\.[0-9]{9}Z"),
        (["--localtime"], r"20[0-9-]{8}T[0-9:]{8}\.[0-9]{9}"),
        (["--utc", "--localtime"], r"20[0-9-]{8}T[0-9:]{8}\.[0-9]{9}"),
        (["--localtime", "--utc"], r"20[0-9-]{8}T[0-9:]{8}\.[0-9]{9}Z"),
        (["-E", "realtime"], r"20[0-9-]{8}T[0-9:]{8}\.[0-9]{9}Z"),
        (["-E", "monotonic", "--utc"], r"1970-[0-9-]{5}T[0-9:]{8}\.[0-9]{9}Z"),
    ],
)
def test_mon_clocks(start: Start, stub: Stub, arguments: list[str], stamp: str) -> None:
    process = start("mon", "--banner", "-n1", *arguments, "bar")
    line_of(process)
    pulses(stub, "0/2", 1)
    assert re.fullmatch(stamp + '\trising\t"bar"\n', ends(process)[1])


def test_mon_quiet_and_idle(run: Run, start: Start, stub: Stub) -> None:
    process = start("mon", "--banner", "--quiet", "-n2", "bar")
    line_of(process)
    pulses(stub, "0/2", 2)
    assert ends(process) == (0, "")
    says(run("mon", "--idle-timeout", "10ms", "bar"), "")


def test_mon_initial_state(run: Run, stub: Stub) -> None:
    stub.pull("0/2", "up")
    stub.pull("2/11", "up")
    say = partial(run, "mon", "--idle-timeout", "5ms", "-I")
    says(say("bar", "foo"), '"bar"=active "foo"=inactive\n')
    says(say("-N", "bar"), "1\n")
    # A line for each chip; lines of chips that come later are still inactive.
    says(say("--unquoted", "bar", "zed"), "bar=active zed=inactive\nbar=active zed=active\n")


def test_mon_is_killed(start: Start) -> None:
    process = start("mon", "--banner", "bar")
    line_of(process)
    process.terminate()
    assert process.wait(LATE_S) == -signal.SIGTERM


def test_mon_refuses(run: Run) -> None:
    fails(run("mon"), "at least one GPIO line must be specified")
    fails(run("mon", *(f"line{n}" for n in range(65))), "too many lines given")
    fails(run("mon", "-n", "x", "bar"), "invalid number: 'x'")
    fails(run("mon", "-n", "-1", "bar"), "invalid number: '-1'")
    fails(run("mon", "--idle-timeout", "bad", "bar"), "invalid period: bad")
    fails(run("mon", "-p", "1000000m", "bar"), "maximum debounce period is 4294967295us, got ")
    fails(run("mon", "--strict", "foo"), "line 'foo' is not unique")
    with_foo = ["-c", "fw-0", "1", "foo"]
    fails(run("mon", *with_foo), "lines '1' and 'foo' are the same line")


# ---- notify ------------------------------------------------------------------------


def test_notify_by_name_offset_and_chip(run: Run, start: Start) -> None:
    for arguments, text in (
        (["foo"], '"foo"'),
        (["--unquoted", "foo"], "foo"),
        (["-c", "fw-0", "1"], 'fw-0 1 "foo"'),
        (["-c", "fw-0", "--by-name", "foo"], 'fw-0 1 "foo"'),
    ):
        process = start("notify", "--banner", "--num-events=2", *arguments)
        assert line_of(process) == f"Watching line '{arguments[-1]}'..."
        assert run("get", "foo").returncode == 0
        status, out = ends(process)
        assert status == 0
        for word, line in zip(("requested", "released"), out.splitlines(), strict=True):
            assert re.fullmatch(rf"[0-9]+\.[0-9]{{9}}\t{word}\t{re.escape(text)}", line)


@pytest.mark.parametrize("event", ["requested", "released", "reconfigured"])
def test_notify_one_kind_of_event(board: Rig, start: Start, event: str) -> None:
    process = start("notify", "--banner", "-e", event, "-n2", "-F", "%E %e", "zed")
    line_of(process)
    with gpiod.Chip(f"{board.serve.socket}#fw-2") as chip:
        for _ in range(2):
            with chip.request_lines({"zed": None}) as request:
                request.reconfigure_lines({"zed": OUTPUT})
    number = ["requested", "released", "reconfigured"].index(event) + 1
    assert ends(process) == (0, 2 * f"{event} {number}\n")


def test_notify_formats(board: Rig, start: Start) -> None:
    template = "%e %o %E %c %l %C|%a|%S|%U|%L|%%|%x|% |%"
    process = start("notify", "--banner", "-n3", "-F", template, "zed")
    line_of(process)
    with (
        gpiod.Chip(f"{board.serve.socket}#fw-2") as chip,
        chip.request_lines({"zed": None}, consumer="me") as request,
    ):
        request.reconfigure_lines({"zed": OUTPUT})
    status, out = ends(process)
    assert status == 0
    day = r"20[0-9-]{8}T[0-9:]{8}\.[0-9]{9}"
    rest = rf"\|[0-9]+\.[0-9]{{9}}\|{day}Z\|{day}\|%\|%x\|% \|%"
    expected = [
        r'1 11 requested fw-2 zed me\|(in|out)put consumer="me"',
        r'3 11 reconfigured fw-2 zed me\|output consumer="me"',
        r"2 11 released fw-2 zed unused\|output",
    ]
    for pattern, line in zip(expected, out.splitlines(), strict=True):
        assert re.fullmatch(pattern + rest, line)


def test_notify_across_chips_and_wrong_lines_are_silent(run: Run, start: Start) -> None:
    process = start("notify", "--banner", "-n4", "-F", "%c %l %E", "bar", "xyz")
    line_of(process)
    for line in ("baz", "xyz", "zed", "bar"):  # not baz, not zed
        assert run("get", line).returncode == 0
    assert ends(process) == (
        0,
        "fw-1 xyz requested\nfw-1 xyz released\nfw-0 bar requested\nfw-0 bar released\n",
    )


def test_notify_ends(run: Run, start: Start) -> None:
    says(run("notify", "--idle-timeout", "10ms", "bar"), "")
    process = start("notify", "--banner", "--quiet", "-n1", "bar")
    line_of(process)
    assert run("get", "bar").returncode == 0
    assert ends(process) == (0, "")
    process = start("notify", "--banner", "bar")
    line_of(process)
    process.terminate()
    assert process.wait(LATE_S) == -signal.SIGTERM


def test_notify_refuses(run: Run) -> None:
    fails(run("notify"), "at least one GPIO line must be specified")
    fails(run("notify", "-e", "bad", "bar"), "invalid edge: bad")
    fails(run("notify", "nope"), "cannot find line 'nope'")
    fails(run("notify", "-c", "fw-0", "4"), "offset 4 is out of range on chip 'fw-0'")
    fails(run("notify", "-c", "fw-0", "1", "foo"), "lines '1' and 'foo' are the same line")
    fails(run("notify", "--strict", "foo"), "line 'foo' is not unique")


def test_notify_ends_when_the_chip_goes(background: Start, fresh_rig: Rig) -> None:
    process = background("notify", "--banner", "LED_RED", socket=fresh_rig.serve.socket)
    line_of(process)
    fresh_rig.stub.kill()
    assert process.wait(LATE_S) == 1
    assert process.stderr is not None
    assert "gpio-bridge notify: unable to retrieve chip event: " in process.stderr.read()
