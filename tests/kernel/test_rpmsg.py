# SPDX-License-Identifier: BSD-3-Clause
"""The rpmsg link on the kernel's own rpmsg devices, the stub being the remote processor."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import select
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from bridge.bench.rig import Serve
from bridge.client.chip import Chip
from bridge.client.control import Connection
from bridge.client.line_request import LineRequest
from bridge.client.line_settings import LineSettings
from bridge.line import Direction, Value
from bridge.link.rpmsg_sysfs import ADDR_ANY, CHARDEV, Processor, Sysfs
from tests.export import frontend as vu
from tests.processes import cpu_seconds
from tests.seeing import sees_everything

from .guest import Guest
from .load import (
    DEADLINE_S,
    PATIENCE_S,
    RESTARTS,
    Load,
    another_boot,
    descriptors,
    epochs,
    wait_for_descriptors,
)
from .rpmsg import (
    LED_GREEN,
    RAW,
    controllers,
    scenario,
    second_controller,
    serving,
    the_processor,
)
from .uml import in_kernel

CREATE_DEV = 0x4028B503  # RPMSG_CREATE_DEV_IOCTL, linux/rpmsg.h
ENDPOINT_INFO = struct.Struct("=32sII")  # struct rpmsg_endpoint_info
USER = 4711
"""Somebody without privileges."""


# ---- the link -----------------------------------------------------------------


@in_kernel("demo")
def test_scenario_on_bound_channels_two_controllers(guest: Guest) -> None:
    with serving("rpmsg:") as serve:
        assert serve.wait_for_chips(2) == ["rpmsg-0", "rpmsg-1"]
        drivers = [c.driver for c in controllers(Sysfs(), Sysfs().processors()[0])]
        assert drivers == [CHARDEV, CHARDEV]
        scenario(guest, serve, "rpmsg-0")
        second_controller(serve, "rpmsg-1")


@in_kernel("demo")
def test_record_watch_and_trace(guest: Guest) -> None:
    with serving("rpmsg:") as serve:
        serve.wait_for_chips(2)
        sees_everything(serve.socket, "rpmsg-0", guest.stub, Path("/run/tmp"), PATIENCE_S)


@in_kernel("demo", features="none")
def test_scenario_with_baseline_firmware(guest: Guest) -> None:
    with serving("rpmsg:") as serve:
        serve.wait_for_chips(2)
        scenario(guest, serve, "rpmsg-0")


@in_kernel(RAW)
def test_scenario_on_rpmsg_raw(guest: Guest) -> None:
    with serving("rpmsg:") as serve:
        assert serve.wait_for_chips(1) == ["rpmsg-0"]
        scenario(guest, serve, "rpmsg-0")


@in_kernel("demo")
def test_scenario_through_the_control_device(guest: Guest) -> None:
    sysfs = Sysfs()
    with serving("rpmsg:?via=ctrl") as serve:
        serve.wait_for_chips(2)
        processor = sysfs.processors()[0]
        assert [c.driver for c in controllers(sysfs, processor)] == [None, None]
        scenario(guest, serve, "rpmsg-0")
        assert len(sysfs.nodes(processor)) == 2
    assert not sysfs.nodes(processor), "the service left its endpoints behind"


@in_kernel("demo")
def test_endpoints_of_a_killed_service_are_used_again(guest: Guest) -> None:
    sysfs = Sysfs()
    with serving("rpmsg:?via=ctrl") as serve:
        serve.wait_for_chips(2)
        assert serve.process is not None
        serve.process.kill()
        serve.process.wait()
    assert len(sysfs.nodes()) == 2
    with serving("rpmsg:?via=ctrl") as serve:
        serve.wait_for_chips(2)
        scenario(guest, serve, "rpmsg-0")
        assert len(sysfs.nodes()) == 2


@in_kernel("demo")
def test_static_endpoint_and_node_by_path(guest: Guest) -> None:
    sysfs = Sysfs()
    processor = the_processor(guest, sysfs, 2)
    with serving("rpmsg:?dst=0x400&src=0x7d0&name=rpmsg-io-0") as serve:
        assert serve.wait_for_chips(1) == ["rpmsg-0"]
        scenario(guest, serve, "rpmsg-0")
        assert "0x7d0" in guest.stub("channels")
    sysfs.bind(controllers(sysfs, processor)[0])
    (node,) = sysfs.nodes(processor)
    os.symlink(f"/dev/{node.devname}", "/dev/m4-0")
    with serving("rpmsg:/dev/m4-0") as serve:
        assert serve.wait_for_chips(1) == ["m4-0-0"]
        scenario(guest, serve, "m4-0-0")


def opened(pid: int) -> dict[str, str]:
    """What the descriptors of a process are."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found[fd] = os.readlink(f"/proc/{pid}/fd/{fd}")
    return found


