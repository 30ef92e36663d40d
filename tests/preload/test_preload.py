# SPDX-License-Identifier: BSD-3-Clause
"""Programs that know nothing of this project, with the preload library in them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.bench.rig import Rig
from bridge.cli.run import LIBRARY, first_number
from tests.processes import LATE_S

HERE = Path(__file__).parent
FIRST = first_number()
BOARD = """
controller 0 label "pins" lines 8
line 0/1 foo
line 0/2 out
line 0/3 in
wire 0/2 0/3
controller 1 label "more" lines 2
line 1/0 baz
""" + "".join(f"pull 0/{line} down\n" for line in (0, 1, 2, 4, 5, 6, 7))

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with Rig(board=BOARD) as running:
        yield running


@pytest.fixture
def environment(rig: Rig) -> dict[str, str]:
    return {
        **os.environ,
        "LD_PRELOAD": str(LIBRARY),
        "GPIO_BRIDGE_RUN": rig.serve.socket,
        "GPIO_BRIDGE_RUN_CHIPS": f"{FIRST}:fw-0,{FIRST + 1}:fw-1",
    }


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """Run a program to its end."""

    def go(*words: str) -> subprocess.CompletedProcess[str]:
        if shutil.which(words[0]) is None:
            pytest.skip(f"{words[0]} is not installed (make deps)")
        return subprocess.run(
            words, env=environment, capture_output=True, text=True, timeout=LATE_S
        )

    return go


def device(number: int = 0) -> str:
    return f"/dev/gpiochip{FIRST + number}"


def compiled(tmp_path: Path, source: str, *options: str) -> str:
    """The path of a program that was made of a C file of this folder."""
    compiler = os.environ.get("CC", "cc").split()
    if shutil.which(compiler[0]) is None:
        pytest.skip("there is no C compiler")
    program = str(tmp_path / source.removesuffix(".c"))
    words = [*compiler, "-std=gnu11", "-Wall", "-Werror", *options, "-o", program]
    subprocess.run([*words, str(HERE / source)], check=True, timeout=LATE_S)
    return program


@pytest.mark.parametrize("source", ["uapi_v2.c", "uapi_v1.c"])
@pytest.mark.parametrize("fortify", ["0", "2"])
def test_a_program_of_the_raw_uapi(run: Run, tmp_path: Path, source: str, fortify: str) -> None:
    program = compiled(tmp_path, source, "-O2", "-U_FORTIFY_SOURCE", f"-D_FORTIFY_SOURCE={fortify}")
    for chip in (device(), "/dev/fw-0"):
        done = run(program, chip)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("all is as in the kernel\n")


def test_a_program_that_finds_the_chip_by_links_of_its_own(run: Run, tmp_path: Path) -> None:
    program = compiled(tmp_path, "uapi_v2.c")
    (tmp_path / "one").symlink_to(device())
    (tmp_path / "two").symlink_to("one")
    assert run(program, str(tmp_path / "two")).returncode == 0
    (tmp_path / "broken").symlink_to("/dev/gpiochip9999")
    assert run(program, str(tmp_path / "broken")).returncode == 1


def test_shells_and_their_tools(run: Run) -> None:
    chip, name = device(), f"gpiochip{FIRST}"
    for words, out in (
        (["ls", "-d", chip, "/dev/fw-1"], f"/dev/fw-1\n{chip}\n"),
        (["sh", "-c", f"ls /dev | grep -x -e {name} -e fw-0"], f"fw-0\n{name}\n"),
        (["bash", "-c", f"cd /dev; echo gpiochip* | grep -c {name}"], "1\n"),
        (["sh", "-c", f"test -c {chip} -a -r {chip} -a -w {chip} && echo yes"], "yes\n"),
        (["readlink", "/dev/fw-0"], f"{name}\n"),
        (["readlink", "-f", "/dev/fw-1"], f"{device(1)}\n"),
        (["stat", "-c", "%F %t", chip], "character special file fff\n"),
        (["stat", "-c", "%F", "/dev/fw-0"], "symbolic link\n"),
        (["cat", f"/sys/bus/gpio/devices/{name}/dev"], f"4095:{FIRST}\n"),
        (["ls", "/dev/null"], "/dev/null\n"),
    ):
        done = run(*words)
        assert (done.stdout, done.returncode) == (out, 0), done.stderr


def test_tools_of_libgpiod_1(run: Run, rig: Rig, environment: dict[str, str]) -> None:
    """Debian 12 has 1.6, which speaks v1."""
    version = run("gpiodetect", "--version").stdout
    if " v1." not in version:
        pytest.skip("gpiodetect is not of libgpiod 1.x")
    name = f"gpiochip{FIRST}"
    out = run("gpiodetect").stdout
    assert f"{name} [pins] (8 lines)\ngpiochip{FIRST + 1} [more] (2 lines)\n" in out
    lines = run("gpioinfo", name).stdout.splitlines()
    assert lines[0] == f"{name} - 8 lines:"
    assert lines[2].split() == ["line", "1:", '"foo"', "unused", "input", "active-high"]
    assert run("gpiofind", "baz").stdout == f"gpiochip{FIRST + 1} 0\n"
    holder = subprocess.Popen(
        ["gpioset", "--mode=signal", name, "2=1"], env=environment, stdout=subprocess.PIPE
    )
    rig.stub.wait_level("out", 1, LATE_S)
    assert run("gpioget", name, "3").stdout == "1\n"
    assert run("gpioget", "-l", "fw-0", "3").stdout == "0\n"
    busy = run("gpioget", name, "2")
    assert (busy.returncode, busy.stderr) == (
        1,
        "gpioget: error reading GPIO values: Device or resource busy\n",
    )
    holder.send_signal(signal.SIGTERM)
    assert holder.wait(LATE_S) == 0
    monitor = subprocess.Popen(
        ["gpiomon", "-n", "2", name, "6"], env=environment, stdout=subprocess.PIPE, text=True
    )
    rig.stub.wait_armed("0/6", LATE_S)
    rig.stub.pulse("0/6", 1, 1000)
    out, _ = monitor.communicate(timeout=LATE_S)
    assert [line.split()[1] for line in out.splitlines()] == ["RISING", "FALLING"]
    assert monitor.returncode == 0


def test_the_gpiod_package_of_pypi(run: Run) -> None:
    """The tests of this project need it anyway."""
    program = f"""
