# SPDX-License-Identifier: BSD-3-Clause
"""labgrid's keeper: what comes between its own steps."""

from __future__ import annotations

import subprocess
import sys

from firmware_stub import Stub
from tests import labs
from tests.processes import LATE_S

# Of two inputs that a client has of a place, one is given back when the other is being released;
# meanwhile another client comes.
_LEFT = """
import asyncio, sys
from bridge import LineSettings, aio
from bridge.integrations.labgrid.keeper import Keeper, Key, _Client

async def main(chip):
    keeper = Keeper("127.0.0.1:1")
    client = _Client(writer=None)
    keeper._clients.add(client)
    for line in ("DIP_0", "DIP_1"):
        request = await aio.request_lines(chip, {line: LineSettings()})
        client.inputs["place", Key(chip, line)] = request
    leaving = asyncio.ensure_future(keeper._left("place", "user"))
    await asyncio.sleep(0)  # it releases the first one now
    keeper._clients.add(_Client(writer=None))
    other = client.inputs.pop(("place", Key(chip, "DIP_1")))
    await leaving
    print(len(client.inputs), bool(request))
    await other.release()

asyncio.run(main(sys.argv[1]))
"""


def test_clients_come_and_give_lines_back_while_a_place_is_left() -> None:
    environment = labs.need("labgrid")
    with Stub("demo") as stub:
        done = subprocess.run(
            [sys.executable, "-c", _LEFT, stub.url],
            env=environment, capture_output=True, text=True, timeout=LATE_S,
        )  # fmt: skip
    assert done.stdout == "0 True\n", done.stderr
