# SPDX-License-Identifier: BSD-3-Clause
"""What clients held when their chip went away, and what becomes of it.

A client sees the removed chip, as with the kernel; its request is over. The
service knows what it held, and treats each line by its policy once the firmware
is back:

``release``
    Forgets it, as the kernel does.
``restore``
    Brings the line into the state that it had, an output with its last value,
    before any client sees the chip. Edges are not enabled: nobody reads them.
    The line is free; whoever requests it takes over, and until then it is
    restored after further restarts too.
``hold``
    Leaves the line as the firmware has it, and keeps it for the consumer of the
    same name and user for 30 s. Others get EBUSY.
"""

from __future__ import annotations

import asyncio
import errno
import logging

from bridge.chips.chip import Chip
from bridge.chips.line import Kept, Line
from bridge.chips.line_config import LineConfig
from bridge.chips.pin import drive, make_input, set_pin
from bridge.chips.request import LineRequest
from bridge.chips.reservation import Reservation
from bridge.service.config import LinkConfig

log = logging.getLogger(__name__)

# So many lines are replayed at once.
_BATCH = 8


class Memory:
    """The lines of one link's chips.

    Args:
        config: of the link, for its policies.
    """

    def __init__(self, config: LinkConfig) -> None:
        self._config = config
        self._chips: dict[str, list[Kept]] = {}

    def remember(self, chip: Chip) -> None:
        """Note what is held, at the moment when the firmware is known to be gone.

        A moment later clients may have seen that, and may have closed their requests.
        """
        kept = [line.kept for line in chip.lines if line.kept is not None]
        for holder in chip.requests:
            if isinstance(holder, LineRequest) and holder.established:
                kept += self._held(holder)
        self._chips.pop(chip.name, None)
        if kept:
            self._chips[chip.name] = kept

    def forget(self, name: str) -> None:
        """Forget the chip: none that comes under this name is the one that had it."""
        self._chips.pop(name, None)

    def _held(self, request: LineRequest) -> list[Kept]:
        found = []
        for line, config in request.states():
            policy = self._policy(line)
            if policy != "release":
                uid = request.requester.uid
                found.append(Kept(line.offset, line.name, policy, request.consumer, uid, config))
        return found

    def _policy(self, line: Line) -> str:
        own = self._config.lines_on_restart.get(line.name) if line.name else None
        return own or self._config.on_restart

    async def replay(self, chip: Chip) -> None:
        """Apply the policy of each line; clients do not see the chip yet."""
        pairs = [
            (find_again(chip, kept.offset, kept.name), kept)
            for kept in self._chips.get(chip.name, ())
        ]
        restored = []
        for line, kept in pairs:
            if line is None:
                continue
            if kept.policy == "hold":
                Reservation(chip, line, kept)
            else:
                line.kept = kept  # whether or not it works this time
                restored.append((line, kept.config))
        for start in range(0, len(restored), _BATCH):
            if not await self._restore_some(chip, restored[start : start + _BATCH]):
                return

    async def _restore_some(self, chip: Chip, lines: list[tuple[Line, LineConfig]]) -> bool:
        """Restore these lines; return whether it makes sense to go on with others."""
        results = await asyncio.gather(
            *(self._restore(chip, line, config) for line, config in lines), return_exceptions=True
        )
        failures = [result for result in results if isinstance(result, OSError)]
        for failure in failures:
            log.warning("chip %s: not restored: %s", chip.name, failure.strerror)
        return not any(failure.errno in (errno.ETIMEDOUT, errno.ENODEV) for failure in failures)

    @staticmethod
    async def _restore(chip: Chip, line: Line, config: LineConfig) -> None:
        pin = chip.pins[line.offset]
        config = await set_pin(pin, line, config)
        if config.output:
            await drive(pin, line, config)
        elif config.input:
            await make_input(pin, line)


def find_again(chip: Chip, offset: int, name: str | None) -> Line | None:
    """Find a line in firmware that may be another one by now: by its name, if it had one.

    Configured names may occur twice: a line that still has its name at its offset is the one;
    when several others have it, none is.
    """
    if offset < len(chip.lines) and chip.lines[offset].name == name:
        return chip.lines[offset]
    found = chip.find_only(name)
    return None if found is None else chip.lines[found]
