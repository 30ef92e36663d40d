# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge bench link: round trips on any link, beside the least that the link allows."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bridge import uapi
from bridge.bench.histogram import Histogram
from bridge.bench.measure import Tell, silent
from bridge.bench.rig import Serve
from bridge.client import line_config
from bridge.client.control import Connection
from bridge.client.direct import Direct
from bridge.client.line_settings import LineSettings
from bridge.line import Direction, Edge
from bridge.link import resolve

__all__ = ["Asked", "Measured", "Running", "measure_link"]

# A pass is one of several, so that a machine that speeds up or slows down in between does not tilt
# the ratios.
_PASS_MAX_S = 10.0
_ROUNDS_PER_S = 1_000_000
_ROUNDS_MAX = 2_000_000
_CONNECT_MS = 5000
# A chip comes up in a moment, but the machine that is measured may be as busy as one likes.
_CHIP_S = 30.0
_SETTLED_S = 20.0
# A read of an rpmsg endpoint has no deadline of its own.
_SILENCE_S = 20.0
_TIMEOUT_MS = "10000"
_DESTROY_EPT = 0xB502  # RPMSG_DESTROY_EPT_IOCTL, linux/rpmsg.h

# It computes, and ends with its parent.
_BUSY = "import os\np = os.getppid()\nwhile os.getppid() == p:\n    sum(range(10000))"


class Running(NamedTuple):
    """A service that runs already: its control socket, and its name of the link, if one."""

    socket: str
    link: str | None


@dataclass(frozen=True)
class Asked:
    """What is to be measured.

    Attributes:
        url: of the link; None where a service runs.
        running: the service that has it, None: nobody has.
        line: its name, or offset on the first chip; None is the first input that nobody uses.
        as_input: make the line an input first, rather than leave it as it is.
        loop: an output, and an input that is wired to it.
        seconds: for each way.
        busy: so many processes compute meanwhile.
        realtime: a priority of SCHED_FIFO with which a service is measured once more, 0: none.
    """

    url: str | None
    running: Running | None = None
    line: str | None = None
    as_input: bool = False
    loop: tuple[str, str] | None = None
    seconds: float = 2.0
    busy: int = 0
    realtime: int = 0


@dataclass
class Measured:
    """What was measured; `why` has a sentence for what was not."""

    line: _Line | None = None
    histograms: dict[str, Histogram] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, samples: list[int]) -> None:
        """Count round trips."""
        self.histograms.setdefault(what, Histogram()).add(samples)

    def figures(self) -> dict[str, Any]:
        """Return what --json prints."""
        figures = {what: found.figures() for what, found in self.histograms.items()}
        node = figures.get("node")
        ratio: dict[str, float] = {
            what: round(figures[what]["p50_us"] / node["p50_us"], 2)
            for what in ("direct", "service")
            if node and what in figures
        }
        if "service_realtime" in figures:
            before, after = (figures[what]["p999_us"] for what in ("service", "service_realtime"))
            ratio["realtime_p999"] = round(after / before, 2)
        assert self.line is not None
        missing = dict.fromkeys(self.why)
        line = {"chip": self.line.chip, "offset": self.line.offset, "name": self.line.name}
        return {"line": line, **missing, **figures, "ratio": ratio, "why": self.why}


class _Line(NamedTuple):
    chip: str
    channel: str
    offset: int
    name: str | None


def measure_link(asked: Asked, tell: Tell = silent) -> Measured:
    """Measure round trips on a link, each way for so many seconds.

    The ways are the node alone, the link in this process, and a service. Raises OSError:
    ENOENT no such line, what links and services say.
    """
    found = Measured()
    passes = max(2, math.ceil(asked.seconds / _PASS_MAX_S))
    ways: dict[str, Callable[[Asked, float, Measured], None]] = {"service": _service}
    if asked.running is None:
        ways = {"direct": _direct, "node": _node, **ways}
    else:
        held = f"the service on {asked.running.socket} has the link, and only one program can"
        found.why = {"node": held, "direct": held}
    if asked.realtime:
        ways["service, real time"] = _service_realtime
    with _busy(asked.busy):
        for turn in range(passes):
            for name in list(ways) if turn % 2 == 0 else reversed(ways):
                tell(f"{name}, part {turn + 1} of {passes}")
                ways[name](asked, asked.seconds / passes, found)
    return found


# ---- ways ---------------------------------------------------------------------


def _direct(asked: Asked, seconds: float, found: Measured) -> None:
    assert asked.url is not None
    direct = Direct(asked.url)
    try:
        connection, _ = direct.open("", _CHIP_S)
        try:
            _through(connection, "direct", None, asked, seconds, found, direct)
        finally:
            connection.close()
    finally:
        direct.close()


def _service(asked: Asked, seconds: float, found: Measured) -> None:
    _served(asked, "service", (), seconds, found)


