# SPDX-License-Identifier: BSD-3-Clause
"""Recorders and their files."""

from __future__ import annotations

import time
from array import array
from pathlib import Path

from bridge.recording import formats
from bridge.recording.model import Header, Signal
from bridge.recording.recorder import Limits, Recorder
from bridge.recording.sink import Sink


def test_a_second_ctrl_c_that_comes_when_all_is_written_is_nothing(tmp_path: Path) -> None:
    sink = Sink(str(tmp_path / "x.jsonl"), "jsonl", Header([]))
    recorder = Recorder({}, time.monotonic_ns(), sink, Limits())
    recorder.stop()
    recorder.run()
    recorder.stop()


def test_files_that_somebody_took_away_are_no_reason_to_end(tmp_path: Path) -> None:
    sink = Sink(str(tmp_path / "x.jsonl"), "jsonl", Header([Signal("A")]), max_ns=10, keep=1)
    sink.begin(0, bytearray(1))
    (tmp_path / "x-0001.jsonl").rename(tmp_path / "mine.jsonl")
    sink.write(array("Q", [5, 15]), array("I", [1, 0]))
    sink.end(20, [])
    assert formats.read(str(tmp_path / "x-0002.jsonl")).wave("A").levels == [1, 0]


def test_edges_of_an_unknown_clock_have_no_bound() -> None:
    """Over a line so slow that the coprocessor's clock cannot be known."""
    recorder = Recorder({}, 0, Sink(None, "csv", Header([])), Limits())
    recorder.totals.by_arrival = 3
    assert recorder.notes() == ["0 edges, 0 lost", "3 edges have the time of their arrival"]
