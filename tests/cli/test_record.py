# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge record: from a board to a file that logic analysers' programs open."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import bridge as gpiod
from bridge.bench.rig import Rig
from bridge.line import Direction, Value
from bridge.recording import formats
from bridge.recording.model import UNKNOWN
from firmware_stub import Stub
from tests.processes import LATE_S

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Eventually = Callable[..., None]


class Recording:
    """A recorder that runs."""

    def __init__(self, socket: str, path: Path, *arguments: str) -> None:
        """Start it, and wait until it has its lines."""
        self.path = path
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bridge.cli", "record", "--banner", "-o", str(path), *arguments],
            env={**os.environ, "GPIO_BRIDGE_SOCKET": socket},
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert self.said().startswith("Recording ")

    def said(self) -> str:
        """The next line of its messages."""
        assert self.process.stderr is not None
        assert select.select([self.process.stderr], [], [], LATE_S)[0], "it says nothing"
        return self.process.stderr.readline()

    def end(self) -> str:
        """End it as Ctrl-C does; what it says then."""
        self.process.send_signal(signal.SIGINT)
        return self.rest()

    def rest(self) -> str:
        """What it says until its own end."""
        said = self.process.communicate(timeout=LATE_S)[1]
        assert self.process.returncode == 0, said
        return str(said)


Start = Callable[..., Recording]


@pytest.fixture
def start(socket_path: str, tmp_path: Path) -> Iterator[Start]:
    """Start recorders on the service of `rig`."""
    started: list[Recording] = []

    def run(name: str, *arguments: str, socket: str = socket_path) -> Recording:
        started.append(Recording(socket, tmp_path / name, *arguments))
        return started[-1]

    yield run
    for recording in started:
        recording.process.kill()
        recording.process.communicate()


def steps(path: Path, name: str) -> list[int]:
    """The levels of a line, in order."""
    return formats.read(str(path)).wave(name).levels


@pytest.mark.every_firmware
@pytest.mark.parametrize("format", ["vcd", "jsonl"])
def test_every_edge_is_in_the_file_before_the_end(
    start: Start, stub: Stub, stamped: bool, eventually: Eventually, format: str
) -> None:
    recording = start(f"x.{format}", "-c", "fw-0", "6", "10")
    for press in (stub.press, stub.release):
        stub.wait_armed("BUTTON_USER", LATE_S)
        press("BUTTON_USER")

    def levels() -> list[list[int]]:
        return [wave.levels for wave in formats.read(str(recording.path)).waves]

    eventually(lambda: levels() == [[1, 0, 1], [1]], "all edges in the file")
    recording.process.kill()  # a crash loses nothing that was seen
    notes = "\n".join(formats.read(str(recording.path)).notes)
    assert ("times are the coprocessor's" in notes) == stamped
    assert ("times are the host's" in notes) != stamped


@pytest.fixture
def stamped(chip: gpiod.Chip) -> bool:
    """Whether the firmware of `rig` stamps edges."""
    try:
        chip.clock()
    except NotImplementedError:
        return False
    return True


def test_times_are_those_of_the_coprocessor(
    start: Start, stub: Stub, eventually: Eventually
) -> None:
    recording = start("x.vcd", "SENSOR_IRQ")
    stub.wait_armed("SENSOR_IRQ", LATE_S)
    stub.trace("SENSOR_IRQ", 20)
    # So far apart that on a busy host, too, the bound of a time is less than what is between them.
    stub.pulse("SENSOR_IRQ", 10, 20)
    eventually(lambda: len(steps(recording.path, "SENSOR_IRQ")) == 21, "all edges in the file")
    truth = stub.times("SENSOR_IRQ")
    said = recording.end()
    assert "20 edges, 0 lost" in said
    told = re.search(r"at most (\d+\.\d) us", said)
    bound = float(told[1]) * 1000 if told else 0.0  # of none that was stamped
    found = formats.read(str(recording.path))
    zero = float(re.search(r"zero is (\d+\.\d+) s", "\n".join(found.notes))[1])  # type: ignore[index]
    seen = found.wave("SENSOR_IRQ").times[1:]
    errors = [abs(at + round(zero * 1e9) - true) for at, true in zip(seen, truth, strict=True)]
    arrivals = re.search(r"(\d+) edges have the time of their arrival", said)  # on a busy host
    assert sum(error > bound + 1000 for error in errors) <= int(arrivals[1] if arrivals else 0)


