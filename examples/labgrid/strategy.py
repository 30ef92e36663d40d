# SPDX-License-Identifier: BSD-3-Clause
"""How the board gets from off to running: by the MCU's power and reset lines."""

import enum

import attr
from labgrid.factory import target_factory
from labgrid.strategy import Strategy, StrategyError, never_retry


class Status(enum.Enum):
    """What the board is."""

    unknown = 0
    off = 1
    running = 2


@target_factory.reg_driver
@attr.s(eq=False)
class BoardStrategy(Strategy):
    """off or running; in doubt the power is cycled and the board reset."""

    bindings = {"power": "PowerProtocol", "reset": "ResetProtocol", "up": "EdgeProtocol"}  # noqa: RUF012
    status = attr.ib(default=Status.unknown)

    @never_retry
    def transition(self, status: "Status | str") -> None:
        """Bring the board there. Raises StrategyError when it does not start in 10 s."""
        status = Status[status] if isinstance(status, str) else status
        if status is self.status:
            return
        for driver in (self.power, self.reset, self.up):
            self.target.activate(driver)
        if status is Status.off:
            self.power.off()
        elif status is Status.running:
            self.transition(Status.off)
            self.up.watch("rising")
            self.power.on()
            self.reset.reset()
            if not self.up.edges(timeout=10) and not self.up.get():
                raise StrategyError("the board is not up 10 s after its reset")
        else:
            raise StrategyError(f"no way leads to {status}")
        self.status = status
