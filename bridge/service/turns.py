# SPDX-License-Identifier: BSD-3-Clause
"""Users take turns: who has a thousand connections is heard no more often than who has one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from bridge.service.peer import Peer


class Turns:
    """One thing of each user in a round of the event loop: a packet, an ioctl, new settings.

    A user's processes take turns as well, and what they have open. A thing costs its work at once
    or in the next round, so a round is as long as there are users who say something.
    """

    def __init__(self) -> None:
        self._spoke: set[int] = set()  # users, in this round
        self._waiting: dict[int, dict[int, deque[Callable[[], None]]]] = {}  # by user and process

    def ask(self, peer: Peer, speak: Callable[[], None]) -> bool:
        """Call `speak` now, or when it is the turn of `peer`; whether it was called."""
        if peer.uid not in self._spoke:
            self._have_speak(peer.uid, speak)
            return True
        processes = self._waiting.setdefault(peer.uid, {})
        processes.setdefault(peer.pid, deque()).append(speak)
        return False

    def _have_speak(self, uid: int, speak: Callable[[], None]) -> None:
        if not self._spoke:
            asyncio.get_running_loop().call_soon(self._next)
        self._spoke.add(uid)
        speak()

    def _next(self) -> None:
        """Begin another round with those who wait."""
        self._spoke.clear()
        for uid, processes in list(self._waiting.items()):
            pid = next(iter(processes))
            waiting = processes.pop(pid)
            speak = waiting.popleft()
            if waiting:
                processes[pid] = waiting  # behind the others
            if not processes:
                del self._waiting[uid]
            self._have_speak(uid, speak)
