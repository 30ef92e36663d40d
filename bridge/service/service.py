# SPDX-License-Identifier: BSD-3-Clause
"""The service as a whole: supervisors of links, chips, and the control socket."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import re
import resource
import signal
import socket
import time
from collections.abc import Callable

from bridge import __version__
from bridge.chips.dispatcher import Dispatcher
from bridge.chips.tasks import Tasks
from bridge.export.aggregate import Aggregate
from bridge.export.exported import Export
from bridge.export.handover import let_go_of_strangers
from bridge.export.selection import ExportConfig
from bridge.export.vhost_user_gpio import VhostUserGpio
from bridge.link import resolve
from bridge.service.config import LINK_NAME_MAX, Config
from bridge.service.control import ControlServer
from bridge.service.fd_store import FdStore, notify
from bridge.service.link_context import LinkContext
from bridge.service.operations import Operations
from bridge.service.own_directory import beside
from bridge.service.processors import Processors
from bridge.service.realtime import Realtime
from bridge.service.recorder import Recorder, directory_of
from bridge.service.registry import Registry
from bridge.service.supervisor import Supervisor
from bridge.service.tracing import Tracing
from bridge.service.watchdog import Watchdog
from bridge.service.watchdog import interval_s as watchdog_interval_s
from bridge.shim.pump import Pump

log = logging.getLogger(__name__)

# A manager that is busy reads meanwhile; one that never reads does not keep us from serving.
_PATIENCE_S = 5.0


class Service:
    """Keeps links up and serves their chips; lives on one event loop.

    Args:
        config: see `bridge.service.config`.

    Attributes:
        registry: the chips that are online.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.registry = Registry()
        self.version = __version__
        self.supervisors: list[Supervisor] = []
        self.exports: list[Export] = []
        self.aggregates: list[Aggregate] = []
        self._started = time.monotonic()
        self._tasks = Tasks()
        self._dispatcher: Dispatcher | None = None
        self._traces = directory_of(config)
        tracing = Tracing(config, self.supervisors)
        operations = Operations(
            config, self.version, self.registry, tracing, self.status, self.settled
        )
        self._keeper = operations.keeper
        self._control = ControlServer(operations, config.limits, self.registry)
        self._processors: Processors | None = None
        self._store = FdStore({})
        self._realtime = Realtime(config.realtime)

    async def start(self) -> None:
        """Listen on the control socket and start to connect the links.

        Raises:
            OSError: the socket cannot be had (EADDRINUSE, EACCES, ENOENT...), the
                pump cannot be started, a link's URL is none, or two chips would have
                one name (EINVAL). Nothing is left open then.
        """
        self._started = time.monotonic()
        try:
            check_chip_names(self.config)
            if self.config.socket is not None:
                self._control.listen(self.config.socket, self.config.mode, self.config.group)
            self._dispatcher = Dispatcher(self._realtime.wanted)
            self._realtime.apply(self._dispatcher.pump)
            self._make_parts(self._dispatcher)
            self._watch_processors()
        except BaseException:
            await self.stop()
            raise

    def _make_parts(self, dispatcher: Dispatcher) -> None:
        """Start all that has to do with chips; the links come last, and bring the first ones."""
        timeout_ms = self.config.timeout_ms
        if self.config.socket is not None:
            self._keeper.resume(beside(self.config.socket, "kept"), self._control.budgets)
        self.registry.takers.append(self._keeper.appeared)
        for chip in self.config.chips:
            self.aggregates.append(Aggregate(dispatcher, self.registry, chip))
            self.registry.takers.append(self.aggregates[-1].appeared)
        self._prepare_exports(dispatcher)
        for link, name in zip(self.config.links, link_names(self.config), strict=True):
            number = len(self.supervisors)
            trace = dispatcher.pump.open_trace(number)
            recorder = Recorder(name, number, trace, self._traces)
            context = LinkContext(dispatcher, self.registry, link, name, timeout_ms, recorder)
            supervisor = Supervisor(context)
            self.supervisors.append(supervisor)
            self._tasks.spawn(supervisor.run(), f"link {name}")

    def _prepare_exports(self, dispatcher: Dispatcher) -> None:
        let_go_of_strangers(self._store, {export.name for export in self.config.exports})
        for config in self.config.exports:
            self.exports.append(self._export_of(dispatcher, config))
            self.registry.takers.append(self.exports[-1].appeared)

    def _export_of(self, dispatcher: Dispatcher, config: ExportConfig) -> Export:
        timeout_ms = self.config.timeout_ms
        if config.kind == "gpiochip":
            from bridge.export.gpiochip import GpioChip

            return GpioChip(dispatcher, config, timeout_ms)
        if config.kind == "uinput":
            from bridge.export.uinput import Keys

            return Keys(config)
        if config.kind == "uleds":
            from bridge.export.uleds import Leds

            return Leds(config)
        return VhostUserGpio(dispatcher, config, timeout_ms, self._store)

    def _watch_processors(self) -> None:
        """Watch the states of remote processors where there are rpmsg links."""
        links = [s for s in self.supervisors if s.context.config.url.startswith("rpmsg:")]
        if not links and not self.config.remoteproc:
            return
        self._processors = Processors(lambda: any(link.state != "up" for link in links))
        self._tasks.spawn(self._processors.run(), "remote processors")
        if self.config.remoteproc:
            work = self._processors.start(self.config.remoteproc)
            self._tasks.spawn(work, "start of remote processors")

    def look_at_processors(self) -> None:
        """Firmware is silent: read again what state its processor is in."""
        if self._processors is not None:
            self._processors.look()

    async def stop(self) -> None:
        """Stop: clients see HUP and ENODEV, pins stay as they are."""
        self._keeper.rest()
        self.registry.takers.clear()  # a chip that comes meanwhile belongs to nobody any more
        await self._control.stop()
        # This is done while the links are up, since the guests' requests must be answered.
        await asyncio.gather(*(export.rest() for export in self.exports))
        for export in self.exports:
            export.close()
        for aggregate in self.aggregates:
            await aggregate.close()
        await self._tasks.stop()
        if self._processors is not None:
            await self._processors.close()
        if self._dispatcher is not None:
            self._dispatcher.close()
            self._dispatcher = None
        self._store.close()

    @property
    def pump(self) -> Pump:
        """The data plane of a service that has started."""
        assert self._dispatcher is not None
        return self._dispatcher.pump

    def adopt(self, connection: socket.socket) -> None:
        """Serve a client on a connected SOCK_SEQPACKET socket, which we own from here on."""
        self._control.adopt(connection)

    def settled(self) -> bool:
        """Whether all controllers that firmwares announced are negotiated with."""
        return all(supervisor.settled for supervisor in self.supervisors)

    def status(self) -> dict[str, object]:
        """The service as the control socket shows it."""
        return {
            "version": self.version,
            "uptime_s": time.monotonic() - self._started,
            "pid": os.getpid(),
            "links": [supervisor.status() for supervisor in self.supervisors],
            "processors": self._processors.states if self._processors else {},
            "chips": len(self.registry),
            "requests": sum(len(chip.requests) for chip in self.registry.all()),
            "clients": self._control.clients,
            "reachable": self._control.reachable,
            "peers": self._control.peers(),
            "aggregates": [aggregate.status() for aggregate in self.aggregates],
            "exports": [export.status() for export in self.exports],
            **self._control.budgets.status(),
            "access": [rule.status() for rule in self.config.access],
            "realtime": self._realtime.status(),
            "traces": self._traces,
        }

    async def run(self, ready: Callable[[], None] | None = None) -> None:
        """Start, serve until SIGTERM, SIGINT or (without nohup) SIGHUP, stop.

        Args:
            ready: called once the control socket accepts connections.

        Raises:
            OSError: as `start`.
        """
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, stopping.set)
        raise_file_limit()
        self._store = FdStore()
        await self.start()
        try:
            if not notify("READY=1", patience_s=_PATIENCE_S) and self._store.has_manager:
                log.warning("the service manager does not read its socket: it does not know of us")
            interval_s = watchdog_interval_s()
            if interval_s is not None:
                self._tasks.spawn(Watchdog(self, interval_s, notify).run(), "watchdog")
            if ready is not None:
                ready()
            await stopping.wait()
        finally:
            notify("STOPPING=1")
            await self.stop()


def check_chip_names(config: Config) -> None:
    """Raise OSError EINVAL for a chip whose name begins like those of a link's chips."""
    for chip in config.chips:
        for link in link_names(config):
            if chip.name.startswith(f"{link}-"):
                raise OSError(
                    errno.EINVAL,
                    f'chip "{chip.name}": names that begin with "{link}-" belong to chips '
                    f"of link {link}; choose another one",
                )


def link_names(config: Config) -> list[str]:
    """Names of the links: configured, else from the URL, made unique by a suffix."""
    taken = {link.name for link in config.links if link.name is not None}
    names = []
    for link in config.links:
        name = link.name
        if name is None:
            target = resolve(link.url)
            stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", target.backend.short_name(target.rest))
            stem = stem.strip("-.")[:LINK_NAME_MAX] or "link"
            name, number = stem, 2
            while name in taken:
                name, number = f"{stem}.{number}", number + 1
            taken.add(name)
        names.append(name)
    return names


def raise_file_limit() -> None:
    """Lift the soft limit of descriptors: each line request takes four."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
