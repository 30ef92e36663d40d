# SPDX-License-Identifier: BSD-3-Clause
"""The service: links to coprocessors, their chips, and the control socket."""

from __future__ import annotations

from bridge.service.config import Config, ConfigError, LinkConfig
from bridge.service.service import Service
from bridge.service.thread import ServiceThread

__all__ = ["Config", "ConfigError", "LinkConfig", "Service", "ServiceThread"]
