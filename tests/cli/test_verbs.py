# SPDX-License-Identifier: BSD-3-Clause
"""The verbs as a user sees them: output, messages, exit status."""

from __future__ import annotations

import errno
import grp
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import bridge as gpiod
from bridge.bench.rig import Rig
from bridge.cli.common import parse_period
from bridge.cli.verbs import VERBS
from bridge.client import control
from bridge.line import Direction
from firmware_stub import Stub
from tests.processes import LATE_S, line_of

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Background = Callable[..., "subprocess.Popen[str]"]
Eventually = Callable[[Callable[[], bool], str], None]


def fails(run: subprocess.CompletedProcess[str], *sentences: str) -> None:
    """Check for exit status 1, no output, and these messages."""
    assert run.returncode == 1, run
    for sentence in sentences:
        assert sentence in run.stderr
    assert "Traceback" not in run.stderr


# ---- the command itself ------------------------------------------------------------


@pytest.mark.parametrize(
    "verb", ["", "demo", "detect", "info", "get", "set", "mon", "notify", "bench"]
)
def test_help_teaches_by_examples(cli: Cli, verb: str) -> None:
    run = cli(*([verb] if verb else []), "--help")
    assert run.returncode == 0
    assert f"gpio-bridge {verb}".rstrip() in run.stdout
    assert run.stdout.count("gpio-bridge") >= 3


def test_version(cli: Cli) -> None:
    assert cli("--version").stdout == f"gpio-bridge v{gpiod.__version__}\n"
    for verb in VERBS:
        assert cli(verb, "--version").stdout == f"gpio-bridge {verb} v{gpiod.__version__}\n"


def test_wrong_verb_and_option(cli: Cli) -> None:
    fails(cli("nonsense"), "gpio-bridge: No such command 'nonsense'", "try gpio-bridge --help")
    fails(cli("get", "--nonsense"), "gpio-bridge get: ", "try gpio-bridge get --help")


def test_no_service(cli: Cli) -> None:
    for verb in (["detect"], ["info"], ["get", "LED_GREEN"], ["mon", "-c", "fw-0", "1"]):
        fails(
            cli(*verb, socket="/tmp/nothing.sock"),
            f"gpio-bridge {verb[0]}: ",
            "no service listens on /tmp/nothing.sock: start one with `gpio-bridge serve`",
        )


def test_no_permission_says_who_has_it(socket_path: str) -> None:
    said = control._connect_sentence(errno.EACCES, socket_path)
    group = grp.getgrgid(os.stat(socket_path).st_gid).gr_name
    assert said.startswith(f"no permission to connect to {socket_path}: its group is {group}")
    assert "its mode 0660; join the group" in said
    assert "see its mode" in control._connect_sentence(errno.EACCES, "/nowhere/to.sock")


def test_socket_option(cli: Cli, socket_path: str) -> None:
    run = cli("get", "--socket", socket_path, "-c", "fw-0", "10", socket="/tmp/nothing.sock")
    assert (run.returncode, run.stdout) == (0, '"10"=active\n')


@pytest.mark.parametrize(
    "tool",
    [
        ["get", "-c", "fw-0", "10"],
        ["detect"],
        ["status"],
        ["info", "LED_RED"],
        ["notify", "--idle-timeout", "1us", "LED_RED"],
    ],
)
def test_a_tool_loads_what_it_needs_only(socket_path: str, tool: list[str]) -> None:
    light = tool[0] in ("detect", "status")
    code = (
        f"light = {light}; import os, sys; from bridge.cli.main import main; "
        "heavy = ['click', 'rich', 'asyncio', 'bridge.service', 'readline', 'argparse']; "
        "heavy += ['typing', 'dataclasses', 'inspect', 're', 'bridge.shim.ffi'] * light; "
        "os._exit = lambda status: (print([m for m in heavy if m in sys.modules]), sys.exit()); "
        f"main({tool!r})"
    )
    run = subprocess.run(
        # Without site, since an editable installation imports half of this to find the package.
        [sys.executable, "-S", "-c", f"import sys; sys.path += {sys.path}; {code}"],
        env={**os.environ, "GPIO_BRIDGE_SOCKET": socket_path},
        capture_output=True,
        text=True,
        timeout=LATE_S,
    )
    assert run.stdout.splitlines()[-1] == "[]", run.stderr


# ---- detect, info ------------------------------------------------------------------


