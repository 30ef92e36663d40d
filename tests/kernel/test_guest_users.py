# SPDX-License-Identifier: BSD-3-Clause
"""What stands on GPIO lines in a guest: gpio-keys, leds-gpio, the gpiod package."""

from __future__ import annotations

import fcntl
import os
import select
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from bridge.bench.rig import Rig

from .devicetree import flatten
from .gpio_bed import GPIO, Bed, board, chip
from .guest import Guest
from .uml import Machine

LED, LED_LOW, LOOP_OUT, LOOP_IN, LEVEL = range(5)
NAMES = ["LED_GREEN", "LED_RED", "LOOP_OUT", "LOOP_IN", "SENSOR_IRQ"]

KEY, LEVEL_KEY = 28, 57  # KEY_ENTER, KEY_SPACE
LEVEL_HIGH = 4  # IRQ_TYPE_LEVEL_HIGH of the device tree's bindings
HOLD_MS = 30

_EVENT = struct.Struct("@llHHi")  # input_event: time, type, code, value
_EV_KEY = 1
_KEYS = 96  # bytes of a bit for each key
_EVIOCGKEY = 2 << 30 | _KEYS << 16 | ord("E") << 8 | 0x18  # linux/input.h

Start = Callable[..., Bed]


@pytest.fixture
def start(kernel: Path, tmp_path: Path) -> Iterator[Start]:
    """Start a board, a service that exports lines, and a kernel with the device."""
    with ExitStack() as stack:

        def start(lines: str, tree: bool = False, features: str = "all", name: str = "demo") -> Bed:
            path = tmp_path / "guest.sock"
            arguments = ("-v", "--export", f"vhost-user-gpio:{path},{lines}")
            rig = stack.enter_context(Rig(features, board=name, arguments=arguments))
            parameter = f"virtio_uml.device={path}:{GPIO}"
            if tree:
                blob = tmp_path / "guest.dtb"
                blob.write_bytes(flatten(device_tree(path)))
                parameter = f"dtb={blob}"
            return Bed(Machine(kernel, (), (parameter,)), rig)

        yield start


def device_tree(path: Path) -> dict[str, object]:
    """The exported chip with two LEDs and two keys, one of them on a level interrupt."""
    chip = {
        "compatible": "virtio,device29",
        "phandle": 1,
        "gpio-controller": None,
        "#gpio-cells": 2,
        "interrupt-controller": None,
        "#interrupt-cells": 2,
    }
    return {
        "compatible": "rpmsg-gpio-bridge,test",
        "#address-cells": 1,
        "#size-cells": 1,
        "device": {
            "compatible": "virtio,uml",
            "virtio-device-id": GPIO,
            "socket-path": str(path),
            "gpio": chip,
        },
        "leds": {
            "compatible": "gpio-leds",
            "high": {"label": "board:high", "gpios": [1, LED, 0]},
            "low": {"label": "board:low", "gpios": [1, LED_LOW, 1], "default-state": "on"},
        },
        "keys": {
            "compatible": "gpio-keys",
            "edges": {"label": "edges", "linux,code": KEY, "gpios": [1, LOOP_IN, 0]},
            "level": {
                "label": "level",
                "linux,code": LEVEL_KEY,
                "interrupts-extended": [1, LEVEL, LEVEL_HIGH],
                "debounce-interval": HOLD_MS,
            },
        },
    }


# ---- inside -----------------------------------------------------------------------


def leds(guest: Guest) -> None:
    folder = Path("/sys/class/leds")
    guest.until(lambda: board(guest, "read LED_RED") == "0", "the LED that begins lit, active-low")
    assert "direction out" in board(guest, "state LED_RED")
    for brightness in "101":
        (folder / "board:high/brightness").write_text(brightness)
        guest.until(
            lambda level=brightness: board(guest, "read LED_GREEN") == level,
            "the LED as set",
        )
        (folder / "board:low/brightness").write_text(brightness)
        guest.until(
            lambda level=brightness: board(guest, "read LED_RED") != level,
            "the active-low LED as set",
        )
    # Power-off breaks virtio devices before it puts LEDs out: a request that was not answered by
    # then would never end, nor would the power-off.
    Path("/sys/bus/platform/drivers/leds-gpio/unbind").write_text("leds")
    for name in ("LED_GREEN", "LED_RED"):
        assert "direction none" in board(guest, f"state {name}")


