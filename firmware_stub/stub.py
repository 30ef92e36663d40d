# SPDX-License-Identifier: BSD-3-Clause
"""Start a firmware stub and drive its board from Python.

    with Stub("demo") as stub:
        print(stub.url)
        stub.press("BUTTON_USER")
        stub.pulse("SENSOR_IRQ", 100, hz=1000)

Only the standard library is used, so that the stub can be driven from anywhere.
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
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

from firmware_stub.signals import SignalsWait

_BOARDS = Path(__file__).parent / "boards"
_EXECUTABLE = Path(__file__).parent / "bin" / "firmware-stub"
_PATH_MAX = 107  # sun_path of unix(7), less its NUL
_REPLY_MAX = 1 << 17
_TIMES_MAX = 2000  # that fit one reply
# A label may hold anything but quotes.
_CHANNEL = re.compile(r'(\d+) (\S+) (0x\w+) lines (\d+) label "([^"]*)"(?: driver (0x\w+))?')
_ANSWER_TIMEOUT = 30.0  # s; a command that does not wait is answered at once
_WAIT_TIMEOUT = 30.0  # s; a busy host may take long


class Count(NamedTuple):
    """What the board saw on a pin since power-up."""

    edges: int
    interrupts: int


class Edge(NamedTuple):
    """The latest edge of a pin.

    ``edges`` counts them since power-up, ``time`` is the true time in ns (of
    CLOCK_MONOTONIC, or of the stepped board), ``step`` the firmware's step: pins
    with the same step changed in one go.
    """

    edges: int
    time: int
    step: int


class ClockReading(NamedTuple):
    """The board's time and the coprocessor's clock at the same instant, in ns.

    ``drift`` is how much too fast the coprocessor's clock runs, in ppm.
    """

    board: int
    device: int
    drift: int


class PinConfig(NamedTuple):
    """LINE_CONFIG of a pin: RPMSG_GPIO_LINE_* bits, ``debounce`` in us."""

    caps: int
    flags: int
    debounce: int


class LineState(NamedTuple):
    """A line as the firmware has it.

    ``direction`` is none, out or in; ``irq`` is none, edge-rising, edge-falling,
    edge-both, level-high or level-low; ``armed`` says whether the interrupt
    waits to fire; ``level`` is that of the pin.
    """

    direction: str
    irq: str
    armed: bool
    level: int


class Channel(NamedTuple):
    """A channel that the firmware announces; ``driver`` is None until it spoke."""

    controller: int
    name: str
    address: int
    lines: int
    label: str
    driver: int | None


def boards() -> dict[str, Path]:
    """Return the shipped boards: name -> path of the board file."""
    return {path.stem: path for path in sorted(_BOARDS.glob("*.board"))}


def executable(path: str | os.PathLike[str] | None = None) -> Path:
    """Return the firmware-stub executable: ``path``, or the one to use by default.

    The environment variable FIRMWARE_STUB overrides the one installed beside
    the package. Raises OSError(ENOENT) when there is none.
    """
    path = Path(path or os.environ.get("FIRMWARE_STUB") or _EXECUTABLE)
    if not path.is_file():
        raise OSError(
            errno.ENOENT,
            f"no firmware-stub at {path}; install the package, or let the environment "
            "variable FIRMWARE_STUB name the executable",
        )
    return path


def _seconds(value: float) -> str:
    """Return a time in s as the board's language writes it."""
    return f"{max(0, round(value * 1e6))}us"


