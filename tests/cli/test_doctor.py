# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge doctor on this machine, and on trees that look like boards in trouble."""

from __future__ import annotations

import grp
import gzip
import io
import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
from click.testing import CliRunner

import bridge as gpiod
from bridge.bench.rig import Rig, Serve
from bridge.cli import output
from bridge.cli.doctor import doctor
from bridge.client.chip import Chip
from bridge.doctor import board, bundle, kernel, users
from bridge.doctor.examination import examine
from bridge.doctor.failures import FAILURES, table
from bridge.doctor.findings import Finding, Place
from bridge.doctor.privacy import Privacy
from bridge.trace import pcapng
from bridge.trace.pcapng import Interface, pack
from bridge.trace.record import TraceKind, TraceRecord
from firmware_stub import Stub
from tests.processes import LATE_S

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
ROOT = Path(__file__).parents[2]


class Tree:
    """A board's sysfs, /dev and /proc, built by hand in the kernel's layout."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.place = Place(
            sysfs=str(root / "sys"),
            dev=str(root / "dev"),
            proc=str(root / "proc"),
            boot=str(root / "boot"),
            libraries=(str(root / "lib"),),
            socket=str(root / "none.sock"),
        )
        self.write("sys/bus/rpmsg/drivers/rpmsg_chrdev/bind", "")
        self.write("dev/null", "")
        self.options(REMOTEPROC="y", RPMSG_VIRTIO="y", RPMSG_NS="y", RPMSG_CHAR="y", RPMSG_CTRL="m")

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def options(self, **values: str) -> None:
        text = "".join(f"CONFIG_{name}={value}\n" for name, value in values.items())
        self.write("proc/config.gz", "").write_bytes(gzip.compress(text.encode()))

    def processor(self, name: str, state: str) -> Path:
        for attribute, value in {
            "name": name, "state": state, "firmware": "gpio.elf", "recovery": "disabled"
        }.items():  # fmt: skip
            self.write(f"sys/devices/soc/m4/remoteproc/remoteproc0/{attribute}", f"{value}\n")
        link = self.root / "sys/class/remoteproc/remoteproc0"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(self.root / "sys/devices/soc/m4/remoteproc/remoteproc0")
        return self.root / "sys/devices/soc/m4/remoteproc/remoteproc0/virtio0"

    def channel(self, virtio: Path, name: str, driver: str | None) -> Path:
        device = virtio / f"virtio0.{name}.-1.1024"
        for attribute, value in {"name": name, "dst": "0x400", "src": "0xffffffff"}.items():
            self.write(str(device.relative_to(self.root) / attribute), f"{value}\n")
        if driver:
            (device / "driver").symlink_to(f"/nowhere/{driver}")
        (self.root / "sys/bus/rpmsg/devices").mkdir(exist_ok=True)
        (self.root / "sys/bus/rpmsg/devices" / device.name).symlink_to(device)
        return device

    def node(self, channel: Path, devname: str) -> None:
        folder = channel / "rpmsg" / devname
        for attribute, value in {"name": "rpmsg-io-0", "src": "1024", "dst": "1024"}.items():
            self.write(str(folder.relative_to(self.root) / attribute), f"{value}\n")
        (folder / "device").symlink_to(channel)
        (self.root / "sys/class/rpmsg").mkdir(parents=True, exist_ok=True)
        (self.root / "sys/class/rpmsg" / devname).symlink_to(folder)

    def found(self, check: Callable[[Place], object]) -> list[Finding]:
        return list(check(self.place))  # type: ignore[call-overload, no-any-return]

    def problems(self, check: Callable[[Place], object]) -> list[str | None]:
        return [finding.failure for finding in self.found(check) if finding.level == "problem"]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


# ---- one trouble after the other ---------------------------------------------------


def test_kernel_options(tree: Tree) -> None:
    (missing,) = [f for f in tree.found(kernel.kernel) if f.level == "problem"]
    assert missing.what == "a module is not loaded: rpmsg_ctrl"
    tree.write("sys/module/rpmsg_ctrl/refcnt", "0")
    assert tree.problems(kernel.kernel) == []
    tree.options(REMOTEPROC="y")
    missing_options = [f.what for f in tree.found(kernel.kernel) if f.level == "problem"]
    assert missing_options == [
        f"the kernel lacks an option: CONFIG_{name} (Device Drivers > Rpmsg drivers > {prompt}) is "
        f"not in {tree.place.proc}/config.gz: {without}"
        for name, prompt, without in (
            ("RPMSG_VIRTIO", "Virtio RPMSG bus driver", "there is no rpmsg bus, and no channel"),
            ("RPMSG_CHAR", "RPMSG device interface",
             "there is no /dev/rpmsgN that a program could open"),
        )
    ]  # fmt: skip


def test_kernel_configuration_below_boot_and_none_at_all(tree: Tree) -> None:
    (tree.root / "proc/config.gz").unlink()
    assert any("not to be had" in f.what for f in tree.found(kernel.kernel))
    tree.write(f"boot/config-{os.uname().release}", "# CONFIG_RPMSG_CHAR is not set\n")
    assert tree.problems(kernel.kernel) == ["option-missing"] * 3
    (tree.root / "sys/bus/rpmsg/drivers/rpmsg_chrdev/bind").unlink()
    (tree.root / "sys/bus/rpmsg/drivers/rpmsg_chrdev").rmdir()
    (tree.root / "sys/bus/rpmsg/drivers").rmdir()
    (tree.root / "sys/bus/rpmsg").rmdir()
    assert "no-rpmsg" in tree.problems(kernel.kernel)


@pytest.mark.parametrize(
    ("state", "problems"),
    [
        ("running", []),
        ("attached", []),
        ("offline", ["remoteproc-down"]),
        ("crashed", ["remoteproc-crashed"]),
    ],
)
def test_remoteproc_states(tree: Tree, state: str, problems: list[str]) -> None:
    assert tree.problems(board.remote_processors) == ["no-remoteproc"]
    tree.processor("m4_0", state)
    assert tree.problems(board.remote_processors) == problems


def test_channels_nodes_and_rules(tree: Tree) -> None:
    virtio = tree.processor("m4_0", "running")
    other = tree.channel(virtio, "rpmsg-tty", "rpmsg_tty")
    (finding,) = tree.found(board.channels)
    assert finding.failure == "no-channel"
    assert "m4_0 has only rpmsg-tty" in finding.what
    channel = tree.channel(virtio, "rpmsg-io-0", "gpio_rpmsg")
    assert tree.problems(board.channels) == ["other-driver"]
    (channel / "driver").unlink()
    assert tree.problems(board.channels) == ["no-node"]
    alias = tree.write(
        f"lib/modules/{os.uname().release}/modules.alias", "alias rpmsg:rpmsg-io-* gpio_rpmsg\n"
    )
    (finding,) = tree.found(board.channels)
    assert (finding.failure, "gpio_rpmsg" in finding.what) == ("other-driver", True)
    alias.unlink()
    tree.node(channel, "rpmsg0")
    assert tree.problems(board.channels) == []
    assert tree.problems(board.nodes) == ["no-node"]
    tree.write("dev/rpmsg0", "")
    assert tree.problems(board.nodes) == ["no-link"]
    (tree.root / "dev/rpmsg-gpio").mkdir()
    (tree.root / "dev/rpmsg-gpio/m4_0-0").symlink_to("../rpmsg0")
    assert tree.problems(board.nodes) == []
    assert tree.problems(board.rules) == ["no-rules"]
    tree.write(f"lib/udev/rules.d/{board.RULES}", "")
    assert tree.problems(board.rules) == []
    assert other.exists()


def test_names_of_channels_are_shown_escaped(tree: Tree) -> None:
    """Firmware chooses these names, and a terminal obeys what it is shown."""
    virtio = tree.processor("m4_0", "running")
    tree.channel(virtio, "evil", None)
    (virtio / "virtio0.evil.-1.1024/name").write_text("a\x1b[2J\nb\n")
    (finding,) = tree.found(board.channels)
    assert finding.what.endswith("has only a\\x1b[2J\\nb")


def test_processors_that_do_something_else(tree: Tree) -> None:
    """A board of several processors: one has GPIO, one has rpmsg for something else, one is off."""
    tree.processor("r5", "offline")
    tree.channel(tree.root / "sys/devices/soc/dsp/virtio1", "ping", None)

    def problems() -> set[str | None]:
        return {f.failure for f in examine(tree.place) if f.level == "problem"}

    assert problems() >= {"no-channel", "remoteproc-down"}
    channel = tree.channel(tree.root / "sys/devices/soc/mcu/virtio0", "rpmsg-io-0", None)
    assert problems() >= {"no-channel", "remoteproc-down", "no-node"}, "it may be that one's fault"
    tree.node(channel, "rpmsg0")
    assert not problems() & {"no-channel", "remoteproc-down"}
    told = {f.failure for f in examine(tree.place) if f.level == "note"}
    assert told >= {"no-channel", "remoteproc-down"}


def test_links_that_need_no_board(tree: Tree, tmp_path: Path) -> None:
    """With a link over vhost-user, what a PC lacks is no trouble."""
    found = examine(replace(tree.place, link=f"vhost-user:{tmp_path}/none"))
    assert [f.failure for f in found if f.level == "problem"] == ["link-down"]
    assert found[0].failure == "link-down", "it comes first"
    assert {"no-remoteproc", "no-rules"} <= {f.failure for f in found if f.level == "note"}


def test_a_link_that_is_down_is_the_trouble_of_a_pc(
    tmp_path: Path, eventually: Callable[[Callable[[], bool], str], None]
) -> None:
    pc = Tree(tmp_path)
    with Serve(tmp_path, "--link", f"vhost-user:{tmp_path}/none") as serve:
        eventually(lambda: "there is no socket at" in serve.log, "the first try")
        found = examine(replace(pc.place, socket=serve.socket))
    assert [f.failure for f in found if f.level == "problem"] == ["link-down"]
    assert "there is no socket at" in found[0].what


def test_the_cause_comes_before_what_it_causes(tree: Tree) -> None:
    """On a board without a service: first what the kernel lacks."""
    tree.options(REMOTEPROC="y")
    problems = [f.check for f in examine(tree.place) if f.level == "problem"]
    assert problems[:3] == ["kernel", "kernel", "remoteproc"]
    assert problems[-1] == "service"


def test_without_a_link_a_board_is_told_by_its_files(tree: Tree) -> None:
    shutil.rmtree(tree.root / "sys")
    problems = [f.check for f in examine(tree.place) if f.level == "problem"]
    assert problems == ["service"], "a PC: it needs a service, and no kernel"
    tree.write("proc/device-tree/model", "some board")
    problems = [f.check for f in examine(tree.place) if f.level == "problem"]
    assert problems[0] == "kernel"


# ---- kernels as they are ---------------------------------------------------------------

# What vendors' configurations set of what concerns us; docs/boards says where this is from.
STM32MP1 = {
    "REMOTEPROC": "y", "RPMSG_VIRTIO": "y", "RPMSG_CHAR": "m", "RPMSG_CTRL": "m", "RPMSG_TTY": "m",
    "STM32_RPROC": "y", "STM32_IPCC": "y",
}  # fmt: skip
IMX = {
    "REMOTEPROC": "y", "RPMSG_VIRTIO": "y", "RPMSG_CHAR": "m", "RPMSG_CTRL": "m", "RPMSG_TTY": "m",
    "IMX_REMOTEPROC": "y", "IMX_MBOX": "y",
}  # fmt: skip
K3 = {
    "REMOTEPROC": "y", "RPMSG_VIRTIO": "y", "RPMSG_CHAR": "m", "RPMSG_CTRL": "m",
    "TI_K3_M4_REMOTEPROC": "m", "TI_K3_R5_REMOTEPROC": "m", "OMAP2PLUS_MBOX": "m",
}  # fmt: skip
BOARDS = {
    "st,stm32mp157f-dk2\0st,stm32mp157\0": STM32MP1,
    "fsl,imx93-11x11-evk\0fsl,imx93\0": IMX,
    "ti,am625-sk\0ti,am625\0": K3,
}


def a_board(tree: Tree, compatible: str, **options: str) -> None:
    """A board with this configuration, all its modules installed and loaded."""
    tree.write("proc/device-tree/compatible", compatible)
    tree.options(**options)
    for option in (*kernel.OPTIONS, *(o for soc in kernel.SOCS for o in soc.options)):
        if option.module:
            tree.write(f"sys/module/{option.module.replace('-', '_')}/refcnt", "0")


@pytest.mark.parametrize("compatible", BOARDS)
def test_kernels_of_vendors_have_what_is_needed(tree: Tree, compatible: str) -> None:
    a_board(tree, compatible, **BOARDS[compatible])
    assert tree.problems(kernel.kernel) == []
    (found,) = [f.what for f in tree.found(kernel.kernel) if f.level == "ok"]
    assert all(f"CONFIG_{name}={value}" in found for name, value in BOARDS[compatible].items())


@pytest.mark.parametrize(
    ("compatible", "option", "menu"),
    [
        ("st,stm32mp257f-ev1\0st,stm32mp257\0", "STM32_RPROC", "> STM32 remoteproc support"),
        ("fsl,imx8mp-evk\0fsl,imx8mp\0", "IMX_MBOX", "> Mailbox Hardware Support > i.MX Mailbox"),
        ("ti,am642-evm\0ti,am642\0", "OMAP2PLUS_MBOX", "> OMAP2+ Mailbox framework support"),
    ],
)
def test_what_a_soc_needs_is_named(tree: Tree, compatible: str, option: str, menu: str) -> None:
    every = {**STM32MP1, **IMX, **K3}
    del every[option]
    a_board(tree, compatible, **every)
    found = tree.found(kernel.kernel)
    (missing,) = [f for f in found if f.level == "problem"]
    assert missing.failure == "option-missing"
    assert f"CONFIG_{option} (" in missing.what
    assert menu in missing.what
    assert any("docs/boards has a page for it" in f.what for f in found if f.level == "note")


def test_debian_for_arm64_is_known(tree: Tree) -> None:
    tree.options(REMOTEPROC="y")
    tree.write(
        "proc/version",
        "Linux version 6.12.48+deb13-arm64 (debian-kernel@lists.debian.org) (aarch64-linux-gnu-gcc",
    )
    assert any(
        "Debian's kernel for arm64 has REMOTEPROC, but neither" in f.what
        for f in tree.found(kernel.kernel)
    )


def test_a_module_that_the_image_does_not_have(tree: Tree) -> None:
    """The configuration has it as a module; the image has no package of that module."""
    modules = f"lib/modules/{os.uname().release}/modules.dep"
    tree.write(modules, "kernel/drivers/rpmsg/rpmsg_char.ko.xz:\n")
    found = [(f.failure, f.what) for f in tree.found(kernel.kernel) if f.level == "problem"]
    assert found == [
        ("module-absent",
         "the kernel was built with a module that is not installed: rpmsg_ctrl"),
    ]  # fmt: skip
    tree.write(modules, "kernel/drivers/rpmsg/rpmsg_ctrl.ko.zst: kernel/a.ko\n")
    assert tree.problems(kernel.kernel) == ["module-missing"]


def test_without_a_configuration_the_modules_tell(tree: Tree) -> None:
    (tree.root / "proc/config.gz").unlink()
    folder = f"lib/modules/{os.uname().release}"
    tree.write(f"{folder}/modules.builtin", "kernel/drivers/rpmsg/virtio_rpmsg_bus.ko\n")
    tree.write(f"{folder}/modules.dep", "kernel/drivers/rpmsg/rpmsg_char.ko:\n")
    tree.write("sys/module/rpmsg_char/refcnt", "0")
    tree.write("sys/class/remoteproc/empty", "")
    found = tree.found(kernel.kernel)
    assert any("RPMSG_VIRTIO=y, CONFIG_RPMSG_CHAR=m in" in f.what for f in found)
    assert tree.problems(kernel.kernel) == []
    assert any("CONFIG_RPMSG_CTRL (" in f.what for f in found if f.level == "note")


def test_before_5_18_the_control_device_is_in_rpmsg_char(tree: Tree) -> None:
    text = "# Linux/arm 5.15.24 Kernel Configuration\n" + "".join(
        f"CONFIG_{name}=y\n" for name in ("REMOTEPROC", "RPMSG_VIRTIO", "RPMSG_CHAR")
    )
    tree.write("proc/config.gz", "").write_bytes(gzip.compress(text.encode()))
    found = tree.found(kernel.kernel)
    assert any(f.what == "Linux 5.15 has RPMSG_CTRL within RPMSG_CHAR" for f in found)


def test_the_configuration_of_another_kernel(cli: Cli, tmp_path: Path) -> None:
    """On a PC, before the kernel is on the board: nothing here counts."""
    config = tmp_path / ".config"
    config.write_text("# Linux/arm64 6.6.48 Kernel Configuration\nCONFIG_REMOTEPROC=y\n")
    run = cli("doctor", "--kernel-config", str(config))
    assert run.returncode == 1
    checks = {line.split()[1] for line in run.stdout.splitlines()[:-1]}
    assert checks == {"kernel"}
    assert run.stdout.endswith("\n2 problems\n")
    config.write_text("".join(f"{o.line}\n" for o in kernel.OPTIONS))
    run = cli("doctor", "--kernel-config", str(config))
    assert run.returncode == 0
    assert "is no whole .config: what others select is not in it" in run.stdout
    run = cli("doctor", "--kernel-config", f"{tmp_path}/none")
    assert (run.returncode, run.stdout) == (1, "")
    assert "none is no kernel configuration: No such file or directory" in run.stderr


def test_the_fragment_is_what_the_check_asks_for(cli: Cli, tree: Tree) -> None:
    tree.write("proc/device-tree/compatible", "st,stm32mp157c-dk2\0st,stm32mp157\0")
    text = kernel.fragment(tree.place)
    config = tree.write("fragment", text)
    place = replace(tree.place, kernel_config=str(config))
    assert [f.level for f in kernel.kernel(place)] == ["ok", "note"], "it is no whole .config"
    assert "\nCONFIG_STM32_RPROC=m\n" in text
    assert "IMX" not in text
    everywhere = cli("doctor", "--kernel-fragment").stdout
    assert "\nCONFIG_RPMSG_CHAR=m\n" in everywhere


# ---- the verb ------------------------------------------------------------------------


def test_bare_pc(cli: Cli, tmp_path: Path) -> None:
    """Wherever this runs: no service, and what is missing is said with what to do."""
    run = cli("doctor", "--socket", str(tmp_path / "none"))
    assert run.returncode == 1, run.stderr
    assert "no service listens" in run.stdout
    assert re.search(r"\n\d+ problems?\n$", run.stdout)
    if not os.path.isdir("/sys/class/remoteproc"):
        assert "no remoteproc here" in run.stdout
        assert "gpio-bridge demo" in run.stdout


def test_json(cli: Cli, tmp_path: Path) -> None:
    run = cli("doctor", "--json", "--socket", str(tmp_path / "none"))
    result = json.loads(run.stdout)
    problems = [f for f in result["findings"] if f["level"] == "problem"]
    assert (run.returncode, result["problems"]) == (1, len(problems))
    assert all(f["remedy"] == FAILURES[f["failure"]].remedy for f in problems)


def test_service_that_works(cli: Cli, service: object) -> None:
    """On a PC the board is no problem then."""
    run = cli("doctor")
    assert run.returncode == 0, run.stdout
    assert re.search(r"ok +firmware +fw-0 answers, [\d.]+ ms for a request, 16 lines", run.stdout)
    assert "dialect rpmsg-gpio-padded, extensions config, " in run.stdout
    assert run.stdout.endswith("no problem found\n")
    lines = run.stdout.splitlines()[:-1]
    assert all(re.match(r"(ok|note) +\w+ +\S", line) for line in lines), "one record a line"


def test_silent_firmware_and_dead_link() -> None:
    with Rig(arguments=("--timeout-ms", "2000")) as rig:
        place = Place(socket=rig.serve.socket)
        rig.stub.fault("stall", "on")
        silent = [f for f in examine(place) if f.failure == "firmware-silent"]
        assert len(silent) == 2
        assert "did not answer" in silent[0].what
        rig.stub.kill()
        rig.serve.wait_for_chips(0)
        (down,) = [f for f in examine(place) if f.failure == "link-down"]
        assert rig.stub.url in down.what


def test_link_without_service(cli: Cli) -> None:
    with Stub("demo") as stub:
        run = cli("doctor", "--link", stub.url)
        assert run.returncode == 0, run.stdout
        assert "answers" in run.stdout
    run = cli("doctor", "--link", stub.url)
    assert run.returncode == 1
    assert "a link is down, or brings no chip: " in run.stdout
    assert "there is no socket at" in run.stdout
    assert FAILURES["link-down"].remedy in run.stdout


def test_link_that_is_no_url(cli: Cli) -> None:
    run = cli("doctor", "--link", "fw-0")
    assert (run.returncode, run.stdout) == (1, "")
    assert 'gpio-bridge doctor: "fw-0" is no link URL; write SCHEME:TARGET' in run.stderr


def test_damaged_configuration_of_the_kernel(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write("proc/config.gz", "").write_bytes(gzip.compress(b"CONFIG_X=y")[:10] + b"\xff" * 20)
    assert [f.level for f in kernel.kernel(tree.place)] == ["note"]


def test_line_that_somebody_takes_meanwhile(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Firmware that answers so is not silent."""
    with rig.chip() as chip:
        infos = chip.get_all_line_info()
        with chip.request_lines({0: None}):
            monkeypatch.setattr(Chip, "get_all_line_info", lambda chip: infos)
            (finding,) = users.firmware(f"{rig.serve.socket}#{rig.chips[0]}", None)
            assert (finding.level, finding.failure) == ("ok", None)
            monkeypatch.setattr(Chip, "get_all_line_info", lambda chip: infos[:1])
            (finding,) = users.firmware(f"{rig.serve.socket}#{rig.chips[0]}", None)
            assert "every line is in use" in finding.what


