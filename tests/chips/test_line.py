# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's rules for flags, buffers and consumers."""

from __future__ import annotations

import errno

import pytest

from bridge import uapi, wire
from bridge.chips.line import Line, clip_consumer
from bridge.chips.line_config import LineConfig, configs_of, event_capacity
from bridge.shim.ffi import lib

LOW = uapi.GPIO_V2_LINE_FLAG_ACTIVE_LOW
IN = uapi.GPIO_V2_LINE_FLAG_INPUT
OUT = uapi.GPIO_V2_LINE_FLAG_OUTPUT
RISING = uapi.GPIO_V2_LINE_FLAG_EDGE_RISING
FALLING = uapi.GPIO_V2_LINE_FLAG_EDGE_FALLING
DRAIN = uapi.GPIO_V2_LINE_FLAG_OPEN_DRAIN
SOURCE = uapi.GPIO_V2_LINE_FLAG_OPEN_SOURCE
UP = uapi.GPIO_V2_LINE_FLAG_BIAS_PULL_UP
DOWN = uapi.GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN
REALTIME = uapi.GPIO_V2_LINE_FLAG_EVENT_CLOCK_REALTIME
HTE = uapi.GPIO_V2_LINE_FLAG_EVENT_CLOCK_HTE


@pytest.mark.parametrize(
    "flags",
    [
        0,
        LOW,
        REALTIME,
        IN,
        OUT,
        OUT | LOW,
        IN | RISING | FALLING | LOW,
        IN | UP,
        OUT | DOWN,
        OUT | DRAIN,
        OUT | SOURCE | LOW,
    ],
)
def test_flags_the_kernel_takes(flags: int) -> None:
    LineConfig(0, flags).check()


@pytest.mark.parametrize(
    ("flags", "debounce", "number"),
    [
        (uapi.GPIO_V2_LINE_FLAG_USED, 0, errno.EINVAL),
        (1 << 13, 0, errno.EINVAL),
        (1 << 63, 0, errno.EINVAL),
        (IN | OUT, 0, errno.EINVAL),
        (RISING, 0, errno.EINVAL),
        (OUT | FALLING, 0, errno.EINVAL),
        (OUT | DRAIN | SOURCE, 0, errno.EINVAL),
        (IN | DRAIN, 0, errno.EINVAL),
        (SOURCE, 0, errno.EINVAL),
        (UP, 0, errno.EINVAL),
        (IN | UP | DOWN, 0, errno.EINVAL),
        (OUT, 10, errno.EINVAL),
        (0, 10, errno.EINVAL),
        (HTE | IN | OUT, 0, errno.EOPNOTSUPP),
        (HTE | IN, 0, errno.EOPNOTSUPP),
    ],
)
def test_flags_that_are_refused(flags: int, debounce: int, number: int) -> None:
    with pytest.raises(OSError) as caught:
        LineConfig(0, flags, 0, debounce).check()
    assert caught.value.errno == number
    assert caught.value.strerror


@pytest.mark.parametrize(
    ("flags", "physical"),
    [
        (IN, wire.IRQ_TYPE_NONE),
        (IN | RISING, wire.IRQ_TYPE_EDGE_RISING),
        (IN | RISING | LOW, wire.IRQ_TYPE_EDGE_FALLING),
        (IN | FALLING | LOW, wire.IRQ_TYPE_EDGE_RISING),
        (IN | RISING | FALLING | LOW, 3),
    ],
)
def test_logical_edges_become_physical_ones(flags: int, physical: int) -> None:
    assert LineConfig(0, flags).irq_type == physical


@pytest.mark.parametrize(("flags", "value", "level"), [(OUT, 1, 1), (OUT | LOW, 1, 0), (LOW, 0, 1)])
def test_physical_value(flags: int, value: int, level: int) -> None:
    assert LineConfig(0, flags, value).physical_value == level


def test_plan_flags() -> None:
    config = LineConfig(0, IN | RISING | LOW | REALTIME)
    assert config.plan_flags(False) == (
        lib.GB_LINE_ACTIVE_LOW | lib.GB_LINE_EDGE_RISING | lib.GB_LINE_REALTIME
    )
    assert LineConfig(0, 0).plan_flags(True) == lib.GB_LINE_OUTPUT


@pytest.mark.parametrize(
    ("size", "lines", "edges", "capacity"),
    [
        (0, 1, True, 16),
        (0, 3, True, 64),
        (0, 64, True, 1024),
        (2, 1, True, 2),
        (3, 1, True, 4),
        (1, 1, False, 2),
        (1000, 1, True, 1024),
        (1025, 1, True, 2048),
        (2**32 - 1, 1, True, 262144),
    ],
)
def test_event_capacity(size: int, lines: int, edges: bool, capacity: int) -> None:
    assert event_capacity(size, lines, edges) == capacity


def test_event_buffer_of_one_is_einval() -> None:
    with pytest.raises(OSError, match="at least 2") as caught:
        event_capacity(1, 1, True)
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize(
    ("consumer", "shown"),
    [
        ("", "?"),
        ("\0x", "?"),
        ("me", "me"),
        ("x" * 40, "x" * 31),
        ("ü" * 16, "ü" * 15),
    ],
)
def test_consumer_is_cut_as_in_the_kernel(consumer: str, shown: str) -> None:
    assert clip_consumer(consumer) == shown


def test_only_an_input_may_have_a_forgotten_interrupt() -> None:
    assert not Line(0, None, wire.DIRECTION_NONE).irq_unknown
    assert not Line(0, None, wire.DIRECTION_OUT).irq_unknown
    assert Line(0, None, wire.DIRECTION_IN).irq_unknown


