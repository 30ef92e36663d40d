# SPDX-License-Identifier: BSD-3-Clause
"""Outputs that the service keeps for users: they stay when the program that set them has ended.

Each is a line request of the service's own, on the user's account and with the user's rights. It
is made again when its chip comes back, and by the next service, which finds it in a file beside
the control socket.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.chips.chip import Chip
from bridge.chips.line import Line, clip_consumer
from bridge.chips.line_config import LineConfig
from bridge.chips.request import LineRequest
from bridge.chips.requester import Requester
from bridge.service.access import Policy
from bridge.service.budgets import Budgets, Grant
from bridge.service.memory import find_again
from bridge.service.peer import Peer
from bridge.shim.pump import RequestFds
from bridge.text import printable

log = logging.getLogger(__name__)

_FILE_MAX = 4 << 20
_OFFLINE = "its chip is not online"


@dataclass
class KeptLine:
    """An output that is kept.

    Attributes:
        chip: name of its chip.
        name: of the line, or None.
        peer: the user, with the groups of the moment of the request.
        consumer: as the line info shows it.
        config: its settings and value.
        on_restart: ``restore`` or ``release``, when the firmware restarts.
        grant: what it takes of the user's account.
        controller: who held it last: its label, address and epoch.
        request: that holds the line, None while the chip is gone.
        why: a sentence why nothing holds it, "" when all is well.
    """

    chip: str
    name: str | None
    peer: Peer
    consumer: str
    config: LineConfig
    on_restart: str
    grant: Grant
    controller: Mapping[str, object] = field(default_factory=dict)
    request: LineRequest | None = None
    fds: RequestFds | None = None
    why: str = _OFFLINE

    @property
    def offset(self) -> int:
        """Of the line on its chip."""
        return self.config.offset

    def status(self) -> dict[str, object]:
        """The line as the control socket shows it."""
        return {
            "chip": self.chip,
            "offset": self.offset,
            "name": self.name,
            "value": self.config.value,
            "uid": self.peer.uid,
            "consumer": self.consumer,
            "on_restart": self.on_restart,
            "held": self.request is not None,
            "why": self.why,
        }


class Keeper:
    """All outputs that one service keeps.

    Args:
        policy: who may do what with which lines.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._lines: dict[tuple[str, int], KeptLine] = {}
        self._file: str | None = None
        self._resting = False

    def rest(self) -> None:
        """The service ends: the chips go, and what is kept is the next one's."""
        self._resting = True

    def status(self, peer: Peer, chips: Mapping[str, Chip]) -> list[dict[str, object]]:
        """The lines as the control socket shows them to a user.

        Args:
            peer: the user, whose own lines are listed, and others that the user may see.
            chips: those that are online, by name.
        """
        return [
            line.status()
            for _, line in sorted(self._lines.items())
            if line.peer.uid == peer.uid
            or self._policy.sees_line(peer, chips.get(line.chip), line.offset)
        ]

    # ---- what clients ask for ---------------------------------------------------

    def find(self, chip: Chip, offset: int, peer: Peer) -> KeptLine | None:
        """The line, if it is kept.

        Raises:
            OSError: EBUSY, for another user; EACCES, and the user may not see it.
        """
        line = self._lines.get((chip.name, offset))
        if line is not None and not _may_change(peer, line):
            there = chip.line(offset)
            self._policy.need(peer, chip, there, "see")
            raise OSError(errno.EBUSY, f"{there.where(chip.name)} is kept by {_whose(line)}")
        return line

    def find_left(self, chip: str, offset: int, peer: Peer) -> KeptLine | None:
        """A line of a chip that is not online, None where the user keeps none there."""
        line = self._lines.get((chip, offset))
        return line if line is not None and _may_change(peer, line) else None

    async def keep(
        self,
        chip: Chip,
        config: LineConfig,
        peer: Peer,
        consumer: str,
        on_restart: str,
        grant: Grant,
    ) -> KeptLine:
        """Keep an output that is not kept yet; the grant is ours then, or ended.

        Raises:
            OSError: EINVAL no output; as `Chip.request`.
        """
        line = KeptLine(
            chip.name,
            chip.line(config.offset).name,
            peer,
            clip_consumer(consumer),
            config,
            on_restart,
            grant,
        )
        try:
            await self._hold(chip, line)
        except BaseException:
            grant.end()
            raise
        self._lines[chip.name, config.offset] = line
        self._save()
        return line

    async def change(self, line: KeptLine, config: LineConfig, on_restart: str) -> None:
        """Give a kept line other settings, or another value. Raises OSError as `keep`."""
        if line.request is None:
            raise OSError(errno.ENODEV, f"line {line.offset} of chip {line.chip}: {line.why}")
        await line.request.set_config([config])
        line.config, line.on_restart = config, on_restart
        self._save()

    async def release(self, line: KeptLine) -> None:
        """Give a line back to the firmware by its chip's policy on_release."""
        self._forget(line)
        if line.request is not None:
            await line.request.release()

    def _forget(self, line: KeptLine) -> None:
        if self._lines.get((line.chip, line.offset)) is line:
            del self._lines[line.chip, line.offset]
            line.grant.end()
            self._save()

    # ---- their requests -----------------------------------------------------------

    async def _hold(self, chip: Chip, line: KeptLine) -> None:
        check = functools.partial(self._policy.check, line.peer, chip)
        ended = functools.partial(self._ended, chip, line)
        requester = Requester(line.peer.uid, ended, check, keeps=True)
        fds, _ = await chip.request([line.config], line.consumer, 0, requester)
        holder = chip.lines[line.offset].holder
        assert isinstance(fds, RequestFds)
        if not isinstance(holder, LineRequest) or holder.requester is not requester:
            fds.close()  # the chip went away in this moment
            raise OSError(errno.ENODEV, f"chip {chip.name} is gone")
        line.request, line.fds, line.why = holder, fds, ""
        line.controller = _told(chip)

    def _ended(self, chip: Chip, line: KeptLine) -> None:
        """Its request is over: it was released, or its chip is gone."""
        line.request = None
        line.why = line.why or _OFFLINE
        fds, line.fds = line.fds, None
        if fds is not None:
            fds.close()
        if not chip.online and line.on_restart == "release" and not self._resting:
            self._forget(line)

    def _of(self, chip: str) -> Iterator[KeptLine]:
        return (line for line in self._lines.values() if line.chip == chip)

    def appeared(self, chip: Chip) -> None:
        """A chip came online: take its lines again, before anybody else can."""
        waiting = [line for line in self._of(chip.name) if line.request is None]
        for line in [line for line in waiting if _is_over(chip, line)]:
            log.info("chip %s: the firmware restarted: line %d is released", chip.name, line.offset)
            waiting.remove(line)
            self._forget(line)
        for line in waiting:
            del self._lines[chip.name, line.offset]
        # All of them first: names may have changed places.
        found = [line for line in waiting if self._find_again(chip, line)]
        for line in found:
            self._lines[chip.name, line.offset] = line
        for line in waiting:
            if self._lines.setdefault((chip.name, line.offset), line) is not line:
                line.grant.end()  # another one is there now
        for line in found:
            chip.tasks.spawn(self._again(chip, line), f"kept line {line.offset} of {chip.name}")

    def _find_again(self, chip: Chip, line: KeptLine) -> bool:
        try:
            line.config = replace(line.config, offset=self._place(chip, line).offset)
        except OSError as error:
            self._lost(chip, line, error)
            return False
        return True

    async def _again(self, chip: Chip, line: KeptLine) -> None:
        try:
            await self._hold(chip, line)
        except OSError as error:
            self._lost(chip, line, error)

    @staticmethod
    def _lost(chip: Chip, line: KeptLine, error: OSError) -> None:
        line.why = error.strerror or str(error)
        log.warning("chip %s: a kept line is not held: %s", chip.name, line.why)

    @staticmethod
    def _place(chip: Chip, line: KeptLine) -> Line:
        known_by = chip.identity.known_by
        before = line.controller.get(known_by)
        if known_by == "nothing" or (before is not None and before != _told(chip)[known_by]):
            raise OSError(errno.ENODEV, f"chip {chip.name} may be another controller than before")
        place = find_again(chip, line.offset, line.name)
        if place is None:
            raise OSError(errno.ENOENT, f"no line of chip {chip.name} is called {line.name!r}")
        return place

    # ---- over a restart of the service -----------------------------------------------

    def resume(self, path: str, budgets: Budgets) -> None:
        """Take over what the service before kept, and write to this file from here on.

        Args:
            path: of the file; one that is not ours, or not ours alone, counts for nothing.
            budgets: of the users.
        """
        try:
            entries = _read(path)
        except FileNotFoundError:
            entries = []
        except (OSError, ValueError, RecursionError) as error:
            log.warning("%s: what was kept is not known any more: %s", path, error)
            entries = []
        for entry in entries:
            try:
                line = _from_entry(entry, budgets)
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.warning("%s: a line is not kept any more: %s", path, error)
            else:
                self._lines[line.chip, line.offset] = line
        self._file = path

    def _save(self) -> None:
        if self._file is None:
            return
        try:
            _write(self._file, [_entry(line) for line in self._lines.values()])
        except OSError as error:
            log.warning("%s: not written, the next service will not keep: %s", self._file, error)


