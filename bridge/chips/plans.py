# SPDX-License-Identifier: BSD-3-Clause
"""What the pump knows of a line request: a plan for each of its lines."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.shim.ffi import lib
from bridge.shim.pump import LineFds, LineForm, LinePlan, Pump, Request, RequestFds


class Plans:
    """A line request in the pump. Before `open` and after `close` all calls do nothing."""

    def __init__(self) -> None:
        self._plans: list[LinePlan] = []
        self._request: Request | None = None

    def open(
        self,
        pump: Pump,
        identity: int,
        plans: Iterable[LinePlan],
        capacity: int,
        timeout_ms: int,
        form: LineForm | None,
    ) -> RequestFds | LineFds:
        """Begin; arguments and errors as `Pump.open_request`, and with a form `Pump.open_line`."""
        self._plans = list(plans)
        fds: RequestFds | LineFds
        if form is None:
            self._request, fds = pump.open_request(identity, self._plans, capacity, timeout_ms)
        else:
            self._request, fds = pump.open_line(identity, self._plans, capacity, timeout_ms, form)
        return fds

    @property
    def _open(self) -> Request | None:
        request = self._request
        return None if request is None or request.closed else request

    @property
    def abandoned(self) -> bool:
        """Whether the client let go of its end."""
        return self._request is not None and not self._request.alive

    def replace(self, index: int, plan: LinePlan) -> None:
        """Give a line another plan. Raises OSError."""
        self._plans[index] = plan
        if (request := self._open) is not None:
            request.replan(self._plans)

    def settle(self, index: int, high: bool) -> None:
        """Say which physical level the debouncing of a line starts from."""
        if (request := self._open) is not None:
            request.settle(index, high)

    def note_driven(self, index: int, high: bool) -> None:
        """Say to which physical level a line was driven by calls of our own."""
        if (request := self._open) is not None:
            request.note_driven(index, high)

    def driven(self) -> dict[int, int]:
        """The physical levels that outputs have now, by index, as far as they are known."""
        request = self._open
        return {} if request is None else request.driven()

    def count(self) -> dict[str, int]:
        """What its client did, as `Request.count`; nothing before and after."""
        return {} if (request := self._open) is None else request.count()

    def answer(self, sequence: int, error: int, reason: int, why: str = "") -> None:
        """Answer a reported operation, as `Request.answer`, with a sentence."""
        if (request := self._open) is not None:
            body = why.encode()[: lib.GB_OPERATION_BODY_MAX]
            request.answer(sequence, error, reason, body)

    def close(self) -> None:
        """End the request: the client sees HUP and ENODEV. May be repeated."""
        if self._request is not None:
            self._request.close()
