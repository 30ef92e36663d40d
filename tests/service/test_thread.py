# SPDX-License-Identifier: BSD-3-Clause
"""The service in a thread: starts that are interrupted, threads that are not to be had."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from bridge.client.control import Connection
from bridge.service import Config, LinkConfig, ServiceThread
from bridge.service import thread as thread_module
from firmware_stub import Stub

Eventually = Callable[[Callable[[], bool], str], None]


def running() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "gpio-bridge"]


def test_start_that_is_interrupted_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(Future):  # type: ignore[type-arg]
        def result(self, timeout: float | None = None) -> Any:
            super().result(timeout)
            raise KeyboardInterrupt

    monkeypatch.setattr(thread_module, "Future", Interrupted)
    ended: list[type[BaseException]] = []

    def begin() -> None:
        try:
            ServiceThread(Config(socket=None))
        except BaseException as error:
            ended.append(type(error))

    before = set(running())
    user = threading.Thread(target=begin, daemon=True)
    user.start()
    user.join(20)
    assert ended == [KeyboardInterrupt]
    assert set(running()) <= before


def test_link_is_tried_again_when_there_was_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    original = asyncio.to_thread
    failures = ["can't start new thread"] * 2

    async def to_thread(*arguments: Any) -> Any:
        if failures:
            raise RuntimeError(failures.pop())
        return await original(*arguments)

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    with Stub("demo") as stub:
        thread = ServiceThread(Config(socket=None, links=(LinkConfig(stub.url),)))
        try:
            assert thread.wait_chip("fw-0", 20) == "fw-0"
        finally:
            thread.close()
    assert not failures


def test_end_of_the_interpreter_is_no_failure_of_a_link(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    asked = []

    async def to_thread(*arguments: Any) -> Any:
        asked.append(arguments)
        raise RuntimeError("cannot schedule new futures after shutdown")

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    with caplog.at_level(logging.WARNING):
        thread = ServiceThread(Config(socket=None, links=(LinkConfig("vhost-user:/none"),)))
        eventually(lambda: bool(asked), "the link to be tried")
        thread.close()
    assert len(asked) == 1
    assert not caplog.records


class FakeChip:
    """What the list of chips needs to know, as long as it can be."""

    line_names = ()

    def __init__(self, number: int) -> None:
        self.name = f"{'l' * 31}-{number}"

    def info(self) -> dict[str, object]:
        features = ["config", "names", "tag", "epoch", "credits", "timestamp", "bulk"]
        text = {"name": self.name, "label": "x" * 31, "link": "l" * 31, "channel": "c" * 31}
        numbers = {"num_lines": 65535, "epoch": 2**32 - 1}
        return {**text, **numbers, "dialect": "rpmsg-gpio", "features": [*features, "line-config"]}


def test_more_chips_than_fit_a_packet() -> None:
    thread = ServiceThread(Config(socket=None, timeout_ms=700))
    try:
        for number in range(450):
            thread._service.registry.add(FakeChip(number))  # type: ignore[arg-type]
        connection = Connection(thread.connect(), "here")
        names = [chip["name"] for chip in connection.chips()]
        assert names == [FakeChip(number).name for number in range(450)]
        huge = FakeChip(450)
        huge.info = lambda: {"label": "x" * 65536}  # type: ignore[method-assign]
        thread._service.registry.add(huge)  # type: ignore[arg-type]
        with pytest.raises(OSError, match="does not fit a packet"):
            connection.call("chip", chip=huge.name)
        hello = connection.call("hello", version=1, client="again")
        assert hello["timeout_ms"] == 700
        connection.close()
    finally:
        thread.close()