def watched(pid: int) -> set[str]:
    """Which of them its epoll descriptors watch (proc_pid_fdinfo(5))."""
    found: set[str] = set()
    for fd, what in opened(pid).items():
        if "[eventpoll]" in what:
            info = Path(f"/proc/{pid}/fdinfo/{fd}").read_text()
            found.update(re.findall(r"^tfd:\s*(\d+)", info, re.MULTILINE))
    return found


@in_kernel("demo")
def test_no_node_is_polled(guest: Guest) -> None:
    """Whoever polls a node when its processor goes writes into freed memory of the kernel."""
    with serving("rpmsg:") as serve:
        serve.wait_for_chips(2)
        scenario(guest, serve, "rpmsg-0")
        nodes = {fd for fd, what in opened(serve.pid).items() if what.startswith("/dev/rpmsg")}
        assert len(nodes) == 2
        assert watched(serve.pid)
        assert not nodes & watched(serve.pid)


# ---- what goes wrong ----------------------------------------------------------


@in_kernel("demo")
def test_busy_node_is_taken_when_it_is_free(guest: Guest) -> None:
    sysfs = Sysfs()
    processor = the_processor(guest, sysfs, 2)
    sysfs.bind(controllers(sysfs, processor)[0])
    (node,) = sysfs.nodes(processor)
    other = os.open(f"/dev/{node.devname}", os.O_RDWR)
    with serving("rpmsg:") as serve:
        assert serve.wait_for_chips(1) == ["rpmsg-1"]
        guest.until(lambda: "another program has it" in serve.log, "a word about it")
        os.close(other)
        assert serve.wait_for_chips(2) == ["rpmsg-0", "rpmsg-1"]


@in_kernel("demo")
def test_node_without_permission_is_used_once_it_is_given(guest: Guest) -> None:
    sysfs = Sysfs()
    processor = the_processor(guest, sysfs, 2)
    for channel in controllers(sysfs, processor):
        sysfs.bind(channel)
    nodes = [f"/dev/{node.devname}" for node in sysfs.nodes(processor)]
    directory = Path("/run/tmp/serve")
    directory.mkdir()
    os.chown(directory, USER, USER)
    serve = Serve(directory)
    with open(directory / "log", "wb") as log_file:
        process = subprocess.Popen(
            [
                *("setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups"),
                # Python and this project may be where only root reads.
                *("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"),
                *(sys.executable, "-m", "bridge.cli", "serve"),
                *("--socket", serve.socket, "--link", "rpmsg:"),
            ],
            stderr=log_file,
        )
    log = directory / "log"
    guest.until(
        lambda: log.exists() and "node's group" in log.read_text(), "a word about permission"
    )
    for path in nodes:
        os.chown(path, USER, USER)
    assert serve.wait_for_chips(2) == ["rpmsg-0", "rpmsg-1"]
    scenario(guest, serve, "rpmsg-0")
    process.terminate()
    assert process.wait(PATIENCE_S) == 0


@in_kernel("demo")
def test_firmware_comes_later_and_comes_back(guest: Guest) -> None:
    guest.host("kill", 0)
    guest.until(lambda: not Sysfs().processors(), "the device to go")
    with serving("rpmsg:") as serve:
        assert serve.wait_for_chips(0) == []
        guest.host("start", 0)
        serve.wait_for_chips(2)
        scenario(guest, serve, "rpmsg-0")
        guest.host("kill", 0)
        serve.wait_for_chips(0)
        guest.host("start", 0)
        serve.wait_for_chips(2)
        scenario(guest, serve, "rpmsg-0")