def test_it_changes_nothing(cli: Cli, rig: Rig) -> None:
    with rig.chip() as chip:
        lines = [str(info) for info in chip.get_all_line_info()]
    state = rig.stub.state("LED_GREEN")
    assert cli("doctor").returncode == 0
    assert rig.stub.state("LED_GREEN") == state
    with rig.chip() as chip:
        assert [str(info) for info in chip.get_all_line_info()] == lines


def test_table_for_terminals(tmp_path: Path) -> None:
    code = (
        "import os, pty, sys; status = pty.spawn([sys.executable, '-m', 'bridge.cli', 'doctor', "
        f"'--socket', '{tmp_path}/none']); sys.exit(os.waitstatus_to_exitcode(status))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LATE_S,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"},
    )
    assert run.returncode == 1, run.stderr
    assert "\x1b[1;31mproblem" in run.stdout


def test_the_page_has_the_table() -> None:
    assert table() in (ROOT / "docs/bring-up.md").read_text()


def test_every_failure_is_found_by_a_check() -> None:
    code = "".join(file.read_text() for file in (ROOT / "bridge/doctor").glob("*.py"))
    for name in FAILURES:
        assert code.count(f'"{name}"') >= 2, f"no check says {name}"


# ---- the bundle -----------------------------------------------------------------


