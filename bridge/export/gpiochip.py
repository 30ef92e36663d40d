# SPDX-License-Identifier: BSD-3-Clause
"""Lines as chips of this kernel, /dev/gpiochipN (docs/gpiochip.md)."""

from __future__ import annotations

import asyncio
import errno
import logging
from glob import glob
from pathlib import Path

from bridge.chips.dispatcher import Dispatcher
from bridge.chips.tasks import Tasks
from bridge.export.exported import Exported, sentence
from bridge.export.plug import plug
from bridge.export.selection import ExportConfig
from bridge.shim.pump import Controller, Report
from bridge.shim.usb import LINES_MAX, Adapter, Status

log = logging.getLogger(__name__)

DEVICES_MAX = 8
"""Ports of vhci_hcd, where nobody configured more."""
_AGAIN_S, _AGAIN_MAX_S = 0.25, 30.0
_CHIP_S = 5.0
"""A device that is plugged in has its chip after half a second, or never."""


class Device:
    """One USB device: up to `LINES_MAX` lines. It is plugged in again whenever it is out.

    Args:
        dispatcher: of the service.
        export: whose lines these are.
        first: of its lines, in the export.
        lines: how many.
        serial: what the device and links to its chip are called.
        kept: of the lines, those that stay as they are when they are released.
        timeout_ms: deadline of one request to the firmware in milliseconds.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        export: GpioChip,
        first: int,
        lines: int,
        serial: str,
        kept: list[int],
        timeout_ms: int,
    ) -> None:
        self.first = first
        self.serial = serial
        self.last = Status()
        self.why = ""
        self._export = export
        self._dispatcher = dispatcher
        self._out = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._id = dispatcher.listen(self)
        product = f"GPIO of {export.config.name}"
        try:
            self.adapter = Adapter(
                dispatcher.pump, self._id, lines, kept, product, serial, timeout_ms
            )
        except OSError:
            dispatcher.forget(self._id)
            raise

    def serve(self, helper: str, tasks: Tasks) -> None:
        """Plug the device in from here on."""
        self._task = tasks.spawn(self._keep_plugged(helper), f"export {self.serial}")

    async def _keep_plugged(self, helper: str) -> None:
        pause_s = _AGAIN_S
        while True:
            try:
                self._out.clear()
                await self._plug(helper)
            except OSError as error:
                self.adapter.unplug()
                self._complain(sentence(error))
                pause_s = min(2 * pause_s, _AGAIN_MAX_S)
            else:
                self.why, pause_s = "", _AGAIN_S
                await self._out.wait()
                log.warning(
                    "export %s: out: %s", self.serial, self.last.why or "the kernel hung up on it"
                )
            await asyncio.sleep(pause_s)

    async def _plug(self, helper: str) -> None:
        """Plug the device in; raise OSError when no chip comes of it."""
        port = await plug(self.adapter, helper)
        for _ in range(int(_CHIP_S / _AGAIN_S)):
            if self._out.is_set():
                return
            chip = _chips().get(self.serial)
            if chip is not None:
                log.info("export %s: %s, at port %d of vhci_hcd", self.serial, chip, port)
                return
            await asyncio.sleep(_AGAIN_S)
        # A driver that had to wait for an answer has given up.
        raise OSError(
            errno.ENODEV,
            "the kernel made no chip of it (CONFIG_MFD_DLN2, CONFIG_GPIO_DLN2; dmesg says more)",
        )

    def _complain(self, why: str) -> None:
        if why != self.why:
            log.error("export %s: %s", self.serial, why)
        self.why = why

    def reported(self, report: Report) -> None:
        """The kernel came or went, or a line is in trouble."""
        status, before = self.adapter.status(), self.last
        self.last = status
        if not status.plugged:
            self._out.set()
        if status.lost != before.lost:
            log.warning(
                "export %s: the kernel missed %d edges", self.serial, status.lost - before.lost
            )
        if status.faults != before.faults:
            log.warning(
                "export %s: %d times a line could not be set up as the kernel wants it",
                *(self.serial, status.faults - before.faults),
            )
        self._export.changed(self)

    def close(self) -> None:
        """Take the device away; its chip goes."""
        if self._task is not None:
            self._task.cancel()
        self._dispatcher.forget(self._id)
        self.adapter.close()


class GpioChip(Exported):
    """One export: as many USB devices as its lines need.

    Args:
        dispatcher: of the service.
        config: of the export; its path is the helper's socket.
        timeout_ms: deadline of one request to the firmware in milliseconds.
    """

    KIND = "gpiochip"
    LINES_MAX = DEVICES_MAX * LINES_MAX

    def __init__(self, dispatcher: Dispatcher, config: ExportConfig, timeout_ms: int) -> None:
        super().__init__(dispatcher, config)
        self._timeout_ms = timeout_ms
        self._devices: list[Device] = []
        self._tasks = Tasks()

    @property
    def _is_open(self) -> bool:
        return bool(self._devices)

    def _open(self) -> None:
        try:
            for first in range(0, len(self._places), LINES_MAX):
                places = self._places[first : first + LINES_MAX]
                kept = [
                    index
                    for index, place in enumerate(places)
                    if self._holds[place.chip][0].lines[place.offset].on_release == "keep"
                ]
                number = first // LINES_MAX + 1
                serial = self.config.name if number == 1 else f"{self.config.name}-{number}"
                self._devices.append(
                    Device(
                        *(self._dispatcher, self, first, len(places)),
                        *(serial, kept, self._timeout_ms),
                    )
                )
        except OSError:
            self._take_away()
            raise

    def _serve(self) -> None:
        for device in self._devices:
            device.serve(self.config.path, self._tasks)

    def _take_away(self) -> None:
        for device in self._devices:
            device.close()
        self._devices.clear()

    def _place(self, index: int) -> tuple[Adapter, int]:
        return self._devices[index // LINES_MAX].adapter, index % LINES_MAX

    def _attach(self, index: int, controller: Controller, gpio: int) -> None:
        adapter, line = self._place(index)
        adapter.attach(line, controller, gpio)

    def _detach(self, index: int) -> None:
        adapter, line = self._place(index)
        adapter.detach(line)

    def _direction(self, index: int) -> int:
        if not self._devices:
            return 0
        adapter, line = self._place(index)
        return adapter.direction(line)

    def changed(self, device: Device) -> None:
        """Lines of a device may have another direction."""
        self._tell([device.first + line for line in device.adapter.changed()])

    def status(self) -> dict[str, object]:
        """The export as the control socket shows it."""
        # Not as the last one that was reported: the log says what has changed since that.
        found = [device.adapter.status() for device in self._devices]
        chips = _chips()
        complaints = list(self._complaints.values())
        complaints += [
            device.why or one.why
            for device, one in zip(self._devices, found, strict=True)
            if not one.plugged
        ]
        return {
            "name": self.config.name,
            "path": ", ".join(chips.get(one.serial, "no chip yet") for one in self._devices),
            "lines": len(self._places),
            "connected": bool(found) and all(one.plugged for one in found),
            "interrupts": True,
            "guests": sum(one.sessions for one in found),
            "requests": sum(one.requests for one in found),
            "events": sum(one.events for one in found),
            "faults": sum(one.faults for one in found),
            "lost": sum(one.lost for one in found),
            "late": sum(one.late for one in found),
            "why": "; ".join(one for one in complaints if one),
            "waiting_for": self._waiting_for,
        }

    async def rest(self) -> None:
        """Nothing is to be waited for: the kernel's requests end with its chip."""


def _chips() -> dict[str, str]:
    """The chips of USB devices of ours, /dev/gpiochipN by serial number."""
    found = {}
    for entry in glob("/sys/bus/gpio/devices/gpiochip*"):
        path = Path(entry).resolve()
        for above in path.parents[2:5]:  # dln2-gpio.N.auto, 1-1:1.0, 1-1
            try:
                if (above / "idVendor").read_text().strip() == "a257":
                    found[(above / "serial").read_text().strip()] = f"/dev/{path.name}"
            except OSError:
                continue
    return found