def test_sigrok_finds_the_bytes_of_an_i2c_transfer(tmp_path: Path) -> None:
    """Bit-banged on outputs that are wired to the recorded inputs."""
    if not shutil.which("sigrok-cli"):
        pytest.skip("sigrok-cli is not installed")
    with Rig(board="loopback") as rig:
        # The trigger leaves a comment in the midst of the changes, which must not be in the way.
        recording = Recording(
            *(rig.serve.socket, tmp_path / "i2c.vcd", "-T", "IN_0:falling", "--pre", "1m"),
            *("IN_0", "IN_1"),
        )
        outputs = gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value.ACTIVE)
        with rig.chip() as chip, chip.request_lines({("OUT_0", "OUT_1"): outputs}) as bus:
            _send(bus, 0x42, b"\xc0\xff\xee")
        recording.end()
    run = subprocess.run(
        [
            *("sigrok-cli", "-I", "vcd:downsample=1000", "-i", str(recording.path)),
            *("-P", "i2c:sda=IN_0:scl=IN_1", "-A", "i2c=address-write:data-write"),
        ],
        capture_output=True,
        text=True,
        timeout=LATE_S,
    )
    found = re.findall(r"(?:Address|Data) write: (\w+)", run.stdout)
    assert found == ["42", "C0", "FF", "EE"], run


def _send(bus: gpiod.LineRequest, address: int, data: bytes) -> None:
    """Write bytes to a device that acknowledges none."""
    sda, scl = "OUT_0", "OUT_1"
    bus.set_value(sda, Value.INACTIVE)
    bus.set_value(scl, Value.INACTIVE)
    for byte in (address << 1, *data):
        for bit in [*(byte >> shift & 1 for shift in range(7, -1, -1)), 1]:
            bus.set_value(sda, Value(bit))
            bus.set_value(scl, Value.ACTIVE)
            bus.set_value(scl, Value.INACTIVE)
    bus.set_value(sda, Value.INACTIVE)
    bus.set_value(scl, Value.ACTIVE)
    bus.set_value(sda, Value.ACTIVE)


def test_a_session_is_opened_by_sigrok(start: Start, stub: Stub) -> None:
    if not shutil.which("sigrok-cli"):
        pytest.skip("sigrok-cli is not installed")
    recording = start("x.sr", "--sample-rate", "10k", "BUTTON_USER")
    stub.wait_armed("BUTTON_USER", LATE_S)
    stub.press("BUTTON_USER")
    stub.release("BUTTON_USER")
    recording.end()
    run = subprocess.run(
        ["sigrok-cli", "-i", str(recording.path), "--show"],
        capture_output=True,
        text=True,
        timeout=LATE_S,
    )
    assert "Samplerate: 10000" in run.stdout, run
    assert "BUTTON_USER: logic" in run.stdout, run


def test_lost_edges_are_unknown_and_counted(
    start: Start, stub: Stub, eventually: Eventually
) -> None:
    """A recorder that is stopped for a while reads too late."""
    recording = start("x.vcd", "SENSOR_IRQ", "BUTTON_USER")
    stub.wait_armed("SENSOR_IRQ", LATE_S)
    before = stub.count("SENSOR_IRQ").edges
    recording.process.send_signal(signal.SIGSTOP)
    stub.pulse("SENSOR_IRQ", 200_000, 0)  # 262,144 edges wait for it, 40,000 on their way
    stub.wait_edges("SENSOR_IRQ", before + 400_000, LATE_S)
    recording.process.send_signal(signal.SIGCONT)
    stub.wait_armed("SENSOR_IRQ", LATE_S)
    stub.pulse("SENSOR_IRQ", 1, 1000)
    stub.wait_edges("SENSOR_IRQ", before + 400_002, LATE_S)
    stub.wait_armed("BUTTON_USER", LATE_S)
    stub.press("BUTTON_USER")
    eventually(lambda: steps(recording.path, "BUTTON_USER") == [1, 0], "the last edge")
    stub.release("BUTTON_USER")
    said = recording.end()
    edges, lost = map(int, re.search(r"(\d+) edges, (\d+) lost", said).groups())  # type: ignore[union-attr]
    assert lost > 0
    assert edges + lost in (400_003, 400_004)  # the last release may be recorded, too
    wave = formats.read(str(recording.path)).wave("SENSOR_IRQ")
    assert UNKNOWN in wave.levels
    assert wave.lost == lost


