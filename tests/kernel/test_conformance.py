# SPDX-License-Identifier: BSD-3-Clause
"""Conformance over the kernel's own rpmsg devices: every byte passes rpmsg_char."""

from __future__ import annotations

from bridge.conformance import Options, run
from bridge.conformance.check import all_checks
from bridge.conformance.runner import FAILED, PASSED

from .guest import Guest
from .uml import in_kernel


@in_kernel("demo")
def test_every_check_passes_over_rpmsg_char(guest: Guest) -> None:
    done = run(Options("rpmsg:", controller=0, loops=[("LOOP_OUT", "LOOP_IN")], drive=["0"]))
    assert not {r.check.id: r.message for r in done.results if r.outcome == FAILED}
    assert done.count(PASSED) == sum("serial" not in check.needs for check in all_checks())


@in_kernel("demo", breakage="latch-lost")
def test_a_fault_is_found_over_rpmsg_char(guest: Guest) -> None:
    done = run(Options("rpmsg:", controller=0, loops=[("LOOP_OUT", "LOOP_IN")]))
    assert [r.check.id for r in done.results if r.outcome == FAILED] == ["irq-latches"]
