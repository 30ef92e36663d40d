# SPDX-License-Identifier: BSD-3-Clause
"""Our udev rules, applied by a real udevd, and the service that lives on them."""

from __future__ import annotations

import fcntl
import grp
import os
from functools import partial
from pathlib import Path

from bridge.client.chip import Chip
from bridge.client.control import Connection
from bridge.client.line_settings import LineSettings
from bridge.line import Direction, Value
from bridge.link.rpmsg_sysfs import ADDR_ANY, Sysfs
from tests.export import frontend as vu

from .guest import Guest
from .load import PATIENCE_S, another_boot, epochs
from .rpmsg import RAW, serving
from .system import (
    Systemd,
    install,
    install_rules,
    owner,
    properties,
    run,
    settle,
    udevd,
    writable,
)
from .test_gpiochip_link import Sim
from .test_remoteproc import CRASH, with_firmware
from .test_rpmsg import CREATE_DEV, ENDPOINT_INFO
from .uml import in_kernel


def linked(name: str) -> str:
    return os.path.realpath(f"/dev/rpmsg-gpio/{name}")


@in_kernel("demo", processors=("m4_0",))
def test_rules_on_a_remote_processor(guest: Guest) -> None:
    install()
    with udevd():
        processor = with_firmware()
        processor.start()
        guest.until(lambda: len(Sysfs().nodes()) == 2, "udevd to bind both channels")
        settle()
        assert sorted(os.listdir("/dev/rpmsg-gpio")) == ["m4_0-0", "m4_0-1"]
        for index in (0, 1):
            node = linked(f"m4_0-{index}")
            assert owner(node) == ("root", "rpmsg", "0660")
            assert Path(f"/sys/class/rpmsg/{Path(node).name}/name").read_text() == (
                f"rpmsg-io-{index}\n"
            )
            found = properties(node)
            assert found["SYSTEMD_WANTS"] == "gpio-bridge.service"
            assert ":systemd:" in found["TAGS"]
            assert found["DEVLINKS"] == f"/dev/rpmsg-gpio/m4_0-{index}"
        assert owner("/dev/rpmsg_ctrl0") == ("root", "root", "0600")
        before = linked("m4_0-0")
        in_use = os.open(before, os.O_RDWR)
        processor.stop()
        settle()
        assert not os.path.exists("/dev/rpmsg-gpio")
        processor.start()
        guest.until(lambda: len(Sysfs().nodes()) == 2, "both channels again")
        settle()
        assert linked("m4_0-0") != before, "the old number is in use still"
        assert owner(linked("m4_0-0")) == ("root", "rpmsg", "0660")
        os.close(in_use)


@in_kernel("demo", RAW)
def test_rules_without_remoteproc(guest: Guest) -> None:
    """Devices that were there before udevd, and a channel that binds by itself."""
    guest.until(lambda: len(Sysfs().nodes()) == 1, "the node of rpmsg-raw")
    install()
    with udevd():
        guest.until(lambda: len(Sysfs().nodes()) == 3, "udevd to bind the channels")
        settle()
        assert sorted(os.listdir("/dev/rpmsg-gpio")) == [
            "virtio-uml.0-0",
            "virtio-uml.0-1",
            "virtio-uml.1-raw-1024",
        ]
        assert owner(linked("virtio-uml.1-raw-1024")) == ("root", "rpmsg", "0660")


@in_kernel()
def test_pins_of_this_linux_stay_whose_they_are(guest: Guest) -> None:
    install()
    with udevd():
        sim = Sim()
        settle()
        assert owner(sim.path) == ("root", "root", "0600")


@in_kernel("demo")
def test_names_of_channels_make_no_other_links(guest: Guest) -> None:
    """Channels with other names are not ours; the service takes no such names either."""
    install()
    with udevd():
        guest.until(lambda: len(Sysfs().nodes()) == 2, "udevd to bind both channels")
        (processor,) = Sysfs().processors()
        for name in ("rpmsg-io-0 stray", "rpmsg-io-*", "rpmsg-io-/../../stray", "rpmsg-io-"):
            Sysfs().create_endpoint(processor, name, ADDR_ANY, 0x900)
        guest.until(lambda: len(Sysfs().nodes()) == 6, "the endpoints")
        settle()
        assert sorted(os.listdir("/dev/rpmsg-gpio")) == ["virtio-uml.0-0", "virtio-uml.0-1"]
        assert not os.path.lexists("/dev/stray")
        ours = {linked("virtio-uml.0-0"), linked("virtio-uml.0-1")}
        for node in Path("/dev").glob("rpmsg[0-9]*"):
            group = ("rpmsg", "0660") if str(node) in ours else ("root", "0600")
            assert owner(str(node)) == ("root", *group), "endpoints of others stay root's"


