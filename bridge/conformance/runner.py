# SPDX-License-Identifier: BSD-3-Clause
"""Runs the checks and keeps what came of them."""

from __future__ import annotations

import errno
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from bridge.conformance.check import MUST, Check, Failed, Skipped, all_checks
from bridge.conformance.driver import (
    FEATURES,
    GET_CONFIG,
    GET_DIRECTION,
    GET_FEATURES,
    GET_LINE_NAMES,
    Driver,
    extended,
    request,
)
from bridge.conformance.wait import Wait
from bridge.conformance.wire import LinkDown, Wire, shown
from bridge.shim.ffi import lib

PASSED, FAILED, WARNED, SKIPPED = "passed", "failed", "warned", "skipped"

LENIENT, STRICT = "lenient", "strict"
"""Strict asks for every SHOULD, too; lenient only warns."""

Progress = Callable[[Check, int, int], None]
"""Called before each check, with its number from 0 on and how many there are."""

_LINES_PROBED = 256
_NAMES_MAX = 1 << 20


@dataclass(frozen=True)
class Options:
    """What to check, and how.

    Attributes:
        url: of the link.
        controller: index of its channel; None is the first one announced.
        drive: lines, names or numbers, that may be driven.
        loops: pairs (output, input) of lines with a wire in between, which may be
            driven, too.
        level: STRICT or LENIENT.
        lines: number of lines of firmware without CONFIG; None counts them.
        timeout_ms: deadline of a reply and of an event, in milliseconds.
        settle_ms: how long to watch that nothing comes, in milliseconds.
        only: ids of the checks to run; empty runs all.
    """

    url: str
    controller: int | None = None
    drive: Sequence[str] = ()
    loops: Sequence[tuple[str, str]] = ()
    level: str = STRICT
    lines: int | None = None
    timeout_ms: int = 1000
    settle_ms: int = 20
    only: Sequence[str] = ()


@dataclass(frozen=True)
class Result:
    """What came of a check: `outcome` is PASSED, FAILED, WARNED or SKIPPED."""

    check: Check
    outcome: str
    message: str
    seconds: float


@dataclass
class Run:
    """A run of all checks against one controller."""

    options: Options
    channel: str = ""
    label: str = ""
    ngpio: int = 0
    form: int = 0
    features: list[str] = field(default_factory=list)
    kind: str = "unknown"
    """lenient or strict, in the sense of docs/protocol.md section 5."""
    results: list[Result] = field(default_factory=list)
    late_ms: int = 0
    """How late this host's own timers were at worst; waits were longer by as much."""

    def count(self, outcome: str) -> int:
        """How many checks had this outcome."""
        return sum(result.outcome == outcome for result in self.results)

    @property
    def passed(self) -> bool:
        """Whether the firmware conforms, as far as it was checked."""
        return not self.count(FAILED)


def _no_progress(check: Check, number: int, count: int) -> None:
    """Report nothing."""


def run(options: Options, progress: Progress = _no_progress) -> Run:
    """Check one controller.

    Args:
        options: what to check, and how.
        progress: told of each check before it runs.

    Raises:
        OSError: nothing could be checked: the link does not open, there is no such
            controller or line, the firmware does not answer at all.
    """
    Wait.forget()
    checks = _selected(options.only)
    numbers = {check.id: number for number, check in enumerate(checks)}

    def begins(check: Check) -> None:
        progress(check, numbers[check.id], len(checks))

    # These run first, with the port to themselves: the other checks need what these look at.
    framing = _run_framing(options, [c for c in checks if "serial" in c.needs], begins)
    others = [check for check in checks if "serial" not in check.needs]
    try:
        done = _run_messages(options, others, begins)
    except OSError as error:
        if not any(result.outcome == FAILED for result in framing):
            raise
        why = f"not run: {error.strerror or error}"
        done = Run(options, results=[Result(check, SKIPPED, why, 0) for check in others])
    done.results[:0] = framing
    done.late_ms = round(Wait.worst_s * 1000)
    return done


def _run_messages(options: Options, checks: list[Check], begins: Callable[[Check], None]) -> Run:
    wire = Wire(options.url, options.controller)
    try:
        driver = Driver(wire, options.timeout_ms, options.settle_ms)
        try:
            _identify(driver, options.lines)
            _permit(driver, options)
            driver.reset()
        except (Failed, LinkDown) as error:
            raise OSError(errno.EPROTO, f"{options.url}: {error}") from None
        try:
            return _run(driver, options, checks, begins)
        finally:
            if driver.touched:  # after a signal, or a check that gave up: no line stays driven
                _recover(driver)
    finally:
        wire.close()


def _selected(only: Sequence[str]) -> list[Check]:
    checks = all_checks()
    known = {check.id for check in checks}
    for id in only:
        if id not in known:
            raise OSError(errno.EINVAL, f"there is no check {id!r}; --list shows them all")
    return [check for check in checks if not only or check.id in only]


# ---- before the checks ------------------------------------------------------------