def bundled(path: Path) -> dict[str, bytes]:
    """The files of a bundle."""
    with tarfile.open(path) as archive:
        return {
            member.name.removeprefix("gpio-bridge/"): file.read()
            for member in archive.getmembers()
            if (file := archive.extractfile(member)) is not None
        }


def test_a_bundle_has_what_a_bug_report_needs(cli: Cli, tmp_path: Path) -> None:
    config = tmp_path / "home" / "config.toml"
    config.parent.mkdir()
    group = grp.getgrgid(os.getegid()).gr_name
    config.write_text(
        f'group = "{group}"\n[[link]]\nurl = "vhost-user:/home/ada/fw.sock"\nname = "m4"\n'
        '[[access]]\nusers = [\n  "nobody",\n]\nmay = ["read"]\n'
    )
    path = tmp_path / "report.tar.gz"
    with Rig(arguments=("--config", str(config))) as rig:
        run = cli("doctor", "--bundle", str(path), socket=rig.serve.socket)
        files = bundled(path)
        kept = json.loads(files["status.json"])
        assert kept["pid"] == rig.serve.pid
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {"doctor.json", "versions.txt", "trace/fw.pcapng", "contents.txt"} <= set(files)
    assert b"GET_FEATURES" in files["trace/fw.txt"]
    _, records = pcapng.read(io.BytesIO(files["trace/fw.pcapng"]), "x")
    assert len(records) > 10
    assert b"rpmsg-gpio-bridge " in files["versions.txt"]
    told = files["configuration.json"].decode()
    assert '"name": "m4"' in told
    for name in ("nobody", f'"{group}"', "ada"):
        assert name not in told
    assert f"{path}: doctor.json, versions.txt, status.json" in run.stderr
    assert "kernel.txt" in run.stderr


