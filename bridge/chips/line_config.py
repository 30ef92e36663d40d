# SPDX-License-Identifier: BSD-3-Clause
"""What is asked of a line, by the kernel's rules for its flags (drivers/gpio/gpiolib-cdev.c)."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bridge import uapi, wire
from bridge.shim.ffi import lib

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


@dataclass(frozen=True)
class LineConfig:
    """The settings that a client asks of one line.

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

    When several attributes cover a line, the first one counts, as in the kernel.

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
    """Event records of a request, by the kernel's rules but for its limit of 1024.

    Args:
        event_buffer_size: as asked, 0 is the default of 16 a line.
        lines: number of lines.
        edges: whether any line has edge detection.

    Returns:
        A power of two from 2 to 262144.

    Raises:
        OSError: EINVAL, a buffer of one event with edge detection (kfifo needs two).
    """
    size = min(event_buffer_size or 16 * lines, lib.GB_EVENT_CAPACITY_MAX)
    if size == 1 and edges:
        raise OSError(errno.EINVAL, "an event buffer needs room for at least 2 events, not 1")
    return 1 << (max(size, 2) - 1).bit_length()
