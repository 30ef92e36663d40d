# SPDX-License-Identifier: BSD-3-Clause
"""How exports are configured."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.export.selection import ExportConfig, Pick, Place, make_unique, parse_pick
from bridge.service import config as configs

URL = "vhost-user-gpio:/run/g.sock"


@pytest.mark.parametrize(
    ("text", "pick"),
    [
        ("3", Pick("fw-0", 3)),
        ("LED", Pick("fw-0", "LED")),
        ("fw-1:3=door", Pick("fw-1", 3, "door")),
        ("fw-1:A-B", Pick("fw-1", "A-B")),
        ("fw-1:led one=the door", Pick("fw-1", "led one", "the door")),
        ("7J1 Header Pin22", Pick("fw-0", "7J1 Header Pin22")),
        ('"LED=1"', Pick("fw-0", "LED=1")),
        ('fw-1:"A=B"=C=D', Pick("fw-1", "A=B", "C=D")),
        ('fw-1:"3"', Pick("fw-1", "3")),
        ("fw-1:a:b", Pick("fw-1", "a:b")),
        ('"a:b"', Pick("fw-0", "a:b")),
        ("3=\u00dcnit", Pick("fw-0", 3, "\u00dcnit")),
    ],
)
def test_pick(text: str, pick: Pick) -> None:
    assert parse_pick(text, "fw-0") == pick


@pytest.mark.parametrize(
    "text", ["", "fw-1:", "3=", "3=a\tb", "3=" + 32 * "x", "=x", '"x', "a b:c"]
)
def test_bad_pick(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|a name has"):
        parse_pick(text, "fw-0")


def test_flag() -> None:
    assert configs.export_from_flag(f"{URL},chip=fw-0") == ExportConfig("/run/g.sock", "g", "fw-0")
    flag = f"{URL},lines=fw-0:LED_GREEN=led,fw-1:3=door,name=car,mode=0600"
    picks = (Pick("fw-0", "LED_GREEN", "led"), Pick("fw-1", 3, "door"))
    assert configs.export_from_flag(flag) == ExportConfig("/run/g.sock", "car", None, picks, 0o600)
    flag = f'{URL},chip=fw-0,lines=led one,"a,b"=two words'
    picks = (Pick("fw-0", "led one"), Pick("fw-0", "a,b", "two words"))
    assert configs.export_from_flag(flag).picks == picks


@pytest.mark.parametrize(
    ("flag", "complaint"),
    [
        ("/run/g.sock,chip=fw-0", "url: expected one of vhost-user-gpio:PATH"),
        (URL, "chip: missing"),
        (f"{URL},lines=3", "names no chip"),
        (f"{URL},chip=fw-0,lines=3,3", "chosen twice"),
        (f"{URL},chip=fw-0,lines=3=a,4=a", 'two lines are called "a"'),
        (f"{URL},chip=fw-0,mode=9", "permission bits"),
        (f"vhost-user-gpio:/{108 * 'x'},chip=fw-0", "107 bytes"),
        (f"{URL},chip=fw-0,debounce_ms=3", "debounce_ms: not of vhost-user-gpio"),
        ("gpiochip:dln2,chip=fw-0,mode=0600", "mode: not of gpiochip: it has no socket"),
        ("uleds:,chip=fw-0,lines=LED,debounce_ms=3", "only keys are debounced"),
        ("uinput:,chip=fw-0", "say which lines are to be keys"),
        ("uinput:,chip=fw-0,lines=BUTTON", "as in BUTTON=KEY_POWER"),
        ("uinput:,chip=fw-0,lines=3=KEY_A,active_low=no", "active_low: expected"),
        ("uleds:,chip=fw-0,lines=3", "3 is no name of a LED"),
        ("uleds:,chip=fw-0,lines=3=a/b", "a/b is no name of a LED"),
    ],
)
def test_bad_flag(flag: str, complaint: str) -> None:
    with pytest.raises(configs.ConfigError, match=complaint):
        configs.export_from_flag(flag)


def test_keys_are_debounced_as_by_gpio_keys() -> None:
    keys = configs.export_from_flag("uinput:,chip=fw-0,lines=3=KEY_A,active_low=true")
    assert (keys.name, keys.path, keys.active_low, keys.debounce_ms) == (
        *("fw-0-keys", "/dev/uinput"),
        *(True, 5),
    )
    leds = configs.export_from_flag("uleds:/tmp/uleds,lines=fw-0:LED")
    assert (leds.name, leds.path, leds.active_low) == ("leds", "/tmp/uleds", False)


def test_file(tmp_path: Path) -> None:
    path = tmp_path / "bridge.toml"
    path.write_text(
        f'[[export]]\nurl = "{URL}"\nlines = ["fw-0:1", "fw-1:LED=x"]\n'
        f'[[export]]\nurl = "{URL}2"\nchip = "fw-0"\nname = "h"\n'
    )
    one, other = configs.load(str(path)).exports
    assert one.picks == (Pick("fw-0", 1), Pick("fw-1", "LED", "x"))
    assert (other.path, other.chip, other.name) == ("/run/g.sock2", "fw-0", "h")


def test_names_stay_unique() -> None:
    places = [
        *(Place("fw-0", 0, "A", "A"), Place("fw-1", 0, "A", "A")),
        Place("fw-1", 1, "B", "C", given=True),
    ]
    make_unique(places)
    assert [place.name for place in places] == ["A", "fw-1:A", "C"]


def test_a_name_that_was_given_is_kept() -> None:
    """Whatever comes before it."""
    places = [
        *(Place("fw-0", 0, "A", "A"), Place("fw-0", 1, "B", "B"), Place("fw-1", 0, "B", "B")),
        *(Place("fw-1", 1, "X", "A", given=True), Place("fw-1", 2, "Y", "fw-1:B", given=True)),
    ]
    make_unique(places)
    assert [place.name for place in places] == ["fw-0:A", "B", None, "A", "fw-1:B"]


def test_two_exports_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "bridge.toml"
    path.write_text(2 * f'[[export]]\nurl = "{URL}"\nchip = "fw-0"\n')
    with pytest.raises(configs.ConfigError, match="two exports have the path"):
        configs.load(str(path))
