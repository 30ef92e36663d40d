# SPDX-License-Identifier: BSD-3-Clause
"""Run the firmware of firmware_stub/ports/lm3s6965 in QEMU and drive its pins from Python.

    with Mcu() as mcu:
        print(mcu.url)                     # serial:/dev/pts/7
        mcu.drive("BUTTON_UP", 0)
        print(mcu.level("LED"))

Only the standard library is used. The machine is QEMU's lm3s6965evb as Debian ships
it: pins are driven and read through QEMU's own test protocol (qtest), so the firmware
sees what a pin's level does to the registers of a PL061, interrupts included.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import socket as sockets
import subprocess
import tempfile
from pathlib import Path
from typing import IO, NamedTuple

from firmware_stub.emulated.controls import TIMEOUT, Controls, Stream, emulator
from firmware_stub.signals import SignalsWait

_FIRMWARE = Path(__file__).resolve().parents[2] / "build" / "mcu" / "firmware.elf"
_MACHINE = "lm3s6965evb"

# Addresses and registers of the PL061s: data sheet of the LM3S6965, chapter GPIO.
_PORTS = {
    "A": 0x40004000,
    "B": 0x40005000,
    "C": 0x40006000,
    "D": 0x40007000,
    "E": 0x40024000,
    "F": 0x40025000,
    "G": 0x40026000,
}
_DATA, _DIR, _IM = 0x3FC, 0x400, 0x410
_ODR, _PUR, _PDR = 0x50C, 0x510, 0x514

# What the evaluation board wires to pins, by the line names of the firmware.
_NAMES = {
    "LED": "PF0",
    "BUTTON_SELECT": "PF1",
    "BUTTON_UP": "PE0",
    "BUTTON_DOWN": "PE1",
    "BUTTON_LEFT": "PE2",
    "BUTTON_RIGHT": "PE3",
}


class Transition(NamedTuple):
    """A pin that the firmware drives changed: ``pin`` such as PF0, the new ``level``."""

    pin: str
    level: int


def firmware(path: str | os.PathLike[str] | None = None) -> Path:
    """Return the firmware image: ``path``, or the one to use by default.

    The environment variable FIRMWARE_MCU overrides the one that ``make mcu`` builds.
    Raises OSError(ENOENT) when there is none.
    """
    image = Path(path or os.environ.get("FIRMWARE_MCU") or _FIRMWARE)
    if not image.is_file():
        raise OSError(
            errno.ENOENT,
            f"no firmware at {image}; build it with `make mcu`, or let the environment "
            "variable FIRMWARE_MCU name it",
        )
    return image


def _split(pin: str) -> tuple[str, int]:
    """Return port and bit of "PE0" or of a board's name. Raises OSError(EINVAL)."""
    found = re.fullmatch(r"P([A-G])([0-7])", _NAMES.get(pin, pin))
    if not found:
        raise OSError(
            errno.EINVAL,
            f"no pin {pin!r}; a pin is PA0 to PG7 or one of {', '.join(_NAMES)}",
        )
    return found[1], int(found[2])


