# SPDX-License-Identifier: BSD-3-Clause
"""What the service can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from bridge import wire
from bridge.control_protocol import DEFAULT_SOCKET
from bridge.export.selection import AggregateConfig, ExportConfig
from bridge.service.access import AccessRule
from bridge.service.budgets import Limits

DEFAULT_MODE = 0o660


DEFAULT_TIMEOUT_MS = 1000


LINK_NAME_MAX = 20


class ConfigError(ValueError):
    """A configuration that cannot be used; the message says where and why."""


@dataclass(frozen=True)
class LinkConfig:
    """One link.

    Attributes:
        url: ``scheme:target``, see `bridge.link`.
        name: prefix of its chips' names, None derives it from the URL.
        extensions: RPMSG_GPIO_F_* bits that may be negotiated.
        lines: lines a controller has, for firmware without CONFIG; None probes.
        labels: label of a chip by channel index.
        names: line names of a chip by channel index, in the order of the lines; they
            take the place of the firmware's. "" is a line without a name.
        on_release: ``none`` gives released lines back (DIRECTION_NONE), ``keep``
            leaves them as they are.
        lines_on_release: the same for single lines, by name or pattern of names.
        on_restart: ``release``, ``restore`` or ``hold`` lines that were held when
            the firmware restarted, see `bridge.service.memory`.
        lines_on_restart: the same for single lines, by name.
        raw: which controller on a channel rpmsg-raw has a number, by number: its address
            as a decimal text, or its label.
    """

    url: str
    name: str | None = None
    extensions: int = wire.ALL_FEATURES
    lines: int | None = None
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    names: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    on_release: str = "none"
    lines_on_release: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    on_restart: str = "release"
    lines_on_restart: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    raw: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class RemoteprocConfig:
    """A remote processor that the service starts.

    Attributes:
        name: of the processor.
        auto_stop: it stops when the service ends, however it ends.
    """

    name: str
    auto_stop: bool = False


@dataclass(frozen=True)
class RealtimeConfig:
    """How the kernel schedules the pump.

    Attributes:
        priority: of SCHED_FIFO, 0 is none.
        cpus: where the pump runs, () is everywhere.
        lock_memory: no page of the service is ever paged out.
        required: the service does not start without these.
    """

    priority: int = 0
    cpus: tuple[int, ...] = ()
    lock_memory: bool = False
    required: bool = False


@dataclass(frozen=True)
class Config:
    """All that the service can be told.

    Attributes:
        links: the links to keep up.
        socket: path of the control socket, None for a service without one.
        mode: permission bits of the socket.
        group: group that owns the socket, None leaves the service's own.
        timeout_ms: deadline of one request to the firmware in milliseconds.
        exports: what guest kernels get.
        remoteproc: remote processors to start.
        chips: chips that are put together out of lines of others.
        limits: what one user id may have at once.
        access: who may do what with which lines.
        realtime: how the pump is scheduled.
        trace_group: group whose members may read what goes over the links; None: whoever
            may connect, and nobody where there are rules of access.
        traces: directory for the last messages of links that died, "" for none, None for the
            one beside the socket.
    """

    links: tuple[LinkConfig, ...] = ()
    socket: str | None = DEFAULT_SOCKET
    mode: int = DEFAULT_MODE
    group: str | None = None
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    exports: tuple[ExportConfig, ...] = ()
    remoteproc: tuple[RemoteprocConfig, ...] = ()
    chips: tuple[AggregateConfig, ...] = ()
    limits: Limits = field(default_factory=Limits)
    access: tuple[AccessRule, ...] = ()
    realtime: RealtimeConfig = field(default_factory=RealtimeConfig)
    trace_group: str | None = None
    traces: str | None = None
