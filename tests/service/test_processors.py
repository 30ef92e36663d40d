# SPDX-License-Identifier: BSD-3-Clause
"""The processors that a service starts, on a tree like sysfs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bridge import remoteproc
from bridge.service.config import RemoteprocConfig
from bridge.service.processors import Processors


def add(root: Path, number: int, name: str) -> Path:
    """A processor that is offline; its state."""
    folder = root / f"class/remoteproc/remoteproc{number}"
    folder.mkdir(parents=True)
    (folder / "firmware").write_text(f"{name}.elf\n")
    (folder / "state").write_text("offline\n")
    (folder / "name").write_text(f"{name}\n")
    return folder / "state"


def test_a_driver_that_probes_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its processor is started when it comes, and keeps no other one waiting."""
    monkeypatch.setenv(remoteproc.SYSFS_VARIABLE, str(tmp_path))
    there = add(tmp_path, 0, "dsp")

    async def started(state: Path) -> None:
        while not state.read_text().startswith("start"):
            await asyncio.sleep(0.01)

    async def scenario() -> None:
        processors = Processors(lambda: False)
        work = processors.start([RemoteprocConfig("m4_0", False), RemoteprocConfig("dsp", False)])
        task = asyncio.ensure_future(work)
        await asyncio.wait_for(started(there), 20)
        assert "no remote processor is called m4_0; there is dsp" in caplog.text
        late = add(tmp_path, 1, "m4_0")
        processors.look()  # as after its uevent
        await asyncio.wait_for(started(late), 20)
        await asyncio.wait_for(task, 20)

    asyncio.run(scenario())
