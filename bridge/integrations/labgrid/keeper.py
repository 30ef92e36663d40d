# SPDX-License-Identifier: BSD-3-Clause
"""Holds lines on an exporter's host for as long as a place is acquired.

    python -m bridge.integrations.labgrid.keeper --coordinator HOST[:PORT]

labgrid's exporter knows nothing of lines, and its client ends after each command;
between both, this process has the line requests. Clients come by ssh and labgrid's agent
to its socket: a JSON object a line each way.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import click

from bridge import EdgeEvent, LineSettings, RequestReleasedError, aio
from bridge.integrations.labgrid.places import Places
from bridge.integrations.labgrid.protocol import BIASES, EDGES
from bridge.integrations.labgrid.resource import KEEPER_SOCKET
from bridge.line import Direction, Edge, Value

__all__ = ["Keeper"]

_log = logging.getLogger(__name__)

_LINE_MAX = 4096
_CLIENTS_MAX = 256
_WAIT_MAX_S = 3600.0
_BUFFER = 1024
_FALLBACKS = {"release": None, "inactive": Value.INACTIVE, "active": Value.ACTIVE}


class Key(NamedTuple):
    """A line as its resource says where it is."""

    chip: str
    line: str


@dataclass
class _Output:
    """A line that is driven: for a place, or, with place "", since nobody has it."""

    request: aio.LineRequest
    place: str
    fallback: Value | None
    client: _Client | None


@dataclass(eq=False)
class _Client:
    """A connection, and the inputs that it has, which may be of several places."""

    writer: asyncio.StreamWriter
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    inputs: dict[tuple[str, Key], aio.LineRequest] = field(default_factory=dict)


class Keeper:
    """The lines that places have on this host."""

    def __init__(self, coordinator: str, patience_s: float = 300.0) -> None:
        """Follow the places of `coordinator`, HOST[:PORT].

        Outputs fall back when it is away for `patience_s` seconds.
        """
        self.places = Places(coordinator, self._left, self._lost, patience_s)
        self._outputs: dict[Key, _Output] = {}
        self._locks: dict[Key, asyncio.Lock] = {}
        self._clients: set[_Client] = set()
        self._verbs: dict[str, Callable[[_Client, str, Key, dict[str, Any]], Awaitable[Any]]] = {
            "set": self._set,
            "get": self._get,
            "read": self._read,
            "watch": self._watch,
            "edges": self._edges,
        }

    async def serve(self, path: str, ready: Callable[[], None]) -> None:
        """Serve the socket at `path` until cancelled; then all lines are released."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        old = os.umask(0o117)
        try:
            server = await asyncio.start_unix_server(self._client, path, limit=_LINE_MAX)
        finally:
            os.umask(old)
        follow = asyncio.ensure_future(self.places.follow())
        try:
            async with server:
                ready()
                await follow
        finally:
            follow.cancel()
            for client in list(self._clients):
                client.writer.close()
            for output in list(self._outputs.values()):  # a client's end takes its own away
                await output.request.release()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    # ---- places ----------------------------------------------------------------------

    async def _left(self, place: str, user: str) -> None:
        """Nobody has the place any more, or somebody else."""
        for key, output in list(self._outputs.items()):
            if output.place == place:
                _log.info("%s left %s: %s of %s falls back", user, place, key.line, key.chip)
                await self._fall_back(key, output)
        for client in list(self._clients):  # some come and go while lines are released
            for own in [own for own in client.inputs if own[0] == place]:
                request = client.inputs.pop(own, None)
                if request is not None:
                    await request.release()

    async def _lost(self) -> None:
        """Nobody knows who has what."""
        for key, output in list(self._outputs.items()):
            if output.place:
                await self._fall_back(key, output)

    async def _fall_back(self, key: Key, output: _Output) -> None:
        async with self._lock(key):
            if self._outputs.get(key) is not output:
                return
            try:
                if output.fallback is not None:
                    await output.request.set_value(key.line, output.fallback)
                    output.place, output.client = "", None
                    return
            except (OSError, RequestReleasedError) as error:
                _log.warning("%s of %s cannot fall back: %s", key.line, key.chip, error)
            del self._outputs[key]
            await output.request.release()

    def _lock(self, key: Key) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())

    # ---- clients ---------------------------------------------------------------------

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(writer)
        if len(self._clients) >= _CLIENTS_MAX:
            writer.write(_packed({"error": f"{_CLIENTS_MAX} clients are here already"}))
            writer.close()
            return
        self._clients.add(client)
        following = asyncio.ensure_future(reader.readline())
        try:
            while line := await following:
                # Its end is noticed while it waits for an answer, too.
                following = asyncio.ensure_future(reader.readline())
                following.add_done_callback(lambda done: _note_end(client, done))
                writer.write(_packed(await self._answer(client, line)))
                await writer.drain()
        except (ConnectionError, ValueError) as error:  # gone, or a line that is too long
            _log.info("a client ends: %s", error)
        finally:
            following.cancel()
            self._clients.discard(client)
            await asyncio.shield(asyncio.ensure_future(self._gone(client)))
            writer.close()

    async def _gone(self, client: _Client) -> None:
        for request in list(client.inputs.values()):
            await request.release()
        for key, output in list(self._outputs.items()):
            if output.client is client:
                await self._fall_back(key, output)

    async def _answer(self, client: _Client, line: bytes) -> dict[str, Any]:
        try:
            asked = json.loads(line)
            place, chip, name = (_text(asked, word) for word in ("place", "chip", "line"))
            verb = self._verbs.get(_text(asked, "does"))
            if verb is None:
                raise ValueError(f"does must be one of {', '.join(self._verbs)}")
            await self._check(place)
            return {"result": await verb(client, place, Key(chip, name), asked)}
        except (ValueError, NotImplementedError, RequestReleasedError) as error:
            return {"error": str(error)}
        except OSError as error:
            return {"error": error.strerror or str(error)}

    async def _check(self, place: str) -> None:
        """Only who has acquired a place has its lines."""
        if not place:
            raise ValueError("the line is in no place: acquire one that has it")
        if not await self.places.user(place):
            raise PermissionError(errno.EPERM, f"place {place} is not acquired")

    # ---- what a client can ask for ---------------------------------------------------

    async def _set(self, client: _Client, place: str, key: Key, asked: dict[str, Any]) -> None:
        value = Value.ACTIVE if _flag(asked, "value") else Value.INACTIVE
        fallback = _FALLBACKS[_one_of(asked, "fallback", _FALLBACKS)]
        until = _one_of(asked, "until", ("place", "client"))
        async with self._lock(key):
            output = self._of(place, key)
            if output is not None:
                try:
                    await output.request.set_value(key.line, value)
                except (OSError, RequestReleasedError):  # the firmware restarted: ask again
                    del self._outputs[key]
                    await output.request.release()
                    output = None
            if output is None:
                settings = LineSettings(
                    direction=Direction.OUTPUT,
                    output_value=value,
                    active_low=_flag(asked, "active_low"),
                )
                request = await _request(place, key, settings)
                output = self._outputs[key] = _Output(request, place, fallback, None)
            output.place, output.fallback = place, fallback
            output.client = client if until == "client" else None
        if not await self.places.user(place):  # the user left meanwhile
            await self._fall_back(key, output)

    def _of(self, place: str, key: Key) -> _Output | None:
        """The output of a line, which may be this place's or nobody's."""
        output = self._outputs.get(key)
        if output is not None and output.place not in ("", place):
            raise OSError(errno.EBUSY, f"it is an output of place {output.place}")
        return output

    async def _get(self, client: _Client, place: str, key: Key, asked: dict[str, Any]) -> bool:
        async with self._lock(key):
            output = self._of(place, key)
            if output is not None:
                return bool((await output.request.get_value(key.line)).value)
            settings = LineSettings(active_low=_flag(asked, "active_low"))
            async with await _request(place, key, settings) as request:
                return bool((await request.get_value(key.line)).value)

    async def _read(self, client: _Client, place: str, key: Key, asked: dict[str, Any]) -> bool:
        request = client.inputs.get((place, key))
        if request is None:
            request = await self._input(client, place, key, asked, Edge.NONE)
        return bool((await request.get_value(key.line)).value)

    async def _watch(self, client: _Client, place: str, key: Key, asked: dict[str, Any]) -> None:
        edge = EDGES[_one_of(asked, "edge", EDGES)]
        before = client.inputs.pop((place, key), None)
        if before is not None:
            await before.release()
        await self._input(client, place, key, asked, edge)

    async def _input(
        self, client: _Client, place: str, key: Key, asked: dict[str, Any], edge: Edge
    ) -> aio.LineRequest:
        settings = LineSettings(
            direction=Direction.INPUT,
            edge_detection=edge,
            bias=BIASES[_one_of(asked, "bias", BIASES)],
            active_low=_flag(asked, "active_low"),
        )
        request = await _request(place, key, settings)
        client.inputs[place, key] = request
        return request

    async def _edges(
        self, client: _Client, place: str, key: Key, asked: dict[str, Any]
    ) -> list[list[object]]:
        request = client.inputs.get((place, key))
        if request is None:
            raise ValueError("nobody watches it: watch() comes first")
        timeout = asked.get("timeout")
        if isinstance(timeout, bool) or not isinstance(timeout, int | float):
            raise ValueError("timeout must be a number of seconds")
        if not 0 <= timeout <= _WAIT_MAX_S:
            raise ValueError(f"timeout must be 0 to {_WAIT_MAX_S:g} s")
        read = asyncio.ensure_future(request.read_edge_events(_BUFFER))
        gone = asyncio.ensure_future(client.gone.wait())
        await asyncio.wait({read, gone}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not read.done():
            read.cancel()
            await asyncio.wait({read})
        if read.cancelled():
            return []
        events = read.result()
        rising = EdgeEvent.Type.RISING_EDGE
        return [[one.event_type is rising, one.timestamp_ns, one.line_seqno] for one in events]


def _note_end(client: _Client, read: asyncio.Future[bytes]) -> None:
    if read.cancelled() or read.exception() is not None or not read.result():
        client.gone.set()


async def _request(place: str, key: Key, settings: LineSettings) -> aio.LineRequest:
    return await aio.request_lines(
        key.chip, {key.line: settings}, consumer=f"labgrid {place}", event_buffer_size=_BUFFER
    )


def _text(asked: Any, word: str) -> str:
    value = asked.get(word) if isinstance(asked, dict) else None
    if not isinstance(value, str):
        raise ValueError(f"{word} must be a string")
    return value


def _flag(asked: dict[str, Any], word: str) -> bool:
    value = asked.get(word)
    if not isinstance(value, bool):
        raise ValueError(f"{word} must be true or false")
    return value


def _one_of(asked: dict[str, Any], word: str, words: Any) -> str:
    value = asked.get(word)
    if value not in words:
        raise ValueError(f"{word} must be one of {', '.join(words)}")
    return str(value)


def _packed(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer).encode() + b"\n"


async def _run(keeper: Keeper, path: str, ready: Callable[[], None]) -> None:
    serving = asyncio.ensure_future(keeper.serve(path, ready))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, serving.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await serving


@click.command("python -m bridge.integrations.labgrid.keeper")
@click.option(
    "-c", "--coordinator", metavar="HOST[:PORT]", envvar="LG_COORDINATOR",
    default="127.0.0.1:20408", show_default=True, help="labgrid's coordinator.",
)  # fmt: skip
@click.option(
    "--socket", "path", metavar="PATH", default=KEEPER_SOCKET, show_default=True,
    help="Where agents find the keeper; who may write to it may use the lines.",
)  # fmt: skip
@click.option(
    "--patience", metavar="SECONDS", type=click.FloatRange(0), default=300.0, show_default=True,
    help="How long outputs stay while the coordinator is away.",
)  # fmt: skip
def main(coordinator: str, path: str, patience: float) -> None:
    """Hold outputs for the places of labgrid, on the host of its exporter.

    The service is that on $GPIO_BRIDGE_SOCKET, or the default one. All lines are
    released when this ends.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    keeper = Keeper(coordinator, patience)
    try:
        asyncio.run(_run(keeper, path, lambda: _log.info("keeper at %s", path)))
    except OSError as error:
        sys.exit(f"keeper: {path}: {error.strerror}")


if __name__ == "__main__":
    main()
