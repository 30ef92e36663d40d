# SPDX-License-Identifier: BSD-3-Clause
"""What outlives the sessions of a link."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from bridge.chips.chip import Chip
from bridge.chips.dispatcher import Dispatcher
from bridge.service.config import LinkConfig
from bridge.service.memory import Memory
from bridge.service.recorder import Recorder
from bridge.service.registry import Registry
from bridge.service.roster import Roster
from bridge.service.seen import Seen

log = logging.getLogger(__name__)

# So many seconds after the last chip came, configuration for others counts as a mistake.
_PATIENCE_S = 2.0
_INDEXES_MAX = 1024


class LinkContext:
    """What a link, its sessions and their channels have in common.

    Args:
        dispatcher: whose pump carries the link.
        registry: where the chips appear.
        config: of the link.
        name: of the link, unique in the service.
        timeout_ms: deadline of one request to the firmware in milliseconds.
        recorder: of what goes over it.

    Attributes:
        memory: what clients held when the firmware went away.
        roster: who has which number on channels rpmsg-raw.
        disputed: where a channel was that another address claimed too, by its index.
        indexes: of channels rpmsg-io-<index>, present or past, the latest at the end.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        registry: Registry,
        config: LinkConfig,
        name: str,
        timeout_ms: int,
        recorder: Recorder,
    ) -> None:
        self.dispatcher = dispatcher
        self.registry = registry
        self.config = config
        self.name = name
        self.timeout_ms = timeout_ms
        self.recorder = recorder
        self.memory = Memory(config)
        self.roster = Roster(
            name, config.raw, lambda number: self.memory.forget(f"{name}-{number}")
        )
        self.disputed: dict[str, int] = {}
        self.indexes: dict[str, None] = {}
        self._seen = Seen(config, name)
        self._check: asyncio.TimerHandle | None = None

    def claim(self, index: str, present: Collection[str]) -> None:
        """A channel is called by this index: none on rpmsg-raw can have it as its number.

        Args:
            index: of the channel.
            present: indexes that channels have now; of others so many are remembered.
        """
        self.indexes.pop(index, None)
        self.indexes[index] = None
        past = [known for known in self.indexes if known != index and known not in present]
        for known in past[: max(0, len(self.indexes) - _INDEXES_MAX)]:
            del self.indexes[known]
            self.disputed.pop(known, None)
            self.memory.forget(f"{self.name}-{known}")
        self.roster.displace(index)

    @property
    def doubts(self) -> list[str]:
        """The configuration that fits nothing, a sentence each."""
        return self._seen.told

    def saw(self, number: str, chip: Chip) -> None:
        """A chip came: the configuration for it is right."""
        self._seen.add(number, chip)
        if self._check is not None:
            self._check.cancel()
        loop = asyncio.get_running_loop()
        self._check = loop.call_later(_PATIENCE_S, self._check_configuration)

    def _check_configuration(self) -> None:
        for mistake in self._seen.mistakes():
            log.warning("link %s: %s", self.name, mistake)

    def label(self, index: str, from_firmware: str, channel: str) -> str:
        """Label of a chip: configured, else the firmware's, else the channel's name."""
        return self.config.labels.get(index) or from_firmware or channel

    def line_names(self, index: str, from_firmware: list[str | None]) -> list[str | None]:
        """Line names of a chip: those configured take the place of the firmware's."""
        configured = self.config.names.get(index, ())
        if len(configured) > len(from_firmware):
            log.warning(
                "link %s: names of chip %s: %d names for %d lines, the rest is ignored",
                self.name,
                index,
                len(configured),
                len(from_firmware),
            )
        names: list[str | None] = [name or None for name in configured]
        return (names + from_firmware[len(names) :])[: len(from_firmware)]
