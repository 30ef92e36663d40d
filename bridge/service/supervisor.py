# SPDX-License-Identifier: BSD-3-Clause
"""Keeps one link up: connects, brings its chips up, and starts again when it breaks."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import itertools
import logging
import time
from typing import Any

from bridge import wire
from bridge.chips.chip import Chip, Identity
from bridge.chips.controller import EXTENDED, Controller, Setup
from bridge.chips.dispatcher import Dispatcher
from bridge.chips.pin import Pin
from bridge.chips.tasks import Tasks
from bridge.link import resolve
from bridge.service.config import LinkConfig
from bridge.service.memory import Memory
from bridge.service.registry import Registry
from bridge.service.roster import Place, Roster
from bridge.service.seen import Seen
from bridge.service.watch import PathWatch, UeventWatch, Watch
from bridge.shim.pump import Link, Report, ReportKind

log = logging.getLogger(__name__)

FIRST_ADDRESS = 1024
"""First dynamic rpmsg address (RPMSG_RESERVED_ADDRESSES of the kernel)."""
CHANNELS_MAX = 256
"""Controllers of one link; a firmware that announces more is not believed."""
TOLD_MAX = 8
"""Controllers without a chip that `Supervisor.status` tells of."""

_BACKOFF_FIRST_S = 0.05
_BACKOFF_LAST_S = 2.0
_CONNECT_MIN_MS = 1000
# Pauses before a negotiation that failed is tried again; then only an
# announcement starts another.
_RETRIES_S = (0.5, 1.0, 2.0, 4.0)
# Others on rpmsg-raw may take so long to say who they are: one that is mute stops nobody.
_TELLING_S = 2.0
# After the last chip that came: then what is configured for others is a mistake.
_PATIENCE_S = 2.0
_SHORT_LIFE_S = 1.0
_RESTART_PAUSE_S = 0.2


class Supervisor:
    """One link and the chips on it.

    Args:
        dispatcher: whose pump carries the link.
        registry: where the chips appear.
        config: of the link.
        name: of the link, unique in the service.
        timeout_ms: deadline of one request to the firmware in milliseconds.

    Attributes:
        state: ``connecting``, ``up`` or ``down``.
        why: the reason when it is not up, empty otherwise.
        ups: how often it came up.
        memory: what clients held when the firmware went away.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        registry: Registry,
        config: LinkConfig,
        name: str,
        timeout_ms: int,
    ) -> None:
        self.name = name
        self.config = config
        self.state = "connecting"
        self.why = ""
        self.ups = 0
        self._since = time.monotonic()
        self._dispatcher = dispatcher
        self._registry = registry
        self._timeout_ms = timeout_ms
        self.memory = Memory(config)
        self.roster = Roster(
            name, config.raw, lambda number: self.memory.forget(f"{name}-{number}")
        )
        # Where a channel was that another address claimed too, by its name.
        self.disputed: dict[str, int] = {}
        self.indexes: set[str] = set()  # of channels rpmsg-io-<index>, present or past
        self._seen = Seen(config, name)
        self._check: asyncio.TimerHandle | None = None
        self._target = resolve(config.url)
        self._session: Session | None = None
        self._told = ""  # the last reason that was logged, until a link has lasted

    def status(self) -> dict[str, object]:
        """The link as the control socket shows it."""
        return {
            "name": self.name,
            "url": self.config.url,
            "state": self.state,
            "why": self.why,
            "since_s": time.monotonic() - self._since,
            "ups": self.ups,
            "strays": self._session.link.strays if self._session else 0,
            "unusable": self._session.unusable() if self._session else [],
            "doubts": [*(self._session.doubts() if self._session else []), *self._seen.told],
        }

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
                self._session = Session(self, opened)
            except OSError as error:
                self._down(error.strerror or str(error))
                await asyncio.sleep(_BACKOFF_LAST_S)
                continue
            self.state, self.why = "up", ""
            self._since = time.monotonic()
            self.ups += 1
            born = loop.time()
            again = " again" if self.ups > 1 else ""
            log.info("link %s: up%s (%s)", self.name, again, self.config.url)
            try:
                why = await self._session.down
            finally:
                self.state = "down"
                self._since = time.monotonic()
                await self._session.close()
                self._session = None
            short_lived = loop.time() - born < _SHORT_LIFE_S
            if not short_lived:
                self._told = ""
            self._down(why)
            if short_lived:
                # What always breaks at once must eat neither a CPU nor the journal.
                await asyncio.sleep(_RESTART_PAUSE_S)

    def _down(self, why: str) -> None:
        if why != self._told:
            log.warning("link %s: down: %s", self.name, why)
        self.state, self.why, self._told = "down", why, why

    async def _connect(self) -> Any:
        """Try until the link opens: at once when its path appears, else ever more rarely."""
        watch = self._watch()
        backoff = _BACKOFF_FIRST_S
        try:
            while True:
                if watch is not None:
                    watch.close()
                watch = self._watch()
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
                    # Others may change files beside it without end.
                    since = asyncio.get_running_loop().time() - attempt
                    await asyncio.sleep(max(0.0, _BACKOFF_FIRST_S - since))
                    backoff = _BACKOFF_FIRST_S
                    continue
                backoff = min(2 * backoff, _BACKOFF_LAST_S)
        finally:
            if watch is not None:
                watch.close()

    def _watch(self) -> Watch | None:
        backend, rest = self._target
        path = backend.watch_path(rest)
        find_subsystem = getattr(backend, "watch_subsystem", None)
        subsystem = find_subsystem(rest) if find_subsystem is not None else None
        try:
            if path is not None:
                return PathWatch(path)
            return UeventWatch(subsystem) if subsystem is not None else None
        except OSError as error:
            log.warning("link %s: %s; trying now and then instead", self.name, error.strerror)
            return None

    async def _open(self) -> Any:
        """Open the link in a thread; what comes too late for us is thrown away."""
        backend, rest = self._target
        timeout_ms = max(self._timeout_ms, _CONNECT_MIN_MS)
        opening = asyncio.ensure_future(asyncio.to_thread(backend.connect, rest, timeout_ms))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):
                self._dispatcher.pump.discard_link(await opening)
            raise
        except RuntimeError as error:
            if "shutdown" in str(error):  # of the interpreter: this thread ends with it
                raise asyncio.CancelledError from None
            raise OSError(errno.EAGAIN, f"no thread to open the link: {error}") from None

    # ---- for the session ----------------------------------------------------

    def saw(self, number: str, chip: Chip) -> None:
        """A chip came: what is configured for it is right."""
        self._seen.add(number, chip)
        if self._check is not None:
            self._check.cancel()
        loop = asyncio.get_running_loop()
        self._check = loop.call_later(_PATIENCE_S, self._check_configuration)

    def _check_configuration(self) -> None:
        for mistake in self._seen.mistakes():
            log.warning("link %s: %s", self.name, mistake)

    def label(self, index: str, from_firmware: str, channel: str) -> str:
        """Label of a chip: configured, else the firmware's, else the channel's name."""
        return self.config.labels.get(index) or from_firmware or channel

    def line_names(self, index: str, from_firmware: list[str | None]) -> list[str | None]:
        """Line names of a chip: those configured take the place of the firmware's."""
        configured = self.config.names.get(index, ())
        if len(configured) > len(from_firmware):
            log.warning(
                "link %s: names of chip %s: %d names for %d lines, the rest is ignored",
                self.name,
                index,
                len(configured),
                len(from_firmware),
            )
        names: list[str | None] = [name or None for name in configured]
        return (names + from_firmware[len(names) :])[: len(from_firmware)]

    @property
    def dispatcher(self) -> Dispatcher:
        """The dispatcher of the service."""
        return self._dispatcher

    @property
    def registry(self) -> Registry:
        """The chips of the service."""
        return self._registry

    @property
    def timeout_ms(self) -> int:
        """Deadline of one request in milliseconds."""
        return self._timeout_ms


