# SPDX-License-Identifier: BSD-3-Clause
"""Checks of the service, its users, and the firmware behind it."""

from __future__ import annotations

import errno
import grp
import os
import time
from collections.abc import Iterator
from typing import Any

from bridge.client.chip import Chip
from bridge.client.control import Connection
from bridge.control_protocol import METRICS, STATUS
from bridge.doctor.findings import Finding, Place, note, ok, problem


def _sentence(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error.args[-1] if error.args else error)


def groups(place: Place) -> Iterator[Finding]:
    """Who may use the lines."""
    check = "groups"
    for name in ("rpmsg", "gpio"):
        try:
            entry = grp.getgrnam(name)
        except KeyError:
            yield problem(check, "no-group", name)
            continue
        mine = entry.gr_gid in {os.getgid(), os.getegid(), *os.getgroups()}
        if mine or os.geteuid() == 0:
            who = "this user is in it" if mine else "root needs no group"
            yield ok(check, f"{name}: {who}")
        elif name == "gpio":
            yield problem(check, "not-in-group", f"uid {os.geteuid()}")


def service(place: Place) -> tuple[list[Finding], list[str]]:
    """The service, its links, and the firmware behind each chip; and the links' URLs."""
    check = "service"
    try:
        connection = Connection.open(place.socket)
    except OSError as error:
        missing = not os.path.exists(place.socket) or isinstance(error, ConnectionRefusedError)
        failure = "no-service" if missing else _refusal(error)
        return [problem(check, failure, _sentence(error))], []
    try:
        status = connection.call(STATUS)
        chips = connection.chips()
        counted = {
            chip["name"]: connection.call(METRICS, chip=chip["name"])["firmware"]
            for chip in chips
            if "counters" in chip["features"]
        }
    except OSError as error:
        return [problem(check, _refusal(error), _sentence(error))], []
    finally:
        connection.close()
    about = f"{place.socket}: version {status['version']}, pid {status['pid']}"
    found = [ok(check, about), *(_link(check, link, chips) for link in status["links"])]
    for chip in chips:
        found += firmware(f"{place.socket}#{chip['name']}", chip)
        if chip["name"] in counted:
            found.append(_counters(chip["name"], counted[chip["name"]]))
    return found, [link["url"] for link in status["links"]]


def _refusal(error: OSError) -> str:
    return "service-silent" if isinstance(error, TimeoutError) else "service-refuses"


def _link(check: str, link: dict[str, Any], chips: list[dict[str, Any]]) -> Finding:
    if link["state"] != "up":
        why = link["why"] or "it is tried"
        return problem(check, "link-down", f"{link['name']} ({link['url']}): {why}")
    names = [chip["name"] for chip in chips if chip["link"] == link["name"]]
    if not names:
        why = "".join(f": {each['chip']}: {each['why']}" for each in link.get("unusable", ())[:1])
        return problem(check, "no-chip", f"{link['name']} ({link['url']}){why}")
    return ok(check, f"link {link['name']} ({link['url']}) is up: {', '.join(names)}")


def link(place: Place) -> Iterator[Finding]:
    """The first chip of the link that the user named, without a service."""
    assert place.link is not None
    yield from firmware(place.link, None)


def _asked(chip: Chip) -> float | None:
    """Return how many ms it took to ask a free line for its value; None when no line is free."""
    for info in chip.get_all_line_info():
        if info.used:
            continue
        start = time.monotonic()
        try:
            with chip.request_lines({info.offset: None}, consumer="gpio-bridge doctor") as request:
                request.get_value(info.offset)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            continue  # somebody else took the line first
        return (time.monotonic() - start) * 1000
    return None


def _counters(chip: str, counted: dict[str, int] | None) -> Finding:
    """What the firmware itself has counted (COUNTERS), and whether edges were lost in it."""
    check = "firmware"
    if counted is None:
        return note(check, f"{chip}: the firmware does not tell its counters, which it offers")
    what = f"{chip} has counted {', '.join(f'{name} {n}' for name, n in counted.items())}"
    if counted.get("self_test_faults"):
        return note(check, what, "its self-test told its console and trace which lines fail")
    if not counted["overruns"]:
        return ok(check, what)
    return note(check, what, "give `edge_count` of the firmware more room for edges on their way")


def firmware(path: str, about: dict[str, Any] | None) -> Iterator[Finding]:
    """Check whether a chip's firmware answers: a free line is asked for its value.

    The line is requested as it is, so nothing about it changes.

    Args:
        path: of the chip, as `bridge.Chip` takes it.
        about: the chip as the control socket shows it, None to ask for that.
    """
    check = "firmware"
    try:
        opened = Chip(path)
    except (OSError, ValueError) as error:
        failure = "link-down" if about is None else "firmware-silent"
        yield problem(check, failure, f"{path}: {_sentence(error)}")
        return
    try:
        with opened as chip:
            name, lines = chip.get_info().name, chip.get_info().num_lines
            took_ms = _asked(chip)
    except (OSError, ValueError) as error:
        yield problem(check, "firmware-silent", f"{path}: {_sentence(error)}")
        return
    if took_ms is None:
        yield note(check, f"{name}: every line is in use, so none was asked")
        return
    yield ok(check, f"{name} answers, {took_ms:.1f} ms for a request, {lines} lines")
    if about is not None:
        extensions = ", ".join(about["features"]) or "none: baseline firmware"
        yield ok(check, f"{name}: dialect {about['dialect']}, extensions {extensions}")
