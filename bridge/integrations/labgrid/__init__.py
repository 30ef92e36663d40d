# SPDX-License-Identifier: BSD-3-Clause
"""labgrid on our lines: importing this registers resources and drivers.

In an environment's file: ``imports: [bridge.integrations.labgrid]``. On the exporter's
host runs `keeper`, which holds outputs for as long as a place is acquired; a client
reaches it by ssh and an agent, both labgrid's own.
"""

from bridge.integrations.labgrid.driver import (
    DigitalOutputButtonDriver,
    GPIOBridgeInputDriver,
    GPIOBridgeOutputDriver,
)
from bridge.integrations.labgrid.protocol import ButtonProtocol, DigitalInputProtocol, EdgeProtocol
from bridge.integrations.labgrid.resource import GPIOBridgeLine, NetworkGPIOBridgeLine

__all__ = [
    "ButtonProtocol",
    "DigitalInputProtocol",
    "DigitalOutputButtonDriver",
    "EdgeProtocol",
    "GPIOBridgeInputDriver",
    "GPIOBridgeLine",
    "GPIOBridgeOutputDriver",
    "NetworkGPIOBridgeLine",
]
