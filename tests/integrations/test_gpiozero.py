# SPDX-License-Identifier: BSD-3-Clause
"""gpiozero's devices on our lines, seen from the pins."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

gpiozero = pytest.importorskip("gpiozero")

import bridge  # noqa: E402
from bridge.integrations.gpiozero import BridgeFactory  # noqa: E402
from firmware_stub import Stub  # noqa: E402
from tests.processes import LATE_S  # noqa: E402

Eventually = Callable[[Callable[[], bool], str], None]


@pytest.fixture
def factory(socket_path: str) -> Iterator[BridgeFactory]:
    with BridgeFactory(socket_path) as made:
        yield made


def test_the_environment_names_the_factory(socket_path: str, stub: Stub) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-W", "error", "-c"),
            "from gpiozero import LED\n"
            "led = LED('rpmsg:LED_GREEN')\n"
            "led.on()\n"
            "print(led.value, led.pin)\n",
        ],
        env={
            **os.environ, "GPIO_BRIDGE_SOCKET": socket_path, "GPIOZERO_PIN_FACTORY": "rpmsg",
        },
        capture_output=True, text=True, timeout=LATE_S,
    )  # fmt: skip
    assert done.stdout == "1 rpmsg:LED_GREEN\n", done.stderr
    stub.wait_level("LED_GREEN", 0)  # its lines went with it


@pytest.mark.parametrize("name", ["rpmsg:LED_RED", "LED_RED", "fw-0/LED_RED", "fw-0/1"])
def test_led(factory: BridgeFactory, stub: Stub, name: str) -> None:
    with gpiozero.LED(name, pin_factory=factory) as led:
        led.on()
        assert stub.read("LED_RED") == 1
        led.toggle()
        assert stub.read("LED_RED") == 0
    assert stub.state("LED_RED").direction == "none"


def test_led_that_starts_lit_never_goes_dark_first(factory: BridgeFactory, stub: Stub) -> None:
    before = stub.count("LED_GREEN").edges
    with gpiozero.LED("LED_GREEN", initial_value=True, pin_factory=factory):
        assert stub.count("LED_GREEN").edges == before + 1


def test_led_blinks(factory: BridgeFactory, stub: Stub) -> None:
    before = stub.count("LED_GREEN").edges
    with gpiozero.LED("LED_GREEN", pin_factory=factory) as led:
        led.blink(on_time=0.01, off_time=0.01, n=3, background=False)
        assert stub.count("LED_GREEN").edges == before + 6


def test_button_calls_when_pressed_and_released(factory: BridgeFactory, stub: Stub) -> None:
    heard: list[str] = []
    released = threading.Event()
    with gpiozero.Button("BUTTON_USER", pin_factory=factory) as button:
        button.when_pressed = lambda: heard.append("pressed")
        button.when_released = lambda: (heard.append("released"), released.set())
        stub.wait_armed("BUTTON_USER")
        stub.press("BUTTON_USER")
        assert button.wait_for_press(30)
        assert button.is_pressed
        stub.release("BUTTON_USER")
        assert released.wait(30)
    assert heard == ["pressed", "released"]
    assert stub.state("BUTTON_USER").irq == "none"


def test_a_function_that_fails_is_told_and_the_next_edge_heard(
    factory: BridgeFactory, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda what: told.append(str(what.exc_value)))
    released = threading.Event()

    def fail() -> None:
        raise RuntimeError("of the user's")

    with gpiozero.Button("BUTTON_USER", pin_factory=factory) as button:
        button.when_pressed = fail
        button.when_released = released.set
        stub.wait_armed("BUTTON_USER")
        stub.press("BUTTON_USER")
        assert button.wait_for_press(30)
        stub.release("BUTTON_USER")
        assert released.wait(30)
    assert told == ["of the user's"]


def test_button_that_bounces_is_pressed_once(factory: BridgeFactory) -> None:
    heard: list[str] = []
    released = threading.Event()
    with (
        Stub("demo", step=True) as board,
        gpiozero.Button(
            f"{board.url}/BUTTON_USER", bounce_time=0.02, pin_factory=factory
        ) as button,
    ):
        button.when_pressed = lambda: heard.append("pressed")
        button.when_released = released.set
        board.wait_armed("BUTTON_USER")
        board.press("BUTTON_USER")
        board.advance(0.05)
        assert button.wait_for_press(30)
        board.pulse("BUTTON_USER", 3, 5000)  # shorter than the filter
        board.advance(0.01)
        board.release("BUTTON_USER")
        board.advance(0.05)
        assert released.wait(30)
        assert board.count("BUTTON_USER").edges >= 8
    assert heard == ["pressed"]


def test_an_output_follows_an_input(
    factory: BridgeFactory, stub: Stub, eventually: Eventually
) -> None:
    with (
        gpiozero.LED("LED_BLUE", pin_factory=factory) as led,
        gpiozero.Button("BUTTON_USER", pin_factory=factory) as button,
    ):
        led.source = button
        stub.press("BUTTON_USER")
        stub.wait_level("LED_BLUE", 1, 30)
        stub.release("BUTTON_USER")
        stub.wait_level("LED_BLUE", 0, 30)


def test_dimmed_led(factory: BridgeFactory, stub: Stub) -> None:
    with gpiozero.PWMLED("LED_GREEN", frequency=200, pin_factory=factory) as led:
        led.value = 0.5
        stub.wait_edges("LED_GREEN", stub.count("LED_GREEN").edges + 10, 30)
        assert led.value == 0.5
        led.on()
        stub.wait_level("LED_GREEN", 1, 30)
        led.off()
        stub.wait_level("LED_GREEN", 0, 30)
    assert stub.read("LED_GREEN") == 0


def test_a_pin_belongs_to_one_device(factory: BridgeFactory) -> None:
    with (
        gpiozero.LED("LED_GREEN", pin_factory=factory),
        pytest.raises(gpiozero.GPIOPinInUse, match="LED_GREEN"),
    ):
        gpiozero.LED("fw-0/0", pin_factory=factory)


def test_a_line_of_another_program_says_whose_it_is(
    factory: BridgeFactory, chip: bridge.Chip
) -> None:
    with (
        chip.request_lines({"LED_GREEN": None}, consumer="somebody"),
        pytest.raises(gpiozero.GPIOPinInUse, match='is held by "somebody"'),
    ):
        gpiozero.LED("LED_GREEN", pin_factory=factory)
    gpiozero.LED("LED_GREEN", pin_factory=factory).close()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("LED_GREN", "no chip has a line 'LED_GREN'"),
        ("fw-0/NOTHING", "NOTHING"),
        ("fw-0/99", "99"),
        ("fw-9/LED_GREEN", "fw-9"),
        (5, "no chip has a line '5'"),
    ],
)
def test_a_line_that_is_not_there(factory: BridgeFactory, name: str, sentence: str) -> None:
    with pytest.raises(gpiozero.PinInvalidPin, match=sentence):
        gpiozero.LED(name, pin_factory=factory)


def test_an_input_cannot_be_set(factory: BridgeFactory) -> None:
    pin = factory.pin("DIP_0")
    pin.function = "input"
    with pytest.raises(gpiozero.PinSetInput):
        pin.state = True
    with pytest.raises(gpiozero.PinInvalidFunction):
        pin.function = "spi"
    with pytest.raises(gpiozero.PinInvalidPull):
        pin.pull = "sideways"
    with pytest.raises(gpiozero.PinPWMFixedValue):
        pin.frequency = 100
    pin.close()


def test_a_closed_pin_takes_no_line(factory: BridgeFactory, chip: bridge.Chip) -> None:
    pin = factory.pin("DIP_0")
    pin.function = "input"
    pin.close()
    with pytest.raises(gpiozero.DeviceClosed, match="rpmsg:DIP_0 is closed"):
        pin.state  # noqa: B018 - a thread of gpiozero's may be late
    assert not chip.get_line_info("DIP_0").used
    with factory.pin("DIP_0") as again:
        assert again.state == 1


def test_a_pin_that_floats_has_no_pull(factory: BridgeFactory) -> None:
    with (
        Stub("loopback") as board,
        factory.pin(f"{board.url}/OUT_0") as one,
        factory.pin(f"{board.url}/IN_0") as other,  # a wire joins them
    ):
        other.input_with_pull("down")
        assert (other.pull, other.state) == ("down", 0)
        other.pull = "floating"
        one.input_with_pull("up")
        assert (one.state, other.state) == (1, 1)
        assert (one.pull, other.pull) == ("up", "floating")
        one.pull = "down"
        assert (one.state, other.state) == (0, 0)


def test_closing_the_factory_frees_all_lines(socket_path: str, chip: bridge.Chip) -> None:
    factory = BridgeFactory(socket_path)
    led = gpiozero.LED("LED_GREEN", pin_factory=factory)
    button = gpiozero.Button("BUTTON_USER", pin_factory=factory)
    factory.close()
    assert not any(info.used for info in chip.get_all_line_info())
    button.close()
    led.close()
