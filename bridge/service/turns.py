# SPDX-License-Identifier: BSD-3-Clause
"""Users take turns: who has a thousand connections is heard no more often than who has one."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from bridge.service.peer import Peer


class Speaker(Protocol):
    """What has something to say: `bridge.service.connection.Connection`."""

    def hold(self) -> None:
        """Wait for its turn, without asking again."""

    def speak(self) -> None:
        """Say one thing: it is its turn."""


class Turns:
    """One thing of each user in a round of the event loop.

    A user's processes take turns as well, and the connections of a process. What is said costs its
    work in the next round, so a round is as long as there are users who say something.
    """

    def __init__(self) -> None:
        self._spoke: set[int] = set()  # users, in this round
        self._waiting: dict[int, dict[int, deque[Speaker]]] = {}  # by user and process

    def ask(self, peer: Peer, speaker: Speaker) -> None:
        """Have `speaker` of a peer speak, now or when it is its turn."""
        if peer.uid in self._spoke:
            speaker.hold()
            processes = self._waiting.setdefault(peer.uid, {})
            processes.setdefault(peer.pid, deque()).append(speaker)
        else:
            self._have_speak(peer.uid, speaker)

    def _have_speak(self, uid: int, speaker: Speaker) -> None:
        if not self._spoke:
            asyncio.get_running_loop().call_soon(self._next)
        self._spoke.add(uid)
        speaker.speak()

    def _next(self) -> None:
        """Begin another round with those who wait."""
        self._spoke.clear()
        for uid, processes in list(self._waiting.items()):
            pid = next(iter(processes))
            speakers = processes.pop(pid)
            speaker = speakers.popleft()
            if speakers:
                processes[pid] = speakers  # behind the others
            if not processes:
                del self._waiting[uid]
            self._have_speak(uid, speaker)