def test_a_trigger_keeps_what_was_before_it(start: Start, stub: Stub) -> None:
    recording = start(
        *("x.vcd", "--trigger", "BUTTON_USER:falling,DIP_0=1", "--pre", "1m", "--post", "1us"),
        *("SENSOR_IRQ", "BUTTON_USER", "DIP_0"),
    )
    for line in ("SENSOR_IRQ", "BUTTON_USER"):
        stub.wait_armed(line, LATE_S)
    before = stub.count("SENSOR_IRQ").edges
    stub.pulse("SENSOR_IRQ", 3, 10_000)
    stub.wait_edges("SENSOR_IRQ", before + 6, LATE_S)
    stub.press("BUTTON_USER")
    recording.rest()
    stub.release("BUTTON_USER")
    found = formats.read(str(recording.path))
    assert found.trigger == found.wave("BUTTON_USER").times[1]
    assert steps(recording.path, "SENSOR_IRQ")[:2] == [0, 1]


@pytest.mark.parametrize(
    ("trigger", "acts"),
    [
        ("DIP_0=0,DIP_1=1", ["drive DIP_0 0", "drive DIP_1 1"]),
        ("BUTTON_USER:low<60s", ["press BUTTON_USER", "release BUTTON_USER"]),
        ("BUTTON_USER:low>1ms", ["press BUTTON_USER"]),
    ],
    ids=["pattern", "short pulse", "long pulse"],
)
def test_what_a_trigger_waits_for(
    start: Start, stub: Stub, request: pytest.FixtureRequest, trigger: str, acts: list[str]
) -> None:
    for undo in ("drive DIP_0 1", "drive DIP_1 0", "release BUTTON_USER"):
        request.addfinalizer(partial(stub.command, undo))
    recording = start(
        *("x.jsonl", "-T", trigger, "--pre", "1m", "--post", "1us"),
        *("BUTTON_USER", "DIP_0", "DIP_1"),
    )
    for act in acts:
        stub.wait_armed(act.split()[1], LATE_S)
        assert not recording.path.exists()
        stub.command(act)
    recording.rest()
    found = formats.read(str(recording.path))
    changes = [(time, found.waves[wave].name) for time, wave, _ in found.changes() if time]
    assert [name for _, name in changes] == [act.split()[1] for act in acts]
    assert found.trigger is not None
    assert found.trigger >= changes[-1][0]


def test_lines_of_two_chips_are_in_order(start: Start, stub: Stub, eventually: Eventually) -> None:
    recording = start("x.vcd", "BUTTON_USER", "DOOR_SWITCH")
    for press in (stub.press, stub.release):
        for line in ("BUTTON_USER", "DOOR_SWITCH"):
            stub.wait_armed(line, LATE_S)
            press(line)
    eventually(lambda: steps(recording.path, "DOOR_SWITCH") == [0, 1, 0], "all edges in the file")
    assert "4 edges, 0 lost" in recording.end()
    found = formats.read(str(recording.path))
    assert [(wave, level) for _, wave, level in found.changes()] == [
        *((0, 1), (1, 0)),
        *((0, 0), (1, 1), (0, 1), (1, 0)),
    ]