class Keys:
    """The input device of gpio-keys."""

    def __init__(self, guest: Guest) -> None:
        path = Path("/dev/input/event0")
        guest.until(path.exists, "the input device")
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def next(self, timeout_s: float = 30.0) -> tuple[int, int] | None:
        """(code, 1 pressed or 0 released), None when nothing comes."""
        while select.select([self._fd], [], [], timeout_s)[0]:
            _, _, kind, code, value = _EVENT.unpack(os.read(self._fd, _EVENT.size))
            if kind == _EV_KEY:
                return code, value
        return None

    def down(self, code: int) -> bool:
        """Whether the key is pressed now."""
        keys = bytearray(_KEYS)
        fcntl.ioctl(self._fd, _EVIOCGKEY, keys)
        return bool(keys[code // 8] >> code % 8 & 1)

    def forget(self) -> None:
        """Read what has come so far."""
        while self.next(0):
            pass


def edge_keys(guest: Guest) -> None:
    keys = Keys(guest)
    for level in (1, 0, 1, 0):
        board(guest, "wait-armed LOOP_IN")
        board(guest, f"drive LOOP_IN {level}")
        assert keys.next() == (KEY, level)


def interrupts(name: str) -> int:
    """How many there were so far (proc_interrupts(5))."""
    for line in Path("/proc/interrupts").read_text().splitlines():
        if line.split()[-1:] == [name]:
            return int(line.split()[1])
    raise AssertionError(f"no interrupt {name}")


def level_keys(guest: Guest) -> None:
    """One interrupt after the other for as long as the level lasts, and none after it."""
    keys = Keys(guest)
    assert "irq level-high" in board(guest, "state SENSOR_IRQ")
    for _ in range(3):
        before = interrupts("level")
        board(guest, "drive SENSOR_IRQ 1")
        assert keys.next() == (LEVEL_KEY, 1)
        guest.until(lambda before=before: interrupts("level") >= before + 10, "interrupts")
        board(guest, "drive SENSOR_IRQ 0")
        board(guest, "wait-armed SENSOR_IRQ")  # and so the last one was handled
        last = interrupts("level")
        # Where the machine stood still meanwhile, the key counts as released and pressed again.
        guest.until(lambda: not keys.down(LEVEL_KEY), "the release")
        keys.forget()
        assert interrupts("level") == last


def gpiod_package(guest: Guest) -> None:
    import gpiod
    from gpiod.line import Direction, Edge, Value

    path = f"/dev/{chip()}"
    assert gpiod.is_gpiochip_device(path)
    with gpiod.Chip(path) as opened:
        assert opened.get_info().num_lines == len(NAMES)
        assert [opened.get_line_info(n).name for n in range(len(NAMES))] == NAMES
        assert opened.line_offset_from_id("LOOP_IN") == LOOP_IN
        outputs = gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value.ACTIVE)
        inputs = gpiod.LineSettings(edge_detection=Edge.BOTH)
        with opened.request_lines(
            {(LED, LOOP_OUT): outputs, LOOP_IN: inputs}, consumer="package"
        ) as lines:
            assert opened.get_line_info("LED_GREEN").consumer == "package"
            assert board(guest, "read LED_GREEN") == "1"
            assert lines.get_value(LOOP_IN) is Value.ACTIVE
            for level in (Value.INACTIVE, Value.ACTIVE, Value.INACTIVE):
                board(guest, "wait-armed LOOP_IN")
                lines.set_values({LOOP_OUT: level, LED: level})
                assert lines.get_values([LED, LOOP_IN]) == [level, level]
                assert lines.wait_edge_events(timedelta(seconds=30))
                (event,) = lines.read_edge_events()
                rising = event.event_type is gpiod.EdgeEvent.Type.RISING_EDGE
                assert (event.line_offset, rising) == (LOOP_IN, level is Value.ACTIVE)
            lines.reconfigure_lines(
                {
                    LED: gpiod.LineSettings(direction=Direction.INPUT),
                    LOOP_OUT: gpiod.LineSettings(
                        direction=Direction.OUTPUT, active_low=True, output_value=Value.ACTIVE
                    ),
                    LOOP_IN: gpiod.LineSettings(direction=Direction.INPUT),
                }
            )
            assert "direction in" in board(guest, "state LED_GREEN")
            assert "irq none" in board(guest, "state LOOP_IN")
            assert board(guest, "read LOOP_IN") == "0"
    guest.until(lambda: "direction none" in board(guest, "state LOOP_OUT"), "the line's release")


def many_edge_lines(guest: Guest, controllers: int, each: int) -> None:
    """Interrupts on every line of a chip that is made of many controllers."""
    import gpiod
    from gpiod.line import Direction, Edge, Value

    count = controllers * each
    settings = gpiod.LineSettings(direction=Direction.INPUT, edge_detection=Edge.BOTH)
    with gpiod.Chip(f"/dev/{chip()}") as opened, ExitStack() as stack:
        assert opened.get_info().num_lines == count
        requests = {}
        for first in range(0, count, 64):
            offsets = tuple(range(first, min(first + 64, count)))
            requests[first] = stack.enter_context(opened.request_lines({offsets: settings}))
        for offset in range(count):
            # Line 0 of each controller is wired to its line 1.
            controller, line = divmod(offset, each)
            if line == 1:
                continue
            board(guest, f"wait-armed {controller}/{line}")
            board(guest, f"drive {controller}/{line} 1")
            request = requests[offset - offset % 64]
            wanted = {offset, offset + 1} if line == 0 else {offset}
            while wanted:
                assert request.wait_edge_events(timedelta(seconds=30)), wanted
                wanted -= {event.line_offset for event in request.read_edge_events()}
        assert all(
            request.get_values() == [Value.ACTIVE] * len(request.offsets)
            for request in requests.values()
        )


# ---- the tests ----------------------------------------------------------------------

_LINES = "chip=fw-0,lines=" + ",".join(NAMES)


@pytest.mark.parametrize("features", ["all", "none"])
@pytest.mark.parametrize("inside", [leds, edge_keys, level_keys], ids=lambda it: it.__name__)
def test_drivers(start: Start, inside: Callable[..., None], features: str) -> None:
    lines = _LINES
    if features == "none":  # which tells no names
        named = zip((0, 1, 4, 5, 8), NAMES, strict=True)
        lines = "chip=fw-0,lines=" + ",".join(f"{n}={name}" for n, name in named)
    start(lines, tree=True, features=features).run(inside)


def test_gpiod_package(start: Start) -> None:
    start(_LINES).run(gpiod_package)


def test_more_edge_lines_than_pairs_of_descriptors(start: Start) -> None:
    """UML has 256 descriptors: 128 lines without indirect ones."""
    controllers, each = 6, 32
    lines = ",".join(
        f"fw-{controller}:{line}={controller}-{line}"
        for controller in range(controllers)
        for line in range(each)
    )
    start(f"lines={lines}", name="scale").run(many_edge_lines, controllers, each)
