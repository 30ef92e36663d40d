# SPDX-License-Identifier: BSD-3-Clause
"""Names of lines as schematics have them, and words as people type them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.bench.rig import Serve
from firmware_stub import Stub

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Eventually = Callable[[Callable[[], bool], str], None]

LINES = [
    "",
    "NC",
    "[x]",
    "P8_13 [PWM2B]",
    "GPIO_GEN4",
    "USB_D+",
    "USB_D-",
    "+5V_EN",
    "nRESET",
    "~IRQ",
    "LED=1",
    "A=B",
    "led one",
    "7J1 Header Pin22",
    "gpio/17",
    "3",
    "-n",
    "--",
    "%s{}",
    "\u00dcnit",
    "x" * 31,
    "fw-0",  # a chip's name
    "the label",  # a chip's label
    "NC",
    "TWIN",
    "TWIN",
    "EN",
    "NC",
]
ONCE = [name for name in LINES if name and LINES.count(name) == 1]
OTHER = 5
BOARD = f"""
controller 0 label "the label" lines {len(LINES)}
controller 1 label "other" lines 8
line 1/{OTHER} EN
line 1/1 LED_GREEN
"""


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    with Stub(BOARD) as stub:
        yield stub


@pytest.fixture(scope="module")
def serve(stub: Stub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A service that was told the names by a flag, each in quotes."""
    names = "+".join(f'"{name}"' for name in LINES)
    link = f"{stub.url},name=fw,names.0={names}"
    with Serve(tmp_path_factory.mktemp("names"), "--link", link) as serve:
        serve.wait_for_chips(2)
        yield serve


@pytest.fixture
def run(cli: Cli, serve: Serve) -> Cli:
    return lambda *arguments: cli(*arguments, socket=serve.socket)


@pytest.fixture
def high(stub: Stub) -> Iterator[Callable[[str], None]]:
    """Pull one pin up, and no other."""
    up: list[str] = []

    def pull(line: str) -> None:
        stub.pull(line, "up")
        up.append(line)

    yield pull
    for line in up:
        stub.pull(line, "down")


def says(run: subprocess.CompletedProcess[str], out: str) -> None:
    assert (run.returncode, run.stdout, run.stderr) == (0, out, "")


def fails(run: subprocess.CompletedProcess[str], *sentences: str) -> None:
    assert run.returncode == 1, run
    for sentence in sentences:
        assert sentence in run.stderr
    assert "Traceback" not in run.stderr
    assert max(map(len, run.stderr.splitlines())) < 500, "more than anybody reads"


# ---- names ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ONCE)
def test_a_name_means_its_line(
    run: Cli, stub: Stub, high: Callable[[str], None], name: str
) -> None:
    line = f"0/{LINES.index(name)}"
    by_name = ["--by-name", "-c", "fw-0"] if name.isdigit() else []
    high(line)
    says(run("get", "--unquoted", *by_name, "--", name), f"{name}=active\n")
    before = stub.count(line).edges
    says(run("set", "-t0", *by_name, "--", f'"{name}"=0'), "")
    assert stub.count(line).edges > before


def test_names_are_shown_as_they_are(run: Cli) -> None:
    _, *lines = run("info", "-c", "fw-0").stdout.splitlines()
    shown = [line.split("\t")[2].rstrip() for line in lines]
    assert shown == [f'"{name}"' if name else "unnamed" for name in LINES]


def test_a_name_on_two_chips(run: Cli, high: Callable[[str], None]) -> None:
    high(f"0/{LINES.index('EN')}")
    says(run("get", "--numeric", "EN"), "1\n")
    says(run("get", "--numeric", "-c", "fw-1", "EN"), "0\n")
    for verb, word in (("get", "EN"), ("set", "EN=1"), ("mon", "EN"), ("notify", "EN")):
        fails(run(verb, "--strict", word), "line 'EN' is not unique")


@pytest.mark.parametrize("chip", [[], ["-c", "fw-0"]], ids=["all chips", "one chip"])
@pytest.mark.parametrize("name", ["TWIN", "NC"])
def test_a_name_twice_on_one_chip(
    run: Cli, high: Callable[[str], None], name: str, chip: list[str]
) -> None:
    high(f"0/{LINES.index(name)}")
    says(run("get", "--numeric", *chip, name), "1\n")
    for verb, word in (("get", name), ("set", f"{name}=1"), ("mon", name), ("notify", name)):
        fails(run(verb, "--strict", *chip, word), f"line '{name}' is not unique")
    every = run("info", "--strict", *chip, name)
    assert every.returncode == 1
    assert [line.split("\t")[0] for line in every.stdout.splitlines()] == [
        f"fw-0 {offset}" for offset, each in enumerate(LINES) if each == name
    ]
    assert every.stderr == "", "as gpioinfo, whose status alone tells"


