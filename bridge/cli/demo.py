# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge demo: firmware, service and client on this PC, end to end."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.bench.measure import percentile
from bridge.bench.rig import Rig, Serve
from bridge.cli.signals import ends_on_signals
from bridge.client.chip import Chip
from bridge.client.control import Connection
from bridge.client.edge_event import EdgeEvent
from bridge.client.line_settings import LineSettings
from bridge.line import Bias, Direction, Edge, Value

if TYPE_CHECKING:
    from firmware_stub import Stub
    from firmware_stub.emulated.lm3s6965 import Mcu
    from firmware_stub.emulated.rings import RingMcu

# Lines of controller 0 of firmware_stub/boards/demo.board, of which the firmware on rings has
# some at the same places, and of the Cortex-M port (_LED and _BUTTON_SELECT). They are
# offsets, since firmware without the NAMES extension has no names.
_LED_GREEN = 0
_LOOP_OUT = 4
_LOOP_IN = 5
_BUTTON_USER = 6
_LED = 0
_BUTTON_SELECT = 1

_PRESSES = 3
_ROUND_TRIPS = 2000
_EVENT_TIMEOUT_S = 20.0
_RECOVERY_S = 60.0

Say = Callable[[object], None]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@click.option(
    "--features", default="all", show_default=True, metavar="LIST",
    help="Extensions of the firmware: all, none, or a list such as config,names,tag,epoch.",
)  # fmt: skip
@click.option(
    "--dialect", default="rpmsg-gpio-padded", show_default=True,
    type=click.Choice(["rpmsg-gpio", "rpmsg-gpio-padded"]),
    help="Form of the firmware's messages.",
)  # fmt: skip
@click.option(
    "--mcu", is_flag=False, flag_value="serial", type=click.Choice(["serial", "rings"]),
    help="Run the firmware on a microcontroller in QEMU: a Cortex-M3 over its UART (serial, the "
    "default), or a RISC-V core over rings in shared memory (rings).",
)  # fmt: skip
def demo(as_json: bool, features: str, dialect: str, mcu: str | None) -> None:
    """Run firmware, service and client on this PC, no board needed.

    Starts the firmware on a simulated board and a service on it, both in a temporary
    directory, uses the lines as a program would, and ends within seconds.

    \b
      gpio-bridge demo
      gpio-bridge demo --json
      gpio-bridge demo --features none                  firmware for the in-kernel driver
      gpio-bridge demo --dialect rpmsg-gpio             as the posted driver is documented
      gpio-bridge demo --mcu                            needs qemu-system-arm and `make mcu`
      gpio-bridge demo --mcu=rings                      needs qemu-system-riscv64 and `make mcu`
    """
    ends_on_signals()
    say: Say = _silent
    show: Say = _silent
    if not as_json:
        from rich.console import Console

        console = Console(highlight=False)
        say, show = partial(console.print, soft_wrap=True), console.print
    started = time.monotonic()
    if mcu:
        if (features, dialect) != ("all", "rpmsg-gpio-padded"):
            raise click.UsageError("--mcu takes neither --features nor --dialect")
        result = _demo_mcu(say, show) if mcu == "serial" else _demo_rings(say, show)
    else:
        result = _demo_stub(features, dialect, say, show)
    result["seconds"] = round(time.monotonic() - started, 3)
    if as_json:
        print(json.dumps(result))
    else:
        say(f"\nDone in {result['seconds']:.1f} s; everything is stopped and removed.")


def _demo_stub(features: str, dialect: str, say: Say, show: Say) -> dict[str, Any]:
    """The firmware on the simulated board 'demo'."""
    with Rig(features, dialect) as rig:
        say(f"firmware-stub runs the board 'demo' on [bold]{rig.stub.url}[/bold]")
        say(f"gpio-bridge serve listens on [bold]{rig.serve.socket}[/bold]\n")
        result: dict[str, Any] = {"dialect": dialect, "features": features}
        result |= _tables(rig.serve.socket, show)
        with rig.chip() as chip:
            result["led"] = _led(chip, "LED_GREEN", _LED_GREEN, rig.stub.read, say)
            result["loop"] = _loop(chip, say)
            result["events"] = _button(chip, "BUTTON_USER", _BUTTON_USER, rig.stub, say)
            result["round_trip_us"] = _round_trips(chip, _LOOP_IN, say)
    return result


