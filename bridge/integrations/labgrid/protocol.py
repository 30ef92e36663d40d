# SPDX-License-Identifier: BSD-3-Clause
"""What labgrid has no protocol for: inputs, their edges, and buttons; and the words of lines."""

from __future__ import annotations

import abc
from typing import NamedTuple

from bridge.line import Bias, Edge

__all__ = ["ButtonProtocol", "DigitalInputProtocol", "EdgeEvent", "EdgeProtocol"]

#: What resources, clients and the keeper call the biases and edges of an input.
BIASES = {
    "as-is": Bias.AS_IS, "pull-up": Bias.PULL_UP, "pull-down": Bias.PULL_DOWN,
    "disabled": Bias.DISABLED,
}  # fmt: skip
EDGES = {"rising": Edge.RISING, "falling": Edge.FALLING, "both": Edge.BOTH}


class EdgeEvent(NamedTuple):
    """One edge of an input: whether it rose, when, and its number."""

    rising: bool
    #: CLOCK_MONOTONIC of the exporter's host, in ns.
    timestamp_ns: int
    #: Counts the edges since watch(), from 1; a gap is edges that were lost.
    seqno: int


class DigitalInputProtocol(abc.ABC):
    """A line that is read."""

    @abc.abstractmethod
    def get(self) -> bool:
        """Return the logical value."""


class EdgeProtocol(abc.ABC):
    """A line whose edges are heard."""

    @abc.abstractmethod
    def watch(self, edge: str = "both") -> None:
        """Begin to collect edges: ``rising``, ``falling`` or ``both``."""

    @abc.abstractmethod
    def edges(self, timeout: float = 0) -> list[EdgeEvent]:
        """Return the edges that wait, at least one unless `timeout` s passed."""


class ButtonProtocol(abc.ABC):
    """A button that the lab presses."""

    @abc.abstractmethod
    def press(self) -> None:
        """Press it, and keep it pressed."""

    @abc.abstractmethod
    def release(self) -> None:
        """Let go of it."""

    @abc.abstractmethod
    def press_for(self, seconds: float) -> None:
        """Press it for so long."""
