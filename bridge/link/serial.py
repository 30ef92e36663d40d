# SPDX-License-Identifier: BSD-3-Clause
"""``serial:PORT[?OPTIONS]``: a UART, rpmsg-tty, or any byte stream that pyserial opens.

PORT is a device (``/dev/ttyUSB0``, ``/dev/ttyRPMSG0``), a URL of pyserial
(``socket://host:port``, ``hwgrep://0403:6001``), or ``rpmsg-tty``: the tty of that
channel, whatever number it has now. pyserial finds, opens, locks and configures the
port; its descriptor then goes to the pump, and no byte passes Python.

OPTIONS are separated by ``&``:

========== ======= ==========================================================
baud       115200  rate in bits per second; rpmsg ttys and streams have none
rtscts     0       1: hardware flow control
ack        5       ms after which a message is acknowledged by a frame of its own
retry      50      ms, and the time of the bytes, before a frame is sent again
keepalive  0       ms of silence after which the firmware is asked whether it
                   lives; 0: never, an idle line carries no traffic
dead       3000    ms without any answer after which the link is down
remoteproc         rpmsg-tty only, where several processors have rpmsg: the one
device             of this remoteproc, or below the device of this name
========== ======= ==========================================================
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import re
import socket
import stat
import termios
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from bridge.extras import missing
from bridge.shim.ffi import ffi, lib

if TYPE_CHECKING:
    import serial

PACKAGES = {"serial": "pyserial"}

_WHY_SIZE = 256
_RPMSG_TTY = "rpmsg-tty"  # name of the channel, drivers/tty/rpmsg_tty.c
_PROCESSOR = ("remoteproc", "device")
# Major numbers of pseudo terminals (Documentation/admin-guide/devices.txt).
_PTY_MAJORS = range(136, 144)


class _Option(NamedTuple):
    default: int
    least: int
    most: int


_OPTIONS = {
    "baud": _Option(115200, 300, 100_000_000),
    "rtscts": _Option(0, 0, 1),
    "ack": _Option(5, 0, 5000),
    "retry": _Option(50, 1, 10_000),
    "keepalive": _Option(0, 0, 3_600_000),
    "dead": _Option(3000, 10, 3_600_000),
}


class PortTarget(NamedTuple):
    """What follows ``serial:``, taken apart.

    Attributes:
        port: for pyserial, or ``rpmsg-tty``.
        options: all that are numbers.
        processor: those that say which one has the channel.
    """

    port: str
    options: dict[str, int]
    processor: dict[str, str]


def parse(rest: str) -> PortTarget:
    """Take ``PORT?OPTIONS`` apart.

    Args:
        rest: what follows ``serial:``. A query that a pyserial URL has of its own may
            stand among ours; it stays with the port.

    Raises:
        OSError: EINVAL for an option that does not exist or a value out of its range.
    """
    port, _, query = rest.partition("?")
    options = {name: option.default for name, option in _OPTIONS.items()}
    foreign = []
    processor: dict[str, str] = {}
    for word in filter(None, query.split("&")):
        name, _, text = word.partition("=")
        if port == _RPMSG_TTY and name in _PROCESSOR and text and not processor:
            processor[name] = text
            continue
        if name not in _OPTIONS:
            if "://" not in port:
                raise OSError(
                    errno.EINVAL,
                    f'serial:{rest}: there is no option "{name}"; there are: {", ".join(_OPTIONS)}',
                )
            foreign.append(word)
            continue
        option = _OPTIONS[name]
        if not re.fullmatch("[0-9]{1,9}", text) or not option.least <= int(text) <= option.most:
            raise OSError(
                errno.EINVAL,
                f'serial:{rest}: {name} is "{text}"; give a whole number from '
                f"{option.least} to {option.most}",
            )
        options[name] = int(text)
    if not port:
        raise OSError(
            errno.EINVAL, f"serial:{rest}: no port; write serial:/dev/ttyUSB0?baud=115200"
        )
    return PortTarget(port + ("?" + "&".join(foreign) if foreign else ""), options, processor)


def _rpmsg_tty(processor: dict[str, str]) -> str:
    """Path that the channel's tty has now: a number that is still open is not given again.

    Raises:
        OSError: ENOENT there is none (yet), ENOTUNIQ there are several.
    """
    from bridge.link import rpmsg_target
    from bridge.link.rpmsg_sysfs import Sysfs

    sysfs = Sysfs()
    wanted = rpmsg_target.Target(processor.get("remoteproc"), processor.get("device"))
    chosen, _ = wanted.select(sysfs)
    found: list[str] = []
    for channel in sysfs.channels(chosen):
        if channel.name == _RPMSG_TTY:
            with contextlib.suppress(FileNotFoundError):
                found += os.listdir(f"{channel.path}/tty")
    if len(found) == 1:
        return f"/dev/{found[0]}"
    if found:
        raise OSError(
            errno.ENOTUNIQ,
            f"{chosen.title} has {', '.join(sorted(found))}; name one: serial:/dev/{found[0]}",
        )
    raise OSError(
        errno.ENOENT,
        f"{chosen.title} has no tty; the firmware must announce the channel {_RPMSG_TTY}, "
        "and the kernel have CONFIG_RPMSG_TTY",
    )


def _refusal(error: Exception, port: str) -> OSError:
    """The error of opening a port, as an OSError with the errno and the port's name."""
    # termios.error is no OSError; SerialException often has a sentence alone.
    number = error.errno if isinstance(error, OSError) else error.args[0]
    # EAGAIN is pyserial's lock, EBUSY is TIOCEXCL.
    if number in (errno.EAGAIN, errno.EBUSY):
        return OSError(errno.EBUSY, f"{port}: is in use by another program")
    reason = os.strerror(number) if number else str(error)
    return OSError(number or errno.EIO, f"{port}: {reason}")


