# SPDX-License-Identifier: BSD-3-Clause
"""Who has which place, as labgrid's coordinator tells it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from labgrid.remote.generated import labgrid_coordinator_pb2 as pb2
from labgrid.remote.generated import labgrid_coordinator_pb2_grpc as services
from labgrid.util import labgrid_version

__all__ = ["Places"]

_log = logging.getLogger(__name__)

# As labgrid's exporter: a coordinator that says nothing for so long is gone.
_CHANNEL = (
    ("grpc.keepalive_time_ms", 7500),
    ("grpc.keepalive_timeout_ms", 10000),
    ("grpc.http2.ping_timeout_ms", 10000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_reconnect_backoff_ms", 5000),
)
_SYNC_S = 10.0
_PORT = 20408


class Places:
    """Follows the places of a coordinator, over its restarts."""

    def __init__(
        self,
        coordinator: str,
        left: Callable[[str, str], Awaitable[None]],
        lost: Callable[[], Awaitable[None]],
        patience_s: float,
    ) -> None:
        """Say whom to tell.

        Args:
            coordinator: HOST[:PORT].
            left: is awaited with a place and its user when the user has given it back.
            lost: is awaited when the coordinator was away for `patience_s` seconds.
            patience_s: see there.
        """
        self._target = coordinator if ":" in coordinator else f"{coordinator}:{_PORT}"
        self._left = left
        self._lost = lost
        self._patience_s = patience_s
        self._users: dict[str, str] = {}
        self._out: asyncio.Queue[Any] | None = None
        self._synced: dict[int, asyncio.Event] = {}
        self._numbers = itertools.count(1)

    async def user(self, place: str) -> str:
        """Return HOST/USER who has a place, "" for nobody.

        Raises OSError when the coordinator is away and nothing is known.
        """
        if place not in self._users:
            await self._sync()
        return self._users.get(place, "")

    async def _sync(self) -> None:
        """Wait until everything that was done before is heard of."""
        if self._out is None:
            raise ConnectionError(f"labgrid's coordinator at {self._target} is away")
        number = next(self._numbers)
        done = self._synced[number] = asyncio.Event()
        self._out.put_nowait(pb2.ClientInMessage(sync=pb2.Sync(id=number)))
        try:
            await asyncio.wait_for(done.wait(), _SYNC_S)
        except (TimeoutError, asyncio.TimeoutError):
            raise ConnectionError(
                f"labgrid's coordinator at {self._target} does not answer"
            ) from None
        finally:
            self._synced.pop(number, None)

    async def follow(self) -> None:
        """Run until cancelled."""
        patience: asyncio.Task[None] | None = asyncio.ensure_future(self._give_up())
        try:
            async with grpc.aio.insecure_channel(self._target, options=_CHANNEL) as channel:
                stub = services.CoordinatorStub(channel)
                while True:
                    try:
                        async for message in self._stream(stub):
                            if patience is not None:
                                patience.cancel()
                                patience = None
                            await self._hear(message)
                    except grpc.aio.AioRpcError as error:
                        _log.warning("coordinator %s: %s", self._target, error.details())
                    finally:
                        self._out = None
                    if patience is None:
                        _log.warning("the coordinator is away; its places stay as they are")
                        patience = asyncio.ensure_future(self._give_up())
                    await asyncio.sleep(1)  # one that ends each stream is not to be flooded
        finally:
            if patience is not None:
                patience.cancel()

    async def _give_up(self) -> None:
        await asyncio.sleep(self._patience_s)
        _log.warning("the coordinator is away for %g s: all places fall back", self._patience_s)
        self._users.clear()
        await self._lost()

    async def _stream(self, stub: Any) -> AsyncIterator[Any]:
        """Yield what the coordinator says, once there is one."""
        out: asyncio.Queue[Any] = asyncio.Queue()

        async def messages() -> AsyncIterator[Any]:
            while True:
                yield await out.get()

        startup = pb2.StartupDone(
            version=labgrid_version(), name=f"{socket.gethostname()}/gpio-bridge-keeper"
        )
        out.put_nowait(pb2.ClientInMessage(startup=startup))
        out.put_nowait(pb2.ClientInMessage(subscribe=pb2.Subscribe(all_places=True)))
        self._fresh = next(self._numbers)
        self._known: set[str] = set()
        out.put_nowait(pb2.ClientInMessage(sync=pb2.Sync(id=self._fresh)))
        call = stub.ClientStream(messages(), wait_for_ready=True)
        self._out = out
        try:
            async for message in call:
                yield message
        finally:
            call.cancel()

    async def _hear(self, message: Any) -> None:
        for update in message.updates:
            if update.HasField("place"):
                self._known.add(update.place.name)
                await self._changed(update.place.name, update.place.acquired)
            elif update.HasField("del_place"):
                await self._changed(update.del_place, "")
        if message.HasField("sync"):
            if message.sync.id == self._fresh:
                _log.info("coordinator %s has %d places", self._target, len(self._known))
                for place in set(self._users) - self._known:  # a new one may know fewer
                    await self._changed(place, "")
            done = self._synced.get(message.sync.id)
            if done is not None:
                done.set()

    async def _changed(self, place: str, user: str) -> None:
        was = self._users.pop(place, "")
        if user:
            self._users[place] = user
        if was and was != user:
            await self._left(place, was)
