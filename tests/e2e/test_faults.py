# SPDX-License-Identifier: BSD-3-Clause
"""Messages are dropped, duplicated, delayed and damaged: answers fail, none is wrong."""

from __future__ import annotations

import errno
import random
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest

import bridge as gpiod
from bridge.bench.rig import Rig
from bridge.line import Bias, Direction, Edge, Value
from firmware_stub import Stub

BOARD = """
controller 0 label "faults" lines 24
line 0/0 OUT_A
""" + "".join(f"wire 0/{n} 0/{n + 8}\n" for n in range(8))
OUTPUTS, INPUTS = tuple(range(8)), tuple(range(8, 16))
SENSORS = (16, 17)
SIGNAL = 18
RECORD = struct.Struct("=QIIII24x")

TIMEOUT_MS, DELAY_MS_MAX = 500, 300
ROUNDS = 60
# An operation may fail like this while messages are damaged, but never give a wrong answer.
FAILURES = {errno.ETIMEDOUT, errno.EIO, errno.EPROTO, errno.EBUSY}

STREAMS = "config,names,tag,epoch,credits,timestamp,bulk,line-config"
UNTAGGED = "config,names,credits,timestamp,bulk"


class Board:
    """What the test knows of the truth."""

    def __init__(self, stub: Stub, dice: random.Random) -> None:
        self.stub = stub
        self.dice = dice
        self.seen: dict[int, list[tuple[int, int, int]]] = {line: [] for line in SENSORS}

    def hurt(self, kinds: tuple[str, ...]) -> None:
        """Inject a fault of one of `kinds`."""
        kind, way = self.dice.choice(kinds).split("-")
        count = self.dice.randint(1, 20 if kind == "corrupt" else 4)
        words = [way, count]
        if kind == "delay":
            # The delay is less than the deadline for requests: a request that arrives after its
            # sender gave up is the one thing that no driver can take back.
            words.append(f"{self.dice.choice((5, 50) if way == 'rx' else (5, 50, DELAY_MS_MAX))}ms")
        self.stub.fault(kind, *words)

    def read(self, request: gpiod.LineRequest) -> None:
        """Check and keep the events that wait."""
        while request.wait_edge_events(0):
            for stamp, kind, line, seqno, line_seqno in RECORD.iter_unpack(
                request.read_edge_event_array()
            ):
                assert line in SENSORS, f"event of line {line}"
                seen = self.seen[line]
                assert kind in (1, 2)
                assert stamp <= time.monotonic_ns()
                if seen:
                    last_stamp, last_kind, last_number = seen[-1]
                    assert stamp >= last_stamp, "time runs backwards"
                    assert line_seqno > last_number
                    assert line_seqno > last_number + 1 or kind != last_kind, "a wrong edge"
                assert seqno >= line_seqno
                seen.append((stamp, kind, line_seqno))

    def settle(self) -> None:
        """Wait until no message is on its way any more that was delayed.

        The stub does due work in the order of time.
        """
        level = 1 - self.stub.read(f"0/{SIGNAL}")
        self.stub.command(f"at {DELAY_MS_MAX + 1}ms drive 0/{SIGNAL} {level}")
        self.stub.wait_level(f"0/{SIGNAL}", level)


def attempt(operation: Callable[[], Any]) -> bool:
    """Do it and return whether it succeeded. It may fail only in a way that is reported."""
    try:
        operation()
    except OSError as failure:
        assert failure.errno in FAILURES, failure
        return False
    return True


def insist(operation: Callable[[], Any]) -> None:
    """Do it until it succeeds: on a busy host the firmware may seem to be silent."""
    deadline = time.monotonic() + 60
    while not attempt(operation):
        assert time.monotonic() < deadline, "requests fail for good"


def request(chip: gpiod.Chip, config: dict[Any, gpiod.LineSettings]) -> gpiod.LineRequest:
    """Lines of a chip."""
    made: list[gpiod.LineRequest] = []
    insist(lambda: made.append(chip.request_lines(config, event_buffer_size=64)))
    return made[0]


