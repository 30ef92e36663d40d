# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge trace: live, the last messages, files, a serial line."""

from __future__ import annotations

import json
import os
import pty
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bridge.bench.rig import Rig, Serve
from firmware_stub import Stub
from tests.processes import LATE_S
from tests.seeing import sees_everything

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Background = Callable[..., "subprocess.Popen[str]"]
Eventually = Callable[[Callable[[], bool], str], None]


def reads_along(rig: Rig) -> Callable[[], bool]:
    """Whether a trace has begun: the service counts it as an open chip."""
    from bridge.client.control import Connection

    def begun() -> bool:
        connection = Connection.open(rig.serve.socket)
        try:
            return bool(connection.call("status")["users"][0]["handles"])
        finally:
            connection.close()

    return begun


def test_live(cli: Cli, background: Background, rig: Rig, eventually: Eventually) -> None:
    trace = background("trace", "-n", "4")
    eventually(reads_along(rig), "the trace has begun")
    assert cli("get", "RELAY").returncode == 0
    said, summary = trace.communicate(timeout=LATE_S)
    assert trace.returncode == 0
    assert summary.startswith("4 messages")
    assert 'fw-0       > SET_DIRECTION line 3 "RELAY" in [tag ' in said
    assert 'fw-0       < OK (SET_DIRECTION line 3 "RELAY") [tag ' in said
    assert " us" in said or " ms" in said
    assert "\x1b" not in said


def test_ctrl_c_ends_a_file_that_is_whole(
    cli: Cli, background: Background, rig: Rig, eventually: Eventually, tmp_path: Path
) -> None:
    path = tmp_path / "x.pcapng"
    trace = background("trace", "--link", "fw", "-w", str(path))
    eventually(lambda: path.exists() and path.stat().st_size > 0, "the trace has begun")
    empty = path.stat().st_size
    assert cli("get", "RELAY").returncode == 0
    eventually(lambda: path.stat().st_size > empty, "it is written as it comes")
    trace.send_signal(signal.SIGINT)
    _, summary = trace.communicate(timeout=LATE_S)
    assert (trace.returncode, "messages" in summary) == (0, True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    shown = cli("trace", "-r", str(path))
    assert "> SET_DIRECTION line 3 in" in shown.stdout
    again = cli("trace", "--last", "-w", str(path))
    assert again.returncode == 1
    assert f"{path} is there already, and is left alone" in again.stderr


def test_the_last_messages_as_objects(cli: Cli, rig: Rig) -> None:
    assert cli("get", "RELAY").returncode == 0
    run = cli("trace", "--last", "-n", "2", "--json", "--monotonic")
    first, last = (json.loads(line) for line in run.stdout.splitlines())
    assert (first["direction"], last["direction"]) == (">", "<")
    assert (last["where"], last["text"]) == ("fw-0", 'OK (SET_DIRECTION line 3 "RELAY")')
    assert last["latency_ns"] > 0
    assert last["time_ns"] > first["time_ns"]
    alone = json.loads(cli("trace", "--last", "-n", "1", "--json", "--monotonic").stdout)
    assert alone == last  # it answers what is not shown


def test_errors_are_red_on_a_terminal(rig: Rig) -> None:
    ours, theirs = pty.openpty()
    run = subprocess.Popen(
        ["env", "-u", "NO_COLOR", sys.executable, "-m", "bridge.cli", "trace", "-r", "/dev/stdin"],
        stdin=subprocess.PIPE,
        stdout=theirs,
    )
    os.close(theirs)
    from bridge.trace import pcapng
    from bridge.trace.record import TraceKind, TraceRecord

    record = TraceRecord(0, 0, 0, 1, 0, TraceKind.RECEIVED, 0, 1, b"\x07")
    run.communicate(pcapng.pack([record], [pcapng.Interface(0, "m4")]), timeout=LATE_S)
    said = os.read(ours, 4096)
    os.close(ours)
    assert b"\x1b[31m" in said
    assert b"!! byte 0 is 7, no queue\x1b[0m" in said


def test_what_cannot_be(cli: Cli, tmp_path: Path) -> None:
    junk = tmp_path / "junk"
    junk.write_bytes(b"\0" * 64)
    for arguments, why in (
        (["--link", "m5"], 'there is no link "m5"; there are: fw'),
        (["--last", "--link", "m5"], 'there is no link "m5"; there are: fw'),
        (["-r", str(junk)], f"{junk}: no pcapng file of gpio-bridge trace"),
        (["-r", str(tmp_path / "none")], f"No such file or directory: {tmp_path / 'none'}"),
        (["-r", str(junk), "--last"], "--read goes with no --write, --last and --monotonic"),
        (["-n", "0"], "invalid number of messages: 0"),
        (["x"], "unexpected argument 'x'"),
    ):
        run = cli("trace", *arguments)
        assert run.returncode == 1
        assert f"gpio-bridge trace: {why}" in run.stderr


def test_the_dissector_is_there(cli: Cli) -> None:
    assert "Proto(" in Path(cli("trace", "--dissector").stdout.strip()).read_text()


def test_record_watch_and_trace_on_a_serial_line(tmp_path: Path) -> None:
    with Stub("demo", transport="serial") as stub, Serve(tmp_path, "--link", stub.serial_url) as serve:  # fmt: skip # noqa: E501
        chip, _ = serve.wait_for_chips(2)
        sees_everything(serve.socket, chip, stub.command, tmp_path)


def test_a_serial_line_shows_what_was_sent_again(cli: Cli, tmp_path: Path) -> None:
    with Stub("demo", transport="serial") as stub, Serve(tmp_path, "--link", stub.serial_url) as serve:  # fmt: skip # noqa: E501
        serve.wait_for_chips(2)
        stub.fault("noise", 3000, 20240611)
        said = ""
        for _ in range(50):
            assert cli("get", "RELAY", socket=serve.socket).returncode == 0
            said += cli("trace", "--last", socket=serve.socket).stdout
            if "(again)" in said and "damaged on the line" in said:
                break
        stub.fault("noise", 0)
    assert "(again)" in said
    assert "damaged on the line" in said
