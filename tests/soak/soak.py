# SPDX-License-Identifier: BSD-3-Clause
"""Chaos around one real service, and what must be true behind it: make soak SECONDS=120.

Clients, a guest and two firmwares work through it, while firmwares are killed and stopped, the
service is stopped for a moment, its disk is full and its descriptors run out, and attackers of
`gpio-bridge bench attack` come and go. Every operation ends, well or with an errno that says why;
sequence numbers never go back. In the end, with all that over: chips are back, values and edges
arrive, nothing of its own is in the log, descriptors are as many as before, memory is flat
within 1 MB since the warm-up, and the idle service uses no CPU.
"""

from __future__ import annotations

import argparse
import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from bridge import wire
from bridge.bench.attackers import HOSTILE
from bridge.bench.guest import Guest
from bridge.bench.measure import cpu_ns
from bridge.bench.rig import Serve
from bridge.client.chip import Chip
from bridge.client.line_settings import LineSettings
from bridge.line import Direction, Edge, Value
from firmware_stub import Stub
from tests.export.uapi_client import (
    FALLING,
    INPUT,
    OUTPUT,
    RISING,
    Channel,
    events_in,
    open_chip,
    waits,
)
from tests.export.uapi_client import closing as closing_fd

HANG_S = 60.0
RSS_MAX_KB = 1024
IDLE_S = 2.0
# Of one CPU: below this it is shown as 0.0 %.
IDLE_MAX = 0.0005
ATTACKERS = ("connect-flood", "packets", "operations", "edges-unread", "guest-blocks")