class Mcu(Controls):
    """One QEMU process with the firmware in it.

    Use it as a context manager, or call ``start`` and ``close``. The five buttons are
    released at the start. Methods raise OSError with an errno and a sentence: EINVAL
    for a pin that does not exist, EPIPE or ETIMEDOUT when QEMU is gone or stuck.

    Args:
        image: the firmware's ELF file, by default the one that `firmware` finds.
        qemu: the emulator, by default the one that `emulator` finds.
        pty: whether UART 0 is a pseudo-terminal, whose path is ``serial``; otherwise it is
            ``socket``, a connected stream.
    """

    def __init__(
        self,
        image: str | os.PathLike[str] | None = None,
        *,
        qemu: str | os.PathLike[str] | None = None,
        pty: bool = True,
    ) -> None:
        self._image = firmware(image)
        self._qemu = os.fspath(qemu) if qemu else emulator("qemu-system-arm", "qemu-system-arm")
        self._pty = pty
        self._stack = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._driven: dict[str, int] = {}
        self._paths: dict[str, str] = {}
        self._transitions: list[Transition] = []
        self._watched: str | None = None
        self.socket: sockets.socket | None = None
        self.serial = ""

    @property
    def url(self) -> str:
        """The link's URL: serial:/dev/pts/N (with ``pty``)."""
        return f"serial:{self.serial}"

    @property
    def pid(self) -> int:
        """The process id of QEMU."""
        if self._process is None:
            raise OSError(errno.ENOTCONN, "QEMU does not run; call start()")
        return self._process.pid

    def __enter__(self) -> Mcu:
        """Start it. Raises as `start`."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.close()

    # ---- start and end -------------------------------------------------------------

    def start(self) -> None:
        """Start QEMU and let the firmware run; a power-up."""
        if self._process is not None:
            raise OSError(errno.EISCONN, "QEMU runs already; close() it first")
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        directory = self._stack.enter_context(
            tempfile.TemporaryDirectory(prefix="mcu-", ignore_cleanup_errors=True)
        )
        listeners = {
            name: self._listen(f"{directory}/{name}")
            for name in (("qmp", "qtest") if self._pty else ("qmp", "qtest", "serial"))
        }
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115, closed by the stack
        self._stack.enter_context(self._errors)
        # Stopped until the buttons have their levels.
        with SignalsWait():
            self._process = subprocess.Popen(
                [
                    self._qemu,
                    *("-M", _MACHINE, "-kernel", os.fspath(self._image), "-S"),
                    *("-display", "none", "-monitor", "none", "-nodefaults"),
                    *("-qmp", f"unix:{directory}/qmp"),
                    *("-qtest", f"unix:{directory}/qtest", "-qtest-log", "none"),
                    *("-serial", "pty" if self._pty else f"unix:{directory}/serial"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
            )
        if not self._pty:
            self.socket = self._accept(listeners["serial"])
        self._qmp = Stream(self._accept(listeners["qmp"]), self._why)
        self._qtest = Stream(self._accept(listeners["qtest"]), self._why)
        self._greet()
        self._find_ports()
        if self._pty:
            self._find_pty()
        self._driven = {pin: 1 for name, pin in _NAMES.items() if name.startswith("BUTTON")}
        self._apply()
        self.command("cont")

    def close(self) -> None:
        """End QEMU; the power is off. More than once is no error."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
        self._stack.close()
        self.socket = None
        self.serial = ""
        self._watched = None
        self._transitions = []

    def reset(self) -> None:
        """Reset the processor and all in the chip; its RAM and what is outside stay."""
        self.command("stop")
        self.command("system_reset")
        # The reset of QEMU's PL061 forgets the levels at its inputs.
        self._apply()
        self.command("cont")

    def _listen(self, path: str) -> sockets.socket:
        listener = self._stack.enter_context(sockets.socket(sockets.AF_UNIX))
        listener.bind(path)
        listener.listen(1)
        return listener

    def _accept(self, listener: sockets.socket) -> sockets.socket:
        """Accept QEMU's connection, or say why it ended."""
        pidfd = os.pidfd_open(self.pid)
        try:
            ready, _, _ = select.select([listener.fileno(), pidfd], [], [], TIMEOUT)
        finally:
            os.close(pidfd)
        if listener.fileno() not in ready:
            raise OSError(errno.EPIPE, self._why())
        connection = self._stack.enter_context(listener.accept()[0])
        return connection

    def _why(self) -> str:
        said = ""
        if self._errors is not None and not self._errors.closed:
            said = os.pread(self._errors.fileno(), 4096, 0).decode(errors="replace").strip()
        return f"QEMU ended or does not answer: {said or 'it said nothing'}"

    # ---- its devices -----------------------------------------------------------------

    def _find_ports(self) -> None:
        """The machine does not name its devices; their addresses tell them apart."""
        ports = {address: name for name, address in _PORTS.items()}
        parent = "/machine/unattached"
        for child in self.command("qom-list", path=parent):
            if child["type"] == "child<pl061_luminary>":
                path = f"{parent}/{child['name']}"
                address = self.command("qom-get", path=f"{path}/pl061[0]", property="addr")
                self._paths[ports[address]] = path

    def _find_pty(self) -> None:
        for device in self.command("query-chardev"):
            if device["label"] == "serial0":
                self.serial = device["filename"].removeprefix("pty:")

    # ---- pins -------------------------------------------------------------------------

    def drive(self, pin: str, level: int) -> None:
        """Drive an input from outside: ``pin`` is PE0 or BUTTON_UP, ``level`` 0 or 1.

        It stays driven, over a reset, too. While the firmware drives the pin itself
        this has no effect, and QEMU then keeps the last level of the output when
        the pin becomes an input again: drive it after that.
        """
        port, bit = _split(pin)
        self._driven[f"P{port}{bit}"] = level
        self._set_input(pin, level)

    def press(self, button: str) -> None:
        """Press a button of the board, which closes to ground."""
        self.drive(button, 0)

    def release(self, button: str) -> None:
        """Release a button of the board."""
        self.drive(button, 1)

    def level(self, pin: str) -> int:
        """Return the level of a pin, 0 or 1, input or output."""
        return self._bit(pin, _DATA)

    def is_output(self, pin: str) -> bool:
        """Return whether the firmware drives the pin."""
        return bool(self._bit(pin, _DIR))

    def irq_enabled(self, pin: str) -> bool:
        """Return whether the pin's interrupt is on in its PL061 (register IM)."""
        return bool(self._bit(pin, _IM))

    def pulls(self, pin: str) -> tuple[bool, bool]:
        """Return whether the pin's pull-up and its pull-down are on (PUR, PDR)."""
        return bool(self._bit(pin, _PUR)), bool(self._bit(pin, _PDR))

    def is_open_drain(self, pin: str) -> bool:
        """Return whether the pin is set to open drain (ODR)."""
        return bool(self._bit(pin, _ODR))

    def wait_armed(self, pin: str, timeout: float = 30.0) -> None:
        """Wait until the pin's interrupt is on; raises OSError(ETIMEDOUT) after ``timeout`` s.

        It says nothing of a mask of the core: an edge under the mask is latched.
        """
        self._wait(lambda: self.irq_enabled(pin), f"the interrupt of {pin} was not on", timeout)

    def wait_level(self, pin: str, level: int, timeout: float = 30.0) -> None:
        """Wait until a pin has a level; raises OSError(ETIMEDOUT) after ``timeout`` s."""
        self._wait(lambda: self.level(pin) == level, f"{pin} was not {level}", timeout)

    def watch(self, port: str) -> None:
        """Note every change of the outputs of a port, A to G; QEMU watches one at most."""
        if port not in self._paths:
            raise OSError(errno.EINVAL, f"no port {port!r}; a port is A to G")
        self.qtest(f"irq_intercept_out {self._paths[port]}")
        self._watched = port

    def transitions(self) -> list[Transition]:
        """Return what changed on the watched port since the last call."""
        self.peek(_PORTS["A"] + _DATA)  # what happened before comes before the answer
        seen, self._transitions = self._transitions, []
        return seen

    def _note(self, rest: str) -> None:
        verb, number = rest.split()
        self._transitions.append(Transition(f"P{self._watched}{number}", int(verb == "raise")))

    def _bit(self, pin: str, register: int) -> int:
        port, bit = _split(pin)
        return self.peek(_PORTS[port] + register) >> bit & 1

    def _set_input(self, pin: str, level: int) -> None:
        port, bit = _split(pin)
        self.qtest(f"set_irq_in {self._paths[port]} unnamed-gpio-in {bit} {int(bool(level))}")

    def _apply(self) -> None:
        for pin, level in self._driven.items():
            self._set_input(pin, level)
