# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge bench serial: its figures, and that they are not made up."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bridge.bench.serial import wire_us
from bridge.conformance.wait import Wait
from bridge.conformance.wire import Wire
from bridge.shim.ffi import ffi, lib
from firmware_stub import Stub

GETS = 20


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bridge.cli", "bench", "serial", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=500,
    )


@pytest.mark.parametrize("baud", [19200, 115200])
def test_a_get_costs_its_bytes_and_more(baud: int) -> None:
    """How much longer it takes is measured on a quiet machine, not by a test."""
    told = bench("--json", "--seconds", "0.5", "--baud", str(baud))
    assert told.returncode == 0, told.stderr
    result = json.loads(told.stdout)
    assert result["wire_us"] == round(wire_us(baud), 1)
    assert result["ratio"] >= 1
    assert result["ratio"] == pytest.approx(result["get_p50_us"] / result["wire_us"], abs=0.01)
    assert result["rounds"] > 0


def test_the_table() -> None:
    told = bench("--seconds", "0.1")
    assert "at most 1.5 at 115200" in told.stdout, told.stderr


def test_the_time_on_the_wire_is_that_of_the_bytes_the_link_counted() -> None:
    """There are 19 gaps between 20 requests in extended form, and no other frame."""
    with Stub("demo", transport="serial", features="tag") as stub:
        wire = Wire(f"{stub.serial_url}&ack=5000&retry=10000&dead=60000")
        try:
            exchange(wire, b"\x01\x80" + bytes(2) + b"\x04" + bytes(3))  # SET_FEATURES: TAG
            before = counted(wire)
            for tag in range(GETS):
                exchange(wire, b"\x04\0\x05\0" + bytes(4) + tag.to_bytes(2, "little") + bytes(2))
            took = counted(wire) - before
        finally:
            wire.close()
    # With 10 bits a byte, us at 10 Mbit/s are bytes.
    assert took == GETS * wire_us(10_000_000)


def exchange(wire: Wire, message: bytes) -> None:
    wire.send(message, Wait(30))
    assert wire.receive(Wait(30)) is not None


def counted(wire: Wire) -> int:
    counters = ffi.new("struct gb_serial_counters *")
    lib.gb_serial_count(wire._link._handle, counters)
    return int(counters.bytes_sent + counters.bytes_received)