def test_detect(cli: Cli, stub: Stub) -> None:
    both = "fw-0 [m4-gpioa] (16 lines)\nfw-1 [m4-gpiob] (8 lines)\n"
    assert cli("detect").stdout == both
    run = cli("detect", "nothing", "fw-1")
    assert (run.returncode, run.stdout) == (1, "fw-1 [m4-gpiob] (8 lines)\n")
    assert "gpio-bridge detect: cannot find GPIO chip character device 'nothing' (" in run.stderr


def test_detect_by_url(cli: Cli) -> None:
    with Stub("demo") as stub:
        run = cli("detect", f"{stub.url}#1")
        assert (run.returncode, run.stdout) == (0, "fw-1 [m4-gpiob] (8 lines)\n")
        run = cli("detect", stub.url)
        both = "fw-0 [m4-gpioa] (16 lines)\nfw-1 [m4-gpiob] (8 lines)\n"
        assert (run.returncode, run.stdout) == (0, both), "every chip of the link"


def test_a_link_that_a_service_has(cli: Cli, rig: Rig) -> None:
    """The tool says it at once and by name: to wait for the firmware would be in vain."""
    has = f"the service on {rig.serve.socket} (pid {rig.serve.pid}) has this link, as fw: use its"
    run = cli("detect", rig.stub.url)
    fails(run, has)
    assert run.stderr.count("has this link") == run.stderr.count("\n") == 1
    fails(cli("get", "-c", rig.stub.url, "0"), has)
    fails(cli("doctor", "--link", rig.stub.url), has)
    run = cli("conformance", "--link", rig.stub.url)
    assert (run.returncode, has in run.stderr) == (2, True)


def test_a_link_that_is_down(cli: Cli, tmp_path: Path) -> None:
    run = cli("get", "-c", f"vhost-user:{tmp_path}/none", "0")
    fails(run, "gpio-bridge get: no chip came up in 5 s (link none is down: there is no socket")
    assert run.stderr.count("\n") == 1, "said once"


def test_a_socket_with_a_colon_is_no_link(cli: Cli, tmp_path: Path, socket_path: str) -> None:
    link = tmp_path / "a:b.sock"
    link.symlink_to(socket_path)
    run = cli("set", "-z", "-t", "50ms,0", "--socket", str(link), "RELAY=0")
    assert (run.returncode, run.stderr) == (0, "")


def test_info_of_a_chip(cli: Cli, chip: gpiod.Chip) -> None:
    settings = gpiod.LineSettings(direction=Direction.OUTPUT, active_low=True)
    with chip.request_lines({0: settings}, consumer="me"):
        lines = cli("info", "-c", "fw-0").stdout.splitlines()
    assert lines[0] == "fw-0 - 16 lines:"
    assert lines[1] == '\tline   0:\t"LED_GREEN"     \toutput active-low consumer="me"'
    assert lines[11] == '\tline  10:\t"DIP_0"         \tinput'
    assert len(lines) == 17
    assert "\tline   7:\tunnamed         \tinput" in cli("info").stdout


def test_info_of_lines(cli: Cli) -> None:
    run = cli("info", "MUX_SEL", "LED_RED")
    assert run.returncode == 0
    assert [re.split(r" *\t", line)[:2] for line in run.stdout.splitlines()] == [
        ["fw-0 1", '"LED_RED"'],
        ["fw-1 3", '"MUX_SEL"'],
    ]
    run = cli("info", "-c", "fw-0", "--unquoted", "1", "LED_RED", "16", "NOTHING")
    assert run.returncode == 1
    assert run.stdout.startswith("fw-0 1\tLED_RED         \t")
    for problem in (
        "lines '1' and 'LED_RED' are the same line",
        "offset 16 is out of range on chip 'fw-0'",
        "cannot find line 'NOTHING'",
    ):
        assert f"gpio-bridge info: {problem}" in run.stderr


# ---- get ---------------------------------------------------------------------------


def test_get(cli: Cli) -> None:
    assert cli("get", "DIP_0", "DIP_1").stdout == '"DIP_0"=active "DIP_1"=inactive\n'
    assert cli("get", "--numeric", "DIP_1", "DIP_0").stdout == "0 1\n"
    assert cli("get", "--unquoted", "-c", "fw-0", "10", "DIP_1").stdout == (
        "10=active DIP_1=inactive\n"
    )
    assert cli("get", "--active-low", "DIP_0").stdout == '"DIP_0"=inactive\n'
    assert cli("get", "--numeric", "DIP_0", "SENSOR_READY").stdout == "1 0\n"  # two chips
    assert cli("get", "--by-name", "-c", "fw-0", "DIP_0").stdout == '"DIP_0"=active\n'