def levels(stub: Stub) -> list[int]:
    """The pins of the outputs, as they are."""
    return [stub.read(f"0/{line}") for line in OUTPUTS]


MIXES = {
    "all": (
        STREAMS,
        ("drop-rx", "drop-tx", "duplicate-rx", "duplicate-tx", "delay-rx", "delay-tx",
         "corrupt-rx", "corrupt-tx"),
    ),
    "untagged": (UNTAGGED, ("drop-tx", "corrupt-tx", "corrupt-rx")),
}  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("mix", list(MIXES))
def test_no_answer_is_wrong(mix: str, seed: int) -> None:
    features, kinds = MIXES[mix]
    rig = Rig(board=BOARD, features=features, arguments=("--timeout-ms", str(TIMEOUT_MS)))
    with rig, rig.chip() as chip:
        board = Board(rig.stub, random.Random(seed))
        _run(board, chip, kinds)


def _run(board: Board, chip: gpiod.Chip, kinds: tuple[str, ...]) -> None:
    stub, dice = board.stub, board.dice
    config = {
        OUTPUTS: gpiod.LineSettings(direction=Direction.OUTPUT),
        INPUTS: gpiod.LineSettings(direction=Direction.INPUT),
    }
    edges = gpiod.LineSettings(edge_detection=Edge.BOTH, bias=Bias.PULL_DOWN)
    with request(chip, config) as pins, request(chip, {SENSORS: edges}) as irqs:
        for number in range(ROUNDS):
            if number % 6 == 5:  # without tags little works while messages are lost
                stub.fault("clear")
                _recover(board, pins)
            board.hurt(kinds)
            before = levels(stub)
            wanted = [dice.randint(0, 1) for _ in OUTPUTS]
            if attempt(lambda: pins.set_values(_values(wanted))):  # noqa: B023 - called at once
                assert levels(stub) == wanted, "another value was set"
            else:  # all of them changed, or none where the answer was lost; and no other
                board.settle()  # on a busy host its sender may have given it up on its way
                now = levels(stub)
                assert all(n in (b, w) for n, b, w in zip(now, before, wanted, strict=True))
            read: list[Value] = []
            if attempt(lambda: read.extend(pins.get_values(INPUTS))):  # noqa: B023
                assert [value.value for value in read] == levels(stub), "a wrong value"
            for line in SENSORS:
                stub.drive(f"0/{line}", dice.randint(0, 1))
            board.read(irqs)
        stub.fault("clear")
        _all_is_well(board, pins, irqs)


def _values(levels: list[int]) -> dict[int | str, Value]:
    return {line: Value(level) for line, level in zip(OUTPUTS, levels, strict=True)}


def _recover(board: Board, pins: gpiod.LineRequest) -> None:
    """Requests work again soon after messages do."""
    insist(lambda: pins.set_values(_values([1] * 8)))
    board.settle()


def _all_is_well(board: Board, pins: gpiod.LineRequest, irqs: gpiod.LineRequest) -> None:
    """No line is stuck: everything works again soon, and goes on working."""
    _recover(board, pins)
    read: list[Value] = []
    for line in SENSORS:
        board.stub.wait_armed(f"0/{line}")
    insist(lambda: read.extend(pins.get_values(INPUTS)))
    assert [value.value for value in read] == [1] * 8
    board.read(irqs)  # everything that the firmware owed came before its answer
    for _ in range(20):
        for line in SENSORS:
            level = 1 - board.stub.read(f"0/{line}")
            board.stub.wait_armed(f"0/{line}")
            count = len(board.seen[line])
            board.stub.drive(f"0/{line}", level)
            assert irqs.wait_edge_events(30), f"line {line} is stuck"
            board.read(irqs)
            assert len(board.seen[line]) == count + 1
            assert board.seen[line][-1][1] == (1 if level else 2)
