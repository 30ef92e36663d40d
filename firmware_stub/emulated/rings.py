# SPDX-License-Identifier: BSD-3-Clause
"""Run the firmware of firmware_stub/ports/rings in QEMU, on rings in its driver's memory.

    with RingMcu() as mcu:
        print(mcu.url)                     # vhost-user:/tmp/mcu-x/fw.sock
        ...                                # attach to it: the machine starts
        mcu.drive("BUTTON", 0)
        print(mcu.level("LED"))

Only the standard library is used. A vhost-user back-end (`mcu-backend`, built by
``make mcu``) starts QEMU with the front-end's memory as the machine's RAM. Pins are
driven and read through QEMU's own test protocol (qtest).
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket as sockets
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple

from firmware_stub.emulated.controls import TIMEOUT, Controls, Stream, emulator
from firmware_stub.signals import SignalsWait

_BUILT = Path(__file__).resolve().parents[2] / "build" / "mcu" / "rings"

#: Lines of the firmware, in their order; each is the pin of its number.
LINES = ("LED", "P1", "P2", "P3", "LOOP_OUT", "LOOP_IN", "BUTTON", "P7", "P8", "P9")


class _Block(NamedTuple):
    """Where a machine has its pins: 32-bit words of a bit a pin."""

    program: str  # of QEMU
    package: str  # Debian's
    value: int  # what the pins show
    outputs: int
    interrupts: tuple[int, ...]  # those that are on, rising first
    ram: int = 0  # where pins in RAM are
    controller: str = ""  # of their interrupt, and its number
    interrupt: int = 0


def _ram_pins(ram: int, controller: str, interrupt: int) -> _Block:
    """Pins of firmware_stub/ports/rings/ram_pins.c, at an address."""
    kinds = (ram + 20, ram + 24, ram + 28, ram + 32)
    arm = "qemu-system-arm"
    return _Block(arm, arm, ram + 8, ram + 12, kinds, ram, controller, interrupt)


_GPIO = 0x10060000  # the FU540's registers
_BLOCKS = {
    "sifive_u": _Block(
        "qemu-system-riscv64",
        "qemu-system-riscv or qemu-system-misc",
        _GPIO,
        _GPIO + 0x08,
        (_GPIO + 0x18, _GPIO + 0x20, _GPIO + 0x28, _GPIO + 0x30),
    ),
    "mps2-an385": _ram_pins(0x20000000, "/machine/armv7m", 16),
    "mps3-an536": _ram_pins(0x10000000, "/machine/gic", 80),
}
#: Those that a `RingMcu` can be.
MACHINES = tuple(_BLOCKS)
_RISE_PENDING, _FALL_PENDING = _GPIO + 0x1C, _GPIO + 0x24


def built(name: str) -> Path:
    """Return a file that ``make mcu`` builds for the rings.

    The environment variable FIRMWARE_RINGS names another folder. Raises OSError(ENOENT).
    """
    path = Path(os.environ.get("FIRMWARE_RINGS") or _BUILT) / name
    if not path.is_file():
        raise OSError(
            errno.ENOENT,
            f"no {path}; build it with `make mcu`, or let the environment variable "
            "FIRMWARE_RINGS name the folder",
        )
    return path


def _need_machine(qemu: str, machine: str, since: str) -> None:
    """Raise OSError(ENODEV) where a QEMU has no such machine."""
    known = subprocess.check_output([qemu, "-M", "help"], text=True, timeout=TIMEOUT)
    if machine not in known.split():
        raise OSError(
            errno.ENODEV, f"this {Path(qemu).name} has no machine {machine}; QEMU {since} has it"
        )


class RingPins(Controls):
    """The pins of a machine that runs the firmware, from outside.

    Arguments: ``machine`` as for `RingMcu`. Who runs QEMU gives ``pid``, ``log`` and the
    directory of its sockets qmp and qtest. Methods raise OSError with an errno and a
    sentence: EINVAL for a pin that does not exist, ENOTCONN while QEMU does not run, EPIPE
    or ETIMEDOUT when it is gone or stuck. Making one raises OSError(ENODEV) where QEMU is too
    old to have the machine.
    """

    def __init__(self, machine: str) -> None:
        if machine not in _BLOCKS:
            raise OSError(errno.EINVAL, f"no machine {machine!r}, but {', '.join(MACHINES)}")
        self.machine = machine
        self._block = _BLOCKS[machine]
        self._qemu = emulator(self._block.program, self._block.package)
        if machine == "mps3-an536":
            _need_machine(self._qemu, machine, "9.0")
        self._directory = Path()
        self._driven: dict[int, int] = {LINES.index("BUTTON"): 1}
        self._controlled = 0  # the process that _qmp and _qtest lead to
        self._connections = contextlib.ExitStack()

    @property
    def pid(self) -> int:
        """The process id of the QEMU that runs. Raises OSError(ENOTCONN)."""
        raise NotImplementedError

    @property
    def log(self) -> str:
        """What was said so far by QEMU, and by the program that runs it."""
        raise NotImplementedError

    @property
    def console(self) -> str:
        """What the firmware has said on its console since the machine started."""
        return (self._directory / "console").read_text(errors="replace")

    def _why(self) -> str:
        return f"QEMU ended or does not answer: {self.log.strip()[-500:] or 'it said nothing'}"

    def _let_go(self) -> None:
        self._connections.close()
        self._controlled = 0

    # ---- QEMU's protocols -----------------------------------------------------------

    def qtest(self, line: str) -> str:
        """Execute a command of the qtest protocol; returns what follows its OK."""
        self._control()
        return super().qtest(line)

    def _control(self) -> None:
        """Connect to the QEMU that runs, and have its pins as they are driven."""
        pid = self.pid
        if pid == self._controlled:
            return
        self._connections.close()
        self._controlled = pid
        self._qmp = Stream(self._connect("qmp", pid), self._why)
        self._qtest = Stream(self._connect("qtest", pid), self._why)
        self._greet()
        for pin, level in self._driven.items():
            self._set_input(pin, level)

    def _connect(self, name: str, pid: int) -> sockets.socket:
        """QEMU makes its sockets as it starts, and those of the last one may be there."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            connection = sockets.socket(sockets.AF_UNIX)
            try:
                connection.connect(os.fspath(self._directory / name))
            except OSError as error:
                connection.close()
                if time.monotonic() > deadline or self.pid != pid:
                    raise OSError(errno.EPIPE, self._why()) from error
                time.sleep(0.005)
            else:
                return self._connections.enter_context(connection)

    # ---- pins -------------------------------------------------------------------------

    def drive(self, pin: str, level: int) -> None:
        """Drive an input from outside: ``pin`` is a line's name, ``level`` 0 or 1.

        It stays driven, also when the machine starts again. Returns when the firmware has
        seen it: edges of a pin that come faster than its interrupt are one.
        """
        number = _number(pin)
        self._driven[number] = int(bool(level))
        self._control()
        self._set_input(number, level)

    def press(self, button: str) -> None:
        """Press a button, which closes to ground."""
        self.drive(button, 0)

    def release(self, button: str) -> None:
        """Release a button."""
        self.drive(button, 1)

    def level(self, pin: str) -> int:
        """Return the level of a pin, 0 or 1, input or output."""
        return self._bit(pin, self._block.value)

    def is_output(self, pin: str) -> bool:
        """Return whether the firmware drives the pin."""
        return bool(self._bit(pin, self._block.outputs))

    def irq_enabled(self, pin: str) -> bool:
        """Return whether an interrupt of the pin is on."""
        return any(self._bit(pin, word) for word in self._block.interrupts)

    def wait_armed(self, pin: str, timeout: float = TIMEOUT) -> None:
        """Wait until an interrupt of the pin is on; raises OSError(ETIMEDOUT)."""
        self._wait(lambda: self.irq_enabled(pin), f"the interrupt of {pin} was not on", timeout)

    def wait_level(self, pin: str, level: int, timeout: float = TIMEOUT) -> None:
        """Wait until a pin has a level; raises OSError(ETIMEDOUT)."""
        self._wait(lambda: self.level(pin) == level, f"{pin} was not {level}", timeout)

    def _bit(self, pin: str, word: int) -> int:
        return self.peek(word) >> _number(pin) & 1

    def _set_input(self, number: int, level: int) -> None:
        if not self._block.ram:
            # Where its block has its inputs; /machine/soc/gpio makes QEMU abort.
            super().qtest(f"set_irq_in /machine/soc unnamed-gpio-in {number} {int(bool(level))}")
            self._taken(lambda: not self._pending() >> number & 1)
            return
        outside = sum(level << pin for pin, level in self._driven.items())
        block = self._block
        self.poke(block.ram, outside)
        for value in (1, 0):
            super().qtest(
                f"set_irq_in {block.controller} unnamed-gpio-in {block.interrupt} {value}"
            )
        self._taken(lambda: self.peek(block.ram + 4) == outside)

    def _taken(self, done: Callable[[], bool]) -> None:
        self._wait(done, "the firmware did not take the edge", TIMEOUT, pause=0)

    def _pending(self) -> int:
        rising, falling = self._block.interrupts[:2]
        return (self.peek(_RISE_PENDING) & self.peek(rising)) | (
            self.peek(_FALL_PENDING) & self.peek(falling)
        )


