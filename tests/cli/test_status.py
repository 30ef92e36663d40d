# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge status: what is there, what is down and why."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.bench.rig import Rig
from bridge.cli.status import _duration
from bridge.client.line_settings import LineSettings
from bridge.line import Edge

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Eventually = Callable[[Callable[[], bool], str], None]


def records(cli: Cli, socket: str) -> dict[tuple[str, str], str]:
    """The state and the rest of each record, by what it is and its name."""
    run = cli("status", socket=socket)
    assert (run.returncode, run.stderr) == (0, "")
    words = [line.split(maxsplit=2) for line in run.stdout.splitlines()]
    return {(kind, name): rest for kind, name, rest in words}


def test_what_there_is(cli: Cli, rig: Rig) -> None:
    found = records(cli, rig.serve.socket)
    assert found["service", rig.serve.socket].startswith("running")
    assert f"pid {rig.serve.pid}, up for " in found["service", rig.serve.socket]
    assert found["link", "fw"].startswith("up")
    assert f"{rig.stub.url}, 2 chips, for " in found["link", "fw"]
    assert found["chip", "fw-0"].split(maxsplit=1) == ["online", "[m4-gpioa] 16 lines"]
    with rig.chip():
        (mine,) = (
            rest
            for (kind, pid), rest in records(cli, rig.serve.socket).items()
            if (kind, pid) == ("client", str(os.getpid()))
        )
        assert f"uid {os.geteuid()}, 1 connection, 1 open chip" in mine


def test_json(cli: Cli, rig: Rig) -> None:
    run = cli("status", "--json")
    status = json.loads(run.stdout)
    assert (run.returncode, run.stdout.count("\n")) == (0, 1)
    assert status["socket"] == rig.serve.socket
    (link,) = status["links"]
    assert (link["state"], link["why"], link["unusable"]) == ("up", "", [])
    assert link["ups"] >= 1
    assert [chip["name"] for chip in status["chips"]] == ["fw-0", "fw-1"]


def test_a_link_that_is_down_and_up_again(cli: Cli, fresh_rig: Rig, eventually: Eventually) -> None:
    socket = fresh_rig.serve.socket
    fresh_rig.stub.kill()
    fresh_rig.serve.wait_for_chips(0)
    eventually(
        lambda: (
            "there is no socket at" in records(cli, socket)["link", "fw"]
            or "nobody listens" in records(cli, socket)["link", "fw"]
        ),
        "why the link is down",
    )
    assert records(cli, socket)["link", "fw"].split()[0] in ("down", "connecting")
    fresh_rig.stub.start()
    fresh_rig.serve.wait_for_chips(2)
    assert records(cli, socket)["link", "fw"].startswith("up")
    assert "came up 2 times" in records(cli, socket)["link", "fw"]


def test_a_controller_that_is_no_chip(cli: Cli, eventually: Eventually) -> None:
    """Firmware that hangs when it is asked what it can do."""
    with Rig(arguments=("--timeout-ms", "2000")) as rig:
        is_unusable(cli, rig, eventually)


def is_unusable(cli: Cli, rig: Rig, eventually: Eventually) -> None:
    stub, socket = rig.stub, rig.serve.socket
    stub.fault("mute", 1000)
    stub.restart()
    rig.serve.wait_for_chips(0)

    def unusable() -> list[dict[str, str]]:
        return list(
            json.loads(cli("status", "--json", socket=socket).stdout)["links"][0]["unusable"]
        )

    eventually(lambda: bool(unusable()), "a controller that is not usable")
    (first, *_) = unusable()
    assert (first["chip"], first["channel"]) == ("fw-0", "rpmsg-io-0")
    assert "did not answer" in first["why"]
    assert records(cli, socket)["chip", "fw-0"].startswith("unusable")


