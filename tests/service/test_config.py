# SPDX-License-Identifier: BSD-3-Clause
"""The configuration: what it says, and what errors say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bridge import wire
from bridge.service import config as configs
from bridge.service.budgets import Limits
from bridge.service.config import Config, ConfigError, LinkConfig
from bridge.service.service import link_names

FULL = """
socket = "/run/x.sock"
mode = "0600"
group = "gpio"
timeout_ms = 250
on_release = "keep"

[limits]
connections = 100
memory_mib = 32

[[link]]
url = "vhost-user:/run/fw.sock"

[[link]]
url = "vhost-user:/run/dsp.sock"
name = "dsp"
extensions = ["tag", "epoch"]
lines = 16
labels = { "0" = "audio" }
on_release = "none"
"""


def test_everything(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(FULL)
    config = configs.load(str(path))
    assert (config.socket, config.mode, config.group) == ("/run/x.sock", 0o600, "gpio")
    assert config.timeout_ms == 250
    assert config.limits == Limits(connections=100, memory_mib=32)
    first, second = config.links
    assert first == LinkConfig("vhost-user:/run/fw.sock", on_release="keep")
    assert (second.name, second.lines, second.on_release) == ("dsp", 16, "none")
    assert second.extensions == wire.F_TAG | wire.F_EPOCH
    assert second.labels == {"0": "audio"}


def test_defaults() -> None:
    config = configs.from_table({}, "x")
    assert config == Config()
    assert (config.mode, config.timeout_ms) == (0o660, 1000)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sokcet = 1", ["sokcet", "unknown key", '"socket"']),
        ("socket = 5", ["socket", "expected a path", "not 5"]),
        ('socket = "/%s"' % ("x" * 107), ["socket", "107 bytes"]),
        ('mode = "0999"', ["mode", "0660"]),
        ("mode = true", ["mode"]),
        ("timeout_ms = 0", ["timeout_ms", "from 1 to 60000"]),
        ("timeout_ms = 1.5", ["timeout_ms", "milliseconds"]),
        ('extensions = "some"', ["extensions", "all", "config, names, tag, epoch"]),
        ('extensions = ["debts"]', ["extensions", "debts"]),
        ('on_release = "drop"', ["on_release", '"none" or "keep"']),
        ('link = "x"', ["link", "[[link]]"]),
        ("[[link]]", ["link 1: url", "missing"]),
        ('[[link]]\nurl = "fw.sock"', ["link 1: url", "SCHEME:TARGET"]),
        ('[[link]]\nurl = "i2c:7"', ["link 1: url", '"i2c"', "vhost-user"]),
        ('[[link]]\nurl = "vhost-user:/x"\nline = 3', ["link 1: line", '"lines"']),
        ('[[link]]\nurl = "vhost-user:/x"\nlines = 0', ["link 1: lines", "65535"]),
        ('[[link]]\nurl = "vhost-user:/x"\nname = "a b"', ["link 1: name", "letters"]),
        ('[[link]]\nurl = "vhost-user:/x"\nlabels = ["a"]', ["link 1: labels", "table"]),
        (
            '[[link]]\nurl = "vhost-user:/x"\nname = "a"\n'
            '[[link]]\nurl = "vhost-user:/y"\nname = "a"',
            ['the name "a"'],
        ),
        ("[limits]\nclients = 3", ["limits: clients", "connections"]),
        ("[limits]\nconnections = 0", ["limits: connections", "from 1 to 65536"]),
        ("[limits]\nreserve_percent = 95", ["limits: reserve_percent", "from 0 to 90"]),
        ("limits = 3", ["limits", "[limits] table"]),
        ("socket = \n", ["not valid TOML", "line 1"]),
    ],
)
def test_errors_name_file_key_and_what_was_expected(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        configs.load(str(path))
    for word in (str(path), *words):
        assert word in str(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        configs.load(str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="directory"):
        configs.load(str(tmp_path))
    path = tmp_path / "binary"
    path.write_bytes(b"a = \xff")
    with pytest.raises(ConfigError, match="not valid TOML"):
        configs.load(os.fspath(path))


def test_link_flag_carries_options() -> None:
    link = configs.link_from_flag(
        "vhost-user:/a,b.sock,name=m4,lines=8,extensions=tag+epoch,on_release=keep,label.0=x y", {}
    )
    assert link.url == "vhost-user:/a,b.sock"
    assert (link.name, link.lines, link.on_release) == ("m4", 8, "keep")
    assert link.extensions == wire.F_TAG | wire.F_EPOCH
    assert link.labels == {"0": "x y"}


def test_policies_of_single_lines() -> None:
    found = configs.link_from_flag("vhost-user:/a,on_release.RESET_*=keep,on_release.A=B=none", {})
    assert dict(found.lines_on_release) == {"RESET_*": "keep", "A=B": "none"}
    with pytest.raises(ConfigError, match="for 'LED', not 'restore'"):
        configs.link_from_flag("vhost-user:/a,on_release.LED=restore", {})
    own = {"lines_on_release": {"brake": "keep"}}
    table = {"chip": [{"name": "car", "lines": ["m4-0:LED=brake"], **own}]}
    (chip,) = configs.from_table(table, "test").chips
    assert dict(chip.lines_on_release) == own["lines_on_release"]


@pytest.mark.parametrize(
    "text",
    ["/run/fw.sock", "vhost-user:", "vhost-user:/x,lines=many", "vhost-user:/x,extensions=nope"],
)
def test_bad_link_flag(text: str) -> None:
    with pytest.raises(ConfigError, match="--link"):
        configs.link_from_flag(text, {})


@pytest.mark.parametrize("option", ["nam=x", "lables.0=x", "timeout_ms=5", "Name=x"])
def test_mistyped_option_of_a_link_is_no_part_of_its_path(option: str) -> None:
    key = option.partition("=")[0]
    with pytest.raises(ConfigError, match=f'"{key}" is no option of a link; there are name,'):
        configs.link_from_flag(f"vhost-user:/run/fw.sock,{option},lines=3", {})


def test_link_names_are_unique() -> None:
    urls = ["vhost-user:/a/fw.sock", "vhost-user:/b/fw.sock", "vhost-user:/c/o o.sock"]
    links = (*(LinkConfig(url) for url in urls), LinkConfig("vhost-user:/d", name="fw"))
    assert link_names(Config(links=links)) == ["fw.2", "fw.3", "o-o", "fw"]


def test_line_names_are_given_by_channel(tmp_path: Path) -> None:
    file = tmp_path / "names.toml"
    file.write_text('[[link]]\nurl = "vhost-user:/x"\nnames = { "0" = ["LED", "", "LED"] }\n')
    assert configs.load(str(file)).links[0].names == {"0": ("LED", "", "LED")}
    link = configs.link_from_flag('vhost-user:/x,names.1=LED+""+RESET', {})
    assert link.names == {"1": ("LED", "", "RESET")}


@pytest.mark.parametrize("names", ['{ "0" = "LED" }', '{ "0" = [1] }', '{ "0" = ["\\u0007"] }'])
def test_wrong_line_names_say_what_is_expected(tmp_path: Path, names: str) -> None:
    file = tmp_path / "names.toml"
    file.write_text(f'[[link]]\nurl = "vhost-user:/x"\nnames = {names}\n')
    with pytest.raises(ConfigError, match=r"names: expected .*line name"):
        configs.load(str(file))
