# SPDX-License-Identifier: BSD-3-Clause
"""Random firmwares and what happens to them, for the core and for the second firmware."""

from __future__ import annotations

import random
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.firmware_stub.second import firmware as second
from tests.firmware_stub.second.firmware import Build, Firmware, Said
from tests.firmware_stub.second.pins import FLOAT

_END_OF_STEP = 0xFFFF
_SIZES = (1, 2, 3, 4, 4, 8, 8, 16, 33, 64, 70)
_DEBOUNCE_MAX_US = 1_000_000
_CAPS_ALL = 0x3F
_LINE_TYPES = (
    *(second.GET_DIRECTION, second.SET_DIRECTION, second.GET_VALUE),
    *(second.SET_VALUE, second.SET_IRQ_TYPE),
)
_TAGGED_CHANCE = 0.5


@dataclass(frozen=True)
class Step:
    """One thing that happens: "M" a message, "D" a pin is driven, "A" time passes."""

    what: str
    message: bytes = b""
    line: int = 0
    number: int = 0

    def encode(self) -> bytes:
        """As core.c reads it."""
        if self.what == "M":
            return b"M" + struct.pack("<H", len(self.message)) + self.message
        if self.what == "D":
            return b"D" + struct.pack("<Hb", self.line, self.number)
        return b"A" + struct.pack("<Q", self.number)

    def __str__(self) -> str:
        if self.what == "M":
            return f"message {self.message.hex(' ') or '(empty)'}"
        if self.what == "D":
            return f"line {self.line} is driven {self.number} from outside"
        return f"{self.number} ns pass"


# ---- a firmware ---------------------------------------------------------------------------


