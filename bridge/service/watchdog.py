# SPDX-License-Identifier: BSD-3-Clause
"""The service manager's watchdog (sd_watchdog_enabled(3)), fed after a look at the links."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from typing import Protocol

from bridge import wire
from bridge.chips.controller import Controller
from bridge.service.registry import Registry
from bridge.service.supervisor import Supervisor
from bridge.shim.ffi import lib

log = logging.getLogger(__name__)

_GRACE_S = 1.0


def interval_s(environment: Mapping[str, str] = os.environ) -> float | None:
    """Seconds within which the manager wants to hear from us, None when it does not."""
    pid = environment.get("WATCHDOG_PID")
    text = environment.get("WATCHDOG_USEC", "")
    if not environment.get("NOTIFY_SOCKET") or (pid is not None and pid != str(os.getpid())):
        return None
    if not (text.isascii() and text.isdigit()) or not int(text):
        return None
    return int(text) / 1_000_000


class Watched(Protocol):
    """What is watched: `bridge.service.service.Service`."""

    registry: Registry
    supervisors: list[Supervisor]

    def look_at_processors(self) -> None:
        """Firmware is silent: read again what state its processor is in."""


class Watchdog:
    """Asks one controller of each link that is up, once in half an interval.

    What counts is that the question comes to an end, be it at its deadline: then
    the event loop, the pump's thread and the way between them work. A firmware that
    is silent is logged, and is no reason to restart the service.

    Args:
        service: what is watched.
        interval_s: of the watchdog in seconds.
        notify: sends a message of sd_notify(3).
    """

    def __init__(
        self, service: Watched, interval_s: float, notify: Callable[[str], object]
    ) -> None:
        self._service = service
        self._interval_s = interval_s
        self._notify = notify
        self._silent: set[str] = set()
        self._told = ""

    async def run(self) -> None:
        """Feed the watchdog, and tell the status whenever chips come or go, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            next_time = loop.time() + self._interval_s / 2
            if await self.check():
                self._tell("WATCHDOG=1\n")
            while await self._service.registry.wait(self._has_news, next_time - loop.time()):
                self._tell()

    def _has_news(self) -> bool:
        return self._told != self._status()

    def _tell(self, fed: str = "") -> None:
        self._told = self._status()
        self._notify(f"{fed}STATUS={self._told}")

    async def check(self) -> bool:
        """Whether every question came to an end."""
        controllers: dict[str, Controller] = {}
        for chip in self._service.registry.all():
            link = chip.identity.link  # none of a chip that is made of lines of others
            if link and chip.controller is not None:
                controllers.setdefault(link, chip.controller)
        ended = await asyncio.gather(*(self._ask(*item) for item in controllers.items()))
        return all(ended)

    async def _ask(self, link: str, controller: Controller) -> bool:
        # Silent firmware must not cost so much time that the manager loses patience.
        timeout_ms = max(1, min(controller.timeout_ms, int(self._interval_s * 250)))
        question = controller.ask(wire.MSG_GET_DIRECTION, timeout_ms=timeout_ms)
        try:
            report = await asyncio.wait_for(question, timeout_ms / 1000 + _GRACE_S)
        except (TimeoutError, asyncio.TimeoutError):  # first: it is an OSError, too
            log.error("link %s: the pump does not answer; the watchdog is not fed", link)
            return False
        except OSError as error:
            log.debug("link %s: not asked: %s", link, error)  # it is going away, or busy
            return True
        if report.reason != lib.GB_REASON_TIMEOUT:
            self._silent.discard(link)
        elif link not in self._silent:
            self._silent.add(link)
            log.warning("link %s: the firmware does not answer", link)
            self._service.look_at_processors()
        return True

    def _status(self) -> str:
        links = self._service.supervisors
        up = sum(link.state == "up" for link in links)
        text = f"{up} of {len(links)} links up, {len(self._service.registry)} chips"
        return f"{text}, no answer from {', '.join(sorted(self._silent))}" if self._silent else text