class RingMcu(RingPins):
    """A back-end, and the QEMU that it runs while a driver is attached.

    Arguments: ``machine`` is sifive_u (RISC-V, with a GPIO block), mps2-an385 (Cortex-M3, with
    pins in RAM) or mps3-an536 (Cortex-R52, the same; since QEMU 9.0); ``socket`` is the path to
    listen on, by default in a directory of its own. ``debug`` takes the firmware that has COUNTERS
    and checks its pins as it starts; it is built for mps2-an385.

    Use it as a context manager, or call ``start`` and ``close``. BUTTON is released. While no
    driver is attached, QEMU does not run.
    """

    def __init__(
        self,
        machine: str = "sifive_u",
        *,
        socket: str | os.PathLike[str] | None = None,
        debug: bool = False,
    ) -> None:
        super().__init__(machine)
        self._backend = built("mcu-backend")
        image = f"{machine.replace('-', '_')}.elf"
        self._image = built(f"debug/{image}" if debug else image)
        self._given = socket
        self._stack = contextlib.ExitStack()
        self._process: subprocess.Popen[str] | None = None
        self._changed = threading.Condition()
        self._said: list[str] = []
        self._pid = 0  # of the QEMU that runs
        self._attached = False
        self.socket = ""

    @property
    def url(self) -> str:
        """The link's URL: vhost-user:SOCKET."""
        return f"vhost-user:{self.socket}"

    @property
    def pid(self) -> int:
        """The process id of the QEMU that runs. Raises OSError(ENOTCONN)."""
        with self._changed:
            if not self._pid:
                raise OSError(errno.ENOTCONN, "no driver is attached, so QEMU does not run")
            return self._pid

    @property
    def log(self) -> str:
        """What the back-end and QEMU have said so far."""
        with self._changed:
            said = "\n".join(self._said)
        qemu = self._directory / "qemu.log"
        return f"{said}\n{qemu.read_text(errors='replace') if qemu.exists() else ''}"

    def __enter__(self) -> RingMcu:
        """Start it. Raises as `start`."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.close()

    # ---- start and end -------------------------------------------------------------

    def start(self) -> None:
        """Listen; QEMU starts when a driver attaches."""
        if self._process is not None:
            raise OSError(errno.EISCONN, "the back-end runs already; close() it first")
        directory = tempfile.TemporaryDirectory(prefix="mcu-", ignore_cleanup_errors=True)
        self._directory = Path(self._stack.enter_context(directory))
        self.socket = os.fspath(self._given or self._directory / "fw.sock")
        try:
            with SignalsWait():
                self._process = subprocess.Popen(
                    [self._backend, self.socket, self.machine, self._image, self._directory],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            said = self._process.stdout
            assert said is not None
            threading.Thread(target=self._listen, args=(said,), daemon=True).start()
            self._until(lambda: "listening" in self._said, "did not listen", TIMEOUT)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the back-end, and QEMU with it. More than once is no error."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
        self._let_go()
        self._stack.close()

    def kill(self) -> None:
        """Kill QEMU: the firmware crashes, and its driver sees the link go."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        self._until(lambda: self._pid != pid, "did not notice the end of QEMU", TIMEOUT)

    def wait_attached(self, timeout: float = TIMEOUT) -> None:
        """Wait until the firmware works the rings of a driver, and its pins are driven.

        Raises OSError(ETIMEDOUT).
        """
        self._until(lambda: self._attached, "was not attached", timeout)
        self._control()

    def _listen(self, lines: IO[str]) -> None:
        with lines:
            for line in lines:
                with self._changed:
                    self._heard(line.strip())
                    self._changed.notify_all()
        with self._changed:
            self._heard("ended")
            self._changed.notify_all()

    def _heard(self, line: str) -> None:
        self._said.append(line)
        word, _, rest = line.partition(" ")
        if word == "qemu":
            self._pid, self._attached = int(rest), False
        elif word == "attached":
            self._attached = True
        elif word in ("front-end", "ended"):
            self._pid, self._attached = 0, False

    def _until(self, done: Callable[[], bool], what: str, timeout: float) -> None:
        with self._changed:
            over = lambda: done() or self._said[-1:] == ["ended"]  # noqa: E731
            self._changed.wait_for(over, timeout)
            if not done():
                said = "; ".join(self._said[-5:])
                raise OSError(errno.ETIMEDOUT, f"mcu-backend {what} in {timeout:g} s: {said}")


def _number(pin: str) -> int:
    """Return the number of a pin by its name. Raises OSError(EINVAL)."""
    if pin not in LINES:
        raise OSError(errno.EINVAL, f"no pin {pin!r}; a pin is one of {', '.join(LINES)}")
    return LINES.index(pin)