@in_kernel("demo")
def test_firmware_comes_without_a_control_device(guest: Guest) -> None:
    """A kernel without CONFIG_RPMSG_CTRL: nothing appears in /dev, only uevents tell."""
    guest.host("kill", 0)
    guest.until(lambda: not Sysfs().processors(), "the device to go")
    bus = Path("/sys/bus/rpmsg")
    (bus / "drivers_autoprobe").write_text("0")
    with serving("rpmsg:") as serve:
        assert serve.wait_for_chips(0) == []
        nodes = os.listdir("/dev")
        guest.host("start", 0)
        server = guest.until(lambda: list(bus.glob("devices/*rpmsg_ns*")), "the name service")[0]
        (bus / "drivers/rpmsg_ns/bind").write_text(server.name)
        for controller in (0, 1):  # the first time nobody listened
            guest.stub(f"fault announce {controller} created")
        serve.wait_for_chips(2)
        assert {node for node in os.listdir("/dev") if node not in nodes} == {"rpmsg0", "rpmsg1"}
        scenario(guest, serve, "rpmsg-0")


@in_kernel("demo")
def test_announced_late_twice_and_taken_back(guest: Guest) -> None:
    """The races of the name service, which the kernel sees first."""
    guest.stub("fault announce-late 300ms")
    guest.host("restart", 0)
    with serving("rpmsg:") as serve:
        serve.wait_for_chips(2, PATIENCE_S)
        with (
            Chip(f"{serve.socket}#rpmsg-0") as chip,
            chip.request_lines({LED_GREEN: LineSettings(direction=Direction.OUTPUT)}) as led,
        ):
            # This comes after the announcement in the same ring, so it is later than that.
            guest.stub("fault announce 0 created")
            led.set_value(LED_GREEN, Value.ACTIVE)
            assert guest.stub("read LED_GREEN") == "1"
            guest.stub("fault announce 0 destroyed")
            assert serve.wait_for_chips(1, PATIENCE_S) == ["rpmsg-1"]
            with pytest.raises(OSError) as error:
                led.set_value(LED_GREEN, Value.INACTIVE)
            assert error.value.errno == errno.ENODEV
        guest.stub("fault announce 0 created")
        serve.wait_for_chips(2, PATIENCE_S)
        scenario(guest, serve, "rpmsg-0")


@in_kernel("demo")
def test_second_channel_of_a_name_waits_for_the_first_to_go(guest: Guest) -> None:
    """Firmware that begins anew at another address, and takes the old one back late."""
    sysfs = Sysfs()
    path = "/run/tmp/guest.sock"
    export = ("--export", f"vhost-user-gpio:{path},chip=rpmsg-0,lines=2")
    with (
        serving("rpmsg:,on_restart=restore", arguments=export) as serve,
        contextlib.ExitStack() as stack,
    ):
        serve.wait_for_chips(2)
        output = LineSettings(direction=Direction.OUTPUT, output_value=Value.ACTIVE)
        with Chip(f"{serve.socket}#rpmsg-0") as chip:
            request = chip.request_lines({1: output})
        driver = stack.enter_context(vu.Frontend(path)).up()
        driver.ok(vu.SET_VALUE, 0, 1)
        driver.ok(vu.SET_DIRECTION, 0, vu.OUT)
        guest.stub("fault announce 1 destroyed")
        assert serve.wait_for_chips(1, PATIENCE_S) == ["rpmsg-0"]
        # The address of what was rpmsg-io-1.
        with open(str(sysfs.control(sysfs.processors()[0])), "rb") as control:
            fcntl.ioctl(control, CREATE_DEV, ENDPOINT_INFO.pack(b"rpmsg-io-0", ADDR_ANY, 0x401))
        guest.until(lambda: "announced twice" in serve.log, "a word about it")
        guest.stub("fault announce 0 destroyed")
        guest.until(lambda: labels(serve) == ["m4-gpiob"], "the second to take its place")
        # Nobody can say whether it is the same controller.
        assert "direction none" in guest.stub("state 1/1")
        assert driver.request(vu.GET_VALUE, 0)[0] != 0, "the guest's line is nowhere"
        assert "direction none" in guest.stub("state 1/2")
        why = "chip rpmsg-0 may be another controller than before"
        guest.until(lambda: why in serve.log, why)
        request.release()
        why = "rpmsg-0: rpmsg-io-0 was announced at several addresses at once"
        guest.until(lambda: why in serve.log, why)