class Session:
    """A link from the moment it is up to the moment it is down.

    Attributes:
        link: the open link.
        down: resolves to the reason when the link dies.
    """

    def __init__(self, supervisor: Supervisor, opened: Any) -> None:
        self.supervisor = supervisor
        self.down: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.tasks = Tasks()
        self.addresses = itertools.count(FIRST_ADDRESS)
        self._channels: dict[tuple[str, int], Channel] = {}
        # Announced while another address has the name; a dict for its order.
        self._waiting: dict[tuple[str, int], None] = {}
        # On channels rpmsg-raw: label, and where the number goes.
        self._unnumbered: dict[Channel, tuple[str, asyncio.Future[Place]]] = {}
        self._mute: set[Channel] = set()
        dispatcher = supervisor.dispatcher
        self._id = dispatcher.listen(self)
        try:
            self.link: Link = dispatcher.pump.add_link(opened, self._id)
        except OSError:
            dispatcher.forget(self._id)
            raise

    @property
    def settled(self) -> bool:
        """Whether every channel announced so far was negotiated with, whatever came of it."""
        return all(channel.settled for channel in self._channels.values())

    def unusable(self) -> list[dict[str, str]]:
        """The first controllers that are no chips, as the control socket shows them."""
        without = (channel for channel in self._channels.values() if channel.why)
        return [channel.status() for channel in itertools.islice(without, TOLD_MAX)]

    def doubts(self) -> list[str]:
        """Why some controllers may be others than those that had their names, a sentence each."""
        doubts = (channel.place.doubt for channel in self._channels.values() if channel.place)
        return [doubt for doubt in doubts if doubt]

    def reported(self, report: Report) -> None:
        """Handle a report with the link's id."""
        if report.kind == ReportKind.LINK_DOWN:
            for channel in self._channels.values():
                channel.remember()
            if not self.down.done():
                why = report.body.decode("utf-8", "replace").rstrip("\0")
                self.down.set_result(why or "the link broke")
        elif report.kind == ReportKind.LINK_NOTE:
            note = report.body.rstrip(b"\0").decode("utf-8", "replace")
            log.warning("link %s: %s", self.supervisor.name, note)
        elif report.kind == ReportKind.ANNOUNCED:
            name = report.body.rstrip(b"\0").decode("ascii", "backslashreplace")
            if report.value:
                self._created(name, report.number)
            else:
                self._destroyed(name, report.number)
                self._take_up(name)

    def _created(self, name: str, address: int) -> None:
        link = self.supervisor.name
        if not wire.is_controller(name):
            log.info("link %s: channel %r is no GPIO controller, left alone", link, name[:32])
            return
        known = self._channels.get((name, address))
        if known is not None and known.announced_again():
            return
        self._destroyed(name, address)
        if len(self._channels) >= CHANNELS_MAX:
            log.warning("link %s: more than %d channels, %s ignored", link, CHANNELS_MAX, name)
            return
        index = wire.channel_index(name)
        owner = self._owner(index)
        if owner is not None and owner.name == name:
            log.warning(
                "link %s: channel %s is announced twice; the one at %#x waits for the other to go",
                link,
                name,
                address,
            )
            self.supervisor.disputed.setdefault(name, owner.address)
            if len(self._waiting) < CHANNELS_MAX:
                self._waiting[name, address] = None
            return
        if index is not None:
            self._claim(index, owner)
        self._channels[name, address] = Channel(self, name, index, address)
        if owner is not None:
            self._created(owner.name, owner.address)

    def _owner(self, index: str | None) -> Channel | None:
        """The channel whose chip has this index in its name."""
        channels = self._channels.values()
        return next((c for c in channels if index is not None and c.index == index), None)

    def _claim(self, index: str, owner: Channel | None) -> None:
        """A channel is called by this index: none on rpmsg-raw can have it as its number."""
        if owner is not None:
            log.warning(
                "link %s: number %s is that of a channel %s%s; %s at %#x gets another one",
                self.supervisor.name,
                index,
                wire.CHANNEL_PREFIX,
                index,
                owner.name,
                owner.address,
            )
            self._destroyed(owner.name, owner.address)
        self.supervisor.indexes.add(index)
        self.supervisor.roster.displace(index)

    async def place(self, channel: Channel, label: str) -> Place:
        """Who a controller is, now that its firmware has told what it tells.

        One on rpmsg-raw that is new waits until all that are announced have told theirs,
        so that their addresses give the order, and not how soon each was there; but not
        for ever.
        """
        if channel.own_index is not None:
            return self._place_of_index(channel, channel.own_index)
        loop = asyncio.get_running_loop()
        decided: asyncio.Future[Place] = loop.create_future()
        self._unnumbered[channel] = label, decided
        overdue = loop.call_later(_TELLING_S, self._number_without_the_mute)
        try:
            self.give_numbers()
            return await decided
        finally:
            overdue.cancel()
            self._unnumbered.pop(channel, None)

    def _number_without_the_mute(self) -> None:
        self._mute.update(channel for channel in self._channels.values() if channel.undecided)
        self.give_numbers()

    def _place_of_index(self, channel: Channel, index: str) -> Place:
        before = self.supervisor.disputed.get(channel.name)
        if before is None:
            return Place(index, "index")
        self.supervisor.disputed[channel.name] = channel.address
        if before == channel.address:
            return Place(index, "address")
        doubt = (
            f"chip {self.supervisor.name}-{index}: {channel.name} was announced at several "
            f"addresses at once; now it is at {channel.address:#x}, and not at {before:#x} as "
            "before: nothing is restored or held on it"
        )
        return Place(index, "nothing", doubt)

    def give_numbers(self) -> None:
        """To those on rpmsg-raw that were there before, and to new ones when all are known."""
        ready = sorted(self._unnumbered, key=lambda channel: channel.address)
        for moved in (False, True):
            if moved and any(c.undecided for c in self._channels.values() if c not in self._mute):
                return
            for channel in ready:
                label, decided = self._unnumbered[channel]
                if not decided.done():
                    roster, present = self.supervisor.roster, self._present(channel)
                    found = roster.recognize(channel.address, label, present, moved=moved)
                    self._decide(channel, decided, found)
        for channel in ready:
            label, decided = self._unnumbered[channel]
            if not decided.done():
                present = self._present(channel)
                roster = self.supervisor.roster
                taken = self.supervisor.indexes
                self._decide(channel, decided, roster.admit(channel.address, label, present, taken))
                roster.forget_some({*present, str(channel.index)})

    def _present(self, channel: Channel) -> set[str]:
        """The numbers of all the others."""
        others = (c.index for c in self._channels.values() if c is not channel)
        return {index for index in others if index is not None}

    @staticmethod
    def _decide(channel: Channel, decided: asyncio.Future[Place], place: Place | None) -> None:
        if place is not None:
            channel.index = place.number  # before the next one asks who is present
            decided.set_result(place)

    def _take_up(self, name: str) -> None:
        """The channel of a name is gone: the next one that has it takes its place."""
        for waiting in list(self._waiting):
            if waiting[0] == name and self._owner(wire.channel_index(name)) is None:
                self._created(*waiting)

    def _destroyed(self, name: str, address: int) -> None:
        self._waiting.pop((name, address), None)
        channel = self._channels.pop((name, address), None)
        if channel is not None:
            channel.remember()
            channel.stop()
            self._unnumbered.pop(channel, None)
            self._mute.discard(channel)
            self.give_numbers()  # nobody need wait for this one

    async def close(self) -> None:
        """Take the chips away and close the link."""
        self.supervisor.dispatcher.forget(self._id)
        channels = list(self._channels.values())
        self._channels.clear()
        await asyncio.gather(*(channel.stop() for channel in channels))
        await self.tasks.stop()
        self.link.close()


