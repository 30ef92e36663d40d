# SPDX-License-Identifier: BSD-3-Clause
"""Guest kernels on an exported chip, and what tests inside them share."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bridge.bench.rig import Rig

from .guest import Guest
from .uml import LIFE_S, Machine, check, check_killed, patient

GPIO = 41  # VIRTIO_ID_GPIO


class Bed:
    """A service with an export, and kernels on it.

    Args:
        machine: that has the export's device.
        rig: the board and the service.
    """

    def __init__(self, machine: Machine, rig: Rig) -> None:
        self.rig = rig
        self.machine = machine
        self._killed = False
        self.machine.calls.update(
            board=lambda command: rig.stub.command(patient(command), 70),
            board_restart=rig.stub.restart,
            stop_service=rig.serve.stop,
            kill_service=self._kill_service,
            start_service=lambda: rig.serve.__enter__().wait_for_chips(2),
            status=lambda: self.status,
            kill_guest=self._kill,
        )

    def _kill_service(self) -> None:
        os.kill(self.rig.serve.pid, signal.SIGKILL)
        assert self.rig.serve.process is not None
        self.rig.serve.process.wait()

    def _kill(self) -> None:
        self._killed = True
        os.kill(self.machine.pid, signal.SIGKILL)

    @property
    def status(self) -> dict[str, Any]:
        from bridge.client.control import Connection

        connection = Connection.open(self.rig.serve.socket)
        try:
            return dict(connection.call("status")["exports"][0])
        finally:
            connection.close()

    def run(self, inside: Callable[..., Any], *arguments: Any, timeout_s: int = LIFE_S) -> Any:
        """Boot and run a function inside, as `Machine.run`; its value."""
        outcome = self.machine.run(inside, arguments, timeout_s)
        with self._service_log():
            return check(outcome, [self.rig.stub])

    def run_to_death(
        self, inside: Callable[..., Any], *arguments: Any, timeout_s: int = LIFE_S
    ) -> None:
        """As `run`, for a function that has the host kill the guest ("kill_guest")."""
        self._killed = False
        outcome = self.machine.run(inside, arguments, timeout_s)
        with self._service_log():
            check_killed(outcome, [self.rig.stub])
            assert self._killed, f"it hung until it was killed\n{outcome.console}"

    @contextlib.contextmanager
    def _service_log(self) -> Iterator[None]:
        try:
            yield
        except AssertionError as error:
            raise AssertionError(f"{error}\n---- service ----\n{self.rig.serve.log}") from None


# ---- inside -----------------------------------------------------------------------


def out(*command: str) -> str:
    """Output of a tool that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, (command, done)
    return done.stdout


def start(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ("stdbuf", "-oL", *command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def read_line(process: subprocess.Popen[str], timeout_s: float = 30.0) -> str:
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], timeout_s)[0], f"{process.args}: silent"
    return process.stdout.readline()


def board(guest: Guest, command: str) -> str:
    return str(guest.host("board", command))


def chip() -> str:
    (path,) = Path("/sys/bus/gpio/devices").glob("gpiochip*")
    return path.name
