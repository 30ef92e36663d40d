# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge show: what is read off a waveform."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.recording import formats
from bridge.recording.model import HIGH, LOW, UNKNOWN, Header, Signal, Wave, code_of
from bridge.recording.statistics import statistics_of

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def file(tmp_path: Path) -> str:
    """CLOCK: 1 kHz, 25 %, from 1 to 9 ms; READY: unknown until 5 ms; 10 ms."""
    path = tmp_path / "x.vcd"
    header = Header([Signal("CLOCK"), Signal("READY")], notes=["times are the host's"])
    writer = formats.writer("vcd", str(path), header, [LOW, UNKNOWN])
    changes = [(n * 1_000_000, 0, HIGH) for n in range(1, 9)]
    changes += [(n * 1_000_000 + 250_000, 0, LOW) for n in range(1, 9)]
    changes = sorted([*changes, (5_000_000, 1, HIGH)])
    writer.write([time for time, *_ in changes], [code_of(*change) for _, *change in changes])
    writer.note(8_250_000, "trigger")
    writer.close(10_000_000, ["17 edges, 0 lost"])
    return str(path)


def test_the_waveform_and_its_figures(cli: Cli, file: str) -> None:
    run = cli("show", "--ascii", "--width", "46", file)
    assert run.stdout == (
        "      0 ns        250 us a column        10 ms\n"
        "CLOCK ____||__||__||__||__||__||__||__||______\n"
        "READY xxxxxxxxxxxxxxxxxxxxx-------------------\n"
        "trigger: 8.25 ms\n"
        "line   edges  lost  frequency  duty  high min     max  low min     max\n"
        "CLOCK     16     0      1 kHz   20%    250 us  250 us   750 us  750 us\n"
        "READY      0     0          -  100%         -       -        -       -\n"
        "times are the host's\n"
        "17 edges, 0 lost\n"
    )


def test_zoom_and_marks(cli: Cli, file: str) -> None:
    run = cli(
        *("show", "--ascii", "-w", "26", "--from", "1ms", "--to", "3ms"),
        *("--mark", "1.1ms,2.25ms", file, "CLOCK"),
    )
    assert "CLOCK --|_______|-|______|\n      " in run.stdout
    assert "mark 1.1 ms: CLOCK=1\nmark 2.25 ms: CLOCK=0\n" in run.stdout
    assert "between marks: 1.15 ms, 869.6 Hz\n" in run.stdout


def test_statistics_as_json(cli: Cli, file: str) -> None:
    shown = json.loads(cli("show", "--json", "--mark", "trigger", file).stdout)
    assert shown["lines"][0] == {
        "line": "CLOCK",
        "edges": 16,
        "lost": 0,
        "frequency_hz": 1000.0,
        "duty": 0.2,
        **{"high_min_ns": 250_000, "high_max_ns": 250_000},
        **{"low_min_ns": 750_000, "low_max_ns": 750_000},
    }
    assert shown["marks"] == [{"ns": 8_250_000, "levels": {"CLOCK": 0, "READY": 1}}]
    assert (shown["end_ns"], shown["trigger_ns"]) == (10_000_000, 8_250_000)


def test_pulses_at_the_rim_do_not_count(file: str) -> None:
    wave = formats.read(file).wave("CLOCK")
    figures = statistics_of(wave, 1_100_000, 2_100_000)
    assert (figures.edges, figures.low_min_ns, figures.high_min_ns) == (2, 750_000, None)


def test_the_time_of_a_gap_is_no_period() -> None:
    """1 kHz, of which 3 ms are missing."""
    times = [0, 1, 2, 3, 4, 5, 8, 9, 10, 11]
    levels = [LOW, HIGH, LOW, HIGH, LOW, UNKNOWN, LOW, HIGH, LOW, HIGH]
    wave = Wave("CLOCK", [time * 500_000 for time in times], levels)
    assert statistics_of(wave, 0, 6_000_000).frequency_hz == 1000


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_a_picture_for_a_report(cli: Cli, file: str, tmp_path: Path, kind: str) -> None:
    recording = tmp_path / "$\\x$.vcd"  # matplotlib knows a language of formulas
    Path(file).rename(recording)
    run = cli("show", "-o", str(tmp_path / f"x.{kind}"), "--mark", "5ms", str(recording))
    assert run.returncode == 0, run.stderr
    content = (tmp_path / f"x.{kind}").read_bytes()
    assert b"CLOCK" in content if kind == "svg" else content.startswith(b"\x89PNG")


def test_the_waveform_on_the_page_is_what_show_makes(cli: Cli, tmp_path: Path) -> None:
    """From the recording beside it, so that it stays true."""
    images = Path(__file__).parents[2] / "docs/images"
    made = tmp_path / "i2c.svg"
    run = cli("show", "-o", str(made), str(images / "i2c.vcd"))
    assert run.returncode == 0, run.stderr
    # Curves depend on the version of matplotlib; what is told does not.
    for text in (">IN_0<", ">IN_1<", ">i2c.vcd<", ">time in "):
        assert text in made.read_text()
        assert text in (images / "i2c.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "the file of a recording must be given"),
        (["/nowhere.vcd"], "No such file or directory: /nowhere.vcd"),
        (["FILE", "CLOCKS"], "no line CLOCKS in this recording; did you mean CLOCK?"),
        (["--from", "2h", "FILE"], "invalid time: 2h"),
        (["--from", "20ms", "FILE"], "the recording ends at 10 ms"),
        (["-o", "x.pdf", "FILE"], "x.pdf: a picture's name ends with .svg or .png"),
    ],
)
def test_what_can_not_be_shown(cli: Cli, file: str, arguments: list[str], sentence: str) -> None:
    run = cli("show", *(file if word == "FILE" else word for word in arguments))
    assert run.returncode == 1
    assert sentence in run.stderr
    assert "Traceback" not in run.stderr