def _demo_mcu(say: Say, show: Say) -> dict[str, Any]:
    """The firmware of the Cortex-M port in QEMU, at the end of a serial line."""
    from firmware_stub.emulated.lm3s6965 import Mcu

    with Mcu() as mcu, _serving(mcu.url) as serve:
        say(f"QEMU runs the firmware of a Cortex-M3; its UART is [bold]{mcu.url}[/bold]")
        say(f"gpio-bridge serve listens on [bold]{serve.socket}[/bold]\n")
        names = serve.wait_for_chips(2)
        result = _tables(serve.socket, show)
        with Chip(f"{serve.socket}#{names[0]}") as chip:
            result["led"] = _led(chip, "LED", _LED, mcu.level, say)
            result["events"] = _button(chip, "BUTTON_SELECT", _BUTTON_SELECT, mcu, say)
            result["round_trip_us"] = _round_trips(chip, _BUTTON_SELECT, say)
    return result


def _demo_rings(say: Say, show: Say) -> dict[str, Any]:
    """The firmware on a RISC-V core in QEMU whose RAM is the service's rings."""
    from firmware_stub.emulated.rings import RingMcu

    with RingMcu() as mcu, _serving(mcu.url) as serve:
        say(f"QEMU runs firmware whose RAM is that of [bold]{mcu.url}[/bold]")
        say(f"gpio-bridge serve listens on [bold]{serve.socket}[/bold]\n")
        (name,) = serve.wait_for_chips(1)
        mcu.wait_attached()
        result = _tables(serve.socket, show)
        with Chip(f"{serve.socket}#{name}") as chip:
            result["led"] = _led(chip, "LED", _LED, mcu.level, say)
            result["events"] = _button(chip, "BUTTON", _BUTTON_USER, mcu, say)
            result["round_trip_us"] = _round_trips(chip, _LOOP_IN, say)
        say("\nQEMU is killed, as firmware that crashes:")
        result["recovery_s"] = _crash(mcu, serve, say)
    return result


@contextmanager
def _serving(url: str) -> Iterator[Serve]:
    """A service on a link, in a directory that is gone with it."""
    with (
        tempfile.TemporaryDirectory(prefix="gpio-bridge-") as directory,
        Serve(Path(directory), "--link", url) as serve,
    ):
        yield serve


def _crash(mcu: RingMcu, serve: Serve, say: Say) -> float:
    """Kill the machine; the service finds the firmware that starts instead."""
    before = {chip["epoch"] for chip in _chips(serve.socket)}
    began = time.monotonic()
    mcu.kill()
    while not {chip["epoch"] for chip in _chips(serve.socket)} - before:
        _check(time.monotonic() - began < _RECOVERY_S, "no firmware came after the crash")
        time.sleep(0.005)
    took = round(time.monotonic() - began, 3)
    say(f"new firmware, with another epoch, was served after {took:.2f} s")
    return took


def _silent(what: object) -> None:
    pass


def _check(good: bool, sentence: str) -> None:
    if not good:
        raise click.ClickException(f"the demo failed: {sentence}")


def _chips(socket: str) -> list[dict[str, Any]]:
    connection = Connection.open(socket)
    try:
        chips: list[dict[str, Any]] = connection.chips()
        return chips
    finally:
        connection.close()


def _lines(socket: str) -> list[dict[str, Any]]:
    lines = []
    for name in [chip["name"] for chip in _chips(socket)]:
        with Chip(f"{socket}#{name}") as chip:
            lines += [
                {
                    "chip": name,
                    "offset": line.offset,
                    "name": line.name,
                    "direction": line.direction.name.lower(),
                }
                for line in chip.get_all_line_info()
            ]
    return lines


def _tables(socket: str, show: Say) -> dict[str, Any]:
    """The chips and their lines, shown."""
    chips, lines = _chips(socket), _lines(socket)
    if show is not _silent:
        show(_chip_table(chips))
        show(_line_table(lines))
    return {"chips": chips, "lines": lines}


def _chip_table(chips: list[dict[str, Any]]) -> object:
    from rich.table import Table

    table = Table("chip", "label", "lines", "channel", "dialect", "extensions", title="Chips")
    for chip in chips:
        table.add_row(
            chip["name"],
            chip["label"],
            str(chip["num_lines"]),
            chip["channel"],
            chip["dialect"],
            " ".join(chip["features"]) or "none",
        )
    return table


