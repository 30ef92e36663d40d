# SPDX-License-Identifier: BSD-3-Clause
"""Sound firmware conforms on every link; and what the tool itself must keep to."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bridge.conformance import Options, Run, report, run
from bridge.conformance.check import Failed, all_checks
from bridge.conformance.driver import GET_DIRECTION, UNKNOWN, Driver, request
from bridge.conformance.framing import Framing
from bridge.conformance.runner import FAILED, PASSED, SKIPPED, Result
from bridge.conformance.wait import Wait
from bridge.conformance.wire import Wire, shown
from bridge.shim.pump import Message
from tests.firmware_stub.broken.stub import Stub
from tests.frames import decode, encode
from tests.processes import LATE_S

LOOP = ("LOOP_OUT", "LOOP_IN")
LOOP_NUMBERS = ("4", "5")
FRAMING = {check.id for check in all_checks() if "serial" in check.needs}
ROOT = Path(__file__).resolve().parents[2]

Eventually = Callable[[Callable[[], bool], str], None]


def complaints(done: Run) -> dict[str, str]:
    return {r.check.id: r.message for r in done.results if r.outcome == FAILED}


def skipped(done: Run) -> set[str]:
    return {r.check.id for r in done.results if r.outcome == SKIPPED}


@pytest.mark.parametrize("transport", ["vhost-user", "serial"])
@pytest.mark.parametrize("dialect", ["rpmsg-gpio", "rpmsg-gpio-padded"])
@pytest.mark.parametrize("strict", [False, True])
def test_every_check_passes(transport: str, dialect: str, strict: bool) -> None:
    with Stub("demo", transport=transport, dialect=dialect, strict=strict) as stub:
        done = run(Options(stub.url, loops=[LOOP], drive=["LED_RED", "0"]))
    assert not complaints(done)
    assert skipped(done) == (set() if transport == "serial" else FRAMING)
    assert len(done.results) == len(all_checks())
    assert done.kind == ("strict" if strict else "lenient")
    assert (done.channel, done.label, done.ngpio) == ("rpmsg-io-0", "m4-gpioa", 16)


@pytest.mark.parametrize(
    "feature",
    ["none", "config", "names", "tag", "epoch", "credits", "timestamp", "bulk", "line-config"],
)
def test_each_extension_alone(feature: str) -> None:
    with Stub("demo", features=feature) as stub:
        done = run(Options(stub.url, loops=[LOOP_NUMBERS], drive=["1"]))
    assert not complaints(done)
    assert done.features == ([] if feature == "none" else [feature.upper().replace("-", "_")])
    assert done.count(PASSED) >= 30


def test_many_lines_and_loops() -> None:
    loops = [(f"OUT_{n}", f"IN_{n}") for n in (0, 15)]
    with Stub("loopback") as stub:
        done = run(Options(stub.url, loops=loops, settle_ms=5))
    assert not complaints(done) and skipped(done) == FRAMING


def test_the_other_controller() -> None:
    with Stub("demo") as stub:
        done = run(Options(stub.url, controller=1, loops=[("EN_SENSOR", "SENSOR_READY")]))
        assert (done.channel, done.ngpio) == ("rpmsg-io-1", 8)
        assert not complaints(done) and skipped(done) == FRAMING
        with pytest.raises(OSError, match=r"no controller 7 .* rpmsg-io-0, rpmsg-io-1"):
            run(Options(stub.url, controller=7))


def test_a_controller_on_rpmsg_raw_is_named_by_its_address() -> None:
    """Its place in the order of announcements would mean now this one and now that one."""
    board = "".join(f"controller {n} channel rpmsg-raw lines {n + 2}\n" for n in (0, 1))
    with Stub(board) as stub:
        done = run(Options(stub.url, controller=0x401))
        assert (done.channel, done.ngpio) == ("rpmsg-raw", 3)
        with pytest.raises(OSError, match="no controller 1 "):
            run(Options(stub.url, controller=1))


def test_no_line_is_touched_unless_named() -> None:
    with Stub("demo") as stub:
        lines = [f"0/{n}" for n in range(16)]
        before = [(stub.state(line), stub.count(line)) for line in lines]
        done = run(Options(stub.url))
        assert not complaints(done)
        assert {"output-level", "irq-edges", "line-config", "bulk-write"} <= skipped(done)
        assert [(stub.state(line), stub.count(line)) for line in lines] == before
        done = run(Options(stub.url, loops=[LOOP]))
        named = (4, 5)
        for n, line in enumerate(lines):
            if n not in named:
                assert (stub.state(line), stub.count(line)) == before[n]
        assert stub.state("LOOP_OUT").direction == stub.state("LOOP_IN").direction == "none"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"drive": ["NO_SUCH"]}, "no line 'NO_SUCH'"),
        ({"drive": ["16"]}, "0 to 15"),
        ({"loops": [("4", "LOOP_OUT")]}, "both ends"),
        ({"loops": [LOOP], "drive": ["LOOP_IN"]}, "they would fight"),
        ({"only": ["nonsense"]}, "--list shows them all"),
    ],
)
def test_what_cannot_be_done_is_refused(options: dict[str, Any], sentence: str) -> None:
    with Stub("demo") as stub, pytest.raises(OSError, match=sentence):
        run(Options(stub.url, **options))


def test_deaf_firmware_ends_the_run() -> None:
    with Stub("demo") as stub:
        stub.fault("mute", 1000)
        with pytest.raises(OSError, match="no reply to GET_DIRECTION of line 0 within 50 ms"):
            run(Options(stub.url, timeout_ms=50))


def test_firmware_that_dies_fails_and_ends_the_run() -> None:
    with Stub("demo") as stub:
        killer = threading.Thread(target=_kill_at_the_first_edge, args=(stub,))
        killer.start()
        done = run(Options(stub.url, loops=[LOOP]))
        killer.join()
    (failed,) = complaints(done).values()
    assert failed
    assert done.results[-1].outcome == SKIPPED
    assert done.results[-1].message.startswith("not run: after an earlier check")


def _kill_at_the_first_edge(stub: Stub) -> None:
    stub.wait_edges("LOOP_OUT", 1, timeout=LATE_S)
    stub.kill()


def _repeat_for_ever(line: socket.socket) -> None:
    """Firmware that welcomes, then sends one frame again and again and hears nothing."""
    with suppress(OSError):
        session = decode(line.recv(4096).strip(b"\0"))[2:6]
        line.sendall(encode(b"\2\1" + session + b"\0\2\10\0" + bytes(4)))
        while True:
            line.sendall(encode(b"\x80\0\xff\0\0\0rpmsg-io-0"))
            time.sleep(0.01)


def _count_for_ever(line: socket.socket) -> None:
    """The same with a new frame each time."""
    with suppress(OSError):
        session = decode(line.recv(4096).strip(b"\0"))[2:6]
        line.sendall(encode(b"\2\1" + session + b"\0\2\10\0" + bytes(4)))
        for number in itertools.count():
            line.sendall(encode(bytes([0x80 | number & 0x7F]) + b"\0\xff\0\0\0rpmsg-io-0"))


@pytest.mark.parametrize("says", [_repeat_for_ever, _count_for_ever])
@pytest.mark.timeout(60)
def test_firmware_that_never_stops_speaking_ends_a_check(
    says: Callable[[socket.socket], None],
) -> None:
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=says, args=(theirs,))
    thread.start()
    framing = Framing(ours.detach(), 300)
    try:
        with pytest.raises(Failed, match="no ACK to a POLL"):
            framing.begin()
        with pytest.raises(Failed, match=r"no (DATA|reply) to nothing"):
            framing.reply("to nothing")
    finally:
        framing.close()
        thread.join()
        theirs.close()


def test_messages_without_end_end_a_check() -> None:
    class Endpoint:
        def receive(self) -> Message:
            return Message(0, b"\1\0\0")

    wire = Wire.__new__(Wire)
    wire.__dict__.update(_endpoint=Endpoint(), channel="", _late=0)
    driver = Driver(wire, 100, 10)
    for endless in (driver._take_in, partial(driver.reply, "it"), partial(driver.no_reply, "it")):
        with pytest.raises(Failed, match="messages came without a pause"):
            endless()


# ---- late, or never -----------------------------------------------------------------------


def test_a_late_reply_is_no_silence() -> None:
    with Stub("demo") as stub, closing(Wire(stub.url)) as wire:
        driver = Driver(wire, timeout_ms=500, settle_ms=20)
        stub.fault("stall", "on")
        threading.Timer(1.0, stub.fault, ("stall", "off")).start()
        reply = driver.ask(request(GET_DIRECTION))
        assert not reply.status and reply.took_ns >= 500_000_000
        assert driver.ask(request(UNKNOWN)).status, "it is in step"


def test_a_lost_reply_is_told_by_what_was_asked_after_it() -> None:
    with Stub("demo") as stub, closing(Wire(stub.url)) as wire:
        driver = Driver(wire, timeout_ms=100, settle_ms=20)
        stub.fault("mute", 1)
        with pytest.raises(Failed, match="to it, though what was asked after it is answered"):
            driver.ask(request(GET_DIRECTION), "it")
        assert driver.ask(request(UNKNOWN)).status, "it is in step"


def test_time_in_which_nobody_ran_does_not_count() -> None:
    wait = Wait(0.1)
    time.sleep(0.3)
    assert not wait.over
    assert "a busy host: its own timers were up to" in wait.excuse
    assert Wait(0.1).excuse == ""


def state_of(pid: int) -> str:
    """That of a process in proc(5): R, S (it sleeps), T."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_host_that_had_no_time_is_told_from_silent_firmware(eventually: Eventually) -> None:
    with Stub("demo") as stub:
        assert stub.pid is not None
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "bridge.cli", "conformance", "--link", stub.url),
                *("--loop", "LOOP_OUT=LOOP_IN", "--timeout-ms", "200"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        stub.wait_edges("LOOP_OUT", 1, timeout=LATE_S)
        for _ in range(3):
            os.kill(stub.pid, signal.SIGSTOP)
            eventually(lambda: state_of(process.pid) == "S", "a wait for the firmware")
            os.kill(process.pid, signal.SIGSTOP)
            time.sleep(0.5)
            for pid in (process.pid, stub.pid):
                os.kill(pid, signal.SIGCONT)
        out, summary = process.communicate(timeout=LATE_S)
        assert process.returncode == 0, out
        assert "this host was busy: its timers were up to" in summary


def test_a_terminal_shows_what_runs() -> None:
    with Stub("demo") as stub:
        terminal, theirs = os.openpty()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "bridge.cli", "conformance", "--link", stub.url),
                *("--loop", "4=5", "--only", "irq-edges,irq-latches", "--settle-ms", "50"),
            ],
            env={**os.environ, "TERM": "xterm"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=theirs,
        )
        os.close(theirs)
        out, _ = process.communicate(timeout=LATE_S)
        shown_there = os.read(terminal, 1 << 16)
        os.close(terminal)
    assert process.returncode == 0 and b"irq-edges" in shown_there
    assert [line.split(b"\t")[:2] for line in out.splitlines()] == [
        [b"irq-edges", b"passed"],
        [b"irq-latches", b"passed"],
    ]


