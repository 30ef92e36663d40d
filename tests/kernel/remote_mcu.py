# SPDX-License-Identifier: BSD-3-Clause
"""QEMU as the remote processor of rproc_mcu.c: its RAM is the memory of the kernel under test."""

from __future__ import annotations

import mmap
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bridge import remoteproc
from firmware_stub.emulated.rings import RingPins, built
from firmware_stub.signals import SignalsWait

from .uml import Machine, check

#: Physical address 0 of Linux, to the processor.
DRAM = 0x80000000
#: What the kernel's command line gives to the firmware: physical address, size.
CARVEOUT = "rproc_mcu_mem=0x8000000,0x100000"

_POWER_ON = struct.Struct("<QQQ")  # struct mcu_power_on: entry, seed, size
_BOOT_WORDS = 0x080FF000  # firmware_stub/ports/sifive_u/boot.S
_TREE = 2 << 20  # room for QEMU's device tree, behind Linux's memory
_PT_LOAD = 1


class RemoteMcu(RingPins):
    """A socket on which each connection is a power-on, and the machine that then runs.

    Arguments: ``work`` is a directory for it, ``image`` what a boot loader would start.
    """

    def __init__(self, work: Path, image: Path) -> None:
        super().__init__("sifive_u")
        self._directory = work
        self._image = image
        self._rom = built("boot.elf")
        self._running = 0
        self.socket = str(work / "mcu.sock")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.socket)
        self._listener.listen(4)
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def image(self) -> str:
        """The path of its firmware."""
        return str(self._image)

    @property
    def pid(self) -> int:
        """The process id of the QEMU that runs. Raises OSError(ENOTCONN)."""
        if not self._running:
            raise OSError(107, "the processor is off")
        return self._running

    @property
    def log(self) -> str:
        """What QEMU has said."""
        log = self._directory / "qemu.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def kill(self) -> None:
        """Kill QEMU: a crash."""
        os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Power off; no more connections."""
        self._listener.close()
        self._let_go()
        if self._running:
            self.kill()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._run(connection)

    def _run(self, kernel: socket.socket) -> None:
        """From power on to power off, by whoever ends first."""
        message, (memory, *_), _, _ = socket.recv_fds(kernel, _POWER_ON.size, 1)
        entry, seed, size = _POWER_ON.unpack(message)
        room = (size + _TREE - 1) // _TREE * _TREE + _TREE
        try:
            if os.fstat(memory).st_size < room:
                os.ftruncate(memory, room)
            process = self._start(kernel, memory, room, entry or self._load(memory, size), seed)
        finally:
            os.close(memory)
        self._running = process.pid
        pidfd = os.pidfd_open(process.pid)
        try:
            waiting = select.poll()
            waiting.register(pidfd, select.POLLIN)
            waiting.register(kernel, select.POLLRDHUP)
            waiting.poll()
        finally:
            self._running = 0
            process.kill()
            process.wait()
            os.close(pidfd)

    def _start(
        self, kernel: socket.socket, memory: int, room: int, entry: int, seed: int
    ) -> subprocess.Popen[bytes]:
        ram = f"memory-backend-file,id=ram,mem-path=/proc/self/fd/{memory},size={room},share=on"
        words = [(_BOOT_WORDS, entry), (_BOOT_WORDS + 8, seed)]
        loads = [f"loader,addr={at:#x},data={word:#x},data-len=8" for at, word in words]
        with SignalsWait(), open(self._directory / "qemu.log", "ab") as log:
            return subprocess.Popen(
                [
                    *(self._qemu, "-nodefaults", "-display", "none", "-object", ram),
                    *("-M", "sifive_u,memory-backend=ram,msel=6", "-bios", "none"),
                    *("-kernel", self._rom),
                    *(word for load in loads for word in ("-device", load)),
                    *("-chardev", f"socket,id=mailbox,fd={kernel.fileno()}"),
                    *("-serial", f"file:{self._directory}/console", "-serial", "chardev:mailbox"),
                    *("-qtest", f"unix:{self._directory}/qtest,server=on,wait=off"),
                    *("-qtest-log", "none"),
                    *("-qmp", f"unix:{self._directory}/qmp,server=on,wait=off"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(kernel.fileno(), memory),
            )

    def _load(self, memory: int, size: int) -> int:
        """Load the image as a boot loader does; returns its entry."""
        image = self._image.read_bytes()
        entry, table = struct.unpack_from("<QQ", image, 24)
        entry_size, count = struct.unpack_from("<HH", image, 54)
        with mmap.mmap(memory, size) as ram:
            for number in range(count):
                header = struct.unpack_from("<IIQQQQQ", image, table + number * entry_size)
                kind, _, offset, _, address, in_file, in_memory = header
                if kind == _PT_LOAD:
                    data = image[offset : offset + in_file].ljust(in_memory, b"\0")
                    ram[address - DRAM : address - DRAM + in_memory] = data
        return int(entry)


@contextmanager
def powered_off(image: str) -> Iterator[RemoteMcu]:
    """A processor that is off, with firmware that `make mcu` builds."""
    work = Path(tempfile.mkdtemp(prefix="mcu-"))
    processor = RemoteMcu(work, built(image))
    try:
        yield processor
    finally:
        processor.close()
        shutil.rmtree(work, ignore_errors=True)


def run_inside(kernel: Path, mcu: RemoteMcu, inside: Callable[..., Any], mode: str = "") -> None:
    """Run a function in a kernel that has the processor "mcu"; `inside` gets its image's path."""
    parameters = [CARVEOUT, f"virtio_uml.mcu=mcu:{mcu.socket}{mode}"]
    machine = Machine(kernel, [], parameters)
    machine.calls["level"] = mcu.level
    machine.calls["drive"] = mcu.drive
    machine.calls["wait_armed"] = mcu.wait_armed
    machine.calls["kill_mcu"] = mcu.kill
    try:
        check(machine.run(inside, [mcu.image]))
    finally:
        print(mcu.log, mcu.console)  # a failed test shows it


def with_image(image: str) -> remoteproc.RemoteProcessor:
    """Inside: the processor, whose firmware the kernel finds as gpio.elf."""
    folder = Path("/run/firmware")
    folder.mkdir(exist_ok=True)
    Path("/sys/module/firmware_class/parameters/path").write_text(str(folder))
    shutil.copy(image, folder / "gpio.elf")
    return remoteproc.find("mcu")
