# SPDX-License-Identifier: BSD-3-Clause
"""What the watchdog asks, and what it makes of the answer."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.service.registry import Registry
from bridge.service.watchdog import Watchdog
from bridge.shim.ffi import lib


class Controller:
    """Counts questions; `reason` is how each ends."""

    timeout_ms = 1000

    def __init__(self) -> None:
        self.asked = 0
        self.reason = lib.GB_REASON_NONE

    async def ask(self, *_: object, **__: object) -> Any:
        self.asked += 1
        return SimpleNamespace(reason=self.reason)


def watchdog(*chips: tuple[str, Controller]) -> Watchdog:
    """One whose service has these chips, each with the name of its link."""
    online = [
        SimpleNamespace(identity=SimpleNamespace(link=link), controller=controller)
        for link, controller in chips
    ]
    registry = SimpleNamespace(all=lambda: online)
    service: Any = SimpleNamespace(registry=registry, look_at_processors=lambda: None)
    return Watchdog(service, 8.0, lambda _: None)


def test_one_controller_of_each_link_is_asked() -> None:
    first, second, other, aggregate = (Controller() for _ in range(4))
    chips = ("", aggregate), ("m4", first), ("m4", second), ("dsp", other)
    assert asyncio.run(watchdog(*chips).check())
    # A chip made of others' lines has no link.
    assert [c.asked for c in (first, second, other, aggregate)] == [1, 0, 1, 0]


def test_silent_firmware_is_told_once_and_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    controller = Controller()
    watching = watchdog(("m4", controller))
    controller.reason = lib.GB_REASON_TIMEOUT
    with caplog.at_level(logging.WARNING):
        assert asyncio.run(watching.check())
        assert asyncio.run(watching.check())
    assert caplog.messages == ["link m4: the firmware does not answer"]
    controller.reason = lib.GB_REASON_NONE
    assert asyncio.run(watching.check())


def test_the_status_is_told_when_a_chip_comes() -> None:
    """And not half an interval later: `systemctl status` is what one looks at first."""
    registry, told = Registry(), asyncio.Queue[str]()
    service: Any = SimpleNamespace(registry=registry, supervisors=[])
    chip: Any = SimpleNamespace(name="fw-0", line_names=(), identity=SimpleNamespace(link=""))

    async def scenario() -> list[str]:
        running = asyncio.ensure_future(Watchdog(service, 3600.0, told.put_nowait).run())
        first = await asyncio.wait_for(told.get(), 60)
        registry.add(chip)
        second = await asyncio.wait_for(told.get(), 60)
        running.cancel()
        return [first, second]

    assert asyncio.run(scenario()) == [
        "WATCHDOG=1\nSTATUS=0 of 0 links up, 0 chips",
        "STATUS=0 of 0 links up, 1 chips",
    ]


def test_a_question_without_an_end_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    controller = Controller()

    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(controller, "ask", never)
    monkeypatch.setattr("bridge.service.watchdog._GRACE_S", 0.01)
    controller.timeout_ms = 10
    assert not asyncio.run(watchdog(("m4", controller)).check())