def test_chips_and_exports_that_wait(cli: Cli, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[[chip]]\nname = "car"\nlines = ["fw-0:LED_GREEN", "other-0:3"]\n')
    export = f"vhost-user-gpio:{tmp_path}/guest.sock,chip=other-0"
    with Rig(arguments=("--config", str(config), "--export", export)) as rig:
        found = records(cli, rig.serve.socket)
        assert found["chip", "car"].split(maxsplit=1) == ["offline", "waits for other-0"]
        assert found["export", "guest"].startswith("waiting")
        assert found["export", "guest"].endswith(": waits for other-0")


def test_no_service_and_too_many_words(cli: Cli, tmp_path: Path) -> None:
    run = cli("status", "--socket", str(tmp_path / "none"))
    assert (run.returncode, run.stdout) == (1, "")
    assert "gpio-bridge status: no service listens on " in run.stderr
    run = cli("status", "fw-0")
    assert (run.returncode, run.stdout) == (1, "")
    assert "gpio-bridge status: unexpected argument 'fw-0'" in run.stderr


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (61, "1 min 1 s"), (7384, "2 h 3 min"), (90000, "1 d 1 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert _duration(seconds) == text


def test_counters_of_chips_lines_and_line_requests(cli: Cli, fresh_rig: Rig) -> None:
    button = {"BUTTON_USER": LineSettings(edge_detection=Edge.BOTH)}
    with fresh_rig.chip() as chip, chip.request_lines(button, consumer='a "b"\\') as request:
        fresh_rig.stub.wait_armed("BUTTON_USER")
        fresh_rig.stub.press("BUTTON_USER")
        fresh_rig.stub.release("BUTTON_USER")
        seen = 0
        while seen < 2:
            assert request.wait_edge_events(60)
            seen += len(request.read_edge_events())
        for _ in range(100):
            request.get_value("BUTTON_USER")
        status = json.loads(cli("status", "--json", socket=fresh_rig.serve.socket).stdout)
        text = cli("status", "--prometheus", socket=fresh_rig.serve.socket).stdout
    (link,) = status["links"]
    assert min(link["messages"].values()) > 100
    metrics = status["chips"][0]["metrics"]
    assert metrics["answered"] > 100
    assert (metrics["refused"], metrics["timeouts"]) == (0, 0)
    assert 0 < metrics["p50_ns"] <= metrics["p99_ns"]
    assert metrics["lines"] == [{"offset": 6, "name": "BUTTON_USER", "edges": 2, "lost": 0}]
    (mine,) = metrics["requests"]
    assert 0 < mine["p50_ns"] <= mine["p99_ns"]
    counted = [mine[key] for key in ("operations", "failed", "edges", "overwritten")]
    assert (mine["consumer"], mine["lines"], counted) == ('a "b"\\', [6], [100, 0, 2, 0])
    samples = {
        (sample.name, sample.labels.get("chip"), sample.labels.get("consumer")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["gpio_bridge_link_up", None, None] == 1
    assert samples["gpio_bridge_request_operations_total", "fw-0", 'a "b"\\'] == 100
    assert samples["gpio_bridge_request_operation_seconds", "fw-0", 'a "b"\\'] > 0
    assert samples["gpio_bridge_line_edges_total", "fw-0", None] == 2


def test_timeouts_are_counted(cli: Cli) -> None:
    with Rig(arguments=("--timeout-ms", "300")) as rig:
        rig.stub.fault("drop", "tx", 1)
        run = cli("get", "RELAY", socket=rig.serve.socket)
        status = json.loads(cli("status", "--json", socket=rig.serve.socket).stdout)
    assert run.returncode == 1
    assert status["chips"][0]["metrics"]["timeouts"] >= 1


def test_what_firmware_has_counted(cli: Cli) -> None:
    with Rig("all,counters") as rig:
        socket = rig.serve.socket
        lines = cli("status", socket=socket).stdout.splitlines()
        words = [line.split(maxsplit=3) for line in lines]
        (told,) = (word[3] for word in words if word[1:3] == ["fw-0", "counters"])
        shown = dict(part.split() for part in told.split(", "))
        assert list(shown) == ["requests", "refused", "sent", "starved", "overruns"]
        before = json.loads(cli("status", "--json", socket=socket).stdout)
        with rig.chip() as chip, chip.request_lines({"DIP_0": None}) as request:
            for _ in range(50):
                request.get_value("DIP_0")
        after = json.loads(cli("status", "--json", socket=socket).stdout)
        old, new = (status["chips"][0]["metrics"]["firmware"] for status in (before, after))
        assert int(shown["requests"]) < old["requests"] <= new["requests"] - 50
        assert new["sent"] >= old["sent"] + 50
        assert (new["starved"], new["overruns"]) == (0, 0)
        text = cli("status", "--prometheus", socket=socket).stdout
        assert 'gpio_bridge_firmware_overruns_total{chip="fw-0"} 0' in text
        doctor = cli("doctor", socket=socket).stdout
        assert "fw-0 has counted requests " in doctor


def test_what_firmware_found_of_its_own_pins(cli: Cli) -> None:
    with Rig("all,counters") as rig:
        socket = rig.serve.socket
        wires = [("LOOP_OUT", "LOOP_IN")]
        assert "self_test" not in cli("status", socket=socket).stdout
        assert rig.stub.self_test("LED_GREEN", wires=wires) == []
        assert ", self_test_faults 0\n" in cli("status", socket=socket).stdout
        assert ", self_test_faults 0\n" in cli("doctor", socket=socket).stdout
        rig.stub.command("unwire LOOP_OUT LOOP_IN")
        faults = rig.stub.self_test("LED_GREEN", wires=wires)
        assert faults == ['0/5 "LOOP_IN" does not follow its wire']
        assert ", self_test_faults 1\n" in cli("status", socket=socket).stdout
        doctor = cli("doctor", socket=socket).stdout
        assert "its self-test told its console and trace which" in doctor
        assert rig.stub.state("LOOP_OUT").direction == "none"
        with rig.chip() as chip, chip.request_lines({"LOOP_OUT": None, "LOOP_IN": None}):
            pass
        with pytest.raises(OSError, match="is of another controller"):
            rig.stub.self_test("LED_GREEN", "1/0")
        with pytest.raises(OSError, match="write: self-test LINE"):
            rig.stub.command("self-test wire LOOP_OUT")


def test_firmware_that_counts_and_does_not_tell(cli: Cli) -> None:
    with Rig("all,counters", arguments=("--timeout-ms", "100")) as rig:
        rig.stub.fault("stall", "on")
        told = cli("status", socket=rig.serve.socket).stdout
        assert "the firmware does not tell" in told