def random_build(rng: random.Random) -> Build:
    """Any firmware that keeps 7, rule 2."""
    ngpio = rng.choice(_SIZES)
    features = rng.choice([0xFF, 0xFF, rng.getrandbits(8), 1 << rng.randrange(8), 0])
    caps = [rng.choice([_CAPS_ALL, _CAPS_ALL, rng.getrandbits(6)]) for _ in range(ngpio)]
    if not any(caps):
        features &= ~second.LINE_CONFIG
    names = b""
    if features & second.NAMES:
        size = rng.choice([4, 12, 31])
        names = b"".join(
            (rng.random() < 0.8) * f"{n:x}".rjust(rng.randint(1, size), "N").encode() + b"\0"
            for n in range(ngpio)
        )
    return Build(
        ngpio=ngpio,
        padded=rng.random() < 0.5,
        strict=rng.random() < 0.4,
        features=features,
        epoch=rng.randrange(1, 1 << 32),
        label=b"bank"[: rng.randint(0, 4)] * rng.choice([1, 8]),
        names=names,
        caps=caps,
        debounce_max_us=_DEBOUNCE_MAX_US,
        wires=[(rng.randrange(ngpio), rng.randrange(ngpio)) for _ in range(ngpio // 3)],
        pulls=[rng.choice([FLOAT, FLOAT, 0, 1]) for _ in range(ngpio)],
        now=rng.choice([0, 0x0102030405060708]),
    )


def encode(build: Build, event_max: int) -> bytes:
    """A firmware as core.c reads it; event_max is that of the message port."""
    return b"".join(
        [
            struct.pack("<HBBII", build.ngpio, build.padded, build.strict, build.features,
                        build.epoch),
            struct.pack("<HB", event_max, len(build.label)) + build.label,
            struct.pack("<I", len(build.names)) + build.names,
            struct.pack("<Q", build.now),
            struct.pack(f"<{build.ngpio}I", *build.caps),
            struct.pack(f"<{build.ngpio}b", *build.pulls),
            struct.pack("<H", len(build.wires)),
            *(struct.pack("<HH", a, b) for a, b in build.wires),
        ]
    )  # fmt: skip


# ---- what happens to it --------------------------------------------------------------------


class Steps:
    """Random steps: mostly what a driver does, seldom what none should.

    What a driver knows (features accepted, credits granted) is kept track of roughly,
    to say what has an effect more often.
    """

    def __init__(self, rng: random.Random, build: Build) -> None:
        self._rng = rng
        self._build = build
        self._accepted = 0
        self._granted = [0] * build.ngpio
        busy = rng.choice([1, 2, 4, build.ngpio])
        self._busy = [rng.randrange(build.ngpio) for _ in range(busy)]
        """Lines that get most of it, so that things meet."""

    def next(self) -> Step:
        """The next step."""
        chance = self._rng.random()
        if chance < 0.25:
            return Step("D", line=self._line(), number=self._rng.choice([FLOAT, 0, 1, 0, 1]))
        if chance < 0.30:
            unit = self._rng.choice([1, 1000, 1_000_000])
            return Step("A", number=self._rng.randrange(2000) * unit)
        return Step("M", self._message())

    def _line(self) -> int:
        return self._rng.choice(
            self._busy if self._rng.random() < 0.9 else range(self._build.ngpio)
        )

    def _gpio(self) -> int:
        """A line, seldom one that is not there."""
        if self._rng.random() < 0.97:
            return self._line()
        return self._rng.choice([self._build.ngpio, self._rng.getrandbits(16), 0xFFFF])

    def _message(self) -> bytes:
        chance = self._rng.random()
        if chance < 0.01:
            return self._rng.randbytes(self._rng.choice([0, 1, 3, 7, 8, 9, 11, 12, 13, 20, 28, 64]))
        if chance < 0.04:
            return self._negotiate()
        message = self._extension() if self._accepted and chance < 0.55 else self._for_a_line()
        if self._rng.random() < 0.02:  # cut off, or too long
            length = self._rng.choice([*range(30), 496])
            message = message[:length].ljust(length, b"\0")
        return message

    def _negotiate(self) -> bytes:
        offered, rng = self._build.features, self._rng
        if rng.random() < 0.3:
            self._accepted = 0
            return struct.pack("<HHI", second.GET_FEATURES, 0, rng.getrandbits(8))
        wanted = rng.choice([offered, offered & rng.getrandbits(8), rng.getrandbits(8), 0])
        self._accepted = wanted if not wanted & ~offered else 0
        return struct.pack("<HHI", second.SET_FEATURES, 0, wanted)

    def _pack(self, kind: int, gpio: int, value: int, body: bytes = b"") -> bytes:
        tag, rest = self._rng.getrandbits(16), self._rng.choice([0, 0, 0xFFFF])
        return struct.pack("<HHIHH", kind, gpio, value, tag, rest) + body

    def _for_a_line(self) -> bytes:
        rng = self._rng
        kind = rng.choice([*_LINE_TYPES, second.SET_IRQ_TYPE, second.SET_VALUE])
        value = {
            second.SET_DIRECTION: rng.choice([0, 1, 2, 1, 2]),
            second.SET_VALUE: rng.choice([0, 1]),
            second.SET_IRQ_TYPE: rng.choice([0, 1, 2, 3, 3, 3, 3, 4, 4, 8]),
        }.get(kind, 0)
        if rng.random() < 0.03:
            value = rng.choice([5, 0x100, 0x10001, 0xFFFFFFFF, rng.getrandbits(32)])
        if rng.random() < 0.01:
            kind = rng.choice([0, 7, 0x10, 0x7FFF, 0x8004, 0xFFFF])
        if rng.random() < (_TAGGED_CHANCE if self._accepted & second.TAG else 0.02):
            return self._pack(kind, self._gpio(), value)
        return struct.pack("<HHI", kind, self._gpio(), value)

    def _extension(self) -> bytes:
        rng, gpio = self._rng, self._gpio()
        kinds = [kind for kind, (feature, _) in second.TYPES.items() if self._accepted & feature]
        kinds += [second.GRANT_CREDITS] * 5 * bool(self._accepted & second.CREDITS)
        kind = rng.choice(kinds or list(second.TYPES))
        if rng.random() < 0.03:
            kind = rng.choice(list(second.TYPES))
        if kind == second.GET_LINE_NAMES:
            size = len(self._build.names)
            return self._pack(kind, gpio, rng.choice([0, 488, size, size + 1, rng.getrandbits(32)]))
        if kind == second.GRANT_CREDITS:
            return self._pack(kind, gpio, self._credits(gpio))
        if kind in (second.GET_VALUES, second.SET_VALUES, second.SET_LINE_CONFIG):
            return self._with_body(kind)
        return self._pack(kind, gpio, rng.choice([0, 0, 0, rng.getrandbits(32)]))

    def _credits(self, gpio: int) -> int:
        rng = self._rng
        if gpio >= len(self._granted) or rng.random() < 0.1:
            return rng.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, rng.getrandbits(32)])
        self._granted[gpio] = rng.choice([0, self._granted[gpio]]) + rng.randrange(6)
        return self._granted[gpio]

    def _with_body(self, kind: int) -> bytes:
        rng = self._rng
        gpio = self._gpio() if kind == second.SET_LINE_CONFIG else rng.choice([0, 0, self._gpio()])
        if kind == second.SET_LINE_CONFIG:
            flags = rng.choice([0, 1, 2, 4, 8, 16, 9, 17, 10, 20, rng.getrandbits(7)])
            body = struct.pack("<II", flags, rng.choice([0, 0, 1, 500, 1000000, 1000001]))
        else:
            body = struct.pack("<Q", self._mask(gpio))
            if kind == second.SET_VALUES:
                body += struct.pack("<Q", rng.getrandbits(64))
        check = rng.choice([0, second.request_check(body)])
        if rng.random() < 0.03:
            check = rng.getrandbits(rng.choice([8, 32]))
        return self._pack(kind, gpio, check, body)

    def _mask(self, first: int) -> int:
        there = max(0, min(self._build.ngpio - first, 64))
        mask = self._rng.getrandbits(64) & ((1 << there) - 1)
        if self._rng.random() < 0.05:
            mask |= 1 << self._rng.randrange(64)
        return mask


