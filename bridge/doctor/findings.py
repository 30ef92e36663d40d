# SPDX-License-Identifier: BSD-3-Clause
"""What a check found, and where it looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from bridge.doctor.failures import FAILURES


class Finding(NamedTuple):
    """One result of a check.

    Attributes:
        level: ``ok``, ``note`` (worth knowing) or ``problem``.
        check: which check.
        what: a sentence.
        remedy: what to do, empty when there is nothing to do.
        failure: key in `bridge.doctor.failures.FAILURES`, None when it is none.
    """

    level: str
    check: str
    what: str
    remedy: str = ""
    failure: str | None = None


def ok(check: str, what: str) -> Finding:
    """All is well."""
    return Finding("ok", check, what)


def note(check: str, what: str, remedy: str = "") -> Finding:
    """Not wrong, but worth knowing."""
    return Finding("note", check, what, remedy)


def problem(check: str, failure: str, detail: str) -> Finding:
    """A failure of the table.

    Args:
        check: which check.
        failure: key in FAILURES.
        detail: what it was this time.
    """
    known = FAILURES[failure]
    return Finding("problem", check, f"{known.symptom}: {detail}", known.remedy, failure)


@dataclass(frozen=True)
class Place:
    """Where the checks look.

    Attributes:
        sysfs: root of sysfs.
        dev: folder of the device nodes.
        proc: root of procfs.
        boot: folder with config-RELEASE.
        libraries: folders that have udev/rules.d below them.
        socket: control socket of the service.
        link: URL to try without a service, or None.
        kernel_config: configuration of another kernel, the only thing to look at; or None.
    """

    sysfs: str = "/sys"
    dev: str = "/dev"
    proc: str = "/proc"
    boot: str = "/boot"
    libraries: tuple[str, ...] = ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")
    socket: str = ""
    link: str | None = None
    kernel_config: str | None = None
