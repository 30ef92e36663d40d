# SPDX-License-Identifier: BSD-3-Clause
"""A lab under load: 8 boards under two exporters, 32 places, 8 clients at once."""

from __future__ import annotations

import os
import re
import signal
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integrations.labgrid_lab import LATE, LINES, Client, Host, Lab, check_no_line_is_held

BOARDS = {"east": 4, "west": 4}
CLIENTS = 8
SETS = 50
PLACES = [
    (f"{host}-b{board}-{line}", host, board, line)
    for board in range(4)
    for host in BOARDS
    for line in LINES[:4]
]

_SETS = """
output = target.get_driver("DigitalOutputProtocol", name="{line}")
times = []
for number in range({sets}):
    began = time.perf_counter()
    output.set(number % 2 == 0)
    times.append(time.perf_counter() - began)
print("median_us", round(sorted(times)[len(times) // 2] * 1e6))
"""
_STAYS = """
target.get_driver("DigitalOutputProtocol", name="{line}").set(True)
print("set")
time.sleep(1000)
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    places = "".join(
        f"{name}:\n  matches:\n  - {{exporter: {host}, group: b{board}, cls: '*', name: {line}}}\n"
        for name, host, board, line in PLACES
    )
    with Lab(BOARDS, places=places) as running:
        yield running


class User:
    """One of the lab's users, and what was measured for him."""

    def __init__(self, lab: Lab, number: int) -> None:
        self._lab = lab
        self._name = f"user{number}"
        self._client = Client(lab)
        self.io_high_ms: list[float] = []
        self.set_us: list[int] = []
        self.sets = self.kills = 0

    def use(self, place: str, host: Host, board: int, line: str, kill: bool) -> None:
        """Have a place for a while; nothing of it stays behind, and no set is lost."""
        stub = host.stubs[board]
        before = stub.count(line).edges
        self._client(place, "acquire", user=self._name)
        began = time.perf_counter()
        self._client(place, "io", "high", line, user=self._name)
        self.io_high_ms.append((time.perf_counter() - began) * 1e3)
        assert stub.read(line) == 1
        self._client.program(place, _SETS.format(line=line, sets=SETS), self._name)
        status, said = self._client.end()
        assert status == 0, said
        self.set_us.append(int(re.findall(r"median_us (\d+)", said)[0]))
        self.sets += 1 + SETS
        # The first of them set what was set already; the last left it low.
        assert stub.count(line).edges == before + SETS
        if kill:
            pid = self._client.program(place, _STAYS.format(line=line), self._name)
            self._client.says("set")
            os.kill(pid, signal.SIGKILL)
            self._client.end()
            assert stub.read(line) == 1  # the place has it
            self.kills += 1
        self._client(place, "release", user=self._name)
        deadline = time.monotonic() + LATE
        while f"b{board}/{line}" in host.used():
            assert time.monotonic() < deadline, f"{place}: {host.used()}"
            time.sleep(0.02)
        assert stub.read(line) == 0


@pytest.mark.parametrize(
    "seconds", [0, pytest.param(600, marks=[pytest.mark.slow, pytest.mark.timeout(2400)])]
)
def test_users_at_once(lab: Lab, seconds: int) -> None:
    users = [User(lab, number) for number in range(CLIENTS)]
    ends = time.monotonic() + seconds

    def work(number: int) -> None:
        turn = 0
        while turn == 0 or time.monotonic() < ends:
            place, host, board, line = PLACES[(number + CLIENTS * turn) % len(PLACES)]
            users[number].use(place, lab.hosts[host], board, line, kill=turn % 2 == number % 2)
            turn += 1

    with ThreadPoolExecutor(CLIENTS) as threads:
        for done in [threads.submit(work, number) for number in range(CLIENTS)]:
            done.result()
    for host in lab.hosts.values():
        check_no_line_is_held(host)
    io_high = [one for user in users for one in user.io_high_ms]
    sets = [one for user in users for one in user.set_us]
    print(
        f"\n{sum(user.sets for user in users)} sets at {len(io_high)} places, none lost; "
        f"{sum(user.kills for user in users)} clients killed, no line held after them; "
        f"io high: median {statistics.median(io_high):.0f} ms, worst {max(io_high):.0f} ms; "
        f"a set within a program: median {statistics.median(sets):.0f} us"
    )
