# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge doctor in a kernel that has everything, and one trouble after the other."""

from __future__ import annotations

import grp
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bridge.link.rpmsg_sysfs import Sysfs

from .guest import Guest
from .rpmsg import serving
from .system import install, settle, udevd
from .test_remoteproc import with_firmware
from .uml import in_kernel


def examined(socket: str, *before: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit status of the doctor, and what it found."""
    verb = [sys.executable, "-m", "bridge.cli", "doctor", "--json", "--socket", socket]
    run = subprocess.run([*before, *verb], capture_output=True, text=True, timeout=60)
    assert run.stdout, run.stderr
    return run.returncode, json.loads(run.stdout)["findings"]


def traced(socket: str) -> str:
    """The last messages of the links."""
    verb = [sys.executable, "-m", "bridge.cli", "trace", "--last", "--socket", socket]
    return subprocess.run(verb, capture_output=True, text=True, timeout=60, check=True).stdout


def failures(socket: str, *before: str) -> list[str]:
    return sorted({f["failure"] for f in examined(socket, *before)[1] if f["failure"]})


def somebody(group: int) -> tuple[str, ...]:
    """Runs a command as nobody, in one group."""
    # Python and this project may be where only root reads.
    caps = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    return ("setpriv", "--reuid=65534", f"--regid={group}", "--clear-groups", *caps)


@in_kernel("demo", processors=("m4_0",))
def test_from_bare_to_working(guest: Guest) -> None:
    socket = "/run/tmp/serve/control.sock"
    bare = ["no-group", "no-rules", "no-service", "remoteproc-down"]
    assert failures(socket) == bare
    install()
    # Where a package would have put the rules.
    assert failures(socket) == ["no-rules", "no-service", "remoteproc-down"]
    with udevd():
        processor = with_firmware()
        processor.start()
        guest.until(lambda: len(Sysfs().nodes()) == 2, "udevd to bind both channels")
        settle()
        assert failures(socket) == ["no-service"]
        # A user without groups needs the service, and the group gpio.
        nobody = somebody(65534)
        assert failures(socket, *nobody) == ["no-service", "node-permission", "not-in-group"]
        with serving("rpmsg:remoteproc=m4_0", arguments=("--group", "gpio")) as serve:
            serve.wait_for_chips(2)
            assert "GET_CONFIG" in traced(socket)
            assert failures(socket, *nobody) == [
                "node-permission", "not-in-group", "service-refuses"
            ]  # fmt: skip
            # Whoever may use the service needs no node.
            status, found = examined(socket, *somebody(grp.getgrnam("gpio").gr_gid))
            assert [f["what"] for f in found if f["level"] == "problem"] == []
            assert {f["failure"] for f in found if f["level"] == "note"} >= {"node-permission"}
            assert status == 0
            status, found = examined(serve.socket)
            assert [f["what"] for f in found if f["level"] == "problem"] == []
            assert status == 0
            told = "\n".join(f["what"] for f in found)
            assert "m4_0 is running, firmware gpio.elf" in told
            assert "CONFIG_RPMSG_CHAR=y" in told
            assert "m4_0: rpmsg-io-0 at 0x400 is rpmsg" in told
            assert "m4_0-0 answers" in told
            assert "link m4_0 (rpmsg:remoteproc=m4_0) is up: m4_0-0, m4_0-1" in told
            processor.stop()
            serve.wait_for_chips(0)
            assert failures(serve.socket) == ["link-down", "remoteproc-down"]


@in_kernel("demo", processors=("m4_0",))
def test_channels_without_rules(guest: Guest) -> None:
    with_firmware().start()
    sysfs = Sysfs()
    guest.until(
        lambda: sysfs.processors() and len(sysfs.channels(sysfs.processors()[0])) == 4, "channels"
    )
    assert "no-node" in failures("/run/tmp/none")
    sysfs.bind(sysfs.channels(sysfs.processors()[0])[-1])
    found = examined("/run/tmp/none")[1]
    assert [f["failure"] for f in found if f["check"] == "nodes"] == ["no-link", None]
    assert os.path.exists("/dev/rpmsg0")
    assert Path("/proc/config.gz").exists()


@in_kernel("demo", processors=("m4_0",))
def test_service_starts_and_stops_the_processor(guest: Guest) -> None:
    """serve --remoteproc NAME,auto-stop: it runs as long as the service does."""
    processor = with_firmware()
    arguments = ("--remoteproc", "m4_0,auto-stop", "--verbose")
    with serving("rpmsg:", arguments=arguments) as serve:
        serve.wait_for_chips(2)
        guest.until(lambda: "remoteproc m4_0: offline -> running" in serve.log, "a word about it")
        assert serve.process is not None
        serve.process.kill()
        serve.process.wait()
    guest.until(lambda: processor.state == "offline", "the processor to stop with the service")
    with serving("rpmsg:", arguments=("--remoteproc", "m4_0")) as serve:
        serve.wait_for_chips(2)
    assert processor.state == "running"
    with serving("rpmsg:", arguments=("--remoteproc", "m7")) as serve:
        serve.wait_for_chips(2)
        guest.until(lambda: "no remote processor is called m7" in serve.log, "a word about m7")
    processor.stop()
    with serving("rpmsg:remoteproc=m4_0") as serve:
        serve.wait_for_chips(0)
        guest.until(lambda: "gpio-bridge remoteproc start m4_0" in serve.log, "advice")
