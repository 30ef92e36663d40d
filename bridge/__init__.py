# SPDX-License-Identifier: BSD-3-Clause
"""GPIO lines of a coprocessor, reached over rpmsg, in the shape of libgpiod's Python API.

A program written for libgpiod runs after ``import bridge as gpiod`` and a change of
the chip's path. Names are loaded when they are first used, so that importing this
package costs nothing (the service and the command line import it too).
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in typing, whose import costs more than everything here
if TYPE_CHECKING:
    from bridge import line as line
    from bridge.client import chip as chip
    from bridge.client import chip_info as chip_info
    from bridge.client import edge_event as edge_event
    from bridge.client import exception as exception
    from bridge.client import info_event as info_event
    from bridge.client import line_info as line_info
    from bridge.client import line_request as line_request
    from bridge.client import line_settings as line_settings
    from bridge.client import version as version
    from bridge.client.chip import Chip as Chip
    from bridge.client.chip import find_line as find_line
    from bridge.client.chip import is_gpiochip_device as is_gpiochip_device
    from bridge.client.chip import list_chips as list_chips
    from bridge.client.chip import request_lines as request_lines
    from bridge.client.chip_info import ChipInfo as ChipInfo
    from bridge.client.edge_event import EdgeEvent as EdgeEvent
    from bridge.client.exception import ChipClosedError as ChipClosedError
    from bridge.client.exception import RequestReleasedError as RequestReleasedError
    from bridge.client.info_event import InfoEvent as InfoEvent
    from bridge.client.line_info import LineInfo as LineInfo
    from bridge.client.line_request import LineRequest as LineRequest
    from bridge.client.line_settings import LineSettings as LineSettings
    from bridge.client.presence import follow_chips as follow_chips
    from bridge.client.presence import wait_for_chip as wait_for_chip

__version__ = "0.1.0"

#: The version of libgpiod's core API whose shape this package has.
api_version = "2.2.1"

_NAMES = {
    "Chip": "bridge.client.chip",
    "ChipClosedError": "bridge.client.exception",
    "ChipInfo": "bridge.client.chip_info",
    "EdgeEvent": "bridge.client.edge_event",
    "InfoEvent": "bridge.client.info_event",
    "LineInfo": "bridge.client.line_info",
    "LineRequest": "bridge.client.line_request",
    "LineSettings": "bridge.client.line_settings",
    "RequestReleasedError": "bridge.client.exception",
    "find_line": "bridge.client.chip",
    "follow_chips": "bridge.client.presence",
    "is_gpiochip_device": "bridge.client.chip",
    "list_chips": "bridge.client.chip",
    "request_lines": "bridge.client.chip",
    "wait_for_chip": "bridge.client.presence",
}

_MODULES = {
    "chip": "bridge.client.chip",
    "chip_info": "bridge.client.chip_info",
    "edge_event": "bridge.client.edge_event",
    "exception": "bridge.client.exception",
    "info_event": "bridge.client.info_event",
    "line": "bridge.line",
    "line_info": "bridge.client.line_info",
    "line_request": "bridge.client.line_request",
    "line_settings": "bridge.client.line_settings",
    "version": "bridge.client.version",
}

__all__ = [  # noqa: RUF022 - classes and functions first, then the modules, as in gpiod
    "Chip",
    "ChipClosedError",
    "ChipInfo",
    "EdgeEvent",
    "InfoEvent",
    "LineInfo",
    "LineRequest",
    "LineSettings",
    "RequestReleasedError",
    "find_line",
    "follow_chips",
    "is_gpiochip_device",
    "list_chips",
    "request_lines",
    "wait_for_chip",
    "__version__",
    "api_version",
    "chip",
    "chip_info",
    "edge_event",
    "exception",
    "info_event",
    "line",
    "line_info",
    "line_request",
    "line_settings",
    "version",
]


def __getattr__(name: str) -> object:
    """Load a public name at its first use (PEP 562)."""
    from importlib import import_module

    if name in _NAMES:
        value: object = getattr(import_module(_NAMES[name]), name)
    elif name in _MODULES:
        value = import_module(_MODULES[name])
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