def test_a_trigger_that_does_not_happen_is_told(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "x.vcd"
    run = cli("record", "-o", str(path), "-T", "DIP_0:edge", "--duration", "1ms", "DIP_0")
    assert run.returncode == 1
    assert "the trigger DIP_0:edge did not happen, so nothing was written" in run.stderr
    assert not path.exists()


def test_levels_are_read_where_no_edges_are_wanted(
    start: Start, stub: Stub, eventually: Eventually
) -> None:
    recording = start("x.csv", "--bulk-read", "1ms", "DIP_0", "DIP_1")
    for level in (0, 1):
        stub.drive("DIP_0", level)
        eventually(lambda: steps(recording.path, "DIP_0")[-1] == level, "DIP_0")  # noqa: B023
    assert stub.state("DIP_0").irq == "none"
    recording.end()
    assert steps(recording.path, "DIP_0")[-3:] == [1, 0, 1]
    assert "levels, read every 1000 us" in recording.path.read_text()


def test_files_rotate_and_each_is_whole(
    start: Start, stub: Stub, tmp_path: Path, eventually: Eventually
) -> None:
    recording = start("x.vcd", "--max-size", "1k", "--keep", "2", "SENSOR_IRQ")

    def pulses_fill_three_files() -> bool:
        stub.wait_armed("SENSOR_IRQ", LATE_S)
        before = stub.count("SENSOR_IRQ").edges
        stub.pulse("SENSOR_IRQ", 2, 20_000)
        stub.wait_edges("SENSOR_IRQ", before + 4, LATE_S)
        return (tmp_path / "x-0003.vcd").exists()

    eventually(pulses_fill_three_files, "the fourth file")
    recording.end()
    files = sorted(tmp_path.glob("x-*.vcd"))
    assert len(files) == 2
    assert files[0].name > "x-0001.vcd"
    last, newest = (formats.read(str(file)).wave("SENSOR_IRQ") for file in files)
    assert newest.levels[0] == last.levels[-1]


def test_another_file_after_a_time(start: Start, stub: Stub, tmp_path: Path) -> None:
    recording = start("x.csv", "--max-time", "1ms", "SENSOR_IRQ")
    for _ in range(3):
        stub.wait_armed("SENSOR_IRQ", LATE_S)
        before = stub.count("SENSOR_IRQ").edges
        stub.pulse("SENSOR_IRQ", 1, 100)
        stub.wait_edges("SENSOR_IRQ", before + 2, LATE_S)
    recording.end()
    found = [formats.read(str(file)) for file in sorted(tmp_path.glob("x-*.csv"))]
    assert len(found) > 3
    assert sum(len(part.changes()) - 1 for part in found) == 6  # each begins with a level


def test_a_chip_that_comes_back_is_recorded_on(tmp_path: Path, fresh_rig: Rig) -> None:
    recording = Recording(fresh_rig.serve.socket, tmp_path / "x.vcd", "BUTTON_USER")
    try:
        fresh_rig.stub.wait_armed("BUTTON_USER", LATE_S)
        fresh_rig.stub.restart()
        assert "chip fw-0 is gone" in recording.said()
        assert "chip fw-0 is back" in recording.said()
        fresh_rig.stub.wait_armed("BUTTON_USER", LATE_S)
        fresh_rig.stub.press("BUTTON_USER")
        fresh_rig.stub.wait_armed("BUTTON_USER", LATE_S)
        assert "chips were gone 1 times" in recording.end()
    finally:
        recording.process.kill()
    assert steps(recording.path, "BUTTON_USER") == [1, UNKNOWN, 1, 0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "at least one GPIO line must be specified"),
        (["--pre", "1s", "DIP_0"], "give one"),
        (["-o", "x.txt", "DIP_0"], "x.txt: its name tells no format"),
        (["-f", "sr", "DIP_0"], "a zip file such as .sr needs a file: give -o FILE.sr"),
        (["--max-size", "1M", "DIP_0"], "need the name of a file"),
        (["-T", "DIP_1=1", "DIP_0"], "no line DIP_1 is recorded; did you mean DIP_0?"),
        (["-o", "/nowhere/x.vcd", "DIP_0"], "/nowhere/x.vcd"),
        (["--bulk-read", "1us", "DIP_0"], "100 us is the shortest period"),
    ],
)
def test_what_makes_no_sense_is_refused(cli: Cli, arguments: list[str], sentence: str) -> None:
    run = cli("record", *arguments)
    assert run.returncode == 1
    assert sentence in run.stderr
    assert "Traceback" not in run.stderr


def test_without_pyvcd_it_says_what_to_install(socket_path: str) -> None:
    code = (
        "import sys; sys.modules['vcd'] = None; from bridge.cli.main import main; "
        "main(['record', '--duration', '1ms', 'DIP_0'])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "GPIO_BRIDGE_SOCKET": socket_path},
        capture_output=True,
        text=True,
        timeout=LATE_S,
    )
    assert "recordings as VCD need the Python package pyvcd: pip install pyvcd" in run.stderr
