# SPDX-License-Identifier: BSD-3-Clause
"""What goes wrong while the service starts an export, or stops."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.export.aggregate import Aggregate
from bridge.export.selection import AggregateConfig, ExportConfig, Pick
from bridge.service import Config, LinkConfig, ServiceThread
from bridge.shim.export import Export
from firmware_stub import Stub
from tests.export.frontend import Frontend

from .conftest import RawClient

Eventually = Callable[[Callable[[], bool], str], None]


def test_chip_that_comes_while_the_service_stops_is_taken_by_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    appeared: list[str] = []
    close, original = Aggregate.close, Aggregate.appeared

    async def and_a_chip_comes(self: Aggregate) -> None:
        await close(self)
        registry = self._registry
        chip = registry.get("fw-0")
        registry.discard(chip)
        appeared.clear()
        registry.add(chip)

    def note(self: Aggregate, chip: Any) -> None:
        appeared.append(chip.name)
        original(self, chip)

    monkeypatch.setattr(Aggregate, "close", and_a_chip_comes)
    monkeypatch.setattr(Aggregate, "appeared", note)
    car = AggregateConfig("car", (Pick("fw-0", 0, None),))
    with Stub("demo") as stub:
        links = (LinkConfig(stub.url, name="fw"),)
        thread = ServiceThread(Config(socket=None, links=links, chips=(car,)))
        thread.wait_chip("car", 30)
        assert appeared
        thread.close()
    assert appeared == []
    assert not thread._service.registry.has("car")


def test_export_whose_lines_could_not_be_attached_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """A socket at which nobody is served would keep guests waiting for ever."""
    attach, failures = Export.attach, [1]

    def fail_once(self: Export, index: int, *place: Any) -> None:
        if index == 1 and failures:
            failures.pop()
            raise OSError(errno.ENOMEM, "no memory for a line")
        attach(self, index, *place)

    monkeypatch.setattr(Export, "attach", fail_once)
    path = tmp_path / "guest.sock"
    picks = (Pick("fw-0", 0, None), Pick("fw-0", 1, None))
    export = ExportConfig(str(path), "guest", None, picks)
    with Stub("demo") as stub:
        links = (LinkConfig(stub.url, name="fw"),)
        thread = ServiceThread(Config(socket=None, links=links, exports=(export,)))
        try:
            thread.wait_chip("fw-0", 30)
            client = RawClient(thread.connect())
            assert client.ok("status")["exports"][0]["why"] == "no memory for a line"
            assert not path.exists()
            assert not any(entry["used"] for entry in client.ok("lines", chip="fw-0")["lines"])
            with client.goes_and_comes("fw-0"):
                stub.restart()
            eventually(path.exists, "the export's socket")
            with Frontend(str(path)) as guest:
                guest.up()
        finally:
            thread.close()
    assert not path.exists()
