# SPDX-License-Identifier: BSD-3-Clause
"""A board, a service that exports it, and a front-end of our own as guest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bridge.bench.rig import Rig

from .frontend import F_IRQ, INDIRECT, PROTOCOL_FEATURES, VERSION_1, Frontend

FIRMWARES = ["all", "none"]


class Exported:
    """Rig of the demo board whose lines guests can have."""

    def __init__(self, rig: Rig, path: Path) -> None:
        self.rig, self.stub, self.path = rig, rig.stub, str(path)

    def guest(self, **options: int) -> Frontend:
        return Frontend(self.path, **options).up()

    @property
    def exports(self) -> list[dict[str, object]]:
        from bridge.client.control import Connection

        connection = Connection.open(self.rig.serve.socket)
        try:
            return list(connection.call("status")["exports"])
        finally:
            connection.close()

    @property
    def status(self) -> dict[str, object]:
        return self.exports[0]


Start = Callable[..., Exported]


@pytest.fixture
def export(tmp_path: Path) -> Iterator[Start]:
    """Start a rig with an export of the given lines."""
    with ExitStack() as stack:

        def start(
            lines: str = "chip=fw-0",
            features: str = "all",
            *more: str,
            strict: bool = False,
            board: str = "demo",
        ) -> Exported:
            path = tmp_path / "guest.sock"
            arguments = ("-v", "--timeout-ms", "3000")
            arguments += ("--export", f"vhost-user-gpio:{path},{lines}", *more)
            rig = stack.enter_context(
                Rig(features, board=board, arguments=arguments, strict=strict)
            )
            return Exported(rig, path)

        yield start


@pytest.fixture(params=[*FIRMWARES, "indirect"])
def guest(export: Start, request: pytest.FixtureRequest) -> Iterator[tuple[Exported, Frontend]]:
    """All lines of fw-0 with a guest, on full and baseline firmware.

    With indirect descriptors on full firmware.
    """
    lines = "chip=fw-0,lines=" + ",".join(str(n) for n in range(16))
    indirect = request.param == "indirect"
    exported = export(lines, "all" if indirect else request.param)
    features = VERSION_1 | PROTOCOL_FEATURES | F_IRQ | (INDIRECT if indirect else 0)
    with exported.guest(features=features) as frontend:
        yield exported, frontend
