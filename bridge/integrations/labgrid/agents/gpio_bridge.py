# SPDX-License-Identifier: BSD-3-Clause
"""What labgrid's agent runs on the exporter's host: the way to the keeper's socket.

labgrid sends this file there; it needs nothing but a python3.
"""

from __future__ import annotations

import json
import select
import socket
from typing import Any, TextIO

_DEADLINE_S = 60  # the keeper's own are shorter

_keepers: dict[str, tuple[socket.socket, TextIO]] = {}


def handle_call(path: str, request: dict[str, Any], wait: float = 0) -> Any:
    """Have the keeper at `path` do something, and return its answer.

    The keeper gives up what it has for this client when the connection ends, which is
    when this process does. `wait` is how much longer the answer may take, in s.
    """
    if path not in _keepers:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(_DEADLINE_S)
            connection.connect(path)
        except OSError as error:
            connection.close()
            return {"error": f"no keeper at {path}: {error.strerror or error}"}
        _keepers[path] = connection, connection.makefile("r", encoding="utf-8")
    connection, lines = _keepers[path]
    connection.settimeout(_DEADLINE_S + wait)
    try:
        connection.sendall(json.dumps(request).encode() + b"\n")
        if _is_alone(connection, _DEADLINE_S + wait):
            raise OSError("labgrid's client is gone")
        answer = lines.readline()
    except OSError as error:
        answer, why = "", str(error)
    else:
        why = "it ended"
    if not answer:
        del _keepers[path]
        lines.close()
        connection.close()
        return {"error": f"the keeper at {path} does not answer: {why}"}
    return json.loads(answer)


def _is_alone(connection: socket.socket, timeout: float) -> bool:
    """Wait for an answer; whether the client on standard input has gone meanwhile."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    poll.register(0, select.POLLRDHUP)
    return any(fd == 0 for fd, _ in poll.poll(timeout * 1000))


methods = {"call": handle_call}