@pytest.mark.parametrize(
    ("flags", "value", "floats"),
    [
        (OUT, 1, False),
        (OUT | DRAIN, 1, True),
        (OUT | DRAIN, 0, False),
        (OUT | SOURCE, 0, True),
        (OUT | SOURCE, 1, False),
        (OUT | DRAIN | LOW, 0, True),
        (OUT | SOURCE | LOW, 1, True),
    ],
)
def test_the_level_that_an_emulated_drive_leaves_alone(
    flags: int, value: int, floats: bool
) -> None:
    assert LineConfig(0, flags, value).floats is floats


def test_debounce_needs_both_edges() -> None:
    assert LineConfig(0, IN, 0, 10).irq_type == 3
    assert LineConfig(0, IN | RISING, 0, 10).irq_type == 3


# ---- struct gpio_v2_line_config -----------------------------------------------------

FLAGS = uapi.GPIO_V2_LINE_ATTR_ID_FLAGS
VALUES = uapi.GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES
DEBOUNCE = uapi.GPIO_V2_LINE_ATTR_ID_DEBOUNCE


def test_the_first_attribute_that_covers_a_line_counts() -> None:
    packed = uapi.pack_line_config(
        OUT,
        [
            uapi.Attribute(FLAGS, IN, 0b010),
            uapi.Attribute(FLAGS, OUT | LOW, 0b110),
            uapi.Attribute(VALUES, 0b101, 0b101),
            uapi.Attribute(VALUES, 0, 0b111),
            uapi.Attribute(DEBOUNCE, 70_000, 0b010),
            uapi.Attribute(99, 1, 0b111),
        ],
    )
    assert len(packed) == 272
    assert configs_of(packed, [7, 8, 9]) == [
        LineConfig(7, OUT, 1, 0),
        LineConfig(8, IN, 0, 70_000),
        LineConfig(9, OUT | LOW, 1, 0),
    ]


def config_with(position: int, byte: int) -> bytes:
    """A config of one attribute with one byte changed."""
    packed = bytearray(uapi.pack_line_config(OUT, [uapi.Attribute(VALUES, 1, 1)]))
    packed[position] = byte
    return bytes(packed)


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        bytes(271),
        bytes(273),
        config_with(12, 1),  # padding of the config
        config_with(31, 1),
        config_with(36, 1),  # padding of the attribute
        config_with(56, 1),  # an attribute that is not used
        config_with(271, 1),
        config_with(8, 11),  # num_attrs
        config_with(11, 0xFF),
        config_with(1, 0xFF),  # unknown flags
        uapi.pack_line_config(OUT, [uapi.Attribute(DEBOUNCE, 0, 1)]),
    ],
)
def test_configs_that_are_einval(packed: bytes) -> None:
    with pytest.raises(OSError) as caught:
        configs_of(packed, [0])
    assert caught.value.errno == errno.EINVAL
    assert caught.value.strerror


def test_a_line_change_survives_the_record() -> None:
    for change in (
        uapi.LineChange(1, 2**63, 7, "name", "consumer", IN | RISING, 0),
        uapi.LineChange(3, 1, 0, "", "", OUT, 2**32 - 1),
    ):
        packed = uapi.pack_line_change(change)
        assert len(packed) == lib.GB_INFO_RECORD_SIZE
        assert uapi.unpack_line_change(packed) == change


# ---- what a pin does by itself --------------------------------------------------------

CAN_ALL = wire.LineCaps(0x3F, 1000)


@pytest.mark.parametrize(
    ("flags", "debounce", "caps", "before", "pin", "left"),
    [
        (IN, 0, CAN_ALL, (0, 0), (0, 0), (IN, 0)),
        (IN | UP, 0, CAN_ALL, (0, 0), (wire.LINE_PULL_UP, 0), (IN | UP, 0)),
        (IN | UP, 0, wire.LineCaps(), (0, 0), (0, 0), (IN | UP, 0)),
        # No bias asked for leaves the one there is, as gpio_set_bias() does.
        (IN, 0, CAN_ALL, (wire.LINE_PULL_DOWN, 9), (wire.LINE_PULL_DOWN, 0), (IN, 0)),
        (IN | UP, 0, wire.LineCaps(2, 0), (wire.LINE_PULL_DOWN, 0), (0, 0), (IN | UP, 0)),
        (OUT | DRAIN, 0, CAN_ALL, (0, 0), (wire.LINE_OPEN_DRAIN, 0), (OUT, 0)),
        (OUT | DRAIN, 0, wire.LineCaps(wire.LINE_OPEN_SOURCE), (0, 0), (0, 0), (OUT | DRAIN, 0)),
        (IN | RISING, 1000, CAN_ALL, (0, 0), (0, 1000), (IN | RISING, 0)),
        (IN | RISING, 1001, CAN_ALL, (0, 0), (0, 0), (IN | RISING, 1001)),
    ],
)
def test_pin_config(
    flags: int,
    debounce: int,
    caps: wire.LineCaps,
    before: tuple[int, int],
    pin: tuple[int, int],
    left: tuple[int, int],
) -> None:
    config = LineConfig(3, flags, 0, debounce)
    done = config.pin_config(caps, wire.PinConfig(*before))
    assert done == pin
    rest = config.without(done)
    assert (rest.flags, rest.debounce_us) == left


def test_the_source_clock_needs_timestamps() -> None:
    config = LineConfig(0, HTE | IN | RISING)
    config.check(source_clock=True)
    assert config.plan_flags(False) & lib.GB_LINE_SOURCE_CLOCK
    with pytest.raises(OSError, match="TIMESTAMP") as caught:
        config.check()
    assert caught.value.errno == errno.EOPNOTSUPP
    with pytest.raises(OSError, match="one event clock") as caught:
        LineConfig(0, HTE | REALTIME | IN).check(source_clock=True)
    assert caught.value.errno == errno.EINVAL