class Soak:
    """The service, its firmwares, and who works with it."""

    def __init__(self, folder: Path, stack: ExitStack, seed: int) -> None:
        self.folder, self.pick = folder, random.Random(seed)
        self.count: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.bad: list[str] = []
        self.over = threading.Event()
        self.last: dict[str, float] = {}
        self.stubs = [
            stack.enter_context(Stub("demo", socket=folder / name))
            for name in ("quiet.sock", HOSTILE)
        ]
        config = folder / "config.toml"
        config.write_text("[limits]\nconnections = 400\nhandles = 800\n")
        self.serve = stack.enter_context(
            Serve(
                folder,
                *("--config", str(config)),
                *("--link", f"{self.stubs[0].url},name=quiet,on_restart=restore"),
                *("--link", f"{self.stubs[1].url},name=hostile"),
                *("--export", f"vhost-user-gpio:{folder / 'guest.sock'},chip=quiet-1"),
                *("--export", f"vhost-user-gpio:{folder / 'lean.sock'},chip=hostile-1"),
            )
        )
        self.serve.wait_for_chips(4)

    # ---- who works -------------------------------------------------------------------

    def work(self, name: str, session: Callable[[], Iterator[int]]) -> threading.Thread:
        """A thread that runs one session after the other; each yields operations done."""

        def run() -> None:
            while not self.over.is_set():
                self.last[name] = time.monotonic()
                try:
                    for done in session():
                        self.count[name] += done
                        self.last[name] = time.monotonic()
                        if self.over.is_set():
                            break
                except (OSError, EOFError) as error:
                    why = getattr(error, "strerror", None) or str(error) or "hung up"
                    self.errors[f"{name}: {why}"[:60]] += 1
                    self.over.wait(0.05)
                except Exception as error:
                    self.bad.append(f"{name}: {error!r}")
                    self.over.wait(0.5)

        thread = threading.Thread(target=run, name=name)
        thread.start()
        return thread

    def chip(self, name: str) -> Chip:
        """Open a chip."""
        return Chip(f"{self.serve.socket}#{name}")

    def values(self) -> Iterator[int]:
        """Drive a line and read the one that is wired to it."""
        config = {
            4: LineSettings(direction=Direction.OUTPUT),
            5: LineSettings(direction=Direction.INPUT),
        }
        with self.chip("quiet-0") as chip, chip.request_lines(config, consumer="soak") as request:
            while True:
                for value in (Value.ACTIVE, Value.INACTIVE):
                    request.set_value(4, value)
                    request.get_value(5)
                yield 4

    def edges(self) -> Iterator[int]:
        """Receive edges; their numbers only grow."""
        settings = LineSettings(edge_detection=Edge.BOTH)
        with (
            self.chip("quiet-0") as chip,
            chip.request_lines({8: settings}, "soak", 1024) as request,
        ):
            last = 0
            while True:
                self.stubs[0].pulse("SENSOR_IRQ", 200, 0)
                while request.wait_edge_events(0.2):
                    events = request.read_edge_events(1024)
                    for event in events:
                        if event.line_seqno <= last:
                            self.bad.append(f"edge {event.line_seqno} came after {last}")
                        last = event.line_seqno
                    yield len(events)
                yield 0

    def control(self) -> Iterator[int]:
        """Look up, request and release."""
        while True:
            with self.chip("hostile-0") as chip:
                for _ in range(20):
                    chip.get_info()
                    chip.line_offset_from_id("LED_GREEN")
                    chip.request_lines({0: LineSettings()}, consumer="soak").release()
                    yield 3

    def guest(self) -> Iterator[int]:
        """A guest that sets lines."""
        with Guest(str(self.folder / "lean.sock")) as guest:
            for line in range(8):
                guest.request(wire.MSG_SET_DIRECTION, line, wire.DIRECTION_OUT)
            while True:
                guest.set_values(8, 50)
                yield 400

    def cdev(self) -> Iterator[int]:
        """The same by ioctls of the character device, as a program of `gpio-bridge run`.

        They wait for their answers without a limit: `run` finds who hangs.
        """
        with ExitStack() as stack:
            chip = stack.enter_context(closing_fd(open_chip(self.serve.socket, "hostile-0")))
            asks = stack.enter_context(closing(Channel(chip, late_s=None)))
            driven = stack.enter_context(closing_fd(asks.request([2], OUTPUT)))
            values = stack.enter_context(closing(Channel(driven, late_s=None)))
            edges = INPUT | RISING | FALLING
            watched = stack.enter_context(closing_fd(asks.request([8], edges, 256)))
            last = 0
            while True:
                asks.line_info(2)
                for bit in (1, 0):
                    values.set(bit, 1)
                    values.get(1)
                self.stubs[1].pulse("SENSOR_IRQ", 50, 0)
                while waits(watched, 0.1):
                    data = os.read(watched, 48 * 256)
                    if not data:
                        raise OSError(errno.ENODEV, "the chip is gone")
                    for event in events_in(data):
                        if event.line_seqno <= last:
                            self.bad.append(f"cdev: edge {event.line_seqno} came after {last}")
                        last = event.line_seqno
                    yield len(data) // 48
                yield 5

    # ---- chaos ---------------------------------------------------------------------------

    def chaos(self) -> None:
        """One bad thing."""
        kind = self.pick.choice(
            ("kill", "kill", "stop", "stop-service", "disk", "descriptors", "attack", "client")
        )
        self.count[f"chaos {kind}"] += 1
        stub = self.pick.choice(self.stubs)
        if kind == "kill":
            stub.kill()
            stub.start()
        elif kind == "stop" and stub.pid:
            self._stopped(stub.pid, self.pick.choice((0.1, 0.5, 1.5)))
        elif kind == "stop-service":
            self._stopped(self.serve.pid, self.pick.choice((0.05, 0.3)))
        elif kind == "disk":
            with self._limited(resource.RLIMIT_FSIZE, 0):
                time.sleep(0.5)
        elif kind == "descriptors":
            with self._limited(resource.RLIMIT_NOFILE, len(descriptors(self.serve.pid)) + 3):
                time.sleep(0.5)
        elif kind == "attack":
            self._process("bridge.bench.attackers", self.pick.choice(ATTACKERS), str(self.folder))
        else:
            self._process("bridge.cli", "mon", "--socket", self.serve.socket, "DIP_0")

    def _stopped(self, pid: int, seconds: float) -> None:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)

    @contextmanager
    def _limited(self, what: int, limit: int) -> Iterator[None]:
        before = resource.prlimit(self.serve.pid, what)
        resource.prlimit(self.serve.pid, what, (limit, before[1]))
        try:
            yield
        finally:
            resource.prlimit(self.serve.pid, what, before)

    def _process(self, module: str, *arguments: str) -> None:
        """A process that works for a while and is killed in the middle of it."""
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(1)
        process.kill()
        process.wait()

    # ---- what must be true -------------------------------------------------------------------

    def calm(self) -> None:
        """All is back: chips, and a value and edges on their way. Raises OSError."""
        for stub in self.stubs:
            stub.command("clock SENSOR_IRQ off")
        self.serve.wait_for_chips(4, HANG_S)
        end = time.monotonic() + HANG_S
        while True:
            try:
                self._served()
                return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def _served(self) -> None:
        settings = LineSettings(edge_detection=Edge.BOTH)
        for name in ("quiet-0", "hostile-0"):
            with self.chip(name) as chip:
                config = {4: LineSettings(direction=Direction.OUTPUT)}
                with chip.request_lines(config, consumer="soak") as request:
                    request.set_value(4, Value.ACTIVE)
                with chip.request_lines({8: settings}, "soak", 1024) as request:
                    stub = self.stubs[name == "hostile-0"]
                    stub.wait_armed("SENSOR_IRQ")
                    stub.pulse("SENSOR_IRQ", 100, 0)
                    got = 0
                    while got < 200 and request.wait_edge_events(5):
                        got += len(request.read_edge_events(1024))
                    if got != 200:
                        self.bad.append(f"{got} of 200 edges of {name} came")

    def look(self) -> tuple[int, int]:
        """Descriptors and resident KB of the service, when it has come to rest."""
        time.sleep(1)
        return len(descriptors(self.serve.pid)), resident_kb(self.serve.pid)

    def idle(self) -> float:
        """The part of one CPU that the service uses with nobody there."""
        before = cpu_ns(self.serve.pid)
        time.sleep(IDLE_S)
        return (cpu_ns(self.serve.pid) - before) / 1e9 / IDLE_S

    def run(self, seconds: float) -> None:
        """Everything at once, for so long."""
        self.over.clear()
        threads = [
            self.work("values", self.values),
            self.work("edges", self.edges),
            self.work("control", self.control),
            self.work("guest", self.guest),
            self.work("cdev", self.cdev),
        ]
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                self.chaos()
                self.over.wait(0.2)
                for name, last in self.last.items():
                    if time.monotonic() - last > HANG_S:
                        raise SystemExit(f"soak: {name} hangs for {HANG_S:g} s")
        finally:
            self.over.set()
        for thread in threads:
            thread.join(HANG_S)
            if thread.is_alive():
                raise SystemExit(f"soak: {thread.name} does not come to an end")


