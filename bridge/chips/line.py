# SPDX-License-Identifier: BSD-3-Clause
"""Lines and the kernel's rules for their flags (drivers/gpio/gpiolib-cdev.c)."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from bridge import uapi, wire
from bridge.shim.ffi import lib
from bridge.text import printable

DIRECTIONS = uapi.GPIO_V2_LINE_FLAG_INPUT | uapi.GPIO_V2_LINE_FLAG_OUTPUT
EDGES = uapi.GPIO_V2_LINE_FLAG_EDGE_RISING | uapi.GPIO_V2_LINE_FLAG_EDGE_FALLING
DRIVES = uapi.GPIO_V2_LINE_FLAG_OPEN_DRAIN | uapi.GPIO_V2_LINE_FLAG_OPEN_SOURCE
BIASES = (
    uapi.GPIO_V2_LINE_FLAG_BIAS_PULL_UP
    | uapi.GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN
    | uapi.GPIO_V2_LINE_FLAG_BIAS_DISABLED
)
CLOCKS = uapi.GPIO_V2_LINE_FLAG_EVENT_CLOCK_REALTIME | uapi.GPIO_V2_LINE_FLAG_EVENT_CLOCK_HTE
_VALID = uapi.GPIO_V2_LINE_FLAG_ACTIVE_LOW | DIRECTIONS | EDGES | DRIVES | BIASES | CLOCKS
# Kept in the line info after a release, as the kernel does.
_KEPT = DIRECTIONS | CLOCKS


@dataclass(frozen=True)
class LineConfig:
    """What a client asks of one line.

    Attributes:
        offset: line of the chip.
        flags: GPIO_V2_LINE_FLAG_* bits.
        value: logical level of an output, 0 or 1.
        debounce_us: debounce period in microseconds, 0 is none.
    """

    offset: int
    flags: int
    value: int = 0
    debounce_us: int = 0

    def check(self, source_clock: bool = False) -> None:
        """Validate as the kernel does.

        Args:
            source_clock: whether edges have the coprocessor's own time (TIMESTAMP).

        Raises:
            OSError: EINVAL, and EOPNOTSUPP for the HTE clock without a source clock.
        """
        problem = _problem(self.flags, self.debounce_us, source_clock)
        if problem:
            raise OSError(errno.EINVAL, f"line {self.offset}: {problem}")

    @property
    def output(self) -> bool:
        """Whether the line is requested as output."""
        return bool(self.flags & uapi.GPIO_V2_LINE_FLAG_OUTPUT)

    @property
    def input(self) -> bool:
        """Whether the line is requested as input."""
        return bool(self.flags & uapi.GPIO_V2_LINE_FLAG_INPUT)

    @property
    def active_low(self) -> bool:
        """Whether logical and physical level are opposite."""
        return bool(self.flags & uapi.GPIO_V2_LINE_FLAG_ACTIVE_LOW)

    @property
    def edges(self) -> bool:
        """Whether any edge is to be reported."""
        return bool(self.flags & EDGES)

    @property
    def directed(self) -> bool:
        """Whether a direction is asked for; a line without one is left as it is."""
        return bool(self.flags & DIRECTIONS)

    @property
    def floats(self) -> bool:
        """Whether the output's value is one that an emulated drive does not drive.

        An open-drain line that is high and an open-source line that is low is an
        input, as in gpiolib.
        """
        undriven = (
            uapi.GPIO_V2_LINE_FLAG_OPEN_DRAIN
            if self.physical_value
            else uapi.GPIO_V2_LINE_FLAG_OPEN_SOURCE
        )
        return bool(self.flags & undriven)

    @property
    def physical_value(self) -> int:
        """The level to drive."""
        return self.value ^ self.active_low

    @property
    def irq_type(self) -> int:
        """VIRTIO_GPIO_IRQ_TYPE_* of the physical edges that are needed."""
        if self.debounce_us:
            return wire.IRQ_TYPE_EDGE_RISING | wire.IRQ_TYPE_EDGE_FALLING
        rising = bool(self.flags & uapi.GPIO_V2_LINE_FLAG_EDGE_RISING)
        falling = bool(self.flags & uapi.GPIO_V2_LINE_FLAG_EDGE_FALLING)
        if self.active_low:
            rising, falling = falling, rising
        kind = wire.IRQ_TYPE_NONE
        if rising:
            kind |= wire.IRQ_TYPE_EDGE_RISING
        if falling:
            kind |= wire.IRQ_TYPE_EDGE_FALLING
        return kind

    @property
    def asks_pin(self) -> bool:
        """Whether something is asked for that some pins can do by themselves."""
        return bool(self.flags & (BIASES | DRIVES) or self.debounce_us)

    def pin_config(self, caps: wire.LineCaps, before: wire.PinConfig) -> wire.PinConfig:
        """What the pin shall do by itself.

        A bias that it cannot do is left out silently and a line without one keeps what
        it has, as in the kernel (gpio_set_bias()).

        Args:
            caps: what it can do.
            before: what it does now.
        """
        bias = _wire_flags(self.flags & BIASES) & caps.flags
        if not self.flags & BIASES:
            bias = before.flags & _WIRE_BIASES
        drive = _wire_flags(self.flags & DRIVES) & caps.flags
        hard = caps.flags & wire.LINE_DEBOUNCE and self.debounce_us <= caps.max_debounce_us
        return wire.PinConfig(bias | drive, self.debounce_us if hard else 0)

    def without(self, pin: wire.PinConfig) -> LineConfig:
        """What is left for the service to do when the pin does `pin`."""
        flags = self.flags & ~DRIVES if pin.flags & _wire_flags(DRIVES) else self.flags
        return replace(self, flags=flags, debounce_us=0 if pin.debounce_us else self.debounce_us)

    def plan_flags(self, output: bool) -> int:
        """GB_LINE_* bits for the pump.

        Args:
            output: whether the line is an output (an as-is line may be one).
        """
        pairs = (
            (output, lib.GB_LINE_OUTPUT),
            (self.active_low, lib.GB_LINE_ACTIVE_LOW),
            (self.flags & uapi.GPIO_V2_LINE_FLAG_EDGE_RISING, lib.GB_LINE_EDGE_RISING),
            (self.flags & uapi.GPIO_V2_LINE_FLAG_EDGE_FALLING, lib.GB_LINE_EDGE_FALLING),
            (self.flags & uapi.GPIO_V2_LINE_FLAG_EVENT_CLOCK_REALTIME, lib.GB_LINE_REALTIME),
            (self.flags & uapi.GPIO_V2_LINE_FLAG_EVENT_CLOCK_HTE, lib.GB_LINE_SOURCE_CLOCK),
            (self.flags & uapi.GPIO_V2_LINE_FLAG_OPEN_DRAIN, lib.GB_LINE_OPEN_DRAIN),
            (self.flags & uapi.GPIO_V2_LINE_FLAG_OPEN_SOURCE, lib.GB_LINE_OPEN_SOURCE),
        )
        return sum(bit for wanted, bit in pairs if wanted)


_WIRE_FLAGS = {
    uapi.GPIO_V2_LINE_FLAG_BIAS_PULL_UP: wire.LINE_PULL_UP,
    uapi.GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN: wire.LINE_PULL_DOWN,
    uapi.GPIO_V2_LINE_FLAG_BIAS_DISABLED: wire.LINE_BIAS_DISABLE,
    uapi.GPIO_V2_LINE_FLAG_OPEN_DRAIN: wire.LINE_OPEN_DRAIN,
    uapi.GPIO_V2_LINE_FLAG_OPEN_SOURCE: wire.LINE_OPEN_SOURCE,
}
_WIRE_BIASES = wire.LINE_PULL_UP | wire.LINE_PULL_DOWN | wire.LINE_BIAS_DISABLE


def _wire_flags(flags: int) -> int:
    """RPMSG_GPIO_LINE_* of bias and drive."""
    return sum(bit for flag, bit in _WIRE_FLAGS.items() if flags & flag)


def _problem(flags: int, debounce_us: int, source_clock: bool) -> str | None:
    """What gpio_v2_line_config_validate() would refuse with EINVAL, as a sentence.

    The kernel's EOPNOTSUPP for the HTE clock is raised from here too, since it
    comes between these checks.
    """
    if flags & ~_VALID:
        return f"flags {flags:#x} has unknown bits {flags & ~_VALID:#x}"
    if flags & uapi.GPIO_V2_LINE_FLAG_EVENT_CLOCK_HTE and not source_clock:
        raise OSError(
            errno.EOPNOTSUPP,
            "the HTE event clock needs firmware that stamps edges (TIMESTAMP)",
        )
    if flags & CLOCKS == CLOCKS:
        return "only one event clock is possible"
    if flags & DIRECTIONS == DIRECTIONS:
        return "it cannot be input and output at once (edges need an input)"
    if flags & EDGES and not flags & uapi.GPIO_V2_LINE_FLAG_INPUT:
        return "edge detection needs an input"
    if flags & DRIVES == DRIVES:
        return "it cannot be open-drain and open-source at once"
    if flags & DRIVES and not flags & uapi.GPIO_V2_LINE_FLAG_OUTPUT:
        return "open-drain and open-source need an output"
    if flags & BIASES and not flags & DIRECTIONS:
        return "a bias needs a direction"
    if (flags & BIASES).bit_count() > 1:
        return "only one of pull-up, pull-down and bias disabled is possible"
    if debounce_us and not flags & uapi.GPIO_V2_LINE_FLAG_INPUT:
        return "debounce needs an input"
    return None


def configs_of(
    packed: bytes, offsets: Sequence[int], source_clock: bool = False
) -> list[LineConfig]:
    """What a ``struct gpio_v2_line_config`` says about each line of a request.

    Of several attributes that cover a line the first one counts, as in the kernel.

    Args:
        packed: the struct, unchecked.
        offsets: of the request's lines, in request order.
        source_clock: as in `LineConfig.check`.

    Raises:
        OSError: as `LineConfig.check` and `uapi.unpack_line_config`.
    """
    flags, attributes = uapi.unpack_line_config(packed)
    configs = []
    for index, offset in enumerate(offsets):
        first: dict[int, int] = {}
        for attribute in attributes:
            if attribute.mask >> index & 1:
                first.setdefault(attribute.id, attribute.value)
        config = LineConfig(
            offset,
            first.get(uapi.GPIO_V2_LINE_ATTR_ID_FLAGS, flags),
            first.get(uapi.GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES, 0) >> index & 1,
            first.get(uapi.GPIO_V2_LINE_ATTR_ID_DEBOUNCE, 0),
        )
        config.check(source_clock)
        if uapi.GPIO_V2_LINE_ATTR_ID_DEBOUNCE in first and not config.input:
            raise OSError(errno.EINVAL, f"line {offset}: debounce needs an input")
        configs.append(config)
    return configs


def event_capacity(event_buffer_size: int, lines: int, edges: bool) -> int:
    """Event records of a request, by the kernel's rules.

    Args:
        event_buffer_size: as asked, 0 is the default of 16 a line.
        lines: number of lines.
        edges: whether any line has edge detection.

    Returns:
        A power of two from 2 to 1024.

    Raises:
        OSError: EINVAL, a buffer of one event with edge detection (kfifo needs two).
    """
    size = min(event_buffer_size or 16 * lines, lib.GB_EVENT_CAPACITY_MAX)
    if size == 1 and edges:
        raise OSError(errno.EINVAL, "an event buffer needs room for at least 2 events, not 1")
    return 1 << (max(size, 2) - 1).bit_length()


def clip_consumer(consumer: str) -> str:
    """A consumer as the kernel keeps it: at most 31 bytes, "?" for none."""
    raw = consumer.split("\0", 1)[0].encode()[: uapi.GPIO_MAX_NAME_SIZE - 1]
    return raw.decode("utf-8", "ignore") or "?"


@dataclass(frozen=True)
class Kept:
    """What a line was when its chip went away.

    Attributes:
        offset: of the line.
        name: of the line, or None.
        policy: ``restore`` or ``hold``.
        consumer: who held it.
        uid: user id of that, None for the service itself.
        config: its settings, an output with its last value.
    """

    offset: int
    name: str | None
    policy: str
    consumer: str
    uid: int | None
    config: LineConfig


class Holder(Protocol):
    """Who has lines: a line request, or an export."""

    @property
    def consumer(self) -> str:
        """As the line info shows it."""

    @property
    def going(self) -> bool:
        """Whether the lines are (about to be) free."""

    def release(self) -> Awaitable[None]:
        """Give the lines back; done when they are free."""

    def hang_up(self) -> None:
        """The chip is gone."""


class Line:
    """One line of a chip: its info and who holds it.

    Attributes:
        offset: position on the chip.
        name: unique on its chip, or None.
        flags: GPIO_V2_LINE_FLAG_* of the line info, without USED.
        debounce_us: debounce period in microseconds, 0 is none.
        holder: the request or export that has the line, or None.
        output: whether the firmware drives the line, as far as is known.
        live: where a holder that changes the direction by itself tells it.
        pin: what the pin does by itself (LINE_CONFIG), None when that is not known.
        kept: what it was before the firmware restarted, until somebody takes it.
        irq_unknown: nobody knows whether an interrupt is enabled (by an earlier
            service, or since a request to change that was not answered).
    """

    __slots__ = (
        "debounce_us",
        "flags",
        "holder",
        "irq_unknown",
        "kept",
        "live",
        "name",
        "offset",
        "output",
        "pin",
    )

    def __init__(self, offset: int, name: str | None, direction: int) -> None:
        self.offset = offset
        self.name = name
        self.flags = 0
        self.debounce_us = 0
        self.holder: Holder | None = None
        self.kept: Kept | None = None
        self.live: Callable[[], int] | None = None
        # DIRECTION_NONE discards all state of a line (virtio 1.3, 5.18.6).
        self.irq_unknown = direction == wire.DIRECTION_IN
        self.pin: wire.PinConfig | None = None
        if direction == wire.DIRECTION_NONE:
            self.pin = wire.PinConfig()
        self.set_direction(direction)

    def set_direction(self, direction: int) -> None:
        """Record a VIRTIO_GPIO_DIRECTION_*; NONE is shown as input, as in the kernel."""
        self.output = direction == wire.DIRECTION_OUT
        bit = uapi.GPIO_V2_LINE_FLAG_OUTPUT if self.output else uapi.GPIO_V2_LINE_FLAG_INPUT
        self.flags = self.flags & ~DIRECTIONS | bit

    def found(self, direction: int) -> None:
        """Record what the firmware says of a line that is to stay as it is.

        NONE says that it is not driven. What it is shown as stays, as in gpiolib.
        """
        if direction == wire.DIRECTION_NONE:
            self.output = False
        else:
            self.set_direction(direction)

    def hold(self, holder: Holder, config: LineConfig) -> None:
        """Give the line to a request or an export, or to its own with other settings."""
        self.holder = holder
        self.kept = None
        self.flags = self.flags & DIRECTIONS | config.flags & ~DIRECTIONS
        self.debounce_us = config.debounce_us

    def free(self) -> None:
        """Take the line from its request."""
        self.holder = None
        if self.live is not None:
            self.pin = None  # a direction of NONE behind our back makes the pin forget
        self.live = None
        self.flags &= _KEPT
        self.debounce_us = 0

    def describe(self) -> str:
        """The line in a sentence."""
        return f'{self.offset} ("{printable(self.name)}")' if self.name else str(self.offset)

    def busy(self, chip: str, how: str = "held by", whose: str = "") -> OSError:
        """EBUSY for who wants the line, with a sentence.

        Args:
            chip: name of the line's chip.
            how: what ties it to its consumer.
            whose: what the sentence says behind that.
        """
        consumer = printable(self.holder.consumer) if self.holder else "?"
        where = f"line {self.describe()} of chip {chip}"
        return OSError(errno.EBUSY, f'{where} is {how} "{consumer}"{whose}')

    def info(self) -> dict[str, object]:
        """The line as the control socket shows it."""
        return {
            "offset": self.offset,
            "name": self.name,
            "used": self.holder is not None,
            "consumer": self.holder.consumer if self.holder else None,
            "flags": self._info_flags,
            "debounce_us": self.debounce_us,
        }

    def change(self, event: int, timestamp_ns: int) -> uapi.LineChange:
        """The line in an info event.

        Args:
            event: GPIO_V2_LINE_CHANGED_*.
            timestamp_ns: CLOCK_MONOTONIC in nanoseconds.
        """
        return uapi.LineChange(
            event,
            timestamp_ns,
            self.offset,
            self.name or "",
            self.holder.consumer if self.holder else "",
            self._info_flags,
            self.debounce_us,
        )

    @property
    def direction(self) -> int:
        """VIRTIO_GPIO_DIRECTION_OUT or IN, asking who changes it by himself."""
        if self.live is not None:
            self.set_direction(self.live())
        return wire.DIRECTION_OUT if self.output else wire.DIRECTION_IN

    @property
    def _info_flags(self) -> int:
        if self.live is not None:
            self.set_direction(self.live())
        return self.flags | (uapi.GPIO_V2_LINE_FLAG_USED if self.holder else 0)
