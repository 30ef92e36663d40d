# SPDX-License-Identifier: BSD-3-Clause
"""The Python face of the pump."""

from __future__ import annotations

import errno
import select
from collections.abc import Callable

import pytest

from bridge.link import resolve
from bridge.shim.pump import LinePlan, Pump
from firmware_stub import Stub


def test_what_is_open_on_a_pump_is_closed_with_it() -> None:
    """Not left to point to freed memory."""
    with Stub("controller 0 lines 4\n") as stub:
        pump = Pump()
        backend, rest = resolve(stub.url)
        link = pump.add_link(backend.connect(rest, 2000), 1)
        while not (reports := list(pump.reports())):
            assert select.select([pump.report_fd], [], [], 30)[0]
        address = reports[0].number
        controller = link.open_controller(2, 1024, address)
        endpoint = link.open_endpoint(1025, address)
        request, fds = pump.open_request(3, [LinePlan(controller, 0, 0, 0, 0)], 16, 1000)
        pump.close()
        fds.close()
    uses: tuple[Callable[[], object], ...] = (
        *(lambda: link.open_endpoint(1026, address), controller.clock, endpoint.receive),
        *(request.driven, lambda: pump.open_request(4, [], 16, 1000)),
    )
    for use in uses:
        with pytest.raises(OSError, match="is closed") as caught:
            use()
        assert caught.value.errno == errno.ENODEV
    for closed in (request, endpoint, controller, link, pump):
        assert closed.closed
        closed.close()
