# SPDX-License-Identifier: BSD-3-Clause
"""The one place that imports the compiled shim."""

from __future__ import annotations

from bridge.shim._shim import ffi, lib

__all__ = ["ffi", "lib"]
