# SPDX-License-Identifier: BSD-3-Clause
"""Our drivers in jumpstarter's exporter, over TCP: a lab that is one yaml."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from bridge import as_gpiod
from tests import labs
from tests.integrations.programs import Program, free_port

ROOT = Path(__file__).resolve().parents[2]

_STOCK = """
  stock:
    type: jumpstarter_driver_gpiod.driver.DigitalOutput
    config:
      device: vhost-user:/tmp/jumpstarter-board.sock#0
      line: 1
"""
_SESSION = """
import subprocess, sys, threading
from jumpstarter.utils.env import env

with env() as lab:
    lab.led.on()
    print("led", lab.led.get(), lab.board.command("read LED_GREEN"))
    lab.led.off()
    print("led", lab.led.get(), lab.board.command("read LED_GREEN"))
    lab.stock.on()
    print("stock", lab.board.command("read LED_RED"))

    print("button", lab.button.get())
    heard = []
    def listen():
        edges = lab.button.edges()
        for _ in range(2):
            heard.append(next(edges))
    listener = threading.Thread(target=listen)
    listener.start()
    lab.board.command("wait-armed BUTTON_USER timeout 60s")
    lab.board.command("press BUTTON_USER")
    lab.board.command("release BUTTON_USER")
    listener.join()
    print("edges", [(edge.rising, edge.seqno) for edge in heard])
    print("in order", heard[0].timestamp_ns < heard[1].timestamp_ns)

    for _ in range(100):
        lab.led.on()
        lab.led.off()
    print("sets", lab.board.command("count LED_GREEN").split()[1])
    lab.board.command("restart")
    lab.led.on()
    print("restarted", lab.board.command("read LED_GREEN"))
    try:
        lab.board.command("press NOTHING")
    except Exception as error:
        print("refused", "NOTHING" in str(error))
subprocess.run([sys.executable, "-m", "jumpstarter_cli.j", "led", "get"], check=True)
"""


def test_a_lab_without_hardware(tmp_path_factory: pytest.TempPathFactory) -> None:
    environment = labs.need("jumpstarter", "jumpstarter_cli", "jumpstarter_driver_gpiod")
    directory = tmp_path_factory.mktemp("j")
    text = (ROOT / "examples/jumpstarter/exporter.yaml").read_text() + _STOCK
    (directory / "exporter.yaml").write_text(text.replace("/tmp/jumpstarter-", f"{directory}/"))
    (directory / "session.py").write_text(_SESSION)
    at = f"127.0.0.1:{free_port()}"
    cli = (sys.executable, "-m", "jumpstarter_cli")
    exporter = Program(
        [
            *(*cli, "run", "--exporter-config", "exporter.yaml"),
            *("--tls-grpc-listener", at, "--tls-grpc-insecure"),
        ],
        "Session server started",
        directory,
        as_gpiod.environment(environ=environment),
    )
    try:
        exporter.ready()
        done = subprocess.run(
            [
                *(*cli, "shell", "--tls-grpc", at, "--tls-grpc-insecure", "--"),
                *(sys.executable, "session.py"),
            ],
            cwd=directory, env=environment, text=True, timeout=300,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    finally:
        exporter.stop()
    said = [line for line in done.stdout.splitlines() if line.split(" ")[0] in _WANTED]
    assert said == [f"{word} {rest}" for word, rests in _WANTED.items() for rest in rests], (
        f"{done.stdout}\n{exporter.log[-3000:]}"
    )
    assert done.stdout.rstrip().endswith("\n1"), done.stdout  # j led get


_WANTED = {
    "led": ["True 1", "False 0"],
    "stock": ["1"],
    "button": ["False"],
    "edges": ["[(True, 1), (False, 2)]"],
    "in": ["order True"],
    "sets": ["202"],
    "restarted": ["1"],
    "refused": ["True"],
}


def test_jumpstarter_finds_the_drivers_by_their_entry_points() -> None:
    found = {point.name: point.value for point in entry_points(group="jumpstarter.drivers")}
    module = "bridge.integrations.jumpstarter.driver"
    for name in ("Board", "Input", "Output"):
        assert found[f"GPIOBridge{name}"] == f"{module}:{name}"