# ---- both -------------------------------------------------------------------------------------


def _records(message: bytes, accepted: int) -> list[bytes]:
    """Split a message of events: how many a message carries is the device's choice."""
    size = len(message)
    if accepted & (second.CREDITS | second.TIMESTAMP):
        size = 16 if accepted & second.TIMESTAMP else 8
    return [message[at : at + size] for at in range(0, len(message), size)]


def _in_order(events: list[bytes]) -> list[bytes]:
    """Events by line: only those of one line have an order."""
    return sorted(events, key=lambda event: event[1:3] if len(event) == 3 else event[2:4])


class Difference(AssertionError):
    """The two firmwares differ; the text is the shortest history that shows it."""


def run_core(program: Path, build: Build, steps: list[Step], event_max: int) -> list[list[bytes]]:
    """What the core sends at each step."""
    done = subprocess.run(
        [program],
        input=encode(build, event_max) + b"".join(step.encode() for step in steps),
        capture_output=True,
        timeout=600,
    )
    if done.returncode:
        raise AssertionError(f"core.c ended with {done.returncode}: {done.stderr.decode()}")
    said: list[list[bytes]] = []
    messages: list[bytes] = []
    at, output = 0, done.stdout
    while at < len(output):
        length = output[at] | output[at + 1] << 8
        at += 2
        if length == _END_OF_STEP:
            said.append(messages)
            messages = []
            continue
        messages.append(output[at : at + length])
        at += length
    return said


def run_second(build: Build, steps: list[Step]) -> list[tuple[Said, int]]:
    """What the second firmware says at each step, and the features accepted then."""
    device = Firmware(build)
    said = []
    for step in steps:
        if step.what == "M":
            device.receive(step.message)
        elif step.what == "D":
            device.pins.drive(step.line, step.number)
        else:
            device.pins.advance(step.number)
        said.append((device.said(), device.accepted))
    return said


def compare(program: Path, seed: int, count: int) -> int:
    """Run random steps on both.

    Returns:
        How many of them were requests.

    Raises:
        Difference: the two differ.
    """
    rng = random.Random(seed)
    build = random_build(rng)
    event_max = rng.choice([0, 0, 64])
    source = Steps(rng, build)
    steps = [source.next() for _ in range(count)]
    if _difference(program, build, steps, event_max):
        raise Difference(f"seed {seed}: " + _story(program, build, steps, event_max))
    return sum(step.what == "M" for step in steps)


def _difference(
    program: Path, build: Build, steps: list[Step], event_max: int
) -> tuple[int, list[bytes], list[bytes]] | None:
    """The first step at which the two differ, what the core says there, and the second."""
    core = run_core(program, build, steps, event_max)
    ours = run_second(build, steps)
    assert len(core) == len(ours) == len(steps)
    for n, (messages, (said, accepted)) in enumerate(zip(core, ours, strict=True)):
        if not _same(messages, said, accepted):
            return n, messages, said.replies + said.events
    return None


def _same(messages: list[bytes], said: Said, accepted: int) -> bool:
    replies = len(said.replies)  # those come first: 4.1, rule 7
    if messages[:replies] != said.replies:
        return False
    if len(messages) == replies:
        return not said.events
    events = [event for m in messages[replies:] for event in _records(m, accepted)]
    return _in_order(events) == _in_order(said.events)


def _story(program: Path, build: Build, steps: list[Step], event_max: int) -> str:
    """The first difference, with the steps that it needs."""
    size = len(steps)
    while size:
        at = 0
        while at < len(steps):
            fewer = steps[:at] + steps[at + size :]
            found = _difference(program, build, fewer, event_max)
            if found:
                steps = fewer[: found[0] + 1]
            else:
                at += size
        size //= 2
    found = _difference(program, build, steps, event_max)
    assert found
    _, core, second_says = found
    return "\n".join(
        [
            "the core and the second firmware differ at the last of these steps",
            f"  {build}",
            *(f"  {step}" for step in steps),
            f"  the core says   {[message.hex(' ') for message in core]}",
            f"  the second says {[message.hex(' ') for message in second_says]}",
        ]
    )