class Stub:
    """One firmware-stub process and its control channel.

    Use it as a context manager, or call ``start`` and ``close``. Every method
    raises OSError with an errno and a sentence when the stub refuses it.

    Args:
        board: the path of a board file, the name of a shipped board, or the text of a
            board (it has a line break).
        socket: path of the vhost-user socket, at most 107 bytes; by default in a
            temporary directory.
        control: path of the control channel; by default the socket's and ``.ctl``.
        transport: vhost-user, serial (a pty in the temporary directory), both, or rpmsg-tty
            (vhost-user, with the channel rpmsg-tty in the place of the controllers').
        baud: rate of the pty in bits/s, at which its bytes take their time; 0: they take
            none.
        dialect: rpmsg-gpio or rpmsg-gpio-padded.
        features: all, none or a list such as "config,names".
        strict: whether to refuse what virtio forbids a driver to do.
        step: whether the board's time moves only by ``advance``.
        executable: the program, in the place of the one that `executable` finds.
    """

    def __init__(
        self,
        board: str | os.PathLike[str] = "demo",
        socket: str | os.PathLike[str] | None = None,
        control: str | os.PathLike[str] | None = None,
        *,
        transport: str = "vhost-user",
        baud: int = 0,
        dialect: str = "rpmsg-gpio-padded",
        features: str = "all",
        strict: bool = False,
        step: bool = False,
        executable: str | os.PathLike[str] | None = None,
    ) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="stub-", ignore_cleanup_errors=True)
        self._directory: str | None = self._temporary.name
        try:
            self.socket = Path(socket) if socket else Path(self._directory) / "fw.sock"
            self.control = Path(control) if control else Path(f"{self.socket}.ctl")
            for path in (self.socket, self.control):
                _check_length(path)
            self.board = self._find_board(board)
            self._transport = _transport_options(
                transport, self.socket, Path(self._directory) / "tty", baud
            )
        except BaseException:
            self._remove_directory()
            raise
        self._executable = executable
        self._baud = baud
        self._options = ["--dialect", dialect, "--features", features]
        self._options += ["--strict"] if strict else []
        self._options += ["--step"] if step else []
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._connection: sockets.socket | None = None
        self._lock = threading.Lock()

    def _find_board(self, board: str | os.PathLike[str]) -> Path:
        text = os.fspath(board)
        if "\n" in text:
            assert self._directory is not None
            path = Path(self._directory) / "text.board"
            path.write_text(text, encoding="utf-8")
            return path
        if os.path.exists(text):
            return Path(text)
        shipped = boards()
        if text in shipped:
            return shipped[text]
        raise OSError(
            errno.ENOENT,
            f"no board {text!r}; give a board file or one of {', '.join(shipped)}",
        )

    # ---- the process -----------------------------------------------------------

    @property
    def url(self) -> str:
        """The link's URL, as the service takes it; that of vhost-user where both are."""
        return f"vhost-user:{self.socket}" if "--socket" in self._transport else self.serial_url

    @property
    def serial_url(self) -> str:
        """The URL of the serial line; options may follow, as in ``&retry=20``.

        Raises OSError ENODEV when there is none.
        """
        if "--serial" not in self._transport:
            raise OSError(errno.ENODEV, 'the stub has no serial line; give transport="serial"')
        path = self._transport[self._transport.index("--serial") + 1]
        return f"serial:{path}?baud={self._baud or 4000000}"

    @property
    def pid(self) -> int | None:
        """The process id; None when the stub does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def log(self) -> str:
        """What the stub wrote to standard error, of all its starts."""
        if self._directory is None:
            return ""
        path = Path(self._directory) / "log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def start(self, timeout: float = 10.0) -> None:
        """Start the stub and wait until it listens, at most ``timeout`` s.

        Raises OSError: EALREADY when it runs, ENOENT without an executable,
        ECHILD with the stub's own sentence when it ends at once, ETIMEDOUT.
        """
        if self.pid is not None:
            raise OSError(errno.EALREADY, "the stub runs already; stop it first")
        if self._directory is None:
            raise OSError(errno.EINVAL, "the stub was closed; make a new Stub")
        self._forget_process()
        program = executable(self._executable)
        self._log = open(Path(self._directory) / "log", "ab")  # noqa: SIM115
        before = self._log.tell()
        ready, ready_w = os.pipe()
        try:
            with SignalsWait():
                self._process = subprocess.Popen(
                    [
                        str(program),
                        *(*self._transport, "--control", str(self.control)),
                        *("--ready-fd", str(ready_w)),
                        *self._options,
                        "--",
                        str(self.board),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=self._log,
                    stderr=self._log,
                    pass_fds=(ready_w,),
                )
            os.close(ready_w)
            ready_w = -1
            self._wait_ready(ready, timeout, before)
        except BaseException:
            self.kill()
            raise
        finally:
            os.close(ready)
            if ready_w >= 0:
                os.close(ready_w)

    def _wait_ready(self, ready: int, timeout: float, log_from: int) -> None:
        assert self._process is not None
        # Not select(), which takes no descriptor from 1024 on.
        poll = select.poll()
        poll.register(ready, select.POLLIN)
        if not poll.poll(timeout * 1000):
            raise OSError(errno.ETIMEDOUT, f"firmware-stub was not ready within {timeout} s")
        if os.read(ready, 1):
            return
        status = self._process.wait(timeout)
        said = self.log.encode()[log_from:].decode(errors="replace").strip()
        raise OSError(errno.ECHILD, said or f"firmware-stub ended with status {status}")

    def stop(self, timeout: float = 10.0) -> int:
        """End the stub as SIGTERM does and return its exit status.

        It is killed when it has not ended after ``timeout`` s. 0 when it did
        not run.
        """
        if self._process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._forget_process()
        return status

    def kill(self) -> None:
        """End the stub as a power cut does; its socket files stay."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._forget_process()

    def close(self) -> None:
        """Stop the stub and remove its temporary directory."""
        self.stop()
        self._remove_directory()

    def _forget_process(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._log is not None:
            self._log.close()
        if self._process is not None:
            self._process.wait()
        self._connection = self._log = self._process = None

    def _remove_directory(self) -> None:
        self._temporary.cleanup()
        self._directory = None

    def __enter__(self) -> Stub:
        """Start it. Raises as `start`."""
        try:
            self.start()
        except BaseException:
            self.kill()  # a signal may come when start() is all but over
            self._remove_directory()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.close()

    # ---- commands --------------------------------------------------------------

    def command(self, text: str, timeout: float = _ANSWER_TIMEOUT) -> str:
        """Execute one command of the control channel and return its values.

        ``timeout`` is how long to wait for the answer, in s. Raises OSError with
        the errno and sentence of the stub, ETIMEDOUT without an answer, and
        ECONNRESET when the stub is gone.
        """
        with self._lock:
            try:
                reply = self._exchange(text, timeout)
            except OSError:
                # A late answer must not answer the next command.
                self._disconnect()
                raise
        kind, _, rest = reply.partition(" ")
        if kind == "ok":
            return rest
        number, _, sentence = rest.partition(" ")
        raise OSError(int(number), sentence)

    def _exchange(self, text: str, timeout: float) -> str:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.settimeout(timeout)
        try:
            self._connection.send(text.encode())
            reply = self._connection.recv(_REPLY_MAX)
        except TimeoutError:
            raise OSError(errno.ETIMEDOUT, f"no answer to `{text}` within {timeout} s") from None
        except (BrokenPipeError, ConnectionResetError):
            reply = b""
        if not reply:
            raise OSError(errno.ECONNRESET, f"the stub is gone, `{text}` was not answered")
        return reply.decode()

    def _connect(self) -> sockets.socket:
        connection = sockets.socket(sockets.AF_UNIX, sockets.SOCK_SEQPACKET)
        try:
            connection.settimeout(_ANSWER_TIMEOUT)
            connection.connect(str(self.control))
        except OSError as error:
            connection.close()
            raise OSError(
                error.errno, f"no stub listens on {self.control}: {error.strerror}; start it"
            ) from None
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # ---- the board -------------------------------------------------------------

    def read(self, line: str) -> int:
        """Return the level of a pin, 0 or 1. A line is a name or CONTROLLER/OFFSET."""
        return int(self.command(f"read {line}"))

    def drive(self, line: str, value: int) -> None:
        """Drive a pin from outside with a level, until ``float_``."""
        self.command(f"drive {line} {value}")

    def float_(self, line: str) -> None:
        """Stop driving a pin from outside."""
        self.command(f"float {line}")

    def pull(self, line: str, direction: str) -> None:
        """Pull a pin up or down, or take its pull away: up, down, none."""
        self.command(f"pull {line} {direction}")

    def press(self, line: str) -> None:
        """Press a button."""
        self.command(f"press {line}")

    def release(self, line: str) -> None:
        """Let a button go."""
        self.command(f"release {line}")

    def pulse(self, line: str, count: int, hz: int) -> None:
        """Put ``count`` full pulses (2 * count edges) of ``hz`` Hz on a pin.

        With hz 0 every edge waits until the firmware can send it (the line is armed,
        or has credits): as fast as nothing is lost at the source. Returns at once;
        EBUSY while earlier pulses run.
        """
        self.command(f"pulse {line} {count} hz {hz}")

    def clock(self, line: str, hz: int) -> None:
        """Put a square wave of ``hz`` Hz on a pin; 0 stops it."""
        self.command(f"clock {line} hz {hz}" if hz else f"clock {line} off")

    def wire(self, one: str, other: str) -> None:
        """Join two pins."""
        self.command(f"wire {one} {other}")

    def unwire(self, one: str, other: str) -> None:
        """Take the wire between two pins away."""
        self.command(f"unwire {one} {other}")

    def count(self, line: str) -> Count:
        """Return the edges that were on a pin and the interrupts they fired."""
        words = self.command(f"count {line}").split()
        return Count(int(words[1]), int(words[3]))

    def state(self, line: str) -> LineState:
        """Return what the firmware made of a line."""
        words = self.command(f"state {line}").split()
        return LineState(words[1], words[3], words[5] == "yes", int(words[7]))

    def channels(self) -> list[Channel]:
        """Return the channels that the firmware announces."""
        found = []
        for text in self.command("channels").splitlines():
            match = _CHANNEL.fullmatch(text)
            assert match is not None
            index, name, address, lines, label, driver = match.groups()
            found.append(
                Channel(
                    int(index),
                    name,
                    int(address, 16),
                    int(lines),
                    label,
                    int(driver, 16) if driver else None,
                )
            )
        return found

    def edge(self, line: str) -> Edge:
        """Return the latest edge of a pin."""
        words = self.command(f"edge {line}").split()
        return Edge(int(words[1]), int(words[3]), int(words[5]))

    def trace(self, line: str, count: int) -> None:
        """Note the true times of the next ``count`` edges of a pin, for ``times``."""
        self.command(f"trace {line} {count}")

    def times(self, line: str) -> list[int]:
        """Return the times noted since ``trace``, in ns as in ``Edge.time``."""
        found: list[int] = []
        while words := self.command(f"times {line} {len(found)} {_TIMES_MAX}").split():
            found += map(int, words)
        return found

    # ---- the coprocessor's clock and pins ------------------------------------------

    def clock_offset(self, seconds: float) -> None:
        """Set the coprocessor's clock on, or back with a negative value, by some s."""
        sign = "-" if seconds < 0 else ""
        self.command(f"clock-offset {sign}{round(abs(seconds) * 1e6)}us")

    def clock_drift(self, ppm: int) -> None:
        """Let the coprocessor's clock run ``ppm`` millionths too fast, or too slow."""
        self.command(f"clock-drift {ppm}ppm")

    def clock_read(self) -> ClockReading:
        """Return the true time and what the coprocessor's clock shows."""
        words = self.command("clock-read").split()
        return ClockReading(int(words[1]), int(words[3]), int(words[5]))

    def caps(self, line: str, *names: str) -> None:
        """Say what a pin can do: bias, drive, debounce; nothing without names."""
        self.command(f"caps {line} {','.join(names) or 'none'}")

    def config(self, line: str) -> PinConfig:
        """Return what a pin can do, and how the driver configured it."""
        words = self.command(f"config {line}").split()
        return PinConfig(int(words[1], 16), int(words[3], 16), int(words[5]))

    def self_test(self, *outputs: str, wires: Sequence[tuple[str, str]] = ()) -> list[str]:
        """Let the firmware check its pins; the driver's GET_COUNTERS then tells the result.

        Args:
            outputs: lines that it may drive to both levels.
            wires: pairs of lines, from one that it drives to one that interrupts.

        Returns:
            A fault each, such as `0/5 "LOOP_IN" does not follow its wire`. A line that a driver
            uses is left alone.

        Raises:
            OSError: ENOENT for a line that does not exist; EINVAL for lines of several controllers.
        """
        words = " ".join([*outputs, *(f"wire {out} {into}" for out, into in wires)])
        return self.command(f"self-test {words}").splitlines()

    # ---- waiting (timeouts in s of real time; ETIMEDOUT when they pass) ----------

    def _wait(self, command: str, timeout: float) -> None:
        self.command(f"{command} timeout {_seconds(timeout)}", timeout + _ANSWER_TIMEOUT)

    def wait_level(self, line: str, value: int, timeout: float = _WAIT_TIMEOUT) -> None:
        """Wait until a pin has a level."""
        self._wait(f"wait {line} {value}", timeout)

    def wait_armed(self, line: str, timeout: float = _WAIT_TIMEOUT) -> None:
        """Wait until the interrupt of a line waits to fire."""
        self._wait(f"wait-armed {line}", timeout)

    def wait_edges(self, line: str, edges: int, timeout: float = _WAIT_TIMEOUT) -> None:
        """Wait until a pin has seen at least so many edges since power-up."""
        self._wait(f"wait-edges {line} {edges}", timeout)

    def wait_attached(self, timeout: float = _WAIT_TIMEOUT) -> None:
        """Wait until a guest is attached."""
        self._wait("wait-attached", timeout)

    # ---- time, firmware, faults --------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Move the time of a stepped board on by some s, at most 60."""
        self.command(f"advance {_seconds(seconds)}")

    def restart(self) -> None:
        """Reset the firmware: the guest is dropped, all state starts anew."""
        self.command("restart")

    def crash(self, timeout: float = 10.0) -> int:
        """Let the process abort at once; return its exit status (134)."""
        if self._process is None:
            raise OSError(errno.ESRCH, "the stub does not run; start it")
        with contextlib.suppress(ConnectionResetError):
            self.command("crash")
        status = self._process.wait(timeout)
        self._forget_process()
        return status

    def fault(self, kind: str, *words: str | int) -> None:
        """Inject a fault: the words of the ``fault`` command.

        For example ``fault("drop", "rx", 1)``, ``fault("delay", "tx", 1, "50ms")``,
        ``fault("stall", "on")``, ``fault("clear")``.
        """
        self.command(" ".join(["fault", kind, *map(str, words)]))


def _transport_options(transport: str, socket: Path, tty: Path, baud: int) -> list[str]:
    """The stub's options for a transport. Raises OSError EINVAL for an unknown one."""
    vhost_user = ["--socket", str(socket)]
    serial = ["--serial", str(tty), *(["--serial-baud", str(baud)] if baud else [])]
    known = {
        "vhost-user": vhost_user,
        "serial": serial,
        "both": vhost_user + serial,
        "rpmsg-tty": [*vhost_user, "--rpmsg-tty"],
    }
    if transport not in known:
        raise OSError(errno.EINVAL, f"no transport {transport!r}; give one of {', '.join(known)}")
    return known[transport]


def _check_length(path: Path) -> None:
    length = len(os.fsencode(path))
    if length > _PATH_MAX:
        raise OSError(
            errno.ENAMETOOLONG,
            f"the socket path {path} has {length} bytes; unix(7) allows {_PATH_MAX}",
        )
