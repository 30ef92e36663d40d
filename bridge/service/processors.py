# SPDX-License-Identifier: BSD-3-Clause
"""The state of the remote processors behind rpmsg links.

The kernel tells nobody when a state changes. But every start, stop and recovery
adds or removes devices, so states are read again after uevents of the virtio and
rpmsg buses, and, only while a link is down, every few seconds. A crash with
recovery disabled changes nothing but the state: it shows when a link is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bridge import remoteproc
from bridge.link.uevents import drain, monitor
from bridge.service.config import RemoteprocConfig

if TYPE_CHECKING:
    import pyudev

log = logging.getLogger(__name__)

_SUBSYSTEMS = ("remoteproc", "rpmsg", "virtio")
# A state becomes final only after the devices have come or gone.
_SETTLED_S = (0.2, 2.0)
_DOWN_S = 5.0
_ADVICE = {
    "crashed": "dmesg says why; gpio-bridge remoteproc stop {0} and start {0} run it again",
    "offline": "gpio-bridge remoteproc start {0} runs it",
}


class Processors:
    """Knows the states; logs what changes.

    Args:
        down: whether a link that needs a processor is down.

    Attributes:
        states: state by name, as last read.
    """

    def __init__(self, down: Callable[[], bool]) -> None:
        self.states: dict[str, str] = {}
        self._down = down
        self._monitor: pyudev.Monitor | None = None
        self._event = asyncio.Event()
        self._appeared = asyncio.Event()
        self._holds: list[remoteproc.AutoStop] = []

    async def run(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()
        # Without libudev an rpmsg link reports that itself.
        with contextlib.suppress(OSError):
            self._monitor = monitor(*_SUBSYSTEMS)
            loop.add_reader(self._monitor.fileno(), self._uevent)
        try:
            while True:
                self.look()
                await self._changed()
        finally:
            if self._monitor is not None:
                loop.remove_reader(self._monitor.fileno())

    async def _changed(self) -> None:
        """Wait until there is a reason to look again."""
        timeout = _DOWN_S if self._down() else None
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(self._event.wait(), timeout)
            self._event.clear()
            for pause in _SETTLED_S:
                await asyncio.sleep(pause)
                self.look()

    def _uevent(self) -> None:
        """Take the events; whatever they were, the states are read."""
        if self._monitor is not None:
            drain(self._monitor)
        self._event.set()

    def look(self) -> None:
        """Read the states and log what is new."""
        states = {processor.name: processor.state for processor in remoteproc.processors()}
        if states.keys() - self.states.keys():
            self._appeared.set()
        for name, state in states.items():
            before = self.states.get(name)
            if before == state:
                continue
            advice = _ADVICE.get(state, "").format(name)
            level = logging.WARNING if state == "crashed" else logging.INFO
            change = f"{before} -> {state}" if before else state
            log.log(level, "remoteproc %s: %s%s", name, change, f"; {advice}" if advice else "")
        self.states = states

    # ---- those that the service starts ------------------------------------------

    async def start(self, wanted: Sequence[RemoteprocConfig]) -> None:
        """Start processors, one after the other, then those whose drivers probe later.

        Failures are logged, and the service goes on.
        """
        missing = []
        for one in wanted:
            await self._start(one)
            if one.name not in self.states:
                missing.append(one)
        await asyncio.gather(*(self._start_late(one) for one in missing))

    async def _start_late(self, one: RemoteprocConfig) -> None:
        while one.name not in self.states:
            self._appeared.clear()
            await self._appeared.wait()
        await self._start(one)

    async def _start(self, one: RemoteprocConfig) -> None:
        try:
            processor = await asyncio.to_thread(remoteproc.find, one.name)
            if one.auto_stop:
                await self._hold(processor)
            else:
                await asyncio.to_thread(processor.start)
        except OSError as error:
            log.error("remoteproc %s: %s", one.name, error.strerror or error)
        self.look()

    async def _hold(self, processor: remoteproc.RemoteProcessor) -> None:
        """Keep a hold; one that comes after our end is closed at once."""
        holding = asyncio.ensure_future(asyncio.to_thread(processor.hold))
        try:
            self._holds.append(await asyncio.shield(holding))
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):
                (await holding).close()
            raise

    async def close(self) -> None:
        """Stop the processors that run for us."""
        holds, self._holds = self._holds, []
        for hold in holds:
            await asyncio.to_thread(hold.close)