def test_get_refuses(cli: Cli, chip: gpiod.Chip) -> None:
    fails(cli("get"), "gpio-bridge get: at least one GPIO line must be specified")
    fails(cli("get", "NOTHING"), "gpio-bridge get: cannot find line 'NOTHING'")
    fails(cli("get", "10"), "cannot find line '10' (an offset needs --chip)")
    fails(cli("get", "-c", "fw-0", "16"), "offset 16 is out of range on chip 'fw-0'")
    fails(cli("get", "-c", "fw-0", "--by-name", "10"), "cannot find line '10'")
    fails(cli("get", "-c", "nothing", "1"), "nothing", "fw-0")
    fails(cli("get", "-c", "fw-0", "10", "DIP_0"), "lines '10' and 'DIP_0' are the same line")
    fails(cli("get", "--bias", "up", "DIP_0"), "invalid bias: up")
    fails(cli("get", "-p", "100msx", "DIP_0"), "invalid period: 100msx")
    with chip.request_lines({10: None}, consumer="somebody"):
        fails(cli("get", "DIP_0"), "gpio-bridge get: unable to request lines: ", "somebody")


def test_options_end_at_the_first_line(cli: Cli) -> None:
    hint = "(options come before the lines)"
    fails(cli("get", "DIP_0", "--numeric"), f"cannot find line '--numeric' {hint}")
    fails(cli("set", "RELAY=0", "--toggle"), f"invalid line value: '--toggle' {hint}")


def test_what_was_meant(cli: Cli) -> None:
    fails(cli("get", "LED_GREN"), "cannot find line 'LED_GREN' (did you mean LED_GREEN")
    fails(cli("get", "-c", "fw-0", "led_green "), "(did you mean LED_GREEN")
    fails(cli("set", "MUX_SEl=1"), "cannot find line 'MUX_SEl' (did you mean MUX_SEL?)")
    fails(cli("get", "-c", "fv-0", "1"), 'there is no chip "fv-0"; ', "did you mean fw-0")
    fails(cli("detect", "fv-0"), 'there is no chip "fv-0"; ', "did you mean fw-0")
    fails(cli("detect", "rpmsg"), "a link URL has a colon: rpmsg:")
    fails(cli("detect", "vhost-usr:/tmp/x"), "did you mean vhost-user?")
    fails(cli("serve", "--link", "vhostuser:/tmp/x"), "did you mean vhost-user?")
    fails(cli("get", "--nummeric", "DIP_0"), "'--nummeric'; did you mean --numeric?")
    fails(cli("gte", "LED_GREEN"), "No such command 'gte'; did you mean get?")
    fails(cli("gpioget", "LED_GREEN"), "No such command 'gpioget'; did you mean get?")


def test_habits_of_libgpiod_1(cli: Cli) -> None:
    fails(cli("get", "fw-0", "3"), "'fw-0' (it is a chip: write --chip fw-0, then the lines)")
    fails(cli("set", "A=B=1"), "invalid line value: 'B=1' ", """in quotes: '"A=B"=1')""")


# ---- set ---------------------------------------------------------------------------


def test_set_holds_until_killed(
    background: Background, cli: Cli, stub: Stub, chip: gpiod.Chip
) -> None:
    process = background("set", "--banner", "LED_GREEN=on", "LED_RED=inactive")
    assert line_of(process) == "Setting lines 'LED_GREEN', and 'LED_RED'..."
    assert (stub.read("LED_GREEN"), stub.read("LED_RED")) == (1, 0)
    assert chip.get_line_info(0).consumer == "gpio-bridge set"
    fails(cli("get", "LED_GREEN"), "gpio-bridge set")
    process.send_signal(signal.SIGTERM)
    assert process.wait(LATE_S) == -signal.SIGTERM
    assert cli("get", "LED_GREEN").returncode == 0


def test_set_and_end(cli: Cli, stub: Stub) -> None:
    before = stub.count("LED_GREEN").edges
    assert cli("set", "-t0", "-c", "fw-0", "0=1").returncode == 0
    assert cli("set", "--toggle", "1ms,1ms,1ms,0", "LED_RED=0").returncode == 0
    assert stub.count("LED_GREEN").edges > before


