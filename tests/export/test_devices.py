# SPDX-License-Identifier: BSD-3-Clause
"""Lines as keys and LEDs: what is said where there are none. tests/kernel has the devices."""

from __future__ import annotations

import pytest

from bridge.bench.rig import Rig

from .test_gpiochip import status_until

KEYS = "uinput:/nowhere/uinput,chip=fw-0,lines=BUTTON_USER=KEY_POWER"
LEDS = "uleds:/nowhere/uleds,chip=fw-0,lines=LED_GREEN,fw-1:nope"


@pytest.mark.parametrize(
    ("export", "lines", "why"),
    [
        (KEYS, 1, '"/nowhere/uinput" does not exist'),
        (LEDS, 2, "/nowhere/uleds: No such file or directory"),
        (LEDS, 2, 'line nope of fw-1: chip fw-1 has no line "nope"'),
    ],
)
def test_without_the_device_the_status_says_so(export: str, lines: int, why: str) -> None:
    with Rig(arguments=("--export", export)) as rig:
        found = status_until(rig, why)
        assert (found["lines"], found["connected"]) == (lines, False)


def test_a_key_that_is_none_is_told() -> None:
    with (
        pytest.raises(OSError, match=r'"KEY_POWR" \(did you mean KEY_POWER\?\)'),
        Rig(arguments=("--export", "uinput:,chip=fw-0,lines=3=KEY_POWR")),
    ):
        pass