def _service_realtime(asked: Asked, seconds: float, found: Measured) -> None:
    options = ("--realtime", f"{asked.realtime},lock-memory,required")
    with first_in_first_out(asked.realtime):
        _served(asked, "service_realtime", options, seconds, found)


@contextmanager
def first_in_first_out(priority: int, pid: int = 0) -> Iterator[None]:
    """Give a thread, 0 is this one, a real-time priority while the block runs.

    What it starts is scheduled as ever. Raises OSError EPERM.
    """
    try:
        os.sched_setscheduler(pid, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError as error:
        raise OSError(
            error.errno,
            f"no real-time priority {priority} for this program ({error.strerror}): "
            "run it as root, or where ulimit -r is that high",
        ) from None
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))


def _served(
    asked: Asked, what: str, options: tuple[str, ...], seconds: float, found: Measured
) -> None:
    with ExitStack() as stack:
        running = asked.running
        if running is None:
            assert asked.url is not None
            directory = Path(tempfile.mkdtemp(prefix="gpio-bridge-"))
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            serve = Serve(directory, "--link", asked.url, "--timeout-ms", _TIMEOUT_MS, *options)
            stack.enter_context(serve)
            running = Running(serve.socket, None)
        connection = Connection.open(running.socket)
        stack.callback(connection.close)
        _through(connection, what, running.link, asked, seconds, found)


def _node(asked: Asked, seconds: float, found: Measured) -> None:
    assert asked.url is not None and found.line is not None
    url = resolve(asked.url)
    if url.backend.__name__ == "bridge.link.rpmsg":  # type: ignore[attr-defined]
        with _device(url.rest, found.line) as fd:
            found.add("node", _on_device(fd, found.line.offset, seconds))
        return
    link = url.backend.connect(url.rest, _CONNECT_MS)
    found.add("node", _on_link(asked.url, link, found.line, seconds))


# ---- our own client --------------------------------------------------------------


def _through(
    connection: Connection,
    what: str,
    link: str | None,
    asked: Asked,
    seconds: float,
    found: Measured,
    direct: Direct | None = None,
) -> None:
    """Round trips, and edges of a loop, by a client of a service or of a link in this process."""
    from bridge.bench.native._native import lib

    connection.wait(_SETTLED_S, settled=True)
    line = found.line = _find(connection, link, asked.line)
    settings = LineSettings(Direction.INPUT if asked.as_input else Direction.AS_IS)
    with _requested(connection, line, settings, direct) as (client, _, _):
        try:
            samples = _sampled(seconds, lambda *rest: lib.gb_bench_client_get(client, *rest))
        except OSError as error:
            raise OSError(
                error.errno,
                f"line {line.offset} of chip {line.chip} could not be read as it is "
                f"({error.strerror}): --line names another one, --input makes it an input",
            ) from None
    found.add(what, samples)
    if asked.loop is None:
        return
    driven, read = (_find(connection, link, name) for name in asked.loop)
    output = LineSettings(direction=Direction.OUTPUT)
    edges = LineSettings(direction=Direction.INPUT, edge_detection=Edge.BOTH)
    with (
        _requested(connection, driven, output, direct) as (client, _, _),
        _requested(connection, read, edges, direct) as (_, bell, ring),
    ):
        samples = _sampled(
            seconds, lambda *rest: lib.gb_bench_client_edge(client, bell, ring, *rest)
        )
    found.add(f"{what}_edge", samples)


def _find(connection: Connection, link: str | None, wanted: str | None) -> _Line:
    """The line of that name, or offset on the first chip; else the first input that is free."""
    by_offset = None
    for chip in connection.chips():
        if link is not None and chip["link"] != link:
            continue
        for line in connection.lines(chip["name"]):
            found = _Line(chip["name"], chip["channel"], line["offset"], line["name"])
            free = not line["used"] and line["flags"] & uapi.GPIO_V2_LINE_FLAG_INPUT
            if found.name == wanted if wanted is not None else free:
                return found
            if str(found.offset) == wanted and by_offset is None:
                by_offset = found
    if by_offset is not None:
        return by_offset
    where = f" on link {link}" if link else ""
    raise OSError(
        errno.ENOENT,
        f"no input{where} is free: say which line, with --line" if wanted is None
        else f"no line is called {wanted!r}{where}",
    )  # fmt: skip


@contextmanager
def _requested(
    connection: Connection, line: _Line, settings: LineSettings, direct: Direct | None
) -> Iterator[tuple[Any, int, int]]:
    """The client of a request of one line, a ``struct gb_bench_client *``; its bell and ring."""
    from bridge.bench.native._native import ffi

    _, (operation, bell, ring) = connection.request(
        chip=line.chip,
        offsets=[line.offset],
        config=line_config.pack([line_config.config_of(settings)]),
        consumer="gpio-bridge bench",
    )
    with ExitStack() as stack:
        for fd in (bell, ring):
            stack.callback(os.close, fd)
        client = ffi.new("struct gb_bench_client *", {"operation_fd": operation})
        if direct is None:
            stack.callback(os.close, operation)
        else:
            client.operate, client.direct = stack.enter_context(_past(direct, operation))
        yield client, bell, ring


