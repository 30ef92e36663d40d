# SPDX-License-Identifier: BSD-3-Clause
"""The same as `uml.Machine` with a PC of QEMU's: the host's files as root, by 9p."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .uml import MEMORY, ROOT, Machine

PROGRAM = "qemu-system-x86_64"
_TIMEOUT_S = 60.0
_PORT = "slot0"


def version() -> tuple[int, int] | None:
    """Of the QEMU that is installed, None without one."""
    program = shutil.which(PROGRAM)
    if program is None:
        return None
    told = subprocess.run([program, "--version"], stdout=subprocess.PIPE, text=True).stdout
    found = re.search(r"version (\d+)\.(\d+)", told)
    return (int(found[1]), int(found[2])) if found else None


class QemuMachine(Machine):
    """One PC.

    Args:
        linux: kernel image.
        gpio: socket of a vhost-user-gpio back-end.
        parameters: further words of the kernel's command line.
    """

    def __init__(self, linux: Path, gpio: Path, parameters: Sequence[str] = ()) -> None:
        super().__init__(linux, (), parameters)
        self._gpio = gpio
        self._work = Path()
        self.calls["replug"] = self.replug

    def _command(self, work: Path, host: int, timeout_s: int) -> list[str]:
        self._work = work
        words = [
            *("root=host", "rootfstype=9p", "ro", "panic=-1", "console=ttyS1"),
            "rootflags=trans=virtio,version=9p2000.L,cache=loose,msize=524288",
            f"init={ROOT}/tests/kernel/init",
            *(f"GB_WORK={work}", f"GB_ROOT={ROOT}", f"GB_PYTHON={sys.executable}"),
            *self._parameters,
        ]
        local = "security_model=none,multidevs=remap"
        return [
            *("timeout", "--signal", "KILL", str(timeout_s)),
            *(PROGRAM, "-nodefaults", "-display", "none", "-no-reboot"),
            *("-pidfile", str(work / "pid")),
            # KVM is not used: it may be missing, and in a virtual machine it may not work.
            *("-machine", "q35,memory-backend=ram", "-accel", "tcg", "-m", MEMORY),
            # The back-end maps the guest's memory.
            *("-object", f"memory-backend-memfd,id=ram,size={MEMORY},share=on"),
            *("-kernel", str(self._linux), "-append", " ".join(words)),
            *("-chardev", f"socket,id=host,fd={host}", "-serial", "chardev:host"),
            *("-serial", "stdio"),
            *("-fsdev", f"local,id=root,path=/,readonly=on,{local}"),
            *("-device", "virtio-9p-pci,fsdev=root,mount_tag=host"),
            *("-fsdev", f"local,id=work,path={work},{local}"),
            *("-device", "virtio-9p-pci,fsdev=work,mount_tag=work"),
            *("-device", f"pcie-root-port,id={_PORT},chassis=1"),
            *("-qmp", f"unix:{work}/qmp,server=on,wait=off", "-S"),
        ]

    def _started(self, process: subprocess.Popen[bytes]) -> None:
        """Add the device, then let the machine run."""
        try:
            self._plug_and_go(process)
        except (AssertionError, OSError, RuntimeError) as error:
            console = (self._work / "console").read_text(errors="replace")
            raise AssertionError(f"{error}\n---- console ----\n{console}") from error

    def _plug_and_go(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _TIMEOUT_S
        while process.poll() is None:  # else the console says why
            try:
                self.plug()
                break
            except (FileNotFoundError, ConnectionRefusedError):  # QMP does not listen yet
                assert time.monotonic() < deadline, "QEMU did not start"
                time.sleep(0.01)
        else:
            return
        self.qmp("cont")

    def plug(self) -> None:
        """Connect to the back-end and add the device. Raises RuntimeError."""
        address = {"type": "unix", "data": {"path": str(self._gpio)}}
        backend = {"type": "socket", "data": {"addr": address, "server": False}}
        self.qmp("chardev-add", id="gpio", backend=backend)
        self.qmp("device_add", driver="vhost-user-gpio-pci", id="gpio", chardev="gpio", bus=_PORT)

    def replug(self) -> None:
        """After another back-end came: replace the old device, with the guest's consent."""
        self.qmp("device_del", id="gpio")
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            try:
                self.qmp("chardev-remove", id="gpio")
                break
            except RuntimeError:  # the guest has not let the device go yet
                assert time.monotonic() < deadline, "the guest keeps the device"
                time.sleep(0.05)
        self.plug()

    @property
    def pid(self) -> int:
        """QEMU's process."""
        return int((self._work / "pid").read_text())

    def qmp(self, command: str, **arguments: Any) -> Any:
        """Give QEMU a command (QEMU Machine Protocol) and return its value.

        Raises RuntimeError with QEMU's words when it refuses.
        """
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(str(self._work / "qmp"))
            with connection.makefile("rwb") as stream:
                stream.readline()  # its greeting
                for name, members in (("qmp_capabilities", {}), (command, arguments)):
                    question = {"execute": name, "arguments": members}
                    stream.write(json.dumps(question).encode() + b"\n")
                    stream.flush()
                    answer = json.loads(stream.readline())
                    while "event" in answer:
                        answer = json.loads(stream.readline())
                    if "error" in answer:
                        raise RuntimeError(f"QEMU: {name}: {answer['error']['desc']}")
        return answer["return"]
