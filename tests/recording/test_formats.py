# SPDX-License-Identifier: BSD-3-Clause
"""What is written in any format is read again; what is broken is refused by a sentence."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from bridge.recording import formats
from bridge.recording.model import HIGH, LOW, UNKNOWN, Header, Recording, Signal, code_of
from bridge.recording.text_file import Writer

SIGNALS = [Signal("RESET", "line 0 of chip fw-0"), Signal("READY")]
CHANGES = [(1000, 0, HIGH), (5000, 1, LOW), (5000, 0, LOW), (9000, 1, UNKNOWN), (12000, 1, HIGH)]


def begin(path: Path) -> Writer:
    """Begin a recording of two lines."""
    header = Header(SIGNALS, zero_utc="2026-01-02T03:04:05Z", notes=["times are the host's"])
    return formats.writer(path.suffix[1:], str(path), header, [LOW, HIGH])


def record(path: Path, changes: list[tuple[int, int, int]] = CHANGES) -> None:
    """Write a recording that ends at 20 us."""
    writer = begin(path)
    writer.write([time for time, *_ in changes], [code_of(*change) for _, *change in changes])
    writer.note(12000, "READY lost 3")
    writer.note(12000, "trigger")
    writer.close(20000, ["5 edges, 3 lost"])


def steps(recording: Recording, name: str) -> list[tuple[int, int]]:
    """Times and levels of a wave."""
    wave = recording.wave(name)
    return list(zip(wave.times, wave.levels, strict=True))


@pytest.mark.parametrize("format", ["vcd", "csv", "jsonl"])
def test_all_that_was_written_is_read(tmp_path: Path, format: str) -> None:
    record(tmp_path / f"x.{format}")
    recording = formats.read(str(tmp_path / f"x.{format}"))
    assert steps(recording, "RESET") == [(0, LOW), (1000, HIGH), (5000, LOW)]
    assert steps(recording, "READY") == [(0, HIGH), (5000, LOW), (9000, UNKNOWN), (12000, HIGH)]
    assert recording.end == 20000
    assert recording.wave("READY").lost == 3
    assert recording.trigger == 12000
    assert {"times are the host's", "5 edges, 3 lost"} <= set(recording.notes)


@pytest.mark.parametrize("format", ["vcd", "csv", "jsonl"])
def test_lost_edges_are_counted_whatever_the_line_is_called(tmp_path: Path, format: str) -> None:
    header = Header([Signal("FAN[2]"), Signal("a b")])
    writer = formats.writer(format, str(tmp_path / "x"), header, [LOW, LOW])
    for name in ("FAN[2]", "a b", "FAN[2]"):
        writer.note(1000, f"{name} lost 2")
    writer.close(2000, [])
    recording = formats.read(str(tmp_path / "x"), format)
    names = ["FAN_2_", "a_b"] if format == "vcd" else ["FAN[2]", "a b"]
    assert [wave.name for wave in recording.waves] == names
    assert [wave.lost for wave in recording.waves] == [4, 2]


def test_a_session_of_sigrok_has_samples(tmp_path: Path) -> None:
    record(tmp_path / "x.sr")
    recording = formats.read(str(tmp_path / "x.sr"))
    assert steps(recording, "RESET") == [(0, LOW), (1000, HIGH), (5000, LOW)]
    assert steps(recording, "READY") == [(0, HIGH), (5000, LOW), (12000, HIGH)]
    assert recording.end == 20000


def test_a_session_is_whole_while_it_is_recorded(tmp_path: Path) -> None:
    writer = formats.writer("sr", str(tmp_path / "x.sr"), Header(SIGNALS), [LOW, LOW])
    writer.write([1_500_000_000, 1_600_000_000], [code_of(0, HIGH), code_of(0, LOW)])
    before = formats.read(str(tmp_path / "x.sr"))
    assert steps(before, "RESET")[1] == (1_500_000_000, HIGH)
    writer.write([3_000_000_000], [code_of(1, HIGH)])
    writer.close(3_000_000_000, [])
    assert steps(formats.read(str(tmp_path / "x.sr")), "READY")[1] == (3_000_000_000, HIGH)


@pytest.mark.parametrize("format", ["vcd", "csv", "jsonl"])
def test_a_recorder_that_was_killed_left_all_that_it_saw(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"x.{format}"
    writer = formats.writer(format, str(path), Header(SIGNALS), [LOW, HIGH])
    writer.write([1000, 2000], [code_of(0, HIGH), code_of(0, LOW)])
    assert steps(formats.read(str(path)), "RESET") == [(0, LOW), (1000, HIGH), (2000, LOW)]


@pytest.mark.parametrize("format", ["vcd", "csv", "jsonl"])
def test_a_file_that_was_cut_off_anywhere_is_read(tmp_path: Path, format: str) -> None:
    """A write that a kill or a full disk cuts in two."""
    path = tmp_path / f"x.{format}"
    first = begin(path).size
    record(path)
    content = path.read_bytes()
    written = steps(formats.read(str(path)), "RESET")
    for end in range(first, len(content)):
        path.write_bytes(content[:end])
        recording = formats.read(str(path))
        assert steps(recording, "RESET") == written[: len(recording.wave("RESET").times)]


@pytest.mark.parametrize("format", ["vcd", "csv", "jsonl", "sr"])
def test_a_full_disk_loses_nothing_that_was_written_before(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"x.{format}"
    code = (
        "import random, resource, sys; from bridge.recording import formats\n"
        "from bridge.recording.model import Header, Signal\n"
        f"writer = formats.writer({format!r}, {str(path)!r}, Header([Signal('A')]), [0])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))\n"
        "now = 0\n"
        "try:\n"
        "    while True:\n"
        "        now += random.randrange(10_000, 1_000_000)\n"
        "        writer.write([now, now + 5000], [1, 0])\n"
        "except OSError as error:\n"
        "    print(error.filename)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout == f"{path}\n", run.stderr
    assert len(formats.read(str(path)).wave("A").times) > 1000


def test_others_waveforms_are_read(tmp_path: Path) -> None:
    """In other units, from another first time, and with a bus."""
    path = tmp_path / "others.vcd"
    path.write_text(
        "$timescale 10 us $end $scope module top $end $var wire 1 ! clk $end\n"
        "$var reg 2 # bus [1:0] $end $var real 64 % volts $end $upscope $end\n"
        "$enddefinitions $end #100 $dumpvars 0! b01 # r1.5 % $end #103 1! bz1 #\n#105 0!\n"
    )
    recording = formats.read(str(path))
    assert [wave.name for wave in recording.waves] == ["clk", "bus[1]", "bus[0]"]
    assert steps(recording, "clk") == [(0, LOW), (30_000, HIGH), (50_000, LOW)]
    assert steps(recording, "bus[1]") == [(0, LOW), (30_000, UNKNOWN)]
    assert steps(recording, "bus[0]") == [(0, HIGH)]


def test_a_session_without_samples_is_refused(tmp_path: Path) -> None:
    formats.writer("sr", str(tmp_path / "x.sr"), Header(SIGNALS), [LOW, LOW])
    with pytest.raises(ValueError, match="there are no samples in it yet"):
        formats.read(str(tmp_path / "x.sr"))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.vcd", b"nonsense\n" * 2000, "is no VCD"),
        ("a.vcd", b"", "has no signals"),
        ("a.csv", b"1,2,3\n", "begins with time_ns,LINE"),
        ("a.csv", b"time_ns,A\n0,0\n5,7\n", "row 3: wanted 2 fields"),
        ("a.csv", b"time_ns,A\n5,0\n4,1\n", "time 4 goes back"),
        ("a.jsonl", b"[1]\n", "line 1: no object of a recording"),
        ("a.jsonl", b'{"lines":[{"line":"A","level":0}],"notes":[]}\n{"ns":1}\n{}\n', "line 2"),
        ("a.sr", b"PK nonsense", "is no session of sigrok"),
    ],
)
def test_what_is_broken_is_refused(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        formats.read(str(tmp_path / name))


def test_a_session_with_samples_of_no_size_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.sr", "w") as file:
        file.writestr(
            "metadata", "[device 1]\nsamplerate=1 MHz\nunitsize=0\nprobe1=A\ncapturefile=logic-1\n"
        )
        file.writestr("logic-1-1", b"\0")
    with pytest.raises(ValueError, match="a sample of 0 bytes"):
        formats.read(str(tmp_path / "x.sr"))


def test_a_name_that_tells_no_format_is_refused() -> None:
    with pytest.raises(OSError, match=r"let it end with .vcd, .csv, .sr, .jsonl"):
        formats.format_of("x.txt")