import gpiod, os, select
from gpiod.line import Direction, Edge, Value
assert gpiod.is_gpiochip_device("/dev/fw-0") and not gpiod.is_gpiochip_device("/dev/null")
with gpiod.Chip("{device()}") as chip:
    print(chip.get_info().name, chip.get_info().label, chip.line_offset_from_id("foo"))
    chip.watch_line_info("in")
    config = {{"out": gpiod.LineSettings(direction=Direction.OUTPUT)}}
    with gpiod.request_lines("{device()}", config, "witness") as out:
        edges = {{"in": gpiod.LineSettings(edge_detection=Edge.BOTH)}}
        with chip.request_lines(edges) as request:
            print(chip.read_info_event().event_type.name)
            for value in (Value.ACTIVE, Value.INACTIVE):
                out.set_value("out", value)
                assert select.select([request.fd], [], [], {LATE_S})[0]
                event, = request.read_edge_events()
                print(event.event_type.name, event.line_seqno, request.get_value("in").name)
            request.reconfigure_lines({{"in": gpiod.LineSettings(active_low=True,
                                                                direction=Direction.INPUT)}})
            print(request.get_value("in").name)
            try:
                chip.request_lines({{"in": None}})
            except OSError as error:
                print(error.strerror)
"""
    done = run(sys.executable, "-c", program)
    assert done.stdout.splitlines() == [
        f"gpiochip{FIRST} pins 1",
        "LINE_REQUESTED",
        "RISING_EDGE 1 ACTIVE",
        "FALLING_EDGE 2 INACTIVE",
        "ACTIVE",
        "Device or resource busy",
    ], done.stderr


def test_the_service_goes(environment: dict[str, str]) -> None:
    """As a gpiochip that is removed; opening it again says so."""
    with Rig(board=BOARD) as other:
        program = f"""
import errno, os, select, sys, gpiod
chip = gpiod.Chip("{device()}")
request = chip.request_lines({{0: gpiod.LineSettings(edge_detection=gpiod.line.Edge.BOTH)}})
print("ready", flush=True)
poll = select.poll()
poll.register(request.fd, select.POLLIN)
assert poll.poll({LATE_S * 1000})[0][1] & (select.POLLHUP | select.POLLERR)
for call in (request.read_edge_events, chip.read_info_event, lambda: request.get_value(0),
             lambda: chip.get_line_info(0), lambda: gpiod.Chip("{device()}")):
    try:
        call()
    except OSError as error:
        print(errno.errorcode[error.errno])
request.release()
chip.close()
"""
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            env={**environment, "GPIO_BRIDGE_RUN": other.serve.socket},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        other.serve.stop()
        assert process.communicate(timeout=LATE_S)[0].split() == ["ENODEV"] * 5
        assert process.returncode == 0


def test_nothing_is_open_that_the_program_does_not_use(run: Run) -> None:
    program = "import os; print(len(os.listdir('/proc/self/fd')))"
    inside = run(sys.executable, "-c", program).stdout
    outside = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=LATE_S
    ).stdout
    assert inside == outside


def test_a_program_that_uses_no_chip_hardly_notices(run: Run, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    done = run("strace", "-o", str(calls), "-E", "LD_DEBUG=libs", "true")
    assert done.returncode == 0, done.stderr
    found = calls.read_text()
    assert LIBRARY.name in found
    assert "sock" not in found  # of fd 0, or of the service
    assert f"from file {LIBRARY}" not in done.stderr  # a folder of this Python, to look into


def test_what_a_chip_is_needs_no_question(run: Run) -> None:
    program = f"""
import fcntl, os
chip = os.open("{device()}", os.O_RDWR)
before = os.listdir("/proc/self/fd")
info = fcntl.ioctl(chip, 0x8044B401, bytes(68))
assert os.listdir("/proc/self/fd") == before  # no channel
print(*(text.decode() for text in info[:64].split(b"\\0") if text), info[64])
"""
    done = run(sys.executable, "-c", program)
    assert done.stdout == f"gpiochip{FIRST} pins 8\n", done.stderr


def test_descriptors_and_lines_come_back(run: Run) -> None:
    """Many chips and requests in one process; and it closes numbers that it never had."""
    program = f"""
import os, gpiod
def count():
    return len(os.listdir("/proc/self/fd"))
before = count()
for _ in range(600):
    with gpiod.Chip("{device()}") as chip, chip.request_lines({{0: None}}) as request:
        request.get_value(0)
assert count() == before, (before, count())
chip = gpiod.Chip("{device()}")
request = chip.request_lines({{0: None}})
request.get_value(0)
keep = {{chip.fd, request.fd}}
for fd in range(3, 1024):
    if fd not in keep:
        try:
            os.close(fd)
        except OSError:
            pass
null = [os.open("/dev/null", os.O_RDWR) for _ in range(300)]
print(request.get_value(0).name, chip.get_line_info(0).used)
"""
    done = run(sys.executable, "-c", program)
    assert (done.stdout, done.returncode) == ("INACTIVE True\n", 0), done.stderr