class Channel:
    """One announced channel: a controller that is negotiated with, then a chip.

    Args:
        session: of the link.
        name: of the rpmsg channel.
        index: in the channel's name, which makes the chip's; None on rpmsg-raw.
        address: the firmware's endpoint.

    Attributes:
        name: of the rpmsg channel.
        own_index: in the channel's name.
        index: of the chip's name, None until it is known.
        address: the firmware's endpoint.
        place: who the controller is, None until that is known.
        settled: a first negotiation is over.
        why: what the last negotiation failed of, empty while there is a chip.
    """

    def __init__(self, session: Session, name: str, index: str | None, address: int) -> None:
        self.name = name
        self.own_index = self.index = index
        self.address = address
        self.place: Place | None = None
        self.settled = False
        self.why = ""
        self._session = session
        self._chip: Chip | None = None
        where = f"raw@{address:#x}" if index is None else index
        self._title = f"{session.supervisor.name}-{where}"
        self._remembered = False
        self._told = False  # who it is
        self._question: asyncio.Task[None] | None = None
        self._restart = asyncio.Event()
        self._task = session.tasks.spawn(self._run(), f"chip {self._title}")

    def stop(self) -> asyncio.Future[None]:
        """Take the chip away; the result is there when that is done."""
        if self._chip is not None:
            self._session.supervisor.registry.discard(self._chip)
        self._task.cancel()
        return asyncio.ensure_future(self._stopped())

    @property
    def undecided(self) -> bool:
        """Whether it may be about to tell who it is, for the first time."""
        return self.index is None and self.place is None and not self.settled and not self._told

    def status(self) -> dict[str, str]:
        """The controller as the control socket shows it while it is no chip."""
        return {"chip": self._title, "channel": self.name, "why": self.why}

    def announced_again(self) -> bool:
        """Whether nothing needs to be begun anew: firmware with EPOCH says if it is another.

        A name service may say things twice. Firmware that can tell its boots is asked, and
        the pump notices another one by the answer; for all other firmware an announcement
        is the only sign of a start.
        """
        controller = self._chip.controller if self._chip is not None else None
        if controller is None or not controller.features & wire.F_EPOCH:
            return False
        if self._question is None or self._question.done():
            log.info("chip %s: its channel is announced again", self._title)
            question = self._ask(controller)
            self._question = self._session.tasks.spawn(question, f"question to {self._title}")
        return True

    @staticmethod
    async def _ask(controller: Controller) -> None:
        with contextlib.suppress(OSError):  # it went away meanwhile
            # In a form that tells the epoch, which the baseline's does not.
            await controller.ask(wire.MSG_GET_EPOCH, form=EXTENDED)

    def remember(self) -> None:
        """The firmware is gone: once for a chip, before clients react to it."""
        if self._chip is not None and not self._remembered:
            self._remembered = True
            self._session.supervisor.memory.remember(self._chip)

    def _restarted(self) -> None:
        self.remember()
        self._restart.set()

    async def _stopped(self) -> None:
        await asyncio.wait((self._task,))

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._restart.clear()
            born = loop.time()
            await self._life()
            log.warning("chip %s: the firmware restarted", self._title)
            if loop.time() - born < _SHORT_LIFE_S:
                # Firmware that always seems to restart must not eat a CPU.
                await asyncio.sleep(_RESTART_PAUSE_S)

    async def _life(self) -> None:
        """From opening the endpoint to a restart of the firmware."""
        supervisor = self._session.supervisor
        controller = Controller(
            supervisor.dispatcher,
            self._session.link,
            f"chip {self._title}",
            next(self._session.addresses),
            self.address,
            supervisor.timeout_ms,
            self._restarted,
        )
        try:
            chip = await self._bring_up(controller)
            if chip is not None:
                self._chip = chip
                self._remembered = True  # what is replayed, until that is done
                if chip.identity.known_by != "nothing":
                    await supervisor.memory.replay(chip)
                self._remembered = False
                self.settled = True
                supervisor.registry.add(chip)
                supervisor.saw(str(self.index), chip)
                where = f"{self.name} at {self.address:#x}"
                log.info("chip %s: %d lines, %s", chip.name, len(chip.lines), where)
            await self._restart.wait()
        finally:
            chip, self._chip = self._chip, None
            if chip is not None:
                supervisor.registry.discard(chip)
                await chip.remove()
            controller.close()

    async def _bring_up(self, controller: Controller) -> Chip | None:
        """The chip, or None when the firmware restarted or negotiation failed for good."""
        supervisor = self._session.supervisor
        config = supervisor.config
        for pause in (*_RETRIES_S, None):
            try:
                setup = await controller.negotiate(config.extensions, config.lines)
            except OSError as error:
                if self._restart.is_set():
                    return None
                self.why = error.strerror or str(error)
                log.warning("chip %s: not usable: %s", self._title, self.why)
                self.settled = True
                supervisor.registry.changed()
                self._session.give_numbers()  # others need not wait for this one
            else:
                self.why = ""
                return await self._make_chip(controller, setup)
            if pause is None:
                break
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(self._restart.wait(), pause)
                return None
        log.error("chip %s: given up until the firmware announces it again", self._title)
        return None

    async def _make_chip(self, controller: Controller, setup: Setup) -> Chip:
        """The chip, by what its firmware says and what is configured for it."""
        supervisor = self._session.supervisor
        self._told = True
        self.place = place = await self._session.place(self, setup.label)
        if place.doubt:
            log.warning("%s", place.doubt)
        self._title = f"{supervisor.name}-{place.number}"
        controller.title = f"chip {self._title}"
        label = supervisor.label(place.number, setup.label, self.name)
        identity = Identity(
            self._title, label, supervisor.name, self.name, self.address, place.known_by
        )
        names = supervisor.line_names(place.number, setup.names)
        setup = dataclasses.replace(setup, names=names)
        on_release = supervisor.config.on_release
        pins = [Pin(controller, gpio) for gpio in range(len(names))]
        return Chip(supervisor.dispatcher, identity, pins, setup, on_release, controller)