def test_set_words_and_active_low(background: Background, stub: Stub) -> None:
    process = background("set", "--banner", "-l", '"LED_GREEN"=true', "LED_RED=off")
    line_of(process)
    assert (stub.read("LED_GREEN"), stub.read("LED_RED")) == (0, 1)


def test_set_toggles(background: Background, stub: Stub) -> None:
    before = stub.count("LED_BLUE").edges
    background("set", "--toggle", "5ms", "LED_BLUE=0")
    stub.wait_edges("LED_BLUE", before + 6)


def test_set_daemonizes(cli: Cli, stub: Stub, chip: gpiod.Chip, eventually: Eventually) -> None:
    run = cli("set", "--daemonize", "RELAY=1")
    assert (run.returncode, run.stderr) == (0, "")
    assert chip.get_line_info(3).used
    assert stub.read("RELAY") == 1
    os.kill(int(run.stdout), signal.SIGTERM)
    eventually(lambda: not chip.get_line_info(3).used, "the daemon ends")


def test_set_refuses(cli: Cli) -> None:
    fails(cli("set"), "at least one GPIO line value must be specified")
    fails(cli("set", "LED_GREEN"), "invalid line value: 'LED_GREEN'")
    fails(cli("set", "LED_GREEN=3"), "invalid line value: '3'")
    fails(cli("set", "-t", "1ns", "LED_GREEN=1"), "invalid period: 1ns")
    fails(cli("set", "-d", "nonsense", "LED_GREEN=1"), "invalid drive: nonsense")
    fails(cli("set", "NOTHING=1"), "cannot find line 'NOTHING'")


# ---- mon ---------------------------------------------------------------------------


def test_mon(background: Background, stub: Stub) -> None:
    process = background("mon", "--banner", "-n", "2", "-l", "--bias", "pull-up", "BUTTON_USER")
    assert line_of(process) == "Monitoring line 'BUTTON_USER'..."
    stub.press("BUTTON_USER")
    assert re.fullmatch(r'\d+\.\d{9}\trising\t"BUTTON_USER"', line_of(process))
    stub.wait_armed("BUTTON_USER")
    stub.release("BUTTON_USER")
    assert re.fullmatch(r'\d+\.\d{9}\tfalling\t"BUTTON_USER"', line_of(process))
    assert process.wait(LATE_S) == 0


def test_mon_formats(background: Background, stub: Stub) -> None:
    stub.float_("SENSOR_IRQ")
    template = "%e %o %E %c %l %% %x %S %U %L %"
    process = background("mon", "--banner", "-n1", "-e", "rising", "-F", template, "SENSOR_IRQ")
    line_of(process)
    stub.drive("SENSOR_IRQ", 1)
    stamp = r"\d+\.\d{9} \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z [\dT:.-]+"
    assert re.fullmatch(rf"1 8 rising fw-0 SENSOR_IRQ % %x {stamp} %", line_of(process))
    stub.float_("SENSOR_IRQ")


def test_mon_with_chip_and_utc(background: Background, stub: Stub) -> None:
    process = background("mon", "--banner", "-n1", "--utc", "-c", "fw-0", "8")
    line_of(process)
    stub.drive("SENSOR_IRQ", 1)
    assert re.fullmatch(r'20\S+Z\trising\tfw-0 8 "SENSOR_IRQ"', line_of(process))
    stub.float_("SENSOR_IRQ")


def test_mon_initial_state_and_idle_timeout(cli: Cli) -> None:
    run = cli("mon", "-I", "--idle-timeout", "20ms", "DIP_0", "DIP_1")
    assert (run.returncode, run.stdout) == (0, '"DIP_0"=active "DIP_1"=inactive\n')
    run = cli("mon", "--json", "-I", "--idle-timeout", "20ms", "DIP_0")
    assert [line["value"] for line in json.loads(run.stdout)["lines"]] == [1]


def test_mon_refuses(cli: Cli) -> None:
    fails(cli("mon"), "at least one GPIO line must be specified")
    fails(cli("mon", "-e", "up", "DIP_0"), "invalid edges: up")
    fails(cli("mon", "-E", "sun", "DIP_0"), "invalid event clock: sun")
    fails(cli("mon", "-p", "bad", "DIP_0"), "invalid period: bad")
    fails(cli("mon", "-n", "x", "DIP_0"), "'x'")