def _may_change(peer: Peer, line: KeptLine) -> bool:
    return peer.uid in (line.peer.uid, 0, os.geteuid())


def _told(chip: Chip) -> dict[str, object]:
    """What firmware says of a controller, by which a later service knows it again."""
    info = chip.info()
    return {key: info[key] for key in ("label", "address", "epoch")}


def _is_over(chip: Chip, line: KeptLine) -> bool:
    """Whether the firmware has restarted without a service to see it, and that releases."""
    before, now = line.controller.get("epoch"), chip.info()["epoch"]
    return line.on_restart == "release" and None not in (before, now) and before != now


def _whose(line: KeptLine) -> str:
    return f'"{printable(line.consumer)}" of user id {line.peer.uid}'


def _entry(line: KeptLine) -> dict[str, Any]:
    return {
        "chip": line.chip,
        "name": line.name,
        "uid": line.peer.uid,
        "groups": sorted(line.peer.groups),
        "consumer": line.consumer,
        "offset": line.offset,
        "flags": line.config.flags,
        "value": line.config.value,
        "on_restart": line.on_restart,
        "controller": line.controller,
    }


def _from_entry(entry: dict[str, Any], budgets: Budgets) -> KeptLine:
    """Raises OSError, ValueError, KeyError or TypeError: it is none, or beyond the limits."""
    config = LineConfig(int(entry["offset"]), int(entry["flags"]), int(bool(entry["value"])))
    config.check()
    peer = Peer(0, int(entry["uid"]), frozenset(map(int, entry["groups"])))
    name = entry["name"]
    controller = dict(entry.get("controller", {}))
    return KeptLine(
        str(entry["chip"]),
        None if name is None else str(name),
        peer,
        clip_consumer(str(entry["consumer"])),
        config,
        str(entry["on_restart"]),
        budgets.account(peer.uid).take(requests=1, lines=1),
        controller,
    )


def _read(path: str) -> list[dict[str, Any]]:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise OSError(errno.EPERM, "it is no file of this user's")
        if status.st_mode & 0o022:
            raise OSError(errno.EPERM, "others may write to it")
        found = json.loads(file.read(_FILE_MAX))
    if not isinstance(found, list):
        raise ValueError("it has no list")
    return found


def _write(path: str, entries: list[dict[str, Any]]) -> None:
    if not entries:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    new = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "w", encoding="utf-8") as file:
        json.dump(entries, file)
    os.rename(new, path)