@contextmanager
def _past(direct: Direct, operation: int) -> Iterator[tuple[Any, Any]]:
    """What calls the pump of this process itself, for the C of this folder; owns `operation`."""
    from bridge.bench.native._native import ffi
    from bridge.shim.ffi import ffi as shim
    from bridge.shim.ffi import lib

    operations = direct.operations(operation, _CONNECT_MS)
    try:
        if operations.handle is None:
            raise OSError(errno.ENODEV, "the chip went away")
        operate = shim.addressof(lib, "gb_direct_operate")
        yield (
            ffi.cast("void *", _address(operate)),
            ffi.cast("void *", _address(operations.handle)),
        )
    finally:
        operations.close()


# ---- the node alone -----------------------------------------------------------------


def _on_link(url: str, link: Any, line: _Line, seconds: float) -> list[int]:
    from bridge.bench.native._native import ffi, lib

    why = ffi.new("char[160]")
    # The link is of the shim's own module of C; only the address is the same in this one.
    handle = ffi.cast("void *", _address(link))
    try:
        return _sampled(
            seconds,
            lambda *rest: lib.gb_bench_link_get(
                handle, line.channel.encode(), line.offset, why, *rest
            ),
        )
    except OSError as error:
        text = ffi.string(why).decode("utf-8", "replace")
        raise OSError(error.errno, f"{url}: {text or error.strerror}") from None


def _address(link: Any) -> int:
    from bridge.shim.ffi import ffi

    return int(ffi.cast("uintptr_t", link))


def _on_device(fd: int, offset: int, seconds: float) -> list[int]:
    from bridge.bench.native._native import lib

    samples: list[list[int]] = []

    def measure() -> None:
        with contextlib.suppress(OSError):  # none are there then
            samples.append(
                _sampled(seconds, lambda *rest: lib.gb_bench_device_get(fd, offset, *rest))
            )

    thread = threading.Thread(target=measure, daemon=True)
    thread.start()
    thread.join(seconds + _SILENCE_S)
    if not samples:
        raise OSError(
            errno.ETIMEDOUT, f"the firmware stopped to answer for {_SILENCE_S:g} s, or went away"
        )
    return samples[0]


@contextmanager
def _device(rest: str, line: _Line) -> Iterator[int]:
    """The rpmsg endpoint of a line's controller, open as the link would have it."""
    from bridge.link.rpmsg_finder import Finder
    from bridge.link.rpmsg_sysfs import Sysfs
    from bridge.link.rpmsg_target import parse

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        theirs.settimeout(_CONNECT_MS / 1000)
        Finder(parse(rest), Sysfs(), ours).start()
        fd, destroy = _attached(theirs, line.channel)
    try:
        os.set_blocking(fd, True)
        yield fd
    finally:
        if destroy:
            with contextlib.suppress(OSError):
                fcntl.ioctl(fd, _DESTROY_EPT)
        os.close(fd)


def _attached(finder: socket.socket, channel: str) -> tuple[int, bool]:
    """The descriptor that a finder has for a channel, and whether it is to be destroyed."""
    from bridge.shim.ffi import ffi, lib

    size = ffi.sizeof("struct gb_rpmsg_packet")
    while True:
        try:
            data, fds, _, _ = socket.recv_fds(finder, size, 1)
        except TimeoutError:
            raise OSError(
                errno.EBUSY, f"channel {channel} was not to be had in {_CONNECT_MS / 1000:g} s"
            ) from None
        if len(data) != size:
            raise OSError(errno.ENODEV, "the processor went away")
        packet = ffi.from_buffer("struct gb_rpmsg_packet *", data)
        name = ffi.string(packet.text).decode("ascii", "replace")
        if packet.code == lib.GB_RPMSG_ATTACH and fds and name == channel:
            return fds[0], bool(packet.flags & lib.GB_RPMSG_DESTROY)
        for fd in fds:
            os.close(fd)
        if packet.code == lib.GB_RPMSG_DOWN:
            raise OSError(errno.ENODEV, name)


# ---- samples, and load -----------------------------------------------------------------


def _sampled(seconds: float, measure: Callable[..., int]) -> list[int]:
    """What a measurement in C has: ns of each round trip. Raises OSError."""
    from bridge.bench.native._native import ffi

    room = min(_ROUNDS_MAX, int(seconds * _ROUNDS_PER_S))
    samples = ffi.new("uint32_t[]", room)
    count = measure(int(seconds * 1e9), room, samples)
    if count < 0:
        raise OSError(-count, os.strerror(-count))
    return list(ffi.unpack(samples, count))


@contextmanager
def _busy(count: int) -> Iterator[None]:
    """So many processes that compute while the block runs."""
    processes = [
        subprocess.Popen([sys.executable, "-c", _BUSY], stdin=subprocess.DEVNULL)
        for _ in range(count)
    ]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
