# SPDX-License-Identifier: BSD-3-Clause
"""Firmware that breaks one rule fails the check meant for it, and no other."""

from __future__ import annotations

import subprocess

import pytest

from bridge.conformance import Options, run
from bridge.conformance.check import all_checks
from bridge.conformance.runner import FAILED, LENIENT, WARNED
from tests.firmware_stub.broken.stub import Stub, executable

#: `firmware-stub --break NAME`, and the check that finds it.
BREAKAGES = {
    "channel-zeros": "channel-name",
    "speaks-first": "speaks-second",
    "empty-answered": "message-empty",
    "value-in-get": "reserved-ignored",
    "two-forms": "reply-form",
    "short-silent": "length-short",
    "long-accepted": "length-long",
    "wakeup-known": "type-unknown",
    "line-wraps": "line-beyond",
    "value-cut": "value-32-bit",
    "slow": "latency",
    "value-with-error": "error-value",
    "value-of-set": "set-reply",
    "direction-3": "line-directions",
    "value-2": "line-values",
    "input-hidden": "direction-kept",
    "early-value-lost": "value-kept",
    "set-twice": "output-level",
    "none-keeps-value": "none-forgets-value",
    "in-forgets-value": "in-keeps-value",
    "out-glitches": "out-glitch",
    "none-keeps-irq": "none-forgets-irq",
    "register-read": "output-read",
    "half-strict": "leniency",
    "rising-is-both": "irq-edges",
    "falling-unmasked": "irq-masks",
    "latch-lost": "irq-latches",
    "latch-twice": "irq-latches",
    "level-latched": "irq-level",
    "event-first": "irq-order",
    "rearm-fires": "irq-idle-rearm",
    "none-keeps-latch": "irq-none",
    "change-keeps-latch": "irq-change",
    "reserved-offered": "features-offer",
    "features-kept": "features-reset",
    "any-feature": "features-refuse",
    "features-end-irqs": "features-irq",
    "refusal-keeps": "features-refuse",
    "long-negotiation": "features-form",
    "config-leaks": "features-needed",
    "untagged-extended": "extended-form",
    "tag-lost": "tag-returned",
    "error-body": "error-body",
    "reserved-refused": "reserved-extended",
    "reordered": "tag-order",
    "two-epochs": "epoch",
    "no-epoch": "epoch",
    "config-padding": "config",
    "name-8-bit": "names",
    "names-endless": "names",
    "time-backwards": "time",
    "event-without-time": "event-time",
    "sequence-from-0": "event-sequence",
    "credits-ignored": "credits",
    "level-baseline": "event-level",
    "stamped-late": "event-held",
    "oldest-latched": "latch-latest",
    "sent-is-edges": "credits-sent",
    "mask-cut": "bulk-read",
    "half-set": "bulk-write",
    "mask-32": "bulk-read",
    "check-ignored": "body-check",
    "check-wrong": "reply-check",
    "unknown-caps": "line-caps",
    "both-pulls": "line-config",
    "pulls-dead": "line-bias",
    "drain-drives": "line-drive",
    "debounce-dead": "line-debounce",
    "refused-config": "line-refused",
    "counters-stuck": "counters",
}

#: The same for the serial framing.
SERIAL = {
    "welcome-window": "serial-welcome",
    "any-version": "serial-version",
    "hello-restarts": "serial-hello-again",
    "nak-unanswered": "serial-no-session",
    "reset-answered": "serial-reset-silent",
    "reset-epoch": "serial-epoch",
    "crc-ignored": "serial-crc",
    "garbage-deafens": "serial-garbage",
    "oversized-cut": "serial-oversized",
    "unknown-resets": "serial-unknown",
    "repeated-taken": "serial-repeated",
    "ahead-taken": "serial-order",
    "nak-never": "serial-nak",
    "ack-never": "serial-ack",
    "poll-thrice": "serial-poll",
    "ack-answered": "serial-quiet",
    "window-ignored": "serial-window",
    "again-never": "serial-again",
    "nak-ignored": "serial-nak-heard",
    "list-ignored": "serial-announced",
}

LOOP = ("LOOP_OUT", "LOOP_IN")
DRIVE = ("0", "LED_RED")


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_one_fault_fails_one_check(breakage: str) -> None:
    with Stub("demo", breakage=breakage) as stub:
        done = run(Options(stub.url, loops=[LOOP], drive=DRIVE, timeout_ms=1000))
    failed = {r.check.id: r.message for r in done.results if r.outcome == FAILED}
    assert list(failed) == [BREAKAGES[breakage]], failed
    assert not done.passed


@pytest.mark.parametrize(
    ("breakage", "baud"), [*((name, 0) for name in SERIAL), ("nak-never", 115200)]
)
def test_one_fault_of_the_framing_fails_one_check(breakage: str, baud: int) -> None:
    with Stub("demo", transport="serial", breakage=breakage, baud=baud) as stub:
        # Nothing is sent again because of time: on a busy host that would be one more fault.
        done = run(Options(f"{stub.url}&retry=10000&dead=60000", timeout_ms=3000))
    failed = {r.check.id: r.message for r in done.results if r.outcome == FAILED}
    assert list(failed) == [SERIAL[breakage]], failed


def test_every_breakage_has_its_test() -> None:
    told = subprocess.run(
        [executable(), "--break", "help"], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    assert {line.split()[0] for line in told.splitlines()} == {*BREAKAGES, *SERIAL}
    assert {c.id for c in all_checks() if "serial" in c.needs} == set(SERIAL.values())
    assert set(BREAKAGES.values()) <= {check.id for check in all_checks()}


def test_an_unknown_breakage_is_refused() -> None:
    with pytest.raises(OSError, match="--break help lists them"):
        Stub("demo", breakage="nonsense").start()


def test_a_should_is_a_warning_at_the_lenient_level() -> None:
    with Stub("demo", breakage="slow") as stub:
        done = run(Options(stub.url, level=LENIENT))
    assert done.passed
    assert [r.check.id for r in done.results if r.outcome == WARNED] == ["latency"]
