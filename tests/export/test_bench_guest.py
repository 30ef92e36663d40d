# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge bench guest gives its figures; their size is not judged here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from bridge.bench.rig import Rig


def test_figures(cli: Callable[..., object], tmp_path: Path) -> None:
    peer = tmp_path / "peer.sock"
    with Rig(arguments=("--export", f"vhost-user-gpio:{peer},chip=fw-0")):
        done = cli("bench", "guest", "--json", "--seconds", "0.1", "--peer", str(peer))
    assert done.returncode == 0, done.stderr  # type: ignore[attr-defined]
    result = json.loads(done.stdout)  # type: ignore[attr-defined]
    for figures in (result, result["unpinned"]):
        python = figures["python_backend"]
        for backend in (figures, python, python["local"], figures["peer"]):
            assert backend["ops_per_s"] > 0
            assert backend["one_by_one_per_s"] > 0
        assert figures["ratio"] > 0
        assert figures["peer"]["ratio"] > 0
        assert figures["edge_p50_us"] > 0


def test_a_peer_that_is_not_there(cli: Callable[..., object], tmp_path: Path) -> None:
    done = cli("bench", "guest", "--seconds", "0.1", "--peer", str(tmp_path / "none.sock"))
    assert done.returncode == 1  # type: ignore[attr-defined]
    assert "none.sock: No such file or directory" in done.stderr  # type: ignore[attr-defined]
