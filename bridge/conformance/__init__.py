# SPDX-License-Identifier: BSD-3-Clause
"""Conformance of firmware: docs/protocol.md and virtio 5.18, checked over any link.

`run` is all that the command line needs; docs/conformance.md lists the checks.
"""

from __future__ import annotations

from bridge.conformance.runner import Options, Result, Run, run

__all__ = ["Options", "Result", "Run", "run"]
