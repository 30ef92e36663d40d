# SPDX-License-Identifier: BSD-3-Clause
"""The system files by the system's own tools; tests/kernel/test_udev.py has them at work."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bridge.service.budgets import _DESCRIPTORS, Limits
from tests.processes import LATE_S

ROOT = Path(__file__).parents[2]
UNITS = (
    "gpio-bridge-dbus.service",
    "gpio-bridge-keeper.service",
    "gpio-bridge-plug.service",
    "gpio-bridge-plug.socket",
    "gpio-bridge.service",
    r"gpio-bridge@m4_0\x2d0.service",
)


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name}; install it: make deps")
    return found


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    subprocess.run(
        ["make", "-s", "install-system", f"DESTDIR={tmp_path}"], cwd=ROOT, check=True, timeout=60
    )
    return tmp_path


def test_what_is_installed(installed: Path) -> None:
    files = sorted(str(p.relative_to(installed)) for p in installed.rglob("*") if p.is_file())
    assert files == [
        "usr/lib/modules-load.d/rpmsg-gpio-bridge.conf",
        "usr/lib/systemd/system/gpio-bridge-dbus.service",
        "usr/lib/systemd/system/gpio-bridge-keeper.service",
        "usr/lib/systemd/system/gpio-bridge-plug.service",
        "usr/lib/systemd/system/gpio-bridge-plug.socket",
        "usr/lib/systemd/system/gpio-bridge.service",
        "usr/lib/systemd/system/gpio-bridge@.service",
        "usr/lib/sysusers.d/rpmsg-gpio-bridge.conf",
        "usr/lib/tmpfiles.d/rpmsg-gpio-bridge.conf",
        "usr/lib/udev/rules.d/60-rpmsg-gpio-bridge.rules",
        "usr/share/dbus-1/system.d/rpmsg-gpio-bridge.conf",
    ]
    for file in files:
        assert (installed / file).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("unit", ["gpio-bridge.service", "gpio-bridge@.service"])
def test_units_have_room_for_the_budgets_of_four_users(unit: str) -> None:
    """docs/configuration.md says so."""
    text, limits = (ROOT / "udev" / unit).read_text(), Limits()
    descriptors, memory_gib = (
        int(re.findall(rf"^{name}=(\d+)", text, re.MULTILINE)[0])
        for name in ("LimitNOFILE", "MemoryMax")
    )
    of_one = sum(each * limits.of(what) for what, each in _DESCRIPTORS.items())
    assert 4 * of_one <= descriptors
    assert 4 * limits.memory_mib <= 1024 * memory_gib


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_nothing_wrong(installed: Path, unit: str) -> None:
    analyze = tool("systemd-analyze")
    program = installed / "gpio-bridge"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    folder = installed / "usr/lib/systemd/system"
    for file in folder.iterdir():
        # verify wants the program; nothing else is changed.
        file.write_text(file.read_text().replace("ExecStart=gpio-bridge", f"ExecStart={program}"))
    run = subprocess.run(
        [analyze, "verify", "--man=no", folder / unit], capture_output=True, text=True, timeout=60
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_a_unit_with_a_mistake_is_noticed(tmp_path: Path) -> None:
    analyze = tool("systemd-analyze")
    unit = tmp_path / "gpio-bridge.service"
    unit.write_text("[Service]\nExecStart=/bin/true\nRestrt=always\n")
    run = subprocess.run([analyze, "verify", "--man=no", unit], capture_output=True, timeout=LATE_S)
    assert b"Restrt" in run.stderr


def test_sandbox_is_tight(installed: Path) -> None:
    analyze = tool("systemd-analyze")
    for unit in (installed / "usr/lib/systemd/system").glob("*.service"):
        run = subprocess.run(
            [analyze, "security", "--offline=yes", unit], capture_output=True, text=True, timeout=60
        )
        exposure = re.search(r"exposure level for .*?: ([\d.]+)", run.stdout)
        assert exposure is not None, run.stderr
        assert float(exposure[1]) < 2.0


def test_udev_finds_nothing_wrong(installed: Path) -> None:
    udevadm = tool("udevadm")
    rules = installed / "usr/lib/udev/rules.d/60-rpmsg-gpio-bridge.rules"
    run = subprocess.run(
        [udevadm, "verify", "--resolve-names=never", rules],
        capture_output=True,
        text=True,
        timeout=LATE_S,
    )
    if "Unknown command verb" in run.stderr:
        pytest.skip("this udev has no `udevadm verify` (it came with systemd 254)")
    assert run.returncode == 0, run.stdout + run.stderr


def test_sysusers_makes_the_user_and_his_groups(installed: Path) -> None:
    sysusers = tool("systemd-sysusers")
    (installed / "etc").mkdir()
    name = "rpmsg-gpio-bridge.conf"
    subprocess.run([sysusers, f"--root={installed}", name], check=True, timeout=LATE_S)
    groups = (installed / "etc/group").read_text()
    for group in ("rpmsg", "gpio"):
        assert re.search(rf"^{group}:[^:]*:\d+:gpio-bridge$", groups, re.MULTILINE)
    assert "\ngpio-bridge:" in f"\n{(installed / 'etc/passwd').read_text()}"