def _open_port(target: PortTarget) -> serial.SerialBase:
    """Let pyserial find, open, lock and configure the port. Raises OSError."""
    try:
        import serial
    except ImportError:
        raise missing("serial links", "pyserial") from None
    port, options, processor = target
    if port == _RPMSG_TTY:
        port = _rpmsg_tty(processor)
    try:
        opened = serial.serial_for_url(port, do_not_open=True, timeout=0, write_timeout=0)
        opened.baudrate = options["baud"]
        opened.rtscts = bool(options["rtscts"])
        with contextlib.suppress(AttributeError):  # only POSIX ports have it
            opened.exclusive = True
        opened.open()
    except (OSError, termios.error) as error:
        refusal = _refusal(error, port)
        if target.port == _RPMSG_TTY and refusal.errno == errno.ENOENT:
            refusal.errno = errno.ENODEV  # it went just now: look again soon, not at the next one
        raise refusal from error
    except ValueError as error:
        raise OSError(errno.EINVAL, f"{port}: {error}") from error
    return opened


def _open_socket(port: str, timeout_ms: int) -> int:
    """Connect to ``socket://host:port``; pyserial would not let go of its own socket."""
    try:
        url = urlsplit(port)
        address = (url.hostname or "", url.port or 0)
    except ValueError as error:
        raise OSError(errno.EINVAL, f"{port}: {error}") from error
    if not all(address):
        raise OSError(errno.EINVAL, f"{port}: write socket://HOST:PORT")
    try:
        stream = socket.create_connection(address, timeout_ms / 1000)
    except UnicodeError as error:
        raise OSError(errno.EINVAL, f"{port}: no host's name; write socket://HOST:PORT") from error
    except TimeoutError as error:
        raise OSError(errno.ETIMEDOUT, f"{port}: no answer in {timeout_ms} ms") from error
    except socket.gaierror as error:  # its numbers are those of the resolver, no errnos
        raise OSError(errno.EHOSTUNREACH, f"{port}: {error.strerror}") from error
    except OSError as error:
        raise OSError(error.errno or errno.EIO, f"{port}: {error.strerror or error}") from error
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream.detach()


