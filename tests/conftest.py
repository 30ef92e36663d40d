# SPDX-License-Identifier: BSD-3-Clause
"""What the Python tests share: real firmware stubs, real services, real processes."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge import Chip
from bridge.bench.rig import Rig, Serve
from firmware_stub import Stub
from firmware_stub.emulated.rings import MACHINES, RingMcu
from tests.processes import LATE_S

ROOT = Path(__file__).resolve().parents[1]

#: (features, dialect) of the firmwares that must behave alike.
FIRMWARES = [
    ("all", "rpmsg-gpio-padded"),
    ("none", "rpmsg-gpio-padded"),
    ("all", "rpmsg-gpio"),
    ("none", "rpmsg-gpio"),
]

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Background = Callable[..., "subprocess.Popen[str]"]


def pytest_configure(config: pytest.Config) -> None:
    """Declare our markers; SIGINT ends what the tests start."""
    # A shell's background, where SIGINT is ignored, would have that of every program started here.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line(
        "markers", "every_firmware: run with full and baseline firmware, documented and padded"
    )
    config.addinivalue_line("markers", "slow: takes minutes; runs with -m slow only")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is slow where the command line does not speak of it."""
    if "slow" not in (config.getoption("markexpr") or ""):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="slow; run with -m slow"))


#: Tests that take seconds each, and share nothing.
_APART = ("tests/e2e/", "tests/kernel/", "tests/service/test_recovery.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With -n, a file's tests run in one process, since they share its rigs."""
    from xdist.scheduler import LoadScopeScheduling

    class Files(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid if nodeid.startswith(_APART) else nodeid.partition("::")[0]

    config.option.loadscopereorder = False
    return Files(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was skipped by reason, and not test by test."""
    skipped = terminalreporter.getreports("skipped")
    if not skipped:
        return
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
    terminalreporter.section("skipped, by reason")
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count:5}  {reason}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests that are marked every_firmware with each of FIRMWARES."""
    if metafunc.definition.get_closest_marker("every_firmware"):
        ids = ["-".join(firmware) for firmware in FIRMWARES]
        metafunc.parametrize("rig", FIRMWARES, ids=ids, indirect=True, scope="session")


@pytest.fixture(scope="session")
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """The demo board and a service on it, shared: leave both as they were found."""
    features, dialect = getattr(request, "param", FIRMWARES[0])
    with Rig(features, dialect) as running:
        yield running


@pytest.fixture
def stub(rig: Rig) -> Stub:
    """The firmware stub of `rig`."""
    return rig.stub


@pytest.fixture
def service(rig: Rig) -> Serve:
    """The service of `rig`."""
    return rig.serve


@pytest.fixture
def socket_path(service: Serve) -> str:
    """The control socket of `rig`."""
    return service.socket


@pytest.fixture
def chip(rig: Rig) -> Iterator[Chip]:
    """Controller 0 of the demo board."""
    with rig.chip() as opened:
        yield opened


@pytest.fixture
def fresh_rig() -> Iterator[Rig]:
    """A board and a service of this test's own, for it to break."""
    with Rig() as running:
        yield running


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool], str], None]:
    """Wait for a state that has no event to wait on, with a deadline."""

    def wait(state: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not state():
            assert time.monotonic() < deadline, f"not in {timeout_s:g} s: {what}"
            time.sleep(0.005)

    return wait


def _without_patience(said: str) -> str:
    """What a tool said, except that it waits for a service that is busy."""
    lines = said.splitlines(keepends=True)
    return "".join(line for line in lines if not line.endswith(" hangs, or is very busy\n"))


def _environment(socket_path: str) -> dict[str, str]:
    return {**os.environ, "GPIO_BRIDGE_SOCKET": socket_path, "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def cli(socket_path: str, tmp_path: Path) -> Cli:
    """Run gpio-bridge on the service of `rig` to its end."""

    def run(*arguments: str, socket: str = socket_path) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "bridge.cli", *arguments],
            env=_environment(socket),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LATE_S,
        )
        if done.returncode == 0:
            done.stderr = _without_patience(done.stderr)
        return done

    return run


@pytest.fixture
def background(socket_path: str) -> Iterator[Background]:
    """Start gpio-bridge on the service of `rig`; it is killed when the test ends."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, socket: str = socket_path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "bridge.cli", *arguments],
            env=_environment(socket),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def make_mcu() -> None:
    """Make what `make mcu` does, one process of pytest after the other."""
    with open(ROOT / "Makefile") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        subprocess.run(["make", "-s", "-C", ROOT, "mcu"], check=True, timeout=500)


@pytest.fixture(scope="session")
def image() -> str:
    """The Cortex-M's firmware of this tree, or the one that FIRMWARE_MCU names."""
    path = os.environ.get("FIRMWARE_MCU")
    needed = ["qemu-system-arm"] if path else ["qemu-system-arm", "arm-none-eabi-gcc"]
    for program in needed:
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    if not path:
        make_mcu()
        path = str(ROOT / "build" / "mcu" / "firmware.elf")
    return path


@pytest.fixture(params=MACHINES)
def ring_mcu(request: pytest.FixtureRequest, mcu_programs: None) -> Iterator[RingMcu]:
    """Firmware on rings, on each machine that there is; nobody is attached."""
    try:
        mcu = RingMcu(request.param)
    except OSError as error:
        if error.errno == errno.ENODEV:
            pytest.skip(f"{error.strerror} (make deps)")
        raise
    with mcu:
        yield mcu


@pytest.fixture(scope="session")
def mcu_programs() -> None:
    """Firmware on rings and its back-end, of this tree or of the folder FIRMWARE_RINGS."""
    needed = ["qemu-system-arm", "qemu-system-riscv64"]
    if not os.environ.get("FIRMWARE_RINGS"):
        needed += ["arm-none-eabi-gcc", "riscv64-unknown-elf-gcc"]
    for program in needed:
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    if not os.environ.get("FIRMWARE_RINGS"):
        make_mcu()