def test_names_that_are_not_taken_say_which_and_no_more(run: Cli) -> None:
    others = "+".join(f"GPIO{number}" for number in range(30))
    for name in ("y" * 32, "x/y" * 12, "\u00fc" * 16, "a\tb"):
        link = f"vhost-user:/x,names.0={others}+{name}"
        refused = run("serve", "--link", link)
        fails(refused, "a line name of at most 31 bytes", "for line 30 of channel 0")
        assert "GPIO7" not in refused.stderr


@pytest.mark.parametrize("names", ["USB_D++USB_D-+EN", "+A", "A+", "A++B", "", '"A', 'A"B"+"C'])
def test_a_plus_that_may_be_part_of_a_name_is_refused(run: Cli, names: str) -> None:
    fails(run("serve", "--link", f"vhost-user:/x,names.0={names}"), "write it in double quotes")


# ---- words ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("get LED_GREN", "cannot find line 'LED_GREN' (did you mean LED_GREEN?)"),
        ("get led_green", "cannot find line 'led_green' (did you mean LED_GREEN?)"),
        ("get fw-1 3", "'fw-1' (it is a chip: write --chip fw-1, then the lines)"),
        ("get 99", "cannot find line '99' (an offset needs --chip)"),
        ("get LED_GREEN --numeric", "cannot find line '--numeric'"),
        ("set A=B=1", "cannot find line 'A'|invalid line value: 'B=1'"),
        ("get -c nowhere 1", "cannot find GPIO chip character device 'nowhere'"),
        ("info -c /dev/nowhere", "cannot find GPIO chip character device '/dev/nowhere'"),
        ("detect nowhere", "gpio-bridge detect: cannot find GPIO chip character device 'nowhere'"),
        ("mon -n -3 LED_GREEN", "invalid number: '-3'"),
        ("serve --link vhost:/x", "did you mean vhost-user?"),
        ("serve --link rpmsg", "rpmsg:"),
        ("info --socket /etc/passwd", "/etc/passwd"),
        ("serve --link vhost-user:/x,names.0=USB_D++USB_D-+EN", '"USB_D+"+"USB_D-"+EN'),
        ("serve --link vhost-user:/x,on_restart.LED=rstore", "'rstore'"),
        ("serve --link vhost-user:/x,names.x=A", "decimal without leading zeros, not 'x'"),
        ("serve --link vhost-user:/x,label.00=A", "decimal without leading zeros, not '00'"),
    ],
)
def test_words_that_are_wrong(run: Cli, words: str, sentence: str) -> None:
    result = run(*words.split())
    assert any(word in result.stderr for word in sentence.split("|")), result.stderr
    fails(result)


def test_an_equals_sign_in_a_name(run: Cli, stub: Stub) -> None:
    says(run("set", "-t0", '"A=B"=1'), "")
    fails(run("set", "-t0", "A=B=1"))


def test_configuration_for_what_is_not_there_is_told(
    tmp_path: Path, cli: Cli, eventually: Eventually
) -> None:
    options = "on_restart.LED_GREN=restore,on_restart.LED=1=hold,names.7=A,label.9=x,raw.3=0x700"
    options += ",on_release.RSET_*=keep,on_release.*=keep"
    sentences = [
        'on_restart of "LED_GREN": no line is called so; did you mean LED_GREEN?',
        'on_restart of "LED=1": no line is called so',
        'on_release of "RSET_*": no line is called so',
        "names of 7: there is no chip fw-7, but fw-0, fw-1",
        "labels of 9: there is no chip fw-9",
        "raw of 3: there is no chip fw-3",
    ]
    with (
        Stub(BOARD) as stub,
        Serve(tmp_path, "--link", f"{stub.url},name=fw,{options}") as serve,
    ):
        serve.wait_for_chips(2)
        eventually(lambda: all(s in serve.log for s in sentences), "a word about each")
        status = cli("status", socket=serve.socket).stdout
        assert all(sentence in status for sentence in sentences)
        assert "on_release keep for RSET_*, on_release keep for *" in status
        assert 'on_release of "*"' not in status
        assert "on-release=keep" in cli("info", socket=serve.socket).stdout
