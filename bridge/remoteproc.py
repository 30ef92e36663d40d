# SPDX-License-Identifier: BSD-3-Clause
"""Remote processors by name: state, firmware, start and stop.

Sources: Documentation/ABI/testing/sysfs-class-remoteproc and
drivers/remoteproc/remoteproc_{sysfs,cdev}.c of Linux. Numbers (remoteproc0) go by
the order in which drivers probe, so nothing here takes one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import threading
from pathlib import Path

from bridge.sysfs import REMOTEPROC, read_attribute

SYSFS_VARIABLE = "GPIO_BRIDGE_SYSFS"
"""Environment variable: another sysfs than /sys."""
WRITE_S = 90.0
"""Most seconds a start or stop may take: the kernel waits 60 s for a firmware file."""

_SET_SHUTDOWN_ON_RELEASE = 0x4004B701  # RPROC_SET_SHUTDOWN_ON_RELEASE, linux/remoteproc_cdev.h
_UP = ("running", "attached")
_STARTABLE = ("offline", "detached", "suspended")
# What the kernel appends to a name, in its order (FW_LOADER_COMPRESS).
_COMPRESSED = ("", ".zst", ".xz")


def sysfs_root() -> str:
    """The path of sysfs: $GPIO_BRIDGE_SYSFS, else /sys."""
    return os.environ.get(SYSFS_VARIABLE) or "/sys"


class RemoteProcessor:
    """One processor.

    Args:
        path: its folder below class/remoteproc.
        dev: where device nodes are.

    Attributes:
        path: as given.
        name: of the processor, from its driver or the device tree.

    Raises:
        OSError: it has no name, or is gone.
    """

    def __init__(self, path: Path, dev: str = "/dev") -> None:
        self.path = path
        self.name = read_attribute(path / "name")
        self._dev = Path(dev)

    @property
    def state(self) -> str:
        """One of offline, suspended, running, crashed, attached, detached, invalid; or gone."""
        return self._read("state")

    @property
    def firmware(self) -> str:
        """Name of the firmware's file; ``unknown`` for one that something else loaded."""
        return self._read("firmware")

    @property
    def recovery(self) -> str:
        """enabled, or disabled: then a crash only shows in `state`."""
        return self._read("recovery")

    @property
    def up(self) -> bool:
        """Whether its firmware runs."""
        return self.state in _UP

    def _read(self, attribute: str) -> str:
        try:
            return read_attribute(self.path / attribute)
        except OSError:
            return "gone"

    # ---- start and stop ---------------------------------------------------------

    def start(self) -> bool:
        """Load the firmware and start it (or attach to what runs already).

        Returns:
            False when it ran: the kernel counts starts, and one more would need
            one more stop.

        Raises:
            OSError: ENOENT no firmware file, EACCES, ... with what to do about it.
        """
        if not self._to_be_started():
            return False
        self._write("state", "start", "start")
        return True

    def _to_be_started(self) -> bool:
        """Whether a start is needed. Raises EBUSY where the kernel would count it and do nothing.

        That is: when it has crashed and was not recovered.
        """
        state = self.state
        if state == "crashed":
            raise OSError(
                errno.EBUSY,
                f"{self.name} has crashed and its recovery is {self.recovery}; "
                f"stop it first: gpio-bridge remoteproc stop {self.name}",
            )
        return state not in _UP

    def stop(self) -> bool:
        """Stop the firmware.

        Returns:
            False when it did not run.

        Raises:
            OSError: EACCES, ...; EBUSY when somebody else had started it too.
        """
        if self.state in _STARTABLE:
            return False
        self._write("state", "stop", "stop")
        if self.up:
            raise OSError(
                errno.EBUSY,
                f"{self.name} is {self.state} still: it was started more than once, and the "
                "kernel waits for as many stops; stop it again",
            )
        return True

    def trace(self) -> list[str]:
        """Return what the firmware has left in each of its trace buffers (RSC_TRACE).

        Raises:
            OSError: ENOENT when it has none or debugfs is not mounted, EACCES, each with what
                to do about it.
        """
        debug = self.path.parents[2] / "kernel/debug"
        folder = debug / "remoteproc" / self.path.name
        try:
            files = sorted(folder.glob("trace[0-9]*")) if any(debug.iterdir()) else None
            texts = [file.read_text(errors="replace") for file in files or ()]
        except PermissionError as error:
            raise OSError(errno.EACCES, f"{debug} is for root: use sudo") from error
        except FileNotFoundError:
            files, texts = None, []
        if files is None:
            raise OSError(errno.ENOENT, f"nothing is at {debug}: mount -t debugfs none {debug}")
        if not texts:
            raise OSError(
                errno.ENOENT,
                f"{self.name} has no trace: it is {self.state}, or the resource table of its "
                "firmware has no RSC_TRACE",
            )
        return texts

    def load(self, file: str) -> str:
        """Say which firmware the next start loads.

        Args:
            file: a path below one of the kernel's firmware folders, or a name there, which
                may have folders itself.

        Returns:
            The name as the kernel has it, without the .zst or .xz of a compressed file.

        Raises:
            OSError: ENOENT no such file, EINVAL not where the kernel looks, EBUSY
                the processor is not offline.
        """
        name = self._firmware_name(file)
        self._write("firmware", name, f"load {name}")
        return name

    def _firmware_name(self, file: str) -> str:
        folders = firmware_folders(self._root)
        name, extension = os.path.splitext(file)
        if extension not in _COMPRESSED:
            name = file
        parent, base = os.path.split(name)
        # If the file is a symbolic link itself, it stays one, as for the kernel; its real folder
        # must lie below a folder for firmware.
        here = Path(os.path.realpath(parent), base) if parent else None
        for folder in folders:
            for path in (Path(os.path.normpath(folder / name)), here):
                if path is not None and path.is_relative_to(folder) and _is_firmware(path):
                    return str(path.relative_to(folder))
        where = ", ".join(str(folder) for folder in folders)
        if not os.path.exists(file):
            raise OSError(errno.ENOENT, f"there is no {file}, here or in {where}")
        raise OSError(
            errno.EINVAL,
            f"the kernel loads firmware only from {where}; "
            f"copy it there first: cp {file} {folders[-1]}/",
        )

    @property
    def _root(self) -> Path:
        return self.path.parents[2]

    def _write(self, attribute: str, value: str, what: str) -> None:
        """Write in a thread: the kernel answers when the firmware is up, or never."""
        failed: list[OSError] = []

        def write() -> None:
            try:
                fd = os.open(self.path / attribute, os.O_WRONLY | os.O_CLOEXEC)
                try:
                    os.write(fd, value.encode())
                finally:
                    os.close(fd)
            except OSError as error:
                failed.append(error)

        thread = threading.Thread(target=write, name=f"{what} {self.name}", daemon=True)
        thread.start()
        thread.join(WRITE_S)
        if thread.is_alive():
            raise OSError(
                errno.ETIMEDOUT,
                f"{self.name} did not {what} in {WRITE_S:g} s; the kernel's log may say why",
            )
        if failed:
            raise self._explained(failed[0].errno or errno.EIO, what)

    def _explained(self, number: int, what: str) -> OSError:
        """The kernel's refusal with what to do about it."""
        begin = f"{self.name} did not {what}: {os.strerror(number)}"
        if number in (errno.EACCES, errno.EPERM):
            advice = (
                "become root (sudo); who starts firmware may do anything with the machine, "
                "so no group may by default"
            )
        elif number == errno.EROFS:
            advice = f"{self.path} is read-only here, as in the sandbox of a service"
        elif number == errno.ENOENT and what == "start":
            where = " or ".join(str(folder) for folder in firmware_folders(self._root))
            advice = (
                f"no firmware {self.firmware} in {where}; "
                f"put it there, or: gpio-bridge remoteproc load {self.name} FILE"
            )
        elif number == errno.EBUSY and what.startswith("load"):
            advice = f"it is {self.state}; stop it first: gpio-bridge remoteproc stop {self.name}"
        elif number == errno.EINVAL and what == "start":
            advice = f"{self.firmware} is no firmware for it (dmesg says what is wrong with it)"
        else:
            advice = f"it is {self.state}; dmesg may say why"
        return OSError(number, f"{begin}; {advice}")

    # ---- the character device ---------------------------------------------------------

    def hold(self) -> AutoStop:
        """Start it through /dev/remoteprocN; it stops when the hold is closed, or we die.

        Raises:
            OSError: ENOENT without CONFIG_REMOTEPROC_CDEV, else as `start`.
        """
        wanted = self._to_be_started()
        node = self._dev / self.path.name
        try:
            fd = os.open(node, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENXIO):
                raise OSError(
                    errno.ENOENT,
                    f"{self.name} has no character device {node}; auto-stop needs a kernel "
                    "with CONFIG_REMOTEPROC_CDEV",
                ) from None
            raise OSError(
                error.errno,
                f"{node}: {os.strerror(error.errno or 0)}; "
                "auto-stop needs root, or a udev rule that gives the node to a group",
            ) from None
        try:
            fcntl.ioctl(fd, _SET_SHUTDOWN_ON_RELEASE, struct.pack("=i", 1))
            if wanted:
                # The kernel compares as many bytes as are written, so there is no newline.
                os.write(fd, b"start")
        except OSError as error:
            os.close(fd)
            raise self._explained(error.errno or errno.EIO, "start") from None
        return AutoStop(fd)