def descriptors(pid: int) -> list[str]:
    """The descriptors of a process."""
    return os.listdir(f"/proc/{pid}/fd")


def resident_kb(pid: int) -> int:
    """Resident KB of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def reports(prefix: str) -> list[Path]:
    """What ThreadSanitizer wrote: a file a process."""
    folder, _, name = prefix.rpartition("/")
    return sorted(Path(folder or ".").glob(f"{name}.[0-9]*"))


def main() -> int:
    """Warm up, soak, look."""
    parser = argparse.ArgumentParser(description="Chaos around one service.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns() & 0xFFFF_FFFF)
    parser.add_argument(
        "--tsan",
        metavar="PREFIX",
        help="All is under ThreadSanitizer, which reports to files of this name: memory and idle "
        "CPU are its own.",
    )
    args = parser.parse_args()
    if args.tsan:
        for report in reports(args.tsan):
            report.unlink()
        answers = Path(__file__).parents[1] / "tsan.supp"
        os.environ["TSAN_OPTIONS"] = f"log_path={args.tsan} suppressions={answers} exitcode=0"
    print(f"seed {args.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        soak = Soak(folder, stack, args.seed)
        soak.calm()
        soak.run(args.seconds / 3)
        soak.calm()
        warm = soak.look()
        soak.run(args.seconds * 2 / 3)
        soak.calm()
        cold = soak.look()
        idle = soak.idle()
        log = soak.serve.log
    operations = sum(n for name, n in soak.count.items() if not name.startswith("chaos"))
    print(f"operations {operations:,}: {dict(soak.count)}")
    print(f"errors that were told: {dict(soak.errors.most_common(12))}")
    print(f"descriptors {warm[0]} -> {cold[0]}, RSS {warm[1]} -> {cold[1]} KB, idle {idle:.2%}")
    if cold[0] > warm[0]:
        soak.bad.append(f"{cold[0] - warm[0]} descriptors were left")
    if args.tsan:
        soak.bad += [report.read_text(errors="replace")[:6000] for report in reports(args.tsan)]
    elif cold[1] - warm[1] > RSS_MAX_KB:
        soak.bad.append(f"memory grew by {cold[1] - warm[1]} KB")
    if idle >= IDLE_MAX and not args.tsan:
        soak.bad.append(f"the idle service uses {idle:.2%} of a CPU")
    if "Traceback" in log:
        soak.bad.append(log[log.index("Traceback") - 500 :][:3000])
    for what in soak.bad[:20]:
        print(f"BAD: {what}")
    return 1 if soak.bad else 0


if __name__ == "__main__":
    sys.exit(main())
