# SPDX-License-Identifier: BSD-3-Clause
"""What gpio-bridge serve says: while it runs, and of a configuration it only checks."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.bench.rig import Rig, Serve
from bridge.service import Config, LinkConfig
from bridge.service.check import check

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Eventually = Callable[[Callable[[], bool], str], None]


def test_it_says_where_it_listens_and_what_becomes_of_a_link(
    fresh_rig: Rig, eventually: Eventually
) -> None:
    serve, url = fresh_rig.serve, fresh_rig.stub.url
    listening = f"gpio-bridge serve: listening on {serve.socket}\n"
    eventually(lambda: listening in serve.log, "where it listens")
    eventually(lambda: f"link fw: up ({url})\n" in serve.log, "that the link is up")
    fresh_rig.stub.kill()
    eventually(lambda: "link fw: down: " in serve.log, "that the link is down")
    fresh_rig.stub.start()
    eventually(lambda: f"link fw: up again ({url})\n" in serve.log, "that it is up again")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--log-level", "info"], ["listening on", "link none: down"]),
        (["-v"], ["listening on", "link none: down"]),
        (["--log-level", "warning"], ["link none: down"]),
        (["--log-level", "error"], []),
    ],
)
def test_log_levels(
    tmp_path: Path, options: list[str], said: list[str], eventually: Eventually
) -> None:
    with Serve(tmp_path, "--link", f"vhost-user:{tmp_path}/none", *options) as serve:
        serve.wait_for_chips(0)
        eventually(lambda: len(serve.log.splitlines()) >= len(said), "that all is said")
    lines = serve.log.splitlines()
    assert len(lines) == len(said)
    assert all(words in line for words, line in zip(said, lines, strict=True))


def test_the_journal_gets_priorities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    log = tmp_path / "serve.log"
    log.touch()
    monkeypatch.setenv("JOURNAL_STREAM", f"{log.stat().st_dev}:{log.stat().st_ino}")
    with Serve(tmp_path, "--link", f"vhost-user:{tmp_path}/none") as serve:
        eventually(lambda: "link none: down" in serve.log, "the link is told to be down")
    listening, down = serve.log.splitlines()
    assert listening == f"<6>gpio-bridge serve: listening on {serve.socket}"
    assert down.startswith("<4>gpio-bridge serve: link none: down: ")
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    with Serve(tmp_path, "--link", f"vhost-user:{tmp_path}/none") as serve:
        serve.wait_for_chips(0)
    assert f"\ngpio-bridge serve: listening on {serve.socket}" in serve.log


def test_check(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        f'socket = "{tmp_path}/control.sock"\n'
        '[[link]]\nurl = "vhost-user:/run/m4.sock"\nname = "m4"\n'
        '[[chip]]\nname = "car"\nlines = ["m4-0:LED=brake", "m4-1:3"]\n'
    )
    export = f"vhost-user-gpio:{tmp_path}/guest.sock,chip=m4-0"
    run = cli("serve", "--config", str(file), "--export", export, "--check")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines() == [
        f"socket  {tmp_path}/control.sock, mode 0660, group (its own)",
        "link    m4: vhost-user:/run/m4.sock",
        "chip    car: 2 lines of m4-0, m4-1",
        f"export  guest: {tmp_path}/guest.sock, of m4-0",
    ]
    assert list(tmp_path.iterdir()) == [file], "nothing was started"


def test_check_knows_the_packages_of_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    urls = ("rpmsg:", "serial:/dev/ttyUSB0", "vhost-user:/tmp/fw.sock")
    links = tuple(LinkConfig(url) for url in urls)
    problems = check(Config(socket=f"{tmp_path}/control.sock", links=links))
    assert [problem.rpartition(": ")[2] for problem in problems] == [
        "pip install pyudev", "pip install pyserial",
    ]  # fmt: skip
    assert "link    ttyUSB0: serial:/dev/ttyUSB0" in capsys.readouterr().out


def test_check_finds_what_stands_in_the_way(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        f'socket = "{tmp_path}/none/control.sock"\ngroup = "no-such-group"\n'
        '[[link]]\nurl = "vhost-user:/run/m4.sock"\n'
    )
    run = cli("serve", "--config", str(file), "--check")
    assert run.returncode == 1
    assert f"its directory {tmp_path}/none does not exist" in run.stderr
    assert "group no-such-group does not exist" in run.stderr
    file.write_text('[[link]]\nurl = "vhost-user:/run/m4.sock"\nlinse = 3\n')
    run = cli("serve", "--config", str(file), "--check")
    assert run.returncode == 1
    assert "linse" in run.stderr
    file.write_text(
        '[[link]]\nurl = "vhost-user:/run/m4.sock"\n[[chip]]\nname = "m4-9"\nlines = ["a-0:1"]\n'
    )
    run = cli("serve", "--config", str(file), "--check")
    assert run.returncode == 1
    assert 'names that begin with "m4-" belong to chips of link m4' in run.stderr
