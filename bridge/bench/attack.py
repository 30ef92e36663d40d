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
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

from bridge.bench.attackers import ATTACKS, BACKEND, GUEST, HOSTILE, MISSING
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


def measure_attacks(
    seconds: float, names: list[str] | None = None, rounds: int = 3, tell: Tell = silent
) -> dict[str, Any]:
    """Measure a victim beside each attack on its service, and beside the same attack elsewhere.

    The victim gets a value from a firmware of its own, and asks the control socket, again and
    again. "Elsewhere" is another service, with firmwares of its own, on the same CPU: the machine
    then has as much to do, and its scheduler has the same to choose from, but nothing of what is
    attacked is the victim's. The two take turns in rounds; each ratio is the median of those of
    the rounds. All processes are pinned to one CPU. A round in which no call of a kind succeeded is
    counted as unserved; where there is no other one, the figures of that kind are None.

    Args:
        seconds: for which the victim is measured beside each attack, and again elsewhere.
        names: of the attacks; all of them by default.
        rounds: over which these seconds are spread.
        tell: is called before each attack.

    Raises:
        OSError: a stub, a service or an attacker does not start.
    """
    with pinned(True), ExitStack() as stack:
        here, elsewhere = _Place(stack), _Place(stack)
        # The victim connects before the attackers, who may hoard all that its user id has.
        victim = stack.enter_context(_Victim(here.serve))
        tell("nobody else")
        alone = victim.measure(seconds)
        attacks = {}
        for name in names or ATTACKS:
            tell(name)
            attacks[name] = _one(here, elsewhere, victim, name, seconds, rounds)
    return {
        "attacks": attacks,
        "get_p99_us_alone": _p99_us(alone["get"]),
        "control_p99_us_alone": _p99_us(alone["control"]),
        "get_ratio_worst": _worst(one["get_ratio"] for one in attacks.values()),
        "control_ratio_worst": _worst(one["control_ratio"] for one in attacks.values()),
        "failed": sum(one["failed"] for one in attacks.values()),
        "unserved": sum(one["unserved"] for one in attacks.values()),
    }


class _Place:
    """A service with a firmware for a victim, a hostile one, and ways in for attackers."""

    def __init__(self, stack: ExitStack) -> None:
        self.folder = folder = Path(tempfile.mkdtemp(prefix="gpio-bridge-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
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
        self.serve = stack.enter_context(Serve(folder, "--config", str(config), *links))
        self.serve.wait_for_chips(len(victim.channels()) + len(hostile.channels()))

    def wait_until_left(self, clients: int) -> None:
        """Wait until the service has let go of what an attacker had; ETIMEDOUT otherwise."""
        end = time.monotonic() + _READY_S
        connection = Connection.open(self.serve.socket)
        try:
            while connection.call(STATUS)["clients"] > clients + 1:
                if time.monotonic() > end:
                    raise OSError(errno.ETIMEDOUT, "the service kept an attacker's connections")
                time.sleep(0.01)
        finally:
            connection.close()


def _one(
    here: _Place, elsewhere: _Place, victim: _Victim, name: str, seconds: float, rounds: int
) -> dict[str, Any]:
    """The victim's figures beside an attack on its service, and on another one, in turns."""
    p99_us: dict[str, list[tuple[float, float]]] = {"get": [], "control": []}
    done, took, spent, gets, failed, unserved = 0.0, 0.0, 0.0, 0, 0, 0
    for _ in range(rounds):
        with _attacker(name, elsewhere.folder):
            without = victim.measure(seconds / rounds)
        elsewhere.wait_until_left(0)
        with _attacker(name, here.folder) as attacked:
            began, spent_before = time.monotonic_ns(), cpu_ns(here.serve.pid)
            beside = victim.measure(seconds / rounds)
            spent += (cpu_ns(here.serve.pid) - spent_before) / (time.monotonic_ns() - began)
        here.wait_until_left(1)
        for what, pairs in p99_us.items():
            one, other = _p99_us(beside[what]), _p99_us(without[what])
            if one is not None and other is not None:
                pairs.append((one, other))
        unserved += not (beside["get"] and beside["control"])
        done, took = done + attacked[0], took + attacked[1]
        gets += len(beside["get"])
        failed += len(beside["failed"]) + len(without["failed"])
    figures = {}
    for what, pairs in p99_us.items():
        figures[f"{what}_p99_us"] = _median((one for one, _ in pairs), 1)
        figures[f"{what}_p99_us_without"] = _median((other for _, other in pairs), 1)
        figures[f"{what}_ratio"] = _median((one / other for one, other in pairs), 2)
    return {
        **figures,
        "gets": gets,
        "failed": failed,
        "unserved": unserved,
        "service_cpu_percent": round(100 * spent / rounds, 1),
        "service_rss_mb": peak_mb(here.serve.pid),
        "attacks": round(done),
        "attacks_per_s": round(done / took),
    }


def _p99_us(nanoseconds: list[float]) -> float | None:
    return round(percentile(nanoseconds, 99) / 1000, 1) if nanoseconds else None


def _median(figures: Iterable[float], digits: int) -> float | None:
    found = list(figures)
    return round(median(found), digits) if found else None


def _worst(ratios: Iterable[float | None]) -> float | None:
    return max((ratio for ratio in ratios if ratio is not None), default=None)


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
        with suppress(OSError):
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
