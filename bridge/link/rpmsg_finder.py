# SPDX-License-Identifier: BSD-3-Clause
"""Finds the endpoints of an rpmsg link and hands them to it (shim/pump/rpmsg_link.h).

A thread of its own, because sysfs may block: binding a driver or removing an
endpoint can wait for the firmware. It looks at sysfs as a whole whenever the kernel
reports a change on the rpmsg or virtio bus or in /dev, and again while that settles;
it never goes by what an event says, so none that is lost or late matters.
"""

from __future__ import annotations

import array
import contextlib
import errno
import logging
import math
import os
import select
import socket
import threading
import time
from collections.abc import Iterable
from typing import NamedTuple

from bridge import wire
from bridge.link.rpmsg_sysfs import (
    ADDR_ANY,
    CHARDEV,
    BusChannel,
    Node,
    Sysfs,
    claimant,
)
from bridge.link.rpmsg_target import Target
from bridge.link.uevents import drain, monitor
from bridge.shim.ffi import ffi, lib

log = logging.getLogger(__name__)

# There cannot be more stale messages than this; the kernel has fewer buffers.
_DRAIN_MAX = 4096
_MESSAGE_SIZE = 512
# A hindrance that lasts less long is udev at work, as after every start of the firmware.
_PATIENCE_S = 1.0
# The kernel tells of a removal, and that a file is closed, before it is done, and of no end. So it
# looks again this long after an event, and after ever longer pauses up to the last.
_SETTLES_FIRST_S, _SETTLES_LAST_S = 0.2, 3.2
# Watched in the folder of nodes: a node appears, or udev gives one to our group. A node that we may
# not open cannot be watched itself, only its folder can.
_FOLDER_CHANGES = lib.IN_CREATE | lib.IN_MOVED_TO | lib.IN_ATTRIB
# Watched on a node that another program has open: it closes the node.
_NODE_CHANGES = lib.IN_CLOSE_WRITE | lib.IN_CLOSE_NOWRITE | lib.IN_DELETE_SELF


Trouble = tuple[object, str]
"""What has it, and the sentence about it."""


class Endpoint(NamedTuple):
    """A channel and the device node it is used through; both tell it from its successors.

    Attributes:
        channel: identity of the channel, 0 without one.
        node: identity of the node.
        name: of the channel.
        address: the firmware's.
        devname: ``rpmsgN``, for now.
        ours: made by RPMSG_CREATE_EPT_IOCTL, to be destroyed with the link.
    """

    channel: int
    node: int
    name: str
    address: int
    devname: str
    ours: bool


