# SPDX-License-Identifier: BSD-3-Clause
"""The Yocto layer and the Buildroot tree agree with this tree; their READMEs say the rest."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import bridge
from tests.processes import LATE_S

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "examples/yocto/meta-rpmsg-gpio-bridge"
RECIPE = LAYER / f"recipes-gpio/rpmsg-gpio-bridge/rpmsg-gpio-bridge_{bridge.__version__}.bb"
PACKAGE = ROOT / "examples/buildroot/package/rpmsg-gpio-bridge"
LICENSE = (ROOT / "LICENSE").read_bytes()


def test_the_recipe_has_the_licence_of_the_tree() -> None:
    recipe = RECIPE.read_text()
    checksum = re.search(r'LIC_FILES_CHKSUM = "file://LICENSE;md5=(\w+)"', recipe)
    assert checksum is not None
    assert checksum[1] == hashlib.md5(LICENSE).hexdigest()


def test_buildroot_has_version_and_licence_of_the_tree() -> None:
    makefile = (PACKAGE / "rpmsg-gpio-bridge.mk").read_text()
    assert f"\nRPMSG_GPIO_BRIDGE_VERSION = {bridge.__version__}\n" in makefile
    hashes = (PACKAGE / "rpmsg-gpio-bridge.hash").read_text()
    assert f"sha256  {hashlib.sha256(LICENSE).hexdigest()}  LICENSE\n" in hashes


def test_both_depend_on_what_the_package_does() -> None:
    """Names in Yocto: python3-NAME; in Buildroot PYTHON_NAME. tomli is for an older Python."""
    project = (ROOT / "pyproject.toml").read_text()
    listed = project.partition("\ndependencies = [")[2].partition("]")[0]
    needed = set(re.findall(r'"([\w-]+)', listed)) - {"tomli"} | {"pyudev", "pyserial"}
    recipe = set(re.findall(r"python3-([\w-]+) \\", RECIPE.read_text())) - {"modules"}
    assert recipe == needed
    config = (PACKAGE / "Config.in").read_text()
    selected = {name.lower() for name in re.findall(r"select BR2_PACKAGE_PYTHON_(\w+)", config)}
    assert selected == needed - {"pyserial"} | {"serial"}


def test_the_fragment_of_the_layer_is_what_the_doctor_prints() -> None:
    run = subprocess.run(
        [sys.executable, "-c",
         "from bridge.doctor import kernel; from bridge.doctor.findings import Place; "
         "print(kernel.fragment(Place(proc='/none')), end='')"],
        capture_output=True, text=True, timeout=LATE_S, check=True, cwd=ROOT,
    )  # fmt: skip
    fragment = LAYER / "recipes-kernel/linux/files/rpmsg-gpio-bridge.cfg"
    assert fragment.read_text() == run.stdout
