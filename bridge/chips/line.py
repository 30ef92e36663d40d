# SPDX-License-Identifier: BSD-3-Clause
"""Lines, and who holds them."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Protocol

from bridge import uapi, wire
from bridge.chips.line_config import CLOCKS, DIRECTIONS, LineConfig
from bridge.text import printable

# Kept in the line info after a release, as the kernel does.
_KEPT = DIRECTIONS | CLOCKS


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


@dataclass(frozen=True)
class ReleasePolicy:
    """What becomes of lines when their holders give them back.

    ``none`` sets the direction NONE, ``keep`` leaves them as they are.

    Attributes:
        others: the policy of lines that `lines` does not name.
        lines: policies by name, or by a pattern of names: the name comes first, then the first
            pattern that fits.
    """

    others: str = "none"
    lines: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def of(self, name: str | None) -> str:
        """The policy of a line of this name, None for one without."""
        if name is None:
            return self.others
        fits = (policy for pattern, policy in self.lines.items() if fnmatchcase(name, pattern))
        return self.lines.get(name) or next(fits, self.others)


class Holder(Protocol):
    """A holder of lines: a line request, or an export."""

    @property
    def consumer(self) -> str:
        """The name that the line info shows."""

    @property
    def going(self) -> bool:
        """Whether the lines are (about to be) free."""

    def release(self) -> Awaitable[None]:
        """Give the lines back; ends when they are free."""

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
        pin_config: what the pin does by itself (LINE_CONFIG), None when that is not known.
        kept: what it was before the firmware restarted, until somebody takes it.
        irq_unknown: nobody knows whether an interrupt is enabled (by an earlier
            service, or since a request to change that was not answered).
        on_release: ``none`` sets the direction NONE, ``keep`` leaves the line as it is.
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
        "on_release",
        "output",
        "pin_config",
    )

    def __init__(
        self, offset: int, name: str | None, direction: int, on_release: str = "none"
    ) -> None:
        self.offset = offset
        self.name = name
        self.on_release = on_release
        self.flags = 0
        self.debounce_us = 0
        self.holder: Holder | None = None
        self.kept: Kept | None = None
        self.live: Callable[[], int] | None = None
        # DIRECTION_NONE discards all state of a line (virtio 1.3, 5.18.6).
        self.irq_unknown = direction == wire.DIRECTION_IN
        self.pin_config: wire.PinConfig | None = None
        if direction == wire.DIRECTION_NONE:
            self.pin_config = wire.PinConfig()
        self.set_direction(direction)

    def set_direction(self, direction: int) -> None:
        """Record a VIRTIO_GPIO_DIRECTION_*; NONE is shown as input, as in the kernel."""
        self.output = direction == wire.DIRECTION_OUT
        bit = uapi.GPIO_V2_LINE_FLAG_OUTPUT if self.output else uapi.GPIO_V2_LINE_FLAG_INPUT
        self.flags = self.flags & ~DIRECTIONS | bit

    def found(self, direction: int) -> None:
        """Record what the firmware says of a line that is to stay as it is.

        NONE says that the line is not driven. The line info shows the direction as before, as
        gpiolib does.
        """
        if direction == wire.DIRECTION_NONE:
            self.output = False
        else:
            self.set_direction(direction)

    def hold(self, holder: Holder, config: LineConfig) -> None:
        """Give the line to a request or an export."""
        self.holder = holder
        self.kept = None
        self.show(config)

    def show(self, config: LineConfig) -> None:
        """Have the settings of its holder in the line info; the direction is `set_direction`'s."""
        self.flags = self.flags & DIRECTIONS | config.flags & ~DIRECTIONS
        self.debounce_us = config.debounce_us

    def free(self) -> None:
        """Take the line from its request."""
        self.holder = None
        if self.live is not None:
            self.pin_config = None  # a direction of NONE behind our back makes the pin forget
        self.live = None
        self.flags &= _KEPT
        self.debounce_us = 0

    def describe(self) -> str:
        """The line in a sentence."""
        return f'{self.offset} ("{printable(self.name)}")' if self.name else str(self.offset)

    def where(self, chip: str) -> str:
        """The line and its chip, by the chip's name, in a sentence."""
        return f"line {self.describe()} of chip {chip}"

    def busy(self, chip: str, how: str = "held by", whose: str = "") -> OSError:
        """EBUSY for whoever wants the line, with a sentence.

        Args:
            chip: name of the line's chip.
            how: what ties it to its consumer.
            whose: what the sentence says behind that.
        """
        consumer = printable(self.holder.consumer) if self.holder else "?"
        return OSError(errno.EBUSY, f'{self.where(chip)} is {how} "{consumer}"{whose}')

    def info(self) -> dict[str, object]:
        """The line as the control socket shows it."""
        return {
            "offset": self.offset,
            "name": self.name,
            "used": self.holder is not None,
            "consumer": self.holder.consumer if self.holder else None,
            "flags": self._info_flags,
            "debounce_us": self.debounce_us,
            "on_release": self.on_release,
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
        """VIRTIO_GPIO_DIRECTION_OUT or IN; asks a holder that changes it by itself."""
        if self.live is not None:
            self.set_direction(self.live())
        return wire.DIRECTION_OUT if self.output else wire.DIRECTION_IN

    @property
    def _info_flags(self) -> int:
        if self.live is not None:
            self.set_direction(self.live())
        return self.flags | (uapi.GPIO_V2_LINE_FLAG_USED if self.holder else 0)