def _identify(driver: Driver, lines: int | None) -> None:
    firmware = driver.firmware
    firmware.early = driver.listen()
    # This is the first message: the device learns our address by it.
    firmware.form = driver.ask(request(GET_DIRECTION), "GET_DIRECTION of line 0").form
    reply = driver.ask(request(GET_FEATURES, 0, sum(FEATURES.values())), "GET_FEATURES")
    if not reply.status and len(reply.body) >= 8:
        offered, firmware.epoch = struct.unpack_from("<II", reply.body)
        firmware.features = offered & sum(FEATURES.values())
    if driver.offers("CONFIG"):
        driver.accept("CONFIG")
        config = driver.call(GET_CONFIG).body
        firmware.ngpio = int.from_bytes(config[:2], "little")
        firmware.label = shown(config[8:40].split(b"\0")[0])
    if driver.offers("NAMES"):
        driver.accept("NAMES")
        firmware.names = _names(driver)
    if firmware.features:
        driver.accept()
    if not firmware.ngpio:
        firmware.ngpio = lines or _count_lines(driver)
    if not firmware.ngpio:
        raise Failed("it refuses GET_DIRECTION of line 0, so it has no lines")


def _count_lines(driver: Driver) -> int:
    for gpio in range(_LINES_PROBED):
        if driver.line(GET_DIRECTION, gpio).status:
            return gpio
    raise Failed(f"it refuses no line up to {_LINES_PROBED - 1}; say how many it has by --lines")


def _names(driver: Driver) -> list[str]:
    block = b""
    while len(block) < _NAMES_MAX:
        reply = driver.ask(extended(GET_LINE_NAMES, 0, len(block)), "GET_LINE_NAMES")
        block += reply.body
        if len(reply.body) < lib.RPMSG_GPIO_NAMES_PIECE:
            break
    return [shown(name) for name in block.split(b"\0")[:-1]]


def _permit(driver: Driver, options: Options) -> None:
    loops = [(_line(driver, out), _line(driver, into)) for out, into in options.loops]
    driven = [_line(driver, word) for word in options.drive]
    for out, into in loops:
        if out == into:
            raise OSError(errno.EINVAL, f"--loop: line {out} is both ends")
        driven += [out]
    driver.loops = loops
    driver.driven = list(dict.fromkeys(driven))
    inputs = {into for _, into in loops}
    both = sorted(inputs & set(driver.driven))
    if both:
        raise OSError(
            errno.EINVAL,
            f"line {both[0]} is the input of a loop and an output; they would fight",
        )
    driver.touch([*driver.driven, *inputs])


def _line(driver: Driver, word: str) -> int:
    firmware = driver.firmware
    if word in firmware.names:
        return firmware.names.index(word)
    if word.isascii() and word.isdigit() and int(word) < firmware.ngpio:
        return int(word)
    raise OSError(
        errno.ENOENT,
        f"there is no line {word!r}; give a name that the firmware knows, or 0 to "
        f"{firmware.ngpio - 1}",
    )


# ---- the serial framing ---------------------------------------------------------------


def _run_framing(
    options: Options, checks: list[Check], begins: Callable[[Check], None]
) -> list[Result]:
    scheme, _, rest = options.url.partition(":")
    if scheme != "serial":
        return [Result(check, SKIPPED, "the link is no serial line", 0) for check in checks]
    if not checks:
        return []
    from bridge.conformance.framing import Framing, require_cobs
    from bridge.link.serial import open_port

    require_cobs()
    framing = Framing(open_port(rest, options.timeout_ms), options.timeout_ms)
    results = []
    try:
        for check in checks:
            begins(check)
            began = time.monotonic()
            outcome, message = _judge(partial(check.run, framing), check, options.level)
            results.append(Result(check, outcome, message, time.monotonic() - began))
    finally:
        framing.close()
    return results


# ---- the checks ---------------------------------------------------------------------


def _run(
    driver: Driver, options: Options, checks: list[Check], begins: Callable[[Check], None]
) -> Run:
    firmware = driver.firmware
    done = Run(
        options,
        firmware.channel,
        firmware.label,
        firmware.ngpio,
        firmware.form,
        [name for name in FEATURES if driver.offers(name)],
    )
    over = ""
    for check in checks:
        begins(check)
        began = time.monotonic()
        missing = over or _missing(driver, check)
        outcome, message = (SKIPPED, missing) if missing else _one(driver, check, options.level)
        if outcome in (FAILED, WARNED) and not over:
            over = _recover(driver)
        done.results.append(Result(check, outcome, message, time.monotonic() - began))
    done.kind = driver.kind
    return done


def _missing(driver: Driver, check: Check) -> str:
    for need in check.needs:
        if need == "drive" and not driver.driven:
            return "no line may be driven; --drive and --loop say which"
        if need == "loop" and not driver.loops:
            return "no wire from an output to an input; --loop OUT=IN says which"
        if need not in ("drive", "loop") and not driver.offers(need):
            return f"the firmware does not offer {need.replace('|', ' or ')}"
    return ""


def _one(driver: Driver, check: Check, level: str) -> tuple[str, str]:
    def run() -> None:
        check.run(driver)
        driver.reset()

    return _judge(run, check, level)


def _judge(run: Callable[[], None], check: Check, level: str) -> tuple[str, str]:
    try:
        run()
    except Skipped as why:
        return SKIPPED, str(why)
    except (Failed, LinkDown) as why:
        lenient = level == LENIENT and check.grade != MUST
        return WARNED if lenient else FAILED, str(why)
    except OSError as error:
        return FAILED, error.strerror or str(error)
    return PASSED, ""


def _recover(driver: Driver) -> str:
    """Go back to a state in which a check may begin; return why not, if that fails."""
    try:
        driver.reset(failed=True)
    except (Failed, LinkDown, OSError) as why:
        return f"not run: after an earlier check {why}"
    return ""
