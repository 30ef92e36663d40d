# SPDX-License-Identifier: BSD-3-Clause
"""The service inside another process: a thread with its own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from concurrent.futures import Future

from bridge.service.config import Config
from bridge.service.service import Service
from bridge.shim.pump import Pump


class ServiceThread:
    """Runs a `Service` in a daemon thread; used by clients that name a link URL.

    Args:
        config: usually with ``socket=None``: nobody else may connect then.

    Raises:
        OSError: as `Service.start`.
    """

    def __init__(self, config: Config) -> None:
        self._service = Service(config)
        self._ready: Future[None] = Future()
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._main, name="gpio-bridge", daemon=True)
        try:
            self._thread.start()
            self._ready.result()
        except BaseException:  # also on Ctrl-C; the service may be up then, or come up
            self.close()
            raise

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._service.start())
        except BaseException as error:
            self._loop.close()
            self._ready.set_exception(error)
            return
        self._ready.set_result(None)
        self._loop.run_until_complete(self._stopping.wait())
        self._loop.run_until_complete(self._service.stop())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def connect(self) -> socket.socket:
        """A new control connection: blocking, SOCK_SEQPACKET, to be closed by the caller."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._loop.call_soon_threadsafe(self._service.adopt, theirs)
        return ours

    @property
    def pump(self) -> Pump:
        """The data plane; it ends with close()."""
        return self._service.pump

    def wait_chip(self, name: str | None = None, timeout_s: float = 5.0) -> str:
        """Wait for a chip to be online.

        Args:
            name: of the chip, or of its channel; None takes the first one. All but a
                chip's name count once all controllers that were announced are negotiated
                with.
            timeout_s: most seconds to wait.

        Returns:
            The chip's name.

        Raises:
            OSError: ETIMEDOUT, the sentence says why each link is down; ENOTUNIQ, several
                chips are on that channel.
        """
        future = asyncio.run_coroutine_threadsafe(self._wait_chip(name, timeout_s), self._loop)
        return future.result()

    async def _wait_chip(self, name: str | None, timeout_s: float) -> str:
        registry = self._service.registry

        def find() -> list[str]:
            chips = registry.all()
            return [c.name for c in chips if name in (None, c.name, c.identity.channel)]

        def done() -> bool:
            settled = all(s.settled for s in self._service.supervisors)
            return name in (found := find()) or (settled and bool(found))

        await registry.wait(done, timeout_s)
        found = find()
        if len(found) > 1 and name is not None and name not in found:
            which = " or ".join(found)
            raise OSError(
                errno.ENOTUNIQ,
                f"{len(found)} chips are on channels called {name}: say which, {which}",
            )
        if not found:
            links = "; ".join(
                f"link {s.context.name} is {s.state}" + (f": {s.why}" if s.why else "")
                for s in self._service.supervisors
            )
            there = ", ".join(chip.name for chip in registry.all()) or "none"
            what = f'chip "{name}"' if name else "chip"
            raise OSError(
                errno.ETIMEDOUT,
                f"no {what} came up in {timeout_s:g} s ({links}; chips: {there})",
            )
        return name if name in found else found[0]

    def close(self) -> None:
        """Stop the service and the thread; pins stay as they are. May be repeated."""
        with contextlib.suppress(RuntimeError):  # its loop is closed, so it ends by itself
            self._loop.call_soon_threadsafe(self._stopping.set)
        with contextlib.suppress(RuntimeError):  # it never began
            self._thread.join()