def _line_table(lines: list[dict[str, Any]]) -> object:
    from rich.table import Table

    chips = list(dict.fromkeys(line["chip"] for line in lines))
    table = Table("offset", *chips, title="Lines")
    for offset in range(max(line["offset"] for line in lines) + 1):
        at = {line["chip"]: line for line in lines if line["offset"] == offset}
        table.add_row(
            str(offset),
            *(at[chip]["name"] or "[dim]unnamed[/dim]" if chip in at else "" for chip in chips),
        )
    return table


def _led(
    chip: Chip, name: str, line: int, read: Callable[[str], int], say: Say
) -> dict[str, list[int]]:
    """Toggle the LED; the board says what its pin does."""
    levels = []
    values = [Value.ACTIVE, Value.INACTIVE, Value.ACTIVE]
    with chip.request_lines(
        {line: LineSettings(direction=Direction.OUTPUT)}, consumer="demo"
    ) as led:
        for value in values:
            led.set_value(line, value)
            levels.append(read(name))
    say(f"\n[bold]{name}[/bold] (line {line}) set to 1, 0, 1; the pin was {levels}")
    _check(levels == [1, 0, 1], f"{name} was set to 1, 0, 1 and its pin was {levels}")
    return {"set": [1, 0, 1], "pin": levels}


def _loop(chip: Chip, say: Say) -> dict[str, list[int]]:
    """Drive an output that is wired to an input."""
    values = [1, 0, 1, 0]
    config = {
        _LOOP_OUT: LineSettings(direction=Direction.OUTPUT),
        _LOOP_IN: LineSettings(direction=Direction.INPUT),
    }
    read = []
    with chip.request_lines(config, consumer="demo") as loop:
        for value in values:
            loop.set_value(_LOOP_OUT, Value(value))
            read.append(loop.get_value(_LOOP_IN).value)
    say(
        f"[bold]LOOP_OUT[/bold] (line {_LOOP_OUT}) drove {values}; "
        f"[bold]LOOP_IN[/bold] (line {_LOOP_IN}), wired to it, read {read}"
    )
    _check(read == values, f"LOOP_OUT drove {values} and LOOP_IN read {read}")
    return {"out": values, "in": read}


def _button(
    chip: Chip, name: str, line: int, board: Stub | Mcu | RingMcu, say: Say
) -> dict[str, Any]:
    """Let the board press a button and watch the edges come in."""
    settings = LineSettings(edge_detection=Edge.BOTH, bias=Bias.PULL_UP, active_low=True)
    seen: list[EdgeEvent] = []
    say(f"[bold]{name}[/bold] (line {line}), pressed {_PRESSES} times by the board:")
    with chip.request_lines({line: settings}, consumer="demo") as button:
        for act in (board.press, board.release) * _PRESSES:
            board.wait_armed(name)
            act(name)
            _check(
                button.wait_edge_events(_EVENT_TIMEOUT_S),
                f"edge {len(seen) + 1} of the button did not arrive in {_EVENT_TIMEOUT_S:g} s",
            )
            for event in button.read_edge_events():
                seen.append(event)
                say(
                    f"  {event.timestamp_ns / 1e9:.6f} s  {event.event_type.name:12}  "
                    f"seqno {event.line_seqno}"
                )
    lost = 2 * _PRESSES - len(seen)
    kinds = [event.event_type.value for event in seen]
    _check(
        lost == 0 and kinds == [1, 2] * _PRESSES,
        f"the board made {2 * _PRESSES} edges, of which {len(seen)} arrived: {kinds}",
    )
    return {
        "count": len(seen),
        "lost": lost,
        "seen": [
            {
                "type": event.event_type.name.lower(),
                "timestamp_ns": event.timestamp_ns,
                "line_seqno": event.line_seqno,
            }
            for event in seen
        ],
    }


def _round_trips(chip: Chip, line: int, say: Say) -> dict[str, float]:
    """Time get_value(): client, service, firmware and back."""
    with chip.request_lines(
        {line: LineSettings(direction=Direction.INPUT)}, consumer="demo"
    ) as request:
        samples = []
        for _ in range(_ROUND_TRIPS):
            before = time.perf_counter_ns()
            request.get_value(line)
            samples.append(time.perf_counter_ns() - before)
    p50 = round(percentile(samples, 50) / 1000, 1)
    p99 = round(percentile(samples, 99) / 1000, 1)
    say(
        f"{_ROUND_TRIPS} round trips to the firmware: p50 [bold]{p50} us[/bold], "
        f"p99 [bold]{p99} us[/bold]"
    )
    return {"count": _ROUND_TRIPS, "p50": p50, "p99": p99}
