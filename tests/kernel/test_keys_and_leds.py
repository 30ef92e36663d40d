# SPDX-License-Identifier: BSD-3-Clause
"""Lines as keys and LEDs of this Linux, by uinput and uleds."""

from __future__ import annotations

import contextlib
import select
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import evdev
from evdev import ecodes

from bridge.bench.rig import Rig
from bridge.client.control import Connection

from .guest import Guest
from .uml import in_kernel

LATE_S = 60.0
KEYS = "uinput:,chip=fw-0,lines=BUTTON_USER=KEY_ENTER,BUTTON_POWER=KEY_POWER,active_low=true"
SWITCH = "uinput:,name=door,lines=fw-1:DOOR_SWITCH=SW_LID,debounce_ms=0"
LEDS = "uleds:,chip=fw-0,lines=LED_GREEN=m4:green:status,LED_RED"


@contextlib.contextmanager
def exported(guest: Guest, *exports: str) -> Iterator[Rig]:
    """The demo board, and a service with these exports."""
    arguments = [word for export in exports for word in ("--export", export)]
    with Rig(arguments=tuple(arguments)) as rig:
        try:
            yield rig
        finally:
            guest.say(rig.serve.log)


def status_of(rig: Rig, number: int) -> dict[str, Any]:
    connection = Connection.open(rig.serve.socket)
    try:
        return dict(connection.call("status")["exports"][number])
    finally:
        connection.close()


def ready(guest: Guest, rig: Rig, number: int = 0) -> dict[str, Any]:
    """The status of an export once its device and all its lines are there."""

    def there() -> dict[str, Any] | None:
        found = status_of(rig, number)
        return found if found["connected"] and not found["waiting_for"] else None

    return dict(guest.until(there, f"export {number} is ready"))


class Device:
    """An input device, as a program that reads it sees it."""

    def __init__(self, path: str) -> None:
        self.device = evdev.InputDevice(path)

    def next(self) -> tuple[str, int]:
        """The next key or switch: name of its code, and value."""
        while True:
            event = self.device.read_one()
            if event is None:
                assert select.select([self.device.fd], [], [], LATE_S)[0], "no event"
            elif event.type in (ecodes.EV_KEY, ecodes.EV_SW):
                return str(ecodes.bytype[event.type][event.code]), event.value


@in_kernel()
def test_buttons_are_keys(guest: Guest) -> None:
    with exported(guest, KEYS, SWITCH) as rig:
        keys, door = Device(ready(guest, rig)["path"]), Device(ready(guest, rig, 1)["path"])
        assert (keys.device.name, keys.device.phys) == ("fw-0-keys", "uinput:fw-0-keys")
        rig.stub.press("BUTTON_USER")
        assert keys.next() == ("KEY_ENTER", 1)
        rig.stub.press("BUTTON_POWER")  # it bounces
        assert keys.next() == ("KEY_POWER", 1)
        rig.stub.release("BUTTON_USER")
        assert keys.next() == ("KEY_ENTER", 0)
        rig.stub.press("DOOR_SWITCH")
        assert door.next() == ("SW_LID", 1)
        # The firmware is gone: nobody holds a key that was pressed.
        rig.stub.kill()
        assert keys.next() == ("KEY_POWER", 0)
        rig.stub.start()
        rig.stub.press("BUTTON_USER")
        assert keys.next() == ("KEY_ENTER", 1)
        with rig.chip() as chip:
            assert chip.get_line_info("BUTTON_USER").consumer == "uinput:fw-0-keys"
        # A key that is pressed already when the service begins is pressed.
        rig.serve.stop()
        rig.serve.__enter__()
        keys = Device(ready(guest, rig)["path"])
        assert keys.device.active_keys() == [ecodes.KEY_ENTER]


@in_kernel()
def test_lines_are_leds(guest: Guest) -> None:
    with exported(guest, LEDS) as rig:
        assert ready(guest, rig)["path"] == (
            "/sys/class/leds/m4:green:status, /sys/class/leds/LED_RED"
        )
        green = Path("/sys/class/leds/m4:green:status")
        assert (green / "max_brightness").read_text() == "1\n"
        (green / "brightness").write_text("1")
        rig.stub.wait_level("LED_GREEN", 1, LATE_S)
        # It is as before when the firmware is back.
        rig.stub.kill()
        rig.stub.start()
        rig.stub.wait_level("LED_GREEN", 1, LATE_S)
        (green / "brightness").write_text("0")
        rig.stub.wait_level("LED_GREEN", 0, LATE_S)
        # What blinks is the kernel's affair.
        (green / "trigger").write_text("timer")
        for level in (1, 0, 1, 0):
            rig.stub.wait_level("LED_GREEN", level, LATE_S)