# ---- the command -----------------------------------------------------------------------


def conformance(*arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bridge.cli", "conformance", *arguments],
        env={**os.environ, "COLUMNS": "160"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_line_driven(number: int) -> None:
    with Stub("demo") as stub:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "bridge.cli", "conformance", "--link", stub.url),
                *("--loop", "LOOP_OUT=LOOP_IN", "--only", "irq-masks", "--settle-ms", "1000"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
        )
        deadline = time.monotonic() + 60
        while stub.state("LOOP_OUT").direction != "out":
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(number)
        assert process.wait(60) == 128 + number
        for line in ("LOOP_OUT", "LOOP_IN"):
            assert stub.state(line).direction == "none"
            assert stub.state(line).irq == "none"


def test_table_json_and_junit(tmp_path: Path) -> None:
    junit = pytest.importorskip("junitparser", reason="needs the Python package junitparser")
    path = tmp_path / "result.xml"
    with Stub("demo", breakage="wakeup-known") as stub:
        told = conformance("--link", stub.url, "--junit", str(path), "--loop", "4=5")
        assert told.returncode == 1, told.stderr
        assert "type 0x0010 is answered by OK" in told.stdout
        as_json = conformance("--link", stub.url, "--json", "--only", "type-unknown,config")
        assert as_json.returncode == 1
    result = json.loads(as_json.stdout)
    assert [(c["id"], c["outcome"]) for c in result["checks"]] == [
        ("type-unknown", "failed"),
        ("config", "passed"),
    ]
    assert result["counts"] == {"passed": 1, "failed": 1, "warned": 0, "skipped": 0}
    (suite,) = junit.JUnitXml.fromfile(str(path))
    assert (suite.tests, suite.failures) == (len(all_checks()), 1)
    names = {case.get("name") for case in ElementTree.parse(path).iter("testcase") if len(case) > 1}
    assert "type-unknown" in names


def test_text_of_the_firmware_breaks_no_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("junitparser", reason="needs the Python package junitparser")
    text = shown(b"[/bold] \x01\x1b[2J<&\xe9")
    assert text == r"[/bold] \x01\x1b[2J<&\xe9"
    done = Run(Options("serial:/dev/null"), channel=text, label=text)
    done.results = [Result(all_checks()[0], FAILED, text, 0)]
    report.print_run(done)
    assert text in capsys.readouterr().out
    path = tmp_path / "result.xml"
    report.write_junit(done, str(path))
    (failure,) = ElementTree.parse(path).iter("failure")
    assert failure.get("message") == text


def test_status_0_and_2(tmp_path: Path) -> None:
    with Stub("demo") as stub:
        assert conformance("--link", stub.url).returncode == 0
    gone = conformance("--link", f"vhost-user:{tmp_path}/none")
    assert gone.returncode == 2 and "gpio-bridge conformance: " in gone.stderr
    for wrong in ((), ("--link", "nonsense"), ("--loop", "4"), ("--nonsense",)):
        told = conformance(*wrong)
        assert told.returncode == 2 and not told.stdout, told
        assert "Traceback" not in told.stderr


def test_the_list_and_the_document_agree() -> None:
    text = (ROOT / "docs" / "conformance.md").read_text()
    for check in all_checks():
        row = f"| `{check.id}` | {check.title} | {check.section} | {check.grade} |"
        assert row in text, row
    told = conformance("--list").stdout
    assert all(check.id in told for check in all_checks())


# ---- a Cortex-M --------------------------------------------------------------------------


def test_a_cortex_m(image: str) -> None:
    from firmware_stub.emulated.lm3s6965 import Mcu

    with Mcu(image) as mcu:
        done = run(Options(mcu.url, drive=["LED", "PB0"]))
    assert not complaints(done)
    assert not FRAMING & skipped(done)
    assert (done.label, done.ngpio) == ("lm3s6965 gpio", 32)
    assert done.count(PASSED) >= 30
