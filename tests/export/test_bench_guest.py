# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge bench guest gives its figures; their size is not judged here."""

from __future__ import annotations

import json
from collections.abc import Callable


def test_figures(cli: Callable[..., object]) -> None:
    done = cli("bench", "guest", "--json", "--seconds", "0.1")
    assert done.returncode == 0, done.stderr  # type: ignore[attr-defined]
    result = json.loads(done.stdout)  # type: ignore[attr-defined]
    for figures in (result, result["unpinned"]):
        assert figures["ops_per_s"] > 0
        assert figures["one_by_one_per_s"] > 0
        for backend in (figures["python_backend"], figures["python_backend"]["local"]):
            assert backend["ops_per_s"] > 0
            assert backend["one_by_one_per_s"] > 0
        assert figures["ratio"] > 0
        assert figures["edge_p50_us"] > 0
