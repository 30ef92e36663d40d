# SPDX-License-Identifier: BSD-3-Clause
"""The measurements of gpio-bridge bench attack: what one peer can cost another."""

from __future__ import annotations

import errno
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bridge.bench.attackers import ATTACKS, BACKEND, GUEST, HOSTILE, IDLE, MISSING
from bridge.bench.measure import Tell, cpu_ns, peak_mb, percentile, pinned, silent
from bridge.bench.rig import Serve
from bridge.client.chip import Chip
from bridge.client.control import Connection
from bridge.client.line_request import LineRequest
from bridge.client.line_settings import LineSettings
from bridge.control_protocol import STATUS
from bridge.line import Direction
from firmware_stub import Stub
from firmware_stub.signals import SignalsWait

GET_RATIO_MAX, CONTROL_RATIO_MAX = 3.0, 5.0

# An attacker may hoard up to the limits of its user, which here is the victim's user, too.
_LIMITS = "[limits]\nconnections = 300\nhandles = 2000\nrequests = 300\n"
_GETS_A_CALL = 4
_SETTLE_S = 0.3
_READY_S = 90.0
_END_S = 90.0
# The chip of the victim, and the connection that asks for the status.
_OWN_CLIENTS = 2


def measure_attacks(
    seconds: float, names: list[str] | None = None, tell: Tell = silent
) -> dict[str, Any]:
    """Measure a victim beside each attack, for about `seconds` each, and beside none.

    The victim gets a value from a firmware of its own, and asks the control socket, again and
    again. "Beside none" means that a process computes in the attacker's place, so that the machine
    has as much to do. All processes are pinned to one CPU. `tell` is called before each attack.
    Raises OSError when a stub or the service do not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="gpio-bridge-"))
    try:
        with pinned(True), ExitStack() as stack:
            serve = _rig(folder, stack)
            # The victim connects before the attackers, who may hoard all that its user id has.
            victim = stack.enter_context(_Victim(serve))
            attacks = {}
            for name in names or ATTACKS:
                tell(name)
                attacks[name] = _one(serve, victim, folder, name, seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "attacks": attacks,
        "get_ratio_worst": max(one["get_ratio"] for one in attacks.values()),
        "control_ratio_worst": max(one["control_ratio"] for one in attacks.values()),
        "failed": sum(one["failed"] for one in attacks.values()),
    }


def _rig(folder: Path, stack: ExitStack) -> Serve:
    """A service with a victim's firmware, a hostile one, and ways in for attackers."""
    victim = stack.enter_context(Stub("demo", socket=folder / "victim.sock"))
    hostile = stack.enter_context(Stub("demo", socket=folder / HOSTILE))
    (folder / MISSING).mkdir()
    config = folder / "config.toml"
    config.write_text(_LIMITS)
    links = (
        *("--link", f"{victim.url},name=victim"),
        *("--link", f"{hostile.url},name=hostile"),
        *("--link", f"vhost-user:{folder / BACKEND},name=backend"),
        *("--link", f"vhost-user:{folder / MISSING / 'fw.sock'},name=missing"),
        *("--export", f"vhost-user-gpio:{folder / GUEST},chip=hostile-1"),
    )
    serve = stack.enter_context(Serve(folder, "--config", str(config), *links))
    serve.wait_for_chips(len(victim.channels()) + len(hostile.channels()))
    return serve


def _one(serve: Serve, victim: _Victim, folder: Path, name: str, seconds: float) -> dict[str, Any]:
    """The victim's figures before the attack, beside it, and after it."""
    with _attacker(IDLE, folder):
        before = victim.measure(seconds / 2)
    with _attacker(name, folder) as done:
        began, spent_before = time.monotonic_ns(), cpu_ns(serve.pid)
        beside = victim.measure(seconds)
        spent = (cpu_ns(serve.pid) - spent_before) / (time.monotonic_ns() - began)
    victim.wait_until_alone()
    with _attacker(IDLE, folder):
        after = victim.measure(seconds / 2)
    gets, calls = before["get"] + after["get"], before["control"] + after["control"]
    get, control = percentile(gets, 99), percentile(calls, 99)
    attacked_get, attacked_control = (percentile(beside[key], 99) for key in ("get", "control"))
    return {
        "get_p99_us": round(attacked_get / 1000, 1),
        "get_p99_us_without": round(get / 1000, 1),
        "get_ratio": round(attacked_get / get, 2),
        "control_p99_us": round(attacked_control / 1000, 1),
        "control_p99_us_without": round(control / 1000, 1),
        "control_ratio": round(attacked_control / control, 2),
        "gets": len(beside["get"]),
        "failed": len(beside["failed"]),
        "service_cpu_percent": round(100 * spent, 1),
        "service_rss_mb": peak_mb(serve.pid),
        "attacks": round(done[0]),
        "attacks_per_s": round(done[0] / done[1]),
    }


@contextmanager
def _attacker(name: str, folder: Path) -> Iterator[list[float]]:
    """An attacker's process. At its end the list has how often it attacked, and in how many s."""
    done: list[float] = []
    with SignalsWait():
        process = subprocess.Popen(
            [sys.executable, "-m", "bridge.bench.attackers", name, str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    assert process.stdout is not None
    try:
        if not select.select([process.stdout], [], [], _READY_S)[0]:
            late = f"the attacker {name} had not begun after {_READY_S:g} s"
            raise OSError(errno.ETIMEDOUT, late)
        process.stdout.readline()
        started = time.monotonic()
        time.sleep(_SETTLE_S)
        yield done
    finally:
        ended = process.poll() is not None
        process.terminate()
        output, errors = process.communicate(timeout=_END_S)
    # Figures beside an attacker that had given up would mean nothing.
    if ended or not output.strip():
        last = errors.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        status = process.returncode
        raise OSError(errno.ECHILD, f"the attacker {name} ended with status {status}: {last[0]}")
    done += [float(output), time.monotonic() - started]


class _Victim:
    """A client that gets a value and asks the control socket, again and again."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._stack = ExitStack()
        self._chip: Chip
        self._request: LineRequest

    def __enter__(self) -> _Victim:
        with ExitStack() as stack:
            self._chip = stack.enter_context(Chip(f"{self._serve.socket}#victim-0"))
            settings = LineSettings(direction=Direction.INPUT)
            self._request = stack.enter_context(self._chip.request_lines({5: settings}, "victim"))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def measure(self, seconds: float) -> dict[str, list[float]]:
        """Time gets and control calls, in ns each; what failed."""
        figures: dict[str, list[float]] = {"get": [], "control": [], "failed": []}
        now = time.perf_counter_ns
        self._request.get_value(5)
        end = now() + int(seconds * 1e9)
        while now() < end:
            try:
                for _ in range(_GETS_A_CALL):
                    before = now()
                    self._request.get_value(5)
                    figures["get"].append(now() - before)
                before = now()
                self._chip.get_line_info(5)
                figures["control"].append(now() - before)
            except OSError:
                figures["failed"].append(now() - before)
        return figures

    def wait_until_alone(self) -> None:
        """Wait until the service has let go of what an attacker had; ETIMEDOUT otherwise."""
        end = time.monotonic() + _READY_S
        connection = Connection.open(self._serve.socket)
        try:
            while connection.call(STATUS)["clients"] > _OWN_CLIENTS:
                if time.monotonic() > end:
                    raise OSError(errno.ETIMEDOUT, "the service kept an attacker's connections")
                time.sleep(0.01)
        finally:
            connection.close()
