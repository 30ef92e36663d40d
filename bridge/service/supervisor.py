# SPDX-License-Identifier: BSD-3-Clause
"""Keeps one link up: connects, and starts again when it breaks."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import time
from typing import Any

from bridge.link import resolve
from bridge.service.channel import RESTART_PAUSE_S, SHORT_LIFE_S
from bridge.service.link_context import LinkContext
from bridge.service.session import Session
from bridge.service.watch import PathWatch, UeventWatch, Watch

log = logging.getLogger(__name__)

_BACKOFF_FIRST_S = 0.05
_BACKOFF_LAST_S = 2.0
_CONNECT_MIN_MS = 1000


class Supervisor:
    """One link and the chips on it.

    Args:
        context: of the link.

    Attributes:
        context: of the link.
        state: ``connecting``, ``up`` or ``down``.
        why: the reason when it is not up, empty otherwise.
        ups: how often it came up.
    """

    def __init__(self, context: LinkContext) -> None:
        self.context = context
        self.state = "connecting"
        self.why = ""
        self.ups = 0
        self._since = time.monotonic()
        self._target = resolve(context.config.url)
        self._session: Session | None = None
        self._told = ""  # the last reason that was logged, until a link has lasted

    def status(self) -> dict[str, object]:
        """The link as the control socket shows it."""
        return {
            "name": self.context.name,
            "url": self.context.config.url,
            "state": self.state,
            "why": self.why,
            "since_s": time.monotonic() - self._since,
            "ups": self.ups,
            "strays": self._session.link.strays if self._session else 0,
            "messages": self._session.link.count() if self._session else {},
            "unusable": self._session.unusable() if self._session else [],
            "on_release": self.context.config.on_release,
            "lines_on_release": dict(self.context.config.lines_on_release),
            "doubts": [*(self._session.doubts() if self._session else []), *self.context.doubts],
        }

    def channels(self) -> list[tuple[str, int]]:
        """Name and address of each channel of a controller, now."""
        return self._session.channels() if self._session is not None else []

    @property
    def settled(self) -> bool:
        """Whether the link is up and no controller is being negotiated with."""
        return self._session is not None and self._session.settled

    async def run(self) -> None:
        """Keep the link up until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            opened = await self._connect()
            try:
                self._session = Session(self.context, opened)
            except OSError as error:
                self._down(error.strerror or str(error))
                await asyncio.sleep(_BACKOFF_LAST_S)
                continue
            self.state, self.why = "up", ""
            self._since = time.monotonic()
            self.ups += 1
            born = loop.time()
            again = " again" if self.ups > 1 else ""
            log.info("link %s: up%s (%s)", self.context.name, again, self.context.config.url)
            try:
                why = await self._session.down
                channels = self.channels()
            finally:
                self.state = "down"
                self._since = time.monotonic()
                await self._session.close()
                self._session = None
            short_lived = loop.time() - born < SHORT_LIFE_S
            if not short_lived:
                self._told = ""
            if self._down(why):
                self.context.recorder.link_died(channels)
            if short_lived:
                # A link that always breaks at once must take neither a CPU nor the journal.
                await asyncio.sleep(RESTART_PAUSE_S)

    def _down(self, why: str) -> bool:
        """Note why; whether that was news."""
        news = why != self._told
        if news:
            log.warning("link %s: down: %s", self.context.name, why)
        self.state, self.why, self._told = "down", why, why
        return news

    async def _connect(self) -> Any:
        """Try until the link opens: at once when its path appears, else ever more rarely."""
        watch = None
        backoff = _BACKOFF_FIRST_S
        try:
            while True:
                watch = self._watch(watch)
                self.state = "connecting"
                attempt = asyncio.get_running_loop().time()
                try:
                    return await self._open()
                except OSError as error:
                    self._down(error.strerror or str(error))
                    missing = error.errno == errno.ENOENT
                if watch is None:
                    await asyncio.sleep(backoff)
                elif await watch.changed(None if missing else backoff):
                    # Others may change files beside the path without end.
                    since = asyncio.get_running_loop().time() - attempt
                    await asyncio.sleep(max(0.0, _BACKOFF_FIRST_S - since))
                    backoff = _BACKOFF_FIRST_S
                    continue
                backoff = min(2 * backoff, _BACKOFF_LAST_S)
        finally:
            if watch is not None:
                watch.close()

    def _watch(self, last: Watch | None) -> Watch | None:
        """What is waited for after the next attempt; the last one goes on."""
        backend, rest = self._target
        path = backend.watch_path(rest)
        find_subsystem = getattr(backend, "watch_subsystem", None)
        subsystem = find_subsystem(rest) if find_subsystem is not None else None
        try:
            if last is not None:
                last.again()
                return last
            if path is not None:
                return PathWatch(path)
            return UeventWatch(subsystem) if subsystem is not None else None
        except OSError as error:
            log.warning(
                "link %s: %s; trying now and then instead", self.context.name, error.strerror
            )
            if last is not None:
                last.close()
            return None

    async def _open(self) -> Any:
        """Open the link in a thread; a link that comes too late is thrown away."""
        backend, rest = self._target
        timeout_ms = max(self.context.timeout_ms, _CONNECT_MIN_MS)
        opening = asyncio.ensure_future(asyncio.to_thread(backend.connect, rest, timeout_ms))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):
                self.context.dispatcher.pump.discard_link(await opening)
            raise
        except RuntimeError as error:
            if "shutdown" in str(error):  # at the end of the interpreter this thread ends with it
                raise asyncio.CancelledError from None
            raise OSError(errno.EAGAIN, f"no thread to open the link: {error}") from None
