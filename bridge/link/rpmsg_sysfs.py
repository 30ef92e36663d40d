# SPDX-License-Identifier: BSD-3-Clause
"""What the kernel says about rpmsg: processors, channels and their device nodes.

Sources: drivers/rpmsg/{rpmsg_core,rpmsg_char,rpmsg_ctrl}.c and
Documentation/ABI/testing/sysfs-bus-rpmsg of Linux. Numbers in names (virtio0,
rpmsg0) are given anew at every start, so nothing here goes by them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import fnmatch
import os
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from bridge import wire
from bridge.sysfs import REMOTEPROC, read_attribute

CHARDEV = "rpmsg_chrdev"
"""The driver that gives a channel a character device."""
ADDR_ANY = 0xFFFFFFFF

_CREATE_EPT = 0x4028B501  # RPMSG_CREATE_EPT_IOCTL, linux/rpmsg.h
_ENDPOINT_INFO = struct.Struct("=32sII")  # struct rpmsg_endpoint_info
_CONTROL = re.compile(r"rpmsg_ctrl\d+")
_NODE = re.compile(r"rpmsg\d+")
_CHARDEV_MODULE = "rpmsg_char"
_ALIAS = re.compile(rb"^(?:alias rpmsg:(\S+) (\S+)|(\w+)\.alias=rpmsg:(\S+))$", re.MULTILINE)


class BusChannel(NamedTuple):
    """A device on the rpmsg bus.

    Attributes:
        identity: tells it from one that had the same path before.
        path: in sysfs.
        name: of the service, as announced.
        dst: the firmware's address.
        driver: bound to it, or None.
    """

    identity: int
    path: str
    name: str
    dst: int
    driver: str | None


class Node(NamedTuple):
    """A character device of an endpoint, /dev/rpmsgN.

    Attributes:
        identity: tells it from one that had the same number before.
        devname: ``rpmsgN``, for now.
        name: of the channel or endpoint.
        src: our address, ADDR_ANY when the kernel chooses it at open.
        dst: the firmware's address.
        parent: path of the channel, or of the control device that made it.
    """

    identity: int
    devname: str
    name: str
    src: int
    dst: int
    parent: str


class Processor(NamedTuple):
    """What rpmsg channels hang on: a virtio device, on boards below a remoteproc.

    Attributes:
        identity: tells it from one that had the same path before.
        path: in sysfs.
        title: name of the remoteproc, or of the device.
    """

    identity: int
    path: str
    title: str


class Sysfs:
    """Reads and writes below one root.

    Args:
        root: where sysfs is mounted, or a tree that looks like it.
        dev: where the device nodes are.
        modules: where the modules of this kernel are; None asks uname(2).
    """

    def __init__(self, root: str = "/sys", dev: str = "/dev", modules: str | None = None) -> None:
        self.root = os.path.realpath(root)
        self.dev = dev
        self.modules = modules or f"/lib/modules/{os.uname().release}"

    # ---- what is there --------------------------------------------------------

    def processors(self) -> list[Processor]:
        """Every processor with an rpmsg bus, by path."""
        found: dict[str, Processor] = {}
        for path in self._devices("bus/rpmsg/devices"):
            parent = os.path.dirname(path)
            with contextlib.suppress(OSError):
                identity = os.stat(parent).st_ino
                found[parent] = Processor(identity, parent, self._title(parent))
        return [found[path] for path in sorted(found)]

    def _title(self, path: str) -> str:
        for place in (Path(path), *Path(path).parents):
            if REMOTEPROC.fullmatch(place.name):
                return read_attribute(place / "name")
        return os.path.basename(path)

    def there(self, processor: Processor) -> bool:
        """Whether it still is, and is the same."""
        try:
            return os.stat(processor.path).st_ino == processor.identity
        except OSError:
            return False

    def channels(self, processor: Processor) -> list[BusChannel]:
        """The channels of a processor, in order of their addresses."""
        found = []
        for path in self._devices("bus/rpmsg/devices"):
            if os.path.dirname(path) != processor.path:
                continue
            # A device that vanishes while it is looked at counts as not there.
            with contextlib.suppress(OSError, ValueError):
                found.append(
                    BusChannel(
                        os.stat(path).st_ino,
                        path,
                        read_attribute(f"{path}/name"),
                        _address(f"{path}/dst"),
                        _link(f"{path}/driver"),
                    )
                )
        return sorted(found, key=lambda channel: (channel.dst, channel.name))

    def nodes(self, processor: Processor | None = None) -> list[Node]:
        """The endpoint devices of a processor, or all."""
        found = []
        for path in self._devices("class/rpmsg"):
            if not _NODE.fullmatch(os.path.basename(path)):
                continue
            if processor and not path.startswith(f"{processor.path}/"):
                continue
            with contextlib.suppress(OSError, ValueError):
                found.append(
                    Node(
                        os.stat(path).st_ino,
                        os.path.basename(path),
                        read_attribute(f"{path}/name"),
                        _address(f"{path}/src"),
                        _address(f"{path}/dst"),
                        os.path.realpath(f"{path}/device"),
                    )
                )
        return found

    def has_node(self, devname: str, identity: int) -> bool:
        """Whether the endpoint device of this number still is the one of this identity."""
        try:
            return os.stat(f"{self.root}/class/rpmsg/{devname}").st_ino == identity
        except OSError:
            return False

    def control(self, processor: Processor) -> str | None:
        """Path of the processor's control node (/dev/rpmsg_ctrlN)."""
        for path in self._devices("class/rpmsg"):
            name = os.path.basename(path)
            if _CONTROL.fullmatch(name) and path.startswith(f"{processor.path}/"):
                return os.path.join(self.dev, name)
        return None

    def _devices(self, group: str) -> Iterator[str]:
        folder = os.path.join(self.root, group)
        with contextlib.suppress(FileNotFoundError):
            for name in sorted(os.listdir(folder)):
                yield os.path.realpath(os.path.join(folder, name))

    def aliases(self) -> list[tuple[str, str]]:
        """The channels that modules of this kernel claim: pattern and module.

        Empty where the modules are hidden from us, as from a service in a sandbox.
        """
        found = []
        for file, separator in (("modules.alias", b"\n"), ("modules.builtin.modinfo", b"\0")):
            with contextlib.suppress(OSError):
                data = Path(self.modules, file).read_bytes()
                for match in _ALIAS.finditer(data.replace(separator, b"\n")):
                    pattern, module = match[1] or match[4], match[2] or match[3]
                    found.append((os.fsdecode(pattern), os.fsdecode(module)))
        return found

    # ---- making device nodes ----------------------------------------------------

    def may_bind(self, channel: BusChannel) -> bool:
        """Whether we may give this channel a driver."""
        return os.access(f"{channel.path}/driver_override", os.W_OK) and os.access(
            f"{self.root}/bus/rpmsg/drivers/{CHARDEV}/bind", os.W_OK
        )

    def bind(self, channel: BusChannel) -> None:
        """Give a channel without driver a character device.

        Raises:
            OSError: the kernel refused (EACCES, ENODEV...).
        """
        override = f"{channel.path}/driver_override"
        _write(override, CHARDEV)
        try:
            _write(f"{self.root}/bus/rpmsg/drivers/{CHARDEV}/bind", os.path.basename(channel.path))
        except OSError:
            # It is taken back unless udev was first: a channel that is not ours must stay free for
            # other drivers.
            if _link(f"{channel.path}/driver") != CHARDEV:
                with contextlib.suppress(OSError):
                    _write(override, "\n")
            raise

    def create_endpoint(self, processor: Processor, name: str, src: int, dst: int) -> None:
        """Make an endpoint device through the processor's control device.

        Args:
            processor: whose.
            name: of the endpoint, at most `wire.CHANNEL_NAME_MAX` characters.
            src: our address, ADDR_ANY lets the kernel choose.
            dst: the firmware's address.

        Raises:
            OSError: ENOENT without a control device, else what open and the ioctl
                said; the sentence says where.
        """
        path = self.control(processor)
        if path is None:
            raise OSError(
                errno.ENOENT,
                f"{processor.title} has no control device; the kernel needs CONFIG_RPMSG_CTRL",
            )
        try:
            # The device is opened for this one call, since the kernel does not fail an ioctl on a
            # control device that is gone.
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(fd, _CREATE_EPT, _ENDPOINT_INFO.pack(name.encode(), src, dst))
            finally:
                os.close(fd)
        except OSError as error:
            raise OSError(
                error.errno, f"{path}: no endpoint {name} made: {os.strerror(error.errno or 0)}"
            ) from None


def claimant(name: str, aliases: Iterable[tuple[str, str]]) -> str | None:
    """The module that claims channels of this name, except the character driver's.

    A driver that matches names by their beginning has only that in its alias.
    """
    for pattern, module in aliases:
        meant = pattern == wire.CHANNEL_PREFIX or fnmatch.fnmatchcase(name, pattern)
        if meant and module != _CHARDEV_MODULE:
            return module
    return None


def _write(path: str, text: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise OSError(error.errno, f"{path}: {os.strerror(error.errno or 0)}") from None


def _address(path: str) -> int:
    """An address as sysfs shows it: 0x400 on the bus, 1024 or -1 in the class."""
    return int(read_attribute(path), 0) & ADDR_ANY


def _link(path: str) -> str | None:
    try:
        return os.path.basename(os.readlink(path))
    except FileNotFoundError:
        return None
