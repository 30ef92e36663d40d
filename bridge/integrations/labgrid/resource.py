# SPDX-License-Identifier: BSD-3-Clause
"""labgrid's description of a line: on this host, or exported from another one."""

from __future__ import annotations

from typing import Any

import attr
from labgrid.factory import target_factory
from labgrid.resource.common import ManagedResource, NetworkResource, Resource
from labgrid.resource.remote import RemotePlaceManager

from bridge.integrations.labgrid.protocol import BIASES

__all__ = ["KEEPER_SOCKET", "GPIOBridgeLine", "NetworkGPIOBridgeLine"]

#: Where the keeper listens unless it is told otherwise.
KEEPER_SOCKET = "/run/rpmsg-gpio-bridge-labgrid/keeper.sock"


def _text() -> Any:
    return attr.ib(validator=attr.validators.instance_of(str))


def _line() -> Any:
    return attr.ib(converter=str)  # YAML makes numbers of offsets


def _active_low() -> Any:
    return attr.ib(default=False, validator=attr.validators.instance_of(bool))


def _one_of(*words: str) -> Any:
    return attr.ib(default=words[0], validator=attr.validators.in_(words))


@target_factory.reg_resource
@attr.s(eq=False)
class GPIOBridgeLine(Resource):
    """A line of a service on this host.

    Args:
        chip: what bridge.Chip takes: a name, SOCKET#NAME, a link's URL.
        line: name or offset.
        active_low: whether a low level is the value 1.
        bias: as-is, pull-up, pull-down or disabled, for inputs.
    """

    chip = _text()
    line = _line()
    active_low = _active_low()
    bias = _one_of(*BIASES)


@target_factory.reg_resource
@attr.s(eq=False)
class NetworkGPIOBridgeLine(NetworkResource, ManagedResource):
    """A line of a service on an exporter's host, where the keeper holds it.

    Args:
        host: of the exporter, as labgrid's ssh reaches it.
        chip: as of GPIOBridgeLine, seen from that host; so are line, active_low and bias.
        until: ``place`` holds an output until the place is released, ``client`` until the
            client's process ends, too.
        fallback: what becomes of the output then: ``release`` gives the line back to the
            service (its `on_release` decides), ``inactive`` and ``active`` are values that
            the keeper goes on to drive.
        socket: of the keeper.
    """

    manager_cls = RemotePlaceManager

    chip = _text()
    line = _line()
    active_low = _active_low()
    bias = _one_of(*BIASES)
    until = _one_of("place", "client")
    fallback = _one_of("release", "inactive", "active")
    socket = attr.ib(default=KEEPER_SOCKET, validator=attr.validators.instance_of(str))

    def __attrs_post_init__(self) -> None:
        """As labgrid's own resources: how long to wait for the exporter, in s."""
        self.timeout = 10.0
        super().__attrs_post_init__()

    @property
    def place(self) -> str:
        """The name of the place that has it, "" where none does."""
        return str(self.parent.name) if self.parent is not None else ""