TWO_RAW = """
controller 0 channel rpmsg-raw lines 4
controller 1 channel rpmsg-raw lines 4
"""


@in_kernel(TWO_RAW)
def test_announced_in_the_other_order_they_are_the_same(guest: Guest) -> None:
    """Two channels of one name: the one that nobody requested is not driven."""
    with serving("rpmsg:,on_restart=restore") as serve:
        serve.wait_for_chips(2)
        assert addresses(serve) == {"rpmsg-0": 0x400, "rpmsg-1": 0x401}
        output = LineSettings(direction=Direction.OUTPUT, output_value=Value.ACTIVE)
        with Chip(f"{serve.socket}#rpmsg-1") as chip:
            request = chip.request_lines({1: output})
        for controller in (0, 1):
            guest.stub(f"fault announce {controller} destroyed")
        serve.wait_for_chips(0, PATIENCE_S)
        for number, controller in enumerate((1, 0), start=1):
            guest.stub(f"fault announce {controller} created")
            serve.wait_for_chips(number, PATIENCE_S)
        assert addresses(serve) == {"rpmsg-0": 0x400, "rpmsg-1": 0x401}
        assert guest.stub("read 1/1") == "1"
        assert "direction none" in guest.stub("state 0/1")
        request.release()


def addresses(serve: Serve) -> dict[str, int]:
    connection = Connection.open(serve.socket)
    try:
        return {chip["name"]: chip["address"] for chip in connection.call("chips")["chips"]}
    finally:
        connection.close()


def labels(serve: Serve) -> list[str]:
    connection = Connection.open(serve.socket)
    try:
        return [chip["label"] for chip in connection.call("chips")["chips"]]
    finally:
        connection.close()


@in_kernel("demo")
def test_unbound_and_bound_again(guest: Guest) -> None:
    """A channel's device that goes and comes, without the processor."""
    sysfs = Sysfs()
    with serving("rpmsg:") as serve:
        serve.wait_for_chips(2)
        processor = sysfs.processors()[0]
        channel = controllers(sysfs, processor)[0]
        old = {node.identity for node in sysfs.nodes(processor)}
        Path(f"/sys/bus/rpmsg/drivers/{CHARDEV}/unbind").write_text(os.path.basename(channel.path))
        guest.until(lambda: {node.identity for node in sysfs.nodes(processor)} - old, "a new node")
        serve.wait_for_chips(2)
        scenario(guest, serve, "rpmsg-0")


@in_kernel("demo", "demo")
def test_exhausted_buffers_end_at_the_deadline(guest: Guest) -> None:
    """No 15 s in the kernel; the other link does not notice; it works again afterwards."""
    sysfs = Sysfs()
    guest.until(lambda: len(sysfs.processors()) == 2, "two processors")
    urls = [f"rpmsg:device=virtio-uml.{index}" for index in (0, 1)]
    with serving(*urls) as serve, contextlib.ExitStack() as stack:
        serve.wait_for_chips(4)
        lines = {LED_GREEN: LineSettings(direction=Direction.OUTPUT)}
        stalled, alive = (
            stack.enter_context(
                stack.enter_context(Chip(f"{serve.socket}#virtio-uml.{index}-0")).request_lines(
                    lines
                )
            )
            for index in (0, 1)
        )
        processor = next(p for p in sysfs.processors() if "virtio-uml.0" in p.path)
        guest.stub("fault stall on", 0)
        filler = stack.enter_context(closing_fd(exhaust(sysfs, processor)))
        made: list[tuple[float, float]] = []
        ended = threading.Event()
        other = threading.Thread(target=keep_setting, args=(alive, ended, made))
        other.start()

        def goes_on() -> bool:
            """Whether the other link was used while this one waited."""
            start, end = times_out(stalled, filler)
            return any(start < began and done < end for began, done in made)

        guest.until(goes_on, "a set on the other link while this one waits")
        ended.set()  # now the service has nothing to do
        other.join()
        before = cpu_seconds(serve.pid)
        times_out(stalled, filler)
        assert cpu_seconds(serve.pid) - before < 0.7 * DEADLINE_S, "the service does not sleep"
        guest.stub("fault stall off", 0)
        guest.until(lambda: works(stalled), "the link to work again")
        stalled.set_value(LED_GREEN, Value.INACTIVE)
        assert guest.stub("read LED_GREEN", 0) == "0"


