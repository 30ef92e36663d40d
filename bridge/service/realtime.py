# SPDX-License-Identifier: BSD-3-Clause
"""What the kernel is asked for so that the pump runs when it must, and what it says to that."""

from __future__ import annotations

import errno
import logging
import os
import resource
from collections.abc import Callable

from bridge.service.config import RealtimeConfig
from bridge.shim.ffi import ffi, lib
from bridge.shim.pump import Pump

log = logging.getLogger(__name__)

_CAP_IPC_LOCK = 14  # linux/capability.h


class Realtime:
    """The real-time options of a service.

    Args:
        config: what is wanted.

    Attributes:
        wanted: whether anything is.
    """

    def __init__(self, config: RealtimeConfig) -> None:
        self._config = config
        self.wanted = bool(config.priority or config.cpus or config.lock_memory)
        self._why: list[str] = []

    def apply(self, pump: Pump) -> None:
        """Ask the kernel for all of them, before the pump has links.

        Raises OSError with the first that was refused, if they are required; else says in the log
        what was.
        """
        config = self._config
        self._why = []
        if config.cpus:
            self._try(lambda: pump.schedule(0, config.cpus), f"CPUs {_list(config.cpus)}", "")
        if config.priority:
            advice = (
                f"set LimitRTPRIO={config.priority} and RestrictRealtime=no in its unit "
                "(docs/configuration.md, [realtime])"
            )
            self._try(lambda: pump.schedule(config.priority, ()), "real-time priority", advice)
        if config.lock_memory:
            self._try(_lock_memory, "locked memory", "set LimitMEMLOCK=infinity in its unit")

    def _try(self, ask: Callable[[], None], what: str, advice: str) -> None:
        try:
            ask()
        except OSError as error:
            hint = f": {advice}" if advice and error.errno in (errno.EPERM, errno.ENOMEM) else ""
            why = f"the pump has no {what} ({error.strerror}){hint}"
            if self._config.required:
                raise OSError(error.errno, why) from None
            log.warning("%s", why)
            self._why.append(why)

    def status(self) -> dict[str, object]:
        """What is wanted, and what was refused."""
        config = self._config
        return {
            "priority": config.priority,
            "cpus": list(config.cpus),
            "lock_memory": config.lock_memory,
            "refused": self._why,
        }


def _list(cpus: tuple[int, ...]) -> str:
    return ", ".join(map(str, cpus))


def _lock_memory() -> None:
    """Keep what was used once. Raises OSError EPERM, ENOMEM."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft != resource.RLIM_INFINITY and not _may_lock():
        # It would work now, and memory would end later.
        raise OSError(errno.EPERM, f"its limit is {soft // 1024} KiB")
    # Guests map memory of theirs here, of which only what is used is to be locked.
    if lib.mlockall(lib.MCL_CURRENT | lib.MCL_FUTURE | lib.MCL_ONFAULT) < 0:
        raise OSError(ffi.errno, os.strerror(ffi.errno))


def _may_lock() -> bool:
    """Whether this process has CAP_IPC_LOCK (capabilities(7))."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        effective = next(line for line in file if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> _CAP_IPC_LOCK & 1)