NOT_OURS = ("rpmsg-io-channel", "rpmsg-io-00", "rpmsg-io-1a", "rpmsg-io-_", "rpmsg-io--1")


def announce(name: str, address: int) -> Path:
    """A channel as firmware would announce it; its device."""
    sysfs = Sysfs()
    (processor,) = sysfs.processors()
    with open(str(sysfs.control(processor)), "rb") as control:
        fcntl.ioctl(control, CREATE_DEV, ENDPOINT_INFO.pack(name.encode(), ADDR_ANY, address))
    channels = sysfs.channels(processor)
    (channel,) = (c for c in channels if (c.name, c.dst) == (name, address))
    return Path(channel.path)


def untouched(channel: Path) -> bool:
    override = (channel / "driver_override").read_text()
    return override == "(null)\n" and not (channel / "driver").exists()


@in_kernel("demo")
def test_channels_of_somebody_else_are_left_alone(guest: Guest) -> None:
    """Channels are bound by the rules, and by the service as root beside them."""
    install()
    with udevd(), serving("rpmsg:") as serve:
        serve.wait_for_chips(2)
        channels = [announce(name, 0x900 + at) for at, name in enumerate(NOT_OURS)]
        ours = announce("rpmsg-io-12", 0x950)
        guest.until((ours / "driver").exists, "the last one to be bound")
        settle()
        assert [c.name for c in channels if not untouched(c)] == []
        assert sorted(os.listdir("/dev/rpmsg-gpio")) == [
            f"virtio-uml.0-{index}" for index in (0, 1, 12)
        ]


@in_kernel("demo")
def test_of_channels_of_one_name_the_first_has_the_link(guest: Guest) -> None:
    install()
    with udevd():
        guest.until(lambda: len(Sysfs().nodes()) == 2, "udevd to bind both channels")
        settle()
        before = linked("virtio-uml.0-0")
        other = announce("rpmsg-io-0", 0x900)
        guest.until((other / "driver").exists, "the other one to be bound")
        settle()
        assert linked("virtio-uml.0-0") == before
        run("udevadm", "trigger")
        settle()
        assert linked("virtio-uml.0-0") == before
        assert sorted(os.listdir("/dev/rpmsg-gpio")) == ["virtio-uml.0-0", "virtio-uml.0-1"]


@in_kernel("demo")
def test_channels_that_a_module_is_for_are_left_to_it(guest: Guest) -> None:
    """It is not loaded yet, as on a board that boots."""
    modules = Path("/lib/modules", os.uname().release)
    writable("/usr/lib")
    modules.mkdir(parents=True, exist_ok=True)
    (modules / "modules.alias").write_text("alias rpmsg:rpmsg-io- gpio_rpmsg\n")
    install()
    with udevd(), serving("rpmsg:") as serve:
        guest.until(lambda: "left to the kernel's gpio_rpmsg" in serve.log, "a word about it")
        settle()
        (processor,) = Sysfs().processors()
        channels = [c for c in Sysfs().channels(processor) if c.name.startswith("rpmsg-io-")]
        assert len(channels) == 2
        assert all(untouched(Path(channel.path)) for channel in channels)
    with serving("rpmsg:?claim=yes") as serve:
        serve.wait_for_chips(2)


@in_kernel("demo")
def test_rules_installed_while_the_firmware_runs(guest: Guest) -> None:
    """By the commands of docs/bring-up.md; udevadm trigger says "change", not "add"."""
    guest.until(lambda: Sysfs().processors(), "the processor")
    install()
    with udevd(rules=False):
        assert not Sysfs().nodes()
        install_rules()
        run("udevadm", "control", "--reload")
        run("udevadm", "trigger")
        settle()
        assert sorted(os.listdir("/dev/rpmsg-gpio")) == ["virtio-uml.0-0", "virtio-uml.0-1"]
        assert owner(linked("virtio-uml.0-0")) == ("root", "rpmsg", "0660")


