# SPDX-License-Identifier: BSD-3-Clause
"""Configuration of the service: a TOML file and the flags of ``serve``.

The options are described in docs/configuration.md. Everything is checked when
it is read; an error names the file, the key and what was expected.
"""

from bridge.service.config.flags import (
    export_from_flag,
    from_flag,
    link_from_flag,
    realtime_from_flag,
    remoteproc_from_flag,
    shared_from_flags,
)
from bridge.service.config.model import (
    LINK_NAME_MAX,
    Config,
    ConfigError,
    LinkConfig,
    RealtimeConfig,
    RemoteprocConfig,
)
from bridge.service.config.tables import check_exports, check_names, from_table, load

__all__ = [
    "LINK_NAME_MAX",
    "Config",
    "ConfigError",
    "LinkConfig",
    "RealtimeConfig",
    "RemoteprocConfig",
    "check_exports",
    "check_names",
    "export_from_flag",
    "from_flag",
    "from_table",
    "link_from_flag",
    "load",
    "realtime_from_flag",
    "remoteproc_from_flag",
    "shared_from_flags",
]