def _descriptor(target: PortTarget, timeout_ms: int) -> int:
    """Open the port and return its descriptor. Raises OSError."""
    port = target.port
    if port.startswith("socket://"):
        return _open_socket(port, timeout_ms)
    if port.startswith("spy://"):
        raise OSError(errno.EOPNOTSUPP, f"{port}: spy:// sees nothing, no byte passes pyserial")
    opened = _open_port(target)
    try:
        # A copy has the same lock and outlives pyserial's object.
        return os.dup(opened.fileno())
    except (AttributeError, io.UnsupportedOperation) as error:
        raise OSError(
            errno.EOPNOTSUPP,
            f"{port}: this kind of port has no file descriptor; use a device or socket://",
        ) from error
    finally:
        opened.close()


def _exclude_others(fd: int) -> None:
    """Keep programs out that do not honour pyserial's lock (TIOCEXCL, ioctl_tty(2))."""
    status = os.fstat(fd)
    # A pty keeps the mark after we are gone, and it would keep us out, too.
    if stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) not in _PTY_MAJORS:
        with contextlib.suppress(OSError):
            fcntl.ioctl(fd, termios.TIOCEXCL)


def open_port(rest: str, timeout_ms: int) -> int:
    """Open the port for ourselves alone, and return its descriptor.

    Args:
        rest: ``PORT?OPTIONS``, as in the module's docstring.
        timeout_ms: deadline for the connection of a stream in milliseconds.

    Raises:
        OSError: as `connect`.
    """
    fd = _descriptor(parse(rest), timeout_ms)
    _exclude_others(fd)
    return fd


def _bit_rate(fd: int, baud: int) -> int:
    """Bits per second that the bytes are paced with, 0 when they take no time.

    An rpmsg tty (the kernel's drivers/tty/rpmsg_tty.c) has a baud rate as every tty has,
    and does not look at it; only its name in sysfs tells it apart.
    """
    if not os.isatty(fd):
        return 0
    number = os.fstat(fd).st_rdev
    device = os.path.realpath(f"/sys/dev/char/{os.major(number)}:{os.minor(number)}")
    return 0 if os.path.basename(device).startswith("ttyRPMSG") else baud


def connect(rest: str, timeout_ms: int) -> Any:
    """Open the port and begin a session with the firmware behind it.

    Args:
        rest: ``PORT?OPTIONS``, as in the module's docstring.
        timeout_ms: deadline for the handshake in milliseconds.

    Returns:
        An opened ``struct gb_link *`` for `bridge.shim.pump.Pump.add_link`.

    Raises:
        OSError: EINVAL for a bad URL; what open(2) says; EBUSY when another program
            has the port; EOPNOTSUPP for a pyserial URL without a descriptor;
            errno and sentence of gb_serial_attach.
    """
    target = parse(rest)
    fd = open_port(rest, timeout_ms)
    options = ffi.new("struct gb_serial_options *")
    options.bit_rate = _bit_rate(fd, target.options["baud"])
    options.ack_ms = target.options["ack"]
    options.retry_ms = target.options["retry"]
    options.keepalive_ms = target.options["keepalive"]
    options.dead_ms = target.options["dead"]
    why = ffi.new("char[]", _WHY_SIZE)
    name = os.fsencode(target.port)
    link = lib.gb_serial_attach(fd, name, options, timeout_ms, why, _WHY_SIZE)
    if link == ffi.NULL:
        number = ffi.errno or errno.EIO
        sentence = ffi.string(why, _WHY_SIZE).decode("utf-8", "replace")
        raise OSError(number, sentence or f"{target.port}: {os.strerror(number)}")
    return link


def watch_path(rest: str) -> str | None:
    """The device, which appears when the adapter is plugged in; None for a URL.

    Only the folder is watched, so the number does not matter.
    """
    port = parse(rest).port
    if port == _RPMSG_TTY:
        return "/dev/ttyRPMSG0"
    return port if port.startswith("/") else None


def short_name(rest: str) -> str:
    """The device's name: ``/dev/ttyUSB0?baud=921600`` gives ``ttyUSB0``."""
    port, _, processor = parse(rest)
    port = next(iter(processor.values()), port).partition("?")[0]
    return re.sub(r"[^0-9A-Za-z_.-]", "_", os.path.basename(port) or "serial")