# ---- the units, started by a real systemd ----------------------------------------

SOCKET = "/run/rpmsg-gpio-bridge/control.sock"
CHIPS = "/run/rpmsg-gpio-bridge/control.chips"
SERVICE = "gpio-bridge.service"
# Its connection, the memory of its lines, and a pair of sockets with the set-up of its session.
KEPT_OF_A_GUEST = "4"
LED = 0
CRASHES = 5


def wait_chip(name: str, socket: str = SOCKET) -> None:
    connection = Connection.open(socket)
    try:
        connection.wait(PATIENCE_S, chip=name, online=True)
    finally:
        connection.close()


def drive_as_user_of_gpio(socket: str, name: str) -> None:
    """In a process of a user that has but the group gpio, and whom the service knows as such."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([grp.getgrnam("gpio").gr_gid])
            os.setgid(4242)
            os.setuid(4242)
            output = LineSettings(direction=Direction.OUTPUT, output_value=Value.ACTIVE)
            with Chip(f"{socket}#{name}") as chip, chip.request_lines({0: output}) as led:
                status = 0 if led.get_value(0) == Value.ACTIVE else 2
                users = Connection.open(socket).call("status")["users"]
                if 4242 not in [each["uid"] for each in users]:
                    status = 3  # in a user namespace the service would see nobody
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


@in_kernel("demo", processors=("m4_0",))
def test_service_in_its_sandbox(guest: Guest) -> None:
    install()
    with Systemd(guest) as systemd:
        assert not systemd.active(SERVICE), "there is no device yet"
        processor = with_firmware()
        processor.start()
        guest.until(lambda: systemd.active(SERVICE), "udev to start the service", PATIENCE_S)
        wait_chip("rpmsg-0")
        wait_chip("rpmsg-1")
        assert owner(SOCKET) == ("gpio-bridge", "gpio", "0660")
        assert systemd.show(SERVICE, "User") == "gpio-bridge"
        drive_as_user_of_gpio(SOCKET, "rpmsg-0")
        assert owner(CHIPS) == ("gpio-bridge", "gpio", "0750")
        service = systemd.show(SERVICE, "MainPID")
        connection = Connection.open(SOCKET)
        for number in range(CRASHES):
            # It dies, its devices go, and after recovery udevd makes everything anew.
            boots = epochs(connection)
            guest.stub("restart")
            guest.until(
                partial(another_boot, connection, boots),
                f"the chips after crash {number}",
                PATIENCE_S,
            )
            drive_as_user_of_gpio(SOCKET, "rpmsg-0")
        assert systemd.show(SERVICE, "MainPID") == service, "the service was started again"


@in_kernel("demo", processors=("m4_0",))
def test_real_time_is_refused_by_the_sandbox_and_had_with_the_drop_in(guest: Guest) -> None:
    """The drop-in is that of docs/configuration.md; no capability comes with it."""
    install()
    page = Path("docs/configuration.md").read_text()
    drop_in = page.partition("```ini\n[Service]\n")[2].partition("```")[0].splitlines()
    assert "LimitRTPRIO=50" in drop_in
    with Systemd(guest) as systemd:
        arguments = "--link rpmsg: --realtime 50,lock-memory"
        systemd.drop_in(SERVICE, f'Environment="GPIO_BRIDGE_ARGS={arguments}"')
        systemd.control("daemon-reload")
        with_firmware().start()
        guest.until(lambda: systemd.active(SERVICE), "udev to start the service", PATIENCE_S)
        wait_chip("rpmsg-0")
        priority, memory = refused()
        assert "set LimitRTPRIO=50" in priority and "LimitMEMLOCK=infinity" in memory
        systemd.drop_in(SERVICE, *drop_in)
        systemd.control("daemon-reload")
        systemd.control("restart", SERVICE)
        wait_chip("rpmsg-0")
        assert refused() == []
        threads = [line.split() for line in run("ps", "-eLo", "cls=,rtprio=,args=").splitlines()]
        # The pump's, and a reader for each endpoint.
        assert len([t for t in threads if t[:2] == ["FF", "50"] and "serve" in t]) == 3, threads
        drive_as_user_of_gpio(SOCKET, "rpmsg-0")


def refused() -> list[str]:
    connection = Connection.open(SOCKET)
    try:
        sentences: list[str] = connection.call("status")["realtime"]["refused"]
        return sentences
    finally:
        connection.close()


@in_kernel("demo", processors=("m4_0",))
def test_a_guest_outlives_the_service(guest: Guest) -> None:
    """systemd keeps its connection and its memory from one service to the next."""
    install()
    path = "/run/rpmsg-gpio-bridge/guest.sock"
    with Systemd(guest) as systemd:
        arguments = f"--link rpmsg: --export vhost-user-gpio:{path},chip=rpmsg-0"
        systemd.drop_in(SERVICE, f'Environment="GPIO_BRIDGE_ARGS={arguments}"')
        systemd.control("daemon-reload")
        with_firmware().start()
        guest.until(lambda: os.path.exists(path), "the export", PATIENCE_S)
        with vu.Frontend(path) as driver:
            driver.up()
            driver.ok(vu.SET_VALUE, LED, 1)
            driver.ok(vu.SET_DIRECTION, LED, vu.OUT)
            for _ in range(3):
                before = systemd.show(SERVICE, "MainPID")
                systemd.control("restart", SERVICE)
                assert driver.ok(vu.GET_VALUE, LED) == 1
                assert systemd.show(SERVICE, "MainPID") != before
                guest.until(
                    lambda: systemd.show(SERVICE, "NFileDescriptorStore") == KEPT_OF_A_GUEST,
                    "what is kept of this guest, and of no other",
                    PATIENCE_S,
                )
            systemd.control("stop", SERVICE)
            assert driver.hung_up(), "stopped for good"


@in_kernel("demo", processors=("m4_0",))
def test_watchdog(guest: Guest) -> None:
    install()
    with Systemd(guest) as systemd:
        systemd.drop_in(SERVICE, "WatchdogSec=8")
        systemd.control("daemon-reload")
        processor = with_firmware()
        (processor.path / "recovery").write_text("disabled")
        processor.start()
        guest.until(lambda: systemd.active(SERVICE), "udev to start the service", PATIENCE_S)
        wait_chip("rpmsg-0")
        fed = systemd.show(SERVICE, "WatchdogTimestampMonotonic")
        for _ in range(2):
            before = fed
            fed = guest.until(
                lambda before=before: (
                    (now := systemd.show(SERVICE, "WatchdogTimestampMonotonic")) != before and now
                ),
                "the watchdog to be fed",
                PATIENCE_S,
            )
        assert "1 of 1 links up, 2 chips" in systemd.show(SERVICE, "StatusText")
        # Firmware that is silent does not get the service restarted. Silence is the only sign of a
        # crash that nobody recovers from.
        guest.stub("fault stall on")
        CRASH.write_text("0")
        guest.until(
            lambda: "no answer from rpmsg" in systemd.show(SERVICE, "StatusText"),
            "the silence",
            PATIENCE_S,
        )
        guest.until(
            lambda: "m4_0: running -> crashed" in systemd.log, "a word about it", PATIENCE_S
        )
        assert systemd.show(SERVICE, "NRestarts") == "0"
        guest.stub("fault stall off")
        systemd.control("kill", "--signal=STOP", SERVICE)
        guest.until(
            lambda: systemd.show(SERVICE, "NRestarts") != "0", "systemd to notice", PATIENCE_S
        )
        guest.until(lambda: systemd.active(SERVICE), "the service again", PATIENCE_S)
        wait_chip("rpmsg-0")


@in_kernel("demo", processors=("m4_0",))
def test_unit_of_a_device(guest: Guest) -> None:
    install()
    unit = "gpio-bridge@m4_0\\x2d1.service"
    with Systemd(guest) as systemd:
        systemd.control("mask", "--runtime", SERVICE)
        systemd.control("enable", "--runtime", unit)
        processor = with_firmware()
        processor.start()
        guest.until(lambda: systemd.active(unit), "the device to start its service", PATIENCE_S)
        wait_chip("m4_0-1-1", socket="/run/rpmsg-gpio-bridge/m4_0-1.sock")
        processor.stop()
        gone = ("inactive", "failed")
        guest.until(
            lambda: systemd.show(unit, "ActiveState") in gone, "the service to go", PATIENCE_S
        )
        assert systemd.show(unit, "Result") == "success"
        processor.start()
        guest.until(lambda: systemd.active(unit), "the service to come with its device", PATIENCE_S)