def test_mon_ends_when_the_chip_goes(background: Background, fresh_rig: Rig) -> None:
    process = background("mon", "--banner", "SENSOR_IRQ", socket=fresh_rig.serve.socket)
    line_of(process)
    fresh_rig.stub.kill()
    assert process.wait(LATE_S) == 1
    assert process.stderr is not None
    gone = "error reading line events: chip fw-0 is gone: its firmware went away"
    assert f"gpio-bridge mon: {gone}" in process.stderr.read()


def test_notify_ends_when_the_chip_goes(background: Background, fresh_rig: Rig) -> None:
    process = background("notify", "--banner", "RELAY", socket=fresh_rig.serve.socket)
    line_of(process)
    fresh_rig.stub.kill()
    assert process.wait(LATE_S) == 1
    assert process.stderr is not None
    assert "chip fw-0 is gone: its firmware went away" in process.stderr.read()


def test_without_a_chip_a_missing_line_says_so(cli: Cli, fresh_rig: Rig) -> None:
    fresh_rig.stub.kill()
    fresh_rig.serve.wait_for_chips(0)
    run = cli("get", "LED_RED", socket=fresh_rig.serve.socket)
    fails(run, "cannot find line 'LED_RED' (no chip is online: gpio-bridge status says why)")


def test_set_ends_when_the_chip_goes(background: Background, fresh_rig: Rig) -> None:
    process = background("set", "--banner", "LED_GREEN=1", socket=fresh_rig.serve.socket)
    line_of(process)
    fresh_rig.stub.kill()
    assert process.wait(LATE_S) == 0
    assert process.stderr is not None
    assert "gpio-bridge set: chip fw-0 is gone: its firmware went away" in process.stderr.read()


# ---- --json --------------------------------------------------------------------------


def test_json_of_chips_lines_and_values(cli: Cli, chip: gpiod.Chip) -> None:
    settings = gpiod.LineSettings(direction=Direction.OUTPUT, active_low=True)
    with chip.request_lines({0: settings}, consumer="me"):
        run = cli("info", "--json")
    first, second = json.loads(run.stdout)["chips"]
    assert (first["name"], first["label"], first["num_lines"]) == ("fw-0", "m4-gpioa", 16)
    assert len(second["lines"]) == 8
    assert first["lines"][0] == {
        "chip": "fw-0", "offset": 0, "name": "LED_GREEN", "used": True, "consumer": "me",
        "direction": "output", "active_low": True, "bias": None, "drive": "push-pull",
        "edges": None, "event_clock": "monotonic", "debounce_us": 0, "on_release": "none",
    }  # fmt: skip
    (line,) = json.loads(cli("info", "--json", "LED_RED").stdout)["lines"]
    assert (line["chip"], line["offset"], line["name"]) == ("fw-0", 1, "LED_RED")
    assert json.loads(cli("get", "--json", "DIP_0", "SENSOR_READY").stdout)["lines"] == [
        {"line": "DIP_0", "chip": "fw-0", "offset": 10, "value": 1},
        {"line": "SENSOR_READY", "chip": "fw-1", "offset": 2, "value": 0},
    ]
    (one,) = json.loads(cli("detect", "--json", "fw-1").stdout)["chips"]
    assert (one["name"], one["link"], one["channel"]) == ("fw-1", "fw", "rpmsg-io-1")


def test_json_of_edges(background: Background, stub: Stub) -> None:
    process = background("mon", "--json", "--banner", "-n1", "-e", "rising", "SENSOR_IRQ")
    assert json.loads(line_of(process)) == {"event": "ready", "lines": ["SENSOR_IRQ"]}
    stub.drive("SENSOR_IRQ", 1)
    event = json.loads(line_of(process))
    assert event.pop("timestamp_ns") > 0
    assert event == {
        "event": "rising", "chip": "fw-0", "offset": 8, "name": "SENSOR_IRQ",
        "line_seqno": 1, "global_seqno": 1,
    }  # fmt: skip
    stub.float_("SENSOR_IRQ")


def test_json_of_changes(background: Background, chip: gpiod.Chip) -> None:
    process = background("notify", "--json", "--banner", "-n1", "RELAY")
    assert json.loads(line_of(process)) == {"event": "ready", "lines": ["RELAY"]}
    with chip.request_lines({3: None}, consumer="me"):
        event = json.loads(line_of(process))
    assert (event["event"], event["name"], event["consumer"]) == ("requested", "RELAY", "me")


# ---- bench, helpers ----------------------------------------------------------------