def exhaust(sysfs: Sysfs, processor: Processor) -> int:
    """Fill the processor's transmit buffers through an endpoint of our own."""
    sysfs.create_endpoint(processor, "filler", 3000, 0x7F000000)
    node = next(node for node in sysfs.nodes(processor) if node.name == "filler")
    fd = os.open(f"/dev/{node.devname}", os.O_RDWR | os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        for _ in range(100_000):
            os.write(fd, b"filler")
    return fd


@contextmanager
def closing_fd(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


def times_out(stalled: LineRequest, filler: int) -> tuple[float, float]:
    """Do a set that fails at its deadline and not after the kernel's 15 s; return when it did."""
    start = time.monotonic()
    with pytest.raises(OSError, match="did not answer") as error:
        stalled.set_value(LED_GREEN, Value.ACTIVE)
    end = time.monotonic()
    assert error.value.errno == errno.ETIMEDOUT
    assert DEADLINE_S - 0.01 < end - start < 10
    assert not select.select([], [filler], [], 0)[1], "there was a buffer after all"
    return start, end


def keep_setting(
    request: LineRequest, ended: threading.Event, made: list[tuple[float, float]]
) -> None:
    """Set until `ended`; from when to when each lasted goes to `made`."""
    while not ended.is_set():
        start = time.monotonic()
        with contextlib.suppress(TimeoutError):  # the host is that busy
            request.set_value(LED_GREEN, Value.ACTIVE)
            made.append((start, time.monotonic()))


def works(request: LineRequest) -> bool:
    try:
        request.set_value(LED_GREEN, Value.ACTIVE)
    except OSError:
        return False
    return True


def restarts_under_load(guest: Guest) -> str:
    """No hung call, no leaked descriptor, no lost service."""
    with serving("rpmsg:") as serve:
        serve.wait_for_chips(2)
        connection = Connection.open(serve.socket)
        before = descriptors(serve.pid)
        load = Load(guest, serve.socket, "rpmsg-0")
        with load.running():
            for number in range(RESTARTS):
                load.wait_for_work(f"before restart {number}")
                boots = epochs(connection)
                guest.host("restart", 0)
                guest.until(
                    partial(another_boot, connection, boots),
                    f"the chips after restart {number}",
                    PATIENCE_S,
                )
        scenario(guest, serve, "rpmsg-0")
        wait_for_descriptors(serve.pid, before)
        connection.close()
    return load.summary


@in_kernel("demo")
def test_restarts_under_load(guest: Guest) -> str:
    return restarts_under_load(guest)


@pytest.mark.slow
@pytest.mark.timeout(900)
@in_kernel("demo", timeout_s=800, parameters=("KERNEL_TEST_RESTARTS=200",))
def test_200_restarts_under_load(guest: Guest) -> str:
    assert RESTARTS == 200
    return restarts_under_load(guest)


@in_kernel("demo")
def test_bench_link_measures_the_node_beside_direct_and_service(guest: Guest) -> None:
    """Each has the endpoint in turn, by whichever way the URL says."""
    for url in ("rpmsg:?via=ctrl", "rpmsg:"):
        told = subprocess.run(
            [
                *(sys.executable, "-m", "bridge.cli", "bench", "link", "--json"),
                *("--link", url, "--seconds", "1", "--loop", "LOOP_OUT:LOOP_IN"),
            ],
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert told.returncode == 0, told.stderr
        guest.say(told.stdout)
        result = json.loads(told.stdout)
        for what in ("node", "direct", "service", "direct_edge", "service_edge"):
            assert result[what]["rounds"] > 0
        assert set(result["ratio"]) == {"direct", "service"}