@pytest.mark.parametrize(
    "given", ["--trace-group\0ada\0--config\0c.toml", "--trace-group=ada\0--config=c.toml"]
)
def test_a_bundle_hides_groups_of_the_command_line(tmp_path: Path, given: str) -> None:
    process = tmp_path / "7"
    (process / "cwd").mkdir(parents=True)
    (process / "cwd" / "c.toml").write_text('group = "bob"\nname = "m4"\n')
    (process / "cmdline").write_text(f"gpio-bridge\0serve\0--link\0rpmsg:,name=m4\0{given}\0")
    told = Privacy().value(bundle._configuration(Place(proc=str(tmp_path)), 7))
    assert told == {
        "command": "gpio-bridge serve --link rpmsg:,name=m4 --trace-group (left out)"
        " --config c.toml",
        "file": {"group": "(left out)", "name": "m4"},
    }


def test_a_bundle_has_no_names_of_people_and_no_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in the configuration, in its path, in consumers, findings, links that died."""
    person = pwd.struct_passwd(("lovelace", "x", 4321, 4321, "Ada King,,,", "/srv/aking", "sh"))
    monkeypatch.setattr(pwd, "getpwall", lambda: [person])
    monkeypatch.setenv("SUDO_USER", "babbage")
    config = tmp_path / "lovelace" / "config.toml"
    config.parent.mkdir()
    config.write_text(
        "# the password of the lab is analytical\n"
        f'traces = "{tmp_path}/traces"\n'
        'access = [{users = ["nobody"], may = ["read", "see"], lines = ["token=difference"]}]\n'
    )
    with Rig(arguments=("--config", str(config))) as rig:
        settings = {"LED_GREEN": gpiod.LineSettings()}
        with rig.chip() as chip, chip.request_lines(settings, consumer="Ada King's (babbage)"):
            link = Interface(1, "m4", [])
            why = b"/srv/lovelace/fw.sock: nobody listens"
            died = TraceRecord(1, 0, 0, 0, 1, TraceKind.DOWN, 0, len(why), why)
            (tmp_path / "traces").mkdir(exist_ok=True)
            (tmp_path / "traces" / "m4-20260101T000000.pcapng").write_bytes(pack([died], [link]))
            finding = Finding("note", "users", "user lovelace is in no group", "adduser lovelace")
            with open(tmp_path / "report.tar.gz", "wb") as file:
                contents = bundle.write(file, Place(socket=rig.serve.socket), [finding])
    files = bundled(tmp_path / "report.tar.gz")
    assert {"configuration.json", "status.json", "dead-links/m4-20260101T000000.pcapng"} <= set(
        files
    ), contents
    for name, content in files.items():
        for word in (b"lovelace", b"King", b"babbage", b"nobody", b"analytical", b"difference"):
            expected = word == b"nobody" and not name.startswith(("conf", "status"))
            assert word not in content or expected, (name, content)
    assert (
        b"/srv/(left out)/fw.sock: nobody listens" in files["dead-links/m4-20260101T000000.pcapng"]
    )


def test_a_bundle_without_a_service_says_what_is_missing(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "report.tar.gz"
    run = cli("doctor", "--bundle", str(path), socket=str(tmp_path / "none.sock"))
    assert "could not be read: status.json: no service listens on" in run.stderr
    assert b"not there: status.json" in bundled(path)["contents.txt"]


def test_a_bundle_never_takes_the_place_of_a_file(cli: Cli, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.write_text("mine")
    link = tmp_path / "report.tar.gz"
    link.symlink_to(target)
    for path in (target, link):
        run = cli("doctor", "--bundle", str(path))
        assert run.returncode == 1
        assert f"{path} is there already, and is left alone" in run.stderr
    assert target.read_text() == "mine"


def test_a_bundle_that_cannot_be_finished_is_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full for what is written when the file is closed."""
    path = tmp_path / "report.tar.gz"

    def full(path: str) -> BinaryIO:
        Path(path).touch()
        return open("/dev/full", "wb", buffering=1 << 24)

    monkeypatch.setattr(output, "open_new", full)
    arguments = ["--bundle", str(path), "--socket", str(tmp_path / "none.sock")]
    with pytest.raises(OSError, match="No space left"):
        CliRunner().invoke(doctor, arguments, catch_exceptions=False)
    assert not path.exists()


def test_the_kernels_lines_about_us_are_in_a_bundle(tmp_path: Path) -> None:
    """A file has all records in one read; a FIFO of a kernel's has one in each."""
    kmsg = tmp_path / "kmsg"
    kmsg.write_text("6,1,2500000,-;remoteproc remoteproc0: m4 is available\n SUBSYSTEM=x\n")
    assert list(bundle._kernel_lines(str(kmsg))) == [
        "[2.500000] remoteproc remoteproc0: m4 is available\n"
    ]
    kmsg.write_text("6,1,2500000,-;usb 1-1: new device\n")
    assert list(bundle._kernel_lines(str(kmsg))) == []