def test_bench_has_its_keys(cli: Cli) -> None:
    run = cli("bench", "--json", "--seconds", "0.1")
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    for figures in (result, result["unpinned"]):
        for way in ("floor", "direct", "service", "service_c"):
            assert figures[way]["p99_us"] >= figures[way]["p50_us"] > 0
            assert figures[way]["rounds"] > 0
        for way in ("direct", "service", "service_c"):
            assert figures[way]["ratio_p50"] > 0
            assert figures[way]["ratio_p99"] > 0
        assert figures["edges"]["per_s"] > 0
        assert figures["edges"]["lost"] == 0
        assert figures["idle"]["cpu_percent"] >= 0
        assert figures["rss_mb"] > 1


def test_bench_explains_what_each_party_does(cli: Cli) -> None:
    run = cli("bench", "--explain", "--json")
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert set(result["ways"]["direct get"]) == {"client", "firmware"}
    assert set(result["ways"]["service get"]) == {"client", "service", "firmware"}
    for parties in result["ways"].values():
        for spent in parties.values():
            assert spent["cpu_us"] > 0
            assert (spent["calls"] is None) == (shutil.which("strace") is None)
    if shutil.which("strace"):
        client = result["ways"]["service get"]["client"]["calls"]
        assert client["sendmsg"] == client["recvmsg"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--seconds", "inf"],
        ["--seconds", "nan"],
        ["serial", "--seconds", "nan"],
        ["guest", "--seconds", "inf"],
        ["edges", "--edges", "9" * 25],
        ["scale", "--rounds", "9" * 25],
    ],
    ids=" ".join,
)
def test_bench_refuses(cli: Cli, arguments: list[str]) -> None:
    option = next(word for word in arguments if word.startswith("--"))
    fails(cli("bench", *arguments), f"Invalid value for '{option}': {arguments[-1]} is n")


def test_bench_prints_a_record_a_line(cli: Cli) -> None:
    """The lines are not wrapped to a terminal that is not there, and no progress is shown."""
    run = cli("bench", "serial", "--seconds", "0.1")
    assert (run.returncode, run.stderr) == (0, "")
    records = [line.split("\t") for line in run.stdout.splitlines()]
    assert [record[0] for record in records] == ["wire_us", "get_p50_us", "get_p99_us", "ratio"]
    assert all(float(record[1]) > 0 for record in records)


def test_bench_on_a_terminal(tmp_path: Path) -> None:
    """A table, and before it which part is measured."""
    verb = [sys.executable, "-m", "bridge.cli", "bench", "serial", "--seconds", "0.5"]
    code = f"import os, pty; os._exit(os.waitstatus_to_exitcode(pty.spawn({verb!r})))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LATE_S,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"},
    )
    assert run.returncode == 0, run.stdout
    assert "a get at 115200 bits/s" in run.stdout
    assert "gpio-bridge bench serial, 115200 bits/s" in run.stdout
    assert "│ ratio" in run.stdout


def test_bench_scale_has_its_keys(cli: Cli) -> None:
    run = cli("bench", "scale", "--json", "--rounds", "10")
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    for figures in (result["one"], result["many"]):
        for key in ("request_us", "watch_us", "lookup_us"):
            assert figures[key] > 0
    assert (result["clients"], result["requests"], result["chips"]) == (200, 1000, 64)
    assert result["ratio"] > 0


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [("20", 20_000), ("20ms", 20_000), ("3us", 3), ("2s", 2_000_000), ("1m", 60_000_000), ("", 0)],
)
def test_periods(text: str, microseconds: int) -> None:
    assert parse_period(text) == microseconds


@pytest.mark.parametrize("text", ["us", "5u", "5ns", "-1", "1.5s", " 1", "9" * 20, "٣"])
def test_wrong_periods(text: str) -> None:
    with pytest.raises(Exception, match="invalid period"):
        parse_period(text)


def test_bench_edges_has_its_keys(cli: Cli) -> None:
    """A short burst: the benchmark judges its figures, except these."""
    done = cli("bench", "edges", "--json", "--edges", "20000")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["floor"]["per_s"] > 0
    for burst, lines in (("one", 1), ("many", 32)):
        assert figures[burst]["count"] + figures[burst]["lost"] == 20000 // lines // 2 * 2 * lines
        assert figures[burst]["lines"] == lines
        assert figures[burst]["lost"] == figures[burst]["gaps"] == 0
    assert figures["bulk"]["same_step"] is True
    assert figures["bulk"]["ratio"] > 0
    assert figures["bound_us"] > 0
    assert 0 <= figures["inside_percent"] <= 100
    assert 0 <= figures["untimed"] < 24000