class Finder:
    """The search for the endpoints of one link.

    Args:
        target: what the URL means.
        sysfs: where to look.
        control: our end of the link's socket pair; closed when the link is.

    Raises:
        OSError: ENOENT, ENOTUNIQ or ENODEV of `Target.select`; ENOSYS without
            libudev; no descriptors (EMFILE), no watches of inotify (ENOSPC).
    """

    def __init__(self, target: Target, sysfs: Sysfs, control: socket.socket) -> None:
        self._target = target
        self._sysfs = sysfs
        self._control = control
        self._attached: dict[int, Endpoint] = {}
        self._broken: set[Endpoint] = set()
        self._told: set[Trouble] = set()
        self._troubles: dict[Trouble, float] = {}  # since when
        self._met: set[Trouble] = set()  # in this look
        self._watched: dict[int, int] = {}  # node's identity: watch
        self._again = math.inf  # when to look again after an event
        self._settles_s = _SETTLES_FIRST_S  # the pause before that
        self._looked = threading.Event()
        # This starts before the first look, so that no event falls in between.
        self._monitor = monitor("rpmsg", "virtio")
        self._inotify = lib.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._inotify < 0:
            raise OSError(ffi.errno, f"no inotify instance: {os.strerror(ffi.errno)}")
        try:
            self._processor, self._node = target.select(sysfs)
            self._watch_folders()  # before the first look
        except BaseException:
            os.close(self._inotify)
            raise

    def start(self) -> None:
        """Start to look. Raises OSError EAGAIN: there is no thread for it."""
        title = f"rpmsg {self._processor.title}"
        try:
            threading.Thread(target=self._run, name=title, daemon=True).start()
        except RuntimeError as error:
            raise OSError(errno.EAGAIN, f"no search for rpmsg endpoints: {error}") from None

    def wait(self, timeout_s: float) -> None:
        """Wait at most `timeout_s` for the first look to end."""
        self._looked.wait(timeout_s)

    def close(self) -> None:
        """End a search that was not started."""
        os.close(self._inotify)
        self._control.close()

    def _watch_folders(self) -> None:
        """The folder of the nodes, and the folder of the link to one that the URL may name."""
        folders = {self._sysfs.dev}
        if self._target.node is not None:
            folders.add(os.path.dirname(self._target.node))
        for folder in folders:
            if lib.inotify_add_watch(self._inotify, os.fsencode(folder), _FOLDER_CHANGES) < 0:
                raise OSError(ffi.errno, f"{folder} cannot be watched: {os.strerror(ffi.errno)}")

    # ---- the thread -------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._look():
                self._looked.set()
                self._sleep()
        except (BrokenPipeError, ConnectionResetError):
            pass  # the link was closed
        except Exception:
            log.exception("the search for rpmsg endpoints of %s broke", self._processor.title)
        finally:
            self._looked.set()
            self.close()

    def _sleep(self) -> None:
        """Wait until something may have changed."""
        poll = select.poll()
        for fd in (self._monitor.fileno(), self._inotify, self._control.fileno()):
            poll.register(fd, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(self._timeout_ms())}
        now = time.monotonic()
        if self._monitor.fileno() in ready or self._inotify in ready:
            self._settles_s = _SETTLES_FIRST_S
            self._again = now + self._settles_s
        elif now >= self._again:
            self._settles_s *= 4
            self._again = now + self._settles_s if self._settles_s <= _SETTLES_LAST_S else math.inf
        if self._control.fileno() in ready:
            self._hear()
        with contextlib.suppress(BlockingIOError):
            os.read(self._inotify, 65536)  # whatever it was
        drain(self._monitor)

    def _timeout_ms(self) -> float | None:
        """Until the look after an event, or until a trouble has lasted long enough to be told."""
        untold = (since for what, since in self._troubles.items() if what not in self._told)
        next_s = min([self._again, *(since + _PATIENCE_S for since in untold)])
        return None if next_s == math.inf else max(0.0, next_s - time.monotonic()) * 1000

    def _hear(self) -> None:
        """Note that an endpoint broke: it is not used again, but its successor will be."""
        data = self._control.recv(ffi.sizeof("struct gb_rpmsg_packet"))
        if not data:
            raise BrokenPipeError
        packet = ffi.from_buffer("struct gb_rpmsg_packet *", data)
        endpoint = self._attached.pop(packet.address, None)
        if packet.code == lib.GB_RPMSG_GONE and endpoint is not None:
            self._broken.add(endpoint)
            what = f"channel {endpoint.name} at {endpoint.address:#x}"
            log.debug("%s: %s broke: %s", self._processor.title, what, os.strerror(packet.error))

    # ---- looking ----------------------------------------------------------------

    def _look(self) -> bool:
        """Bring the link into agreement with sysfs; return False when the link's object is gone."""
        self._met.clear()
        why = self._gone()
        wanted = [] if why else self._wanted()
        # What was listed may be that of a processor which has just taken the place of ours, and has
        # a link of its own.
        why = why or self._gone()
        if why is not None:
            self._send(lib.GB_RPMSG_DOWN, text=why)
            return False
        self._detach_all_but(wanted)
        for endpoint in wanted:
            if self._attached.get(endpoint.address) is None:
                self._attach(endpoint)
        for what in self._troubles.keys() - self._met:
            del self._troubles[what]
        return True

    def _gone(self) -> str | None:
        """Why there is nothing to be found any more, or None."""
        if not self._sysfs.there(self._processor):
            return f"{self._processor.title} went away"
        if self._node is None:
            return None
        path = str(self._target.node)
        if self._node not in self._sysfs.nodes(self._processor):
            return f"{path} went away"
        # udev hears later than we do that a number belongs to another node now.
        if os.path.exists(path) and os.path.basename(os.path.realpath(path)) != self._node.devname:
            return f"{path} leads to another node now"
        return None

    def _wanted(self) -> list[Endpoint]:
        if self._node is not None:
            return [self._named(self._node)]
        if self._target.endpoint is not None:
            return self._wanted_static(*self._target.endpoint)
        return self._wanted_channels()

    @staticmethod
    def _named(node: Node) -> Endpoint:
        """A user who names the node says that it is a controller."""
        name = node.name if wire.is_controller(node.name) else wire.CHANNEL_RAW
        return Endpoint(0, node.identity, name, node.dst, node.devname, False)

    def _wanted_static(self, name: str, src: int, dst: int) -> list[Endpoint]:
        for attempt in (1, 2):
            for node in self._sysfs.nodes(self._processor):
                if (node.name, node.src, node.dst) == (name, src, dst):
                    return [Endpoint(0, node.identity, name, dst, node.devname, True)]
            if attempt == 1:
                self._create(name, src, dst)
        return []

    def _wanted_channels(self) -> list[Endpoint]:
        """Every controller's channel with its node; nodes are made where they lack."""
        announced = self._sysfs.channels(self._processor)
        ours = [c for c in announced if wire.is_controller(c.name)]
        free = not self._target.claim and any(c.driver is None for c in ours)
        aliases = self._sysfs.aliases() if free else []
        channels = [c for c in ours if self._usable(c, aliases)]
        # The nodes are listed once for all channels: with many of them this listing takes the time
        # of a look.
        nodes = self._sysfs.nodes(self._processor)
        lacking = [c for c in channels if c.driver is None and _endpoint(c, nodes) is None]
        if lacking:
            for channel in lacking:
                self._make_node(channel)
            nodes = self._sysfs.nodes(self._processor)
        found = (_endpoint(channel, nodes) for channel in channels)
        return [endpoint for endpoint in found if endpoint is not None]

    def _usable(self, channel: BusChannel, aliases: list[tuple[str, str]]) -> bool:
        """Whether no other driver has a controller's channel, or could have it."""
        if channel.driver not in (None, CHARDEV):
            self._tell(channel.identity, f"channel {channel.name} has driver {channel.driver}")
            return False
        module = claimant(channel.name, aliases) if channel.driver is None else None
        if module is not None:
            self._tell(
                channel.identity,
                f"channel {channel.name} is left to the kernel's {module}, which is for it; "
                "to use it here, say claim=yes in the link's URL",
            )
        return module is None

    def _make_node(self, channel: BusChannel) -> None:
        bind = self._target.via == "bind" or (
            self._target.via == "auto" and self._sysfs.may_bind(channel)
        )
        if not bind:
            self._create(channel.name, ADDR_ANY, channel.dst)
            return
        try:
            self._sysfs.bind(channel)
        except OSError as error:
            self._tell(channel.identity, f"channel {channel.name} not bound: {error.strerror}")

    def _create(self, name: str, src: int, dst: int) -> None:
        # The link hangs up before it destroys its endpoints, so an endpoint that is missing then is
        # no loss.
        hangup = select.poll()
        hangup.register(self._control, 0)
        if hangup.poll(0):
            raise BrokenPipeError
        try:
            self._sysfs.create_endpoint(self._processor, name, src, dst)
        except OSError as error:
            self._tell((name, src, dst), error.strerror or str(error))

    # ---- the link's side ----------------------------------------------------------

    def _detach_all_but(self, wanted: list[Endpoint]) -> None:
        for endpoint in list(self._attached.values()):
            if endpoint not in wanted:
                self._send(lib.GB_RPMSG_DETACH, endpoint.address)
                del self._attached[endpoint.address]
        self._broken.intersection_update(wanted)

    def _attach(self, endpoint: Endpoint) -> None:
        if endpoint in self._broken:
            return
        path = os.path.join(self._sysfs.dev, endpoint.devname)
        fd = self._open(path, endpoint)
        if fd is None:
            return
        try:
            flags = lib.GB_RPMSG_DESTROY if endpoint.ours else 0
            self._send(lib.GB_RPMSG_ATTACH, endpoint.address, flags, endpoint.name, fd)
        finally:
            os.close(fd)
        self._attached[endpoint.address] = endpoint
        watch = self._watched.pop(endpoint.node, None)
        if watch is not None:
            lib.inotify_rm_watch(self._inotify, watch)
        log.debug("channel %s at %#x: %s", endpoint.name, endpoint.address, path)

    def _open(self, path: str, endpoint: Endpoint) -> int | None:
        """The node, empty of messages to whoever had it before; None when not to be had."""
        for last in (False, True):
            try:
                fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
                break
            except OSError as error:
                number = error.errno
            if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
                return None  # gone, or not there yet
            # It is tried once more, since it may have been closed before it was watched.
            if last or number != errno.EBUSY or not self._watch(path, endpoint):
                self._tell(endpoint.node, _refused(path, number or 0))
                return None
        if not self._sysfs.has_node(endpoint.devname, endpoint.node):
            os.close(fd)  # another node has the number now: the event that says so is unread
            return None
        # The messages that are queued were for whoever had the channel before. A read of no bytes
        # is an empty message. Whatever else goes wrong, the link will notice.
        with contextlib.suppress(OSError):
            for _ in range(_DRAIN_MAX):
                os.read(fd, _MESSAGE_SIZE)
        return fd

    def _watch(self, path: str, endpoint: Endpoint) -> bool:
        watch = lib.inotify_add_watch(self._inotify, os.fsencode(path), _NODE_CHANGES)
        if watch >= 0:
            self._watched[endpoint.node] = watch
        return bool(watch >= 0)

    def _send(
        self, code: int, address: int = 0, flags: int = 0, text: str = "", fd: int | None = None
    ) -> None:
        packet = ffi.new("struct gb_rpmsg_packet *")
        packet.code, packet.address, packet.flags = code, address, flags
        packet.text = text.encode("ascii", "backslashreplace")[: lib.GB_RPMSG_TEXT_SIZE - 1]
        rights = [] if fd is None else [fd]
        self._control.sendmsg(
            [bytes(ffi.buffer(packet))],
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", rights))] if rights else [],
            socket.MSG_NOSIGNAL,
        )

    def _tell(self, what: object, sentence: str) -> None:
        """Say what is in the way, once, and only if it stays in the way for a while."""
        trouble = (what, sentence)
        self._met.add(trouble)
        lasted_s = time.monotonic() - self._troubles.setdefault(trouble, time.monotonic())
        if lasted_s >= _PATIENCE_S and trouble not in self._told:
            self._told.add(trouble)
            log.warning("%s: %s", self._processor.title, sentence)


def _endpoint(channel: BusChannel, nodes: Iterable[Node]) -> Endpoint | None:
    """A channel through its own node, or one made for it through the control device."""
    made = None
    for node in nodes:
        what = (channel.identity, node.identity, channel.name, channel.dst, node.devname)
        if node.parent == channel.path:
            return Endpoint(*what, ours=False)
        if channel.driver is None and (node.name, node.dst) == (channel.name, channel.dst):
            made = Endpoint(*what, ours=True)
    return made


def _refused(path: str, number: int) -> str:
    why = f"{path} cannot be opened: {os.strerror(number)}"
    if number == errno.EBUSY:
        return f"{why}; another program has it, and only one can"
    if number in (errno.EACCES, errno.EPERM):
        return f"{why}; the service's user must be in the node's group"
    return why