class AutoStop:
    """A processor that runs as long as this is open.

    Args:
        fd: of its character device, shutdown on release set; ours from here on.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def close(self) -> None:
        """Stop the processor. May be repeated."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _is_firmware(path: Path) -> bool:
    """Whether the kernel finds it, compressed or not."""
    return any(os.path.isfile(f"{path}{suffix}") for suffix in _COMPRESSED)


def firmware_folders(root: Path | str = "/sys") -> list[Path]:
    """Where the kernel looks for firmware, in its order (drivers/base/firmware_loader)."""
    custom = ""
    with contextlib.suppress(OSError):
        custom = read_attribute(Path(root) / "module/firmware_class/parameters/path")
    release = os.uname().release
    folders = [f"/lib/firmware/updates/{release}", "/lib/firmware/updates"]
    folders += [f"/lib/firmware/{release}", "/lib/firmware"]
    existing = [Path(os.path.realpath(f)) for f in ([custom] if custom else []) + folders]
    return [f for f in existing if f.is_dir()] or [Path("/lib/firmware")]


def processors(root: str | None = None, dev: str = "/dev") -> list[RemoteProcessor]:
    """All processors, by name.

    Args:
        root: of sysfs, None is `sysfs_root`.
        dev: where device nodes are.
    """
    found = []
    with contextlib.suppress(FileNotFoundError):
        for entry in (Path(root or sysfs_root()) / "class/remoteproc").iterdir():
            # A processor that vanishes while it is looked at counts as not there.
            with contextlib.suppress(OSError):
                if REMOTEPROC.fullmatch(entry.name):
                    found.append(RemoteProcessor(entry, dev))
    return sorted(found, key=lambda processor: (processor.name, processor.path.name))


def find(name: str, root: str | None = None, dev: str = "/dev") -> RemoteProcessor:
    """The processor called `name`.

    Args:
        name: as `processors` shows it.
        root: of sysfs, None is `sysfs_root`.
        dev: where device nodes are.

    Raises:
        OSError: ENOENT, the sentence lists those there are; ENOTUNIQ two are called so.
    """
    present = processors(root, dev)
    found = [processor for processor in present if processor.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        places = ", ".join(str(processor.path) for processor in found)
        raise OSError(errno.ENOTUNIQ, f"{len(found)} processors are called {name}: {places}")
    there = ", ".join(processor.name for processor in present)
    hint = f"there is {there}" if there else "there is none: gpio-bridge doctor says why"
    raise OSError(errno.ENOENT, f"no remote processor is called {name}; {hint}")
