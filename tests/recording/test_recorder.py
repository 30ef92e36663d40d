# SPDX-License-Identifier: BSD-3-Clause
"""The end of a recording."""

from __future__ import annotations

import time
from pathlib import Path

from bridge.recording.model import Header
from bridge.recording.recorder import Limits, Recorder
from bridge.recording.sink import Sink


def test_a_second_ctrl_c_that_comes_when_all_is_written_is_nothing(tmp_path: Path) -> None:
    sink = Sink(str(tmp_path / "x.jsonl"), "jsonl", Header([]))
    recorder = Recorder({}, time.monotonic_ns(), sink, Limits())
    recorder.stop()
    recorder.run()
    recorder.stop()
