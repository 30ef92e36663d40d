# SPDX-License-Identifier: BSD-3-Clause
"""The kits compile against stand-ins of their SDKs, and what is theirs alone works.

A stand-in has the declarations that a kit uses and nothing else; the kit's README says which
version of the real SDK it was compiled with by hand.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
KITS = ROOT / "firmware_stub" / "kits"
CORE = ROOT / "firmware_stub" / "core"
STAND_INS = HERE / "stand_ins"
CC = shlex.split(os.environ.get("CC", "cc"))
ARM = "arm-none-eabi-gcc"
WARNINGS = [
    *("-Wall", "-Wextra", "-Wshadow", "-Wstrict-prototypes", "-Wmissing-prototypes"),
    *("-Wconversion", "-Wno-sign-conversion", "-Wundef", "-Wvla", "-Werror"),
]
#: The folders of each kit, in the order in which they are searched; what is compiled of others'.
FOLDERS = {
    "rpmsg_lite": ["rpmsg_lite"],
    "openamp": ["openamp"],
    "ti_mcu_plus": ["ti_mcu_plus"],
    "zephyr": ["zephyr", "openamp"],
    "nuttx": ["nuttx", "openamp"],
}
SHARED = {
    "zephyr": ["openamp/gpio_endpoint.c", "openamp/gpio_start.c"],
    "nuttx": ["openamp/gpio_endpoint.c"],
}
DEFINES = {
    "zephyr": ["-DCONFIG_RPMSG_GPIO_EDGES=32", "-DCONFIG_ENTROPY_HAS_DRIVER=1"],
    "nuttx": ["-DRPMSG_GPIO_BARRIER()=__sync_synchronize()"],
}


def sources(kit: str) -> list[Path]:
    """The C files of a kit, and what its build files take from others."""
    return [*sorted((KITS / kit).rglob("*.c")), *(KITS / name for name in SHARED.get(kit, []))]


def includes(kit: str) -> list[str]:
    folders = [KITS / name for name in FOLDERS[kit]]
    stand_ins = [STAND_INS / name for name in FOLDERS[kit]]
    return [f"-I{path}" for path in (*folders, CORE, *stand_ins)]


def compile_c(compiler: list[str], *arguments: object) -> None:
    command = [*compiler, *WARNINGS, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def cross_compiler() -> list[str]:
    """That of a Cortex-M, or the host's where there is none."""
    if shutil.which(ARM) is None:
        return [*CC, "-ffreestanding", "-fsyntax-only"]
    libc = ROOT / "firmware_stub" / "ports" / "libc"
    return [ARM, "-mcpu=cortex-m4", "-mthumb", "-ffreestanding", "-isystem", str(libc), "-c"]


@pytest.mark.parametrize("kit", FOLDERS)
def test_a_kit_compiles_without_a_warning(kit: str, tmp_path: Path) -> None:
    for source in sources(kit):
        compile_c(
            cross_compiler(),
            *("-std=gnu11", "-Os", *includes(kit), *DEFINES.get(kit, [])),
            *(source, "-o", tmp_path / "object.o"),
        )


@pytest.mark.parametrize("kit", FOLDERS)
def test_a_kits_build_files_name_its_sources(kit: str) -> None:
    rules = [*(KITS / kit).rglob("CMakeLists.txt"), *(KITS / kit).glob("kit.mk")]
    named = set(re.findall(r"\w+\.c\b", "".join(rule.read_text() for rule in rules)))
    assert {source.name for source in sources(kit)} <= named
    core = {"rpmsg_gpio_device.c", "rpmsg_gpio_event.c"}
    assert core <= named


@pytest.mark.parametrize("kit", FOLDERS)
def test_a_kits_readme_fits_on_two_screens(kit: str) -> None:
    assert len((KITS / kit / "README.md").read_text().splitlines()) <= 100


#: What of a kit runs on the host, by its stand-ins.
DRIVEN = {
    "rpmsg_lite": ["gpio_endpoint.c"],
    "openamp": ["gpio_endpoint.c", "gpio_start.c"],
    "ti_mcu_plus": ["gpio_endpoint.c", "gpio_port.c"],
}


@pytest.mark.parametrize("kit", DRIVEN)
def test_a_kit_works(kit: str, tmp_path: Path) -> None:
    program = tmp_path / "drive"
    compile_c(
        CC,
        *("-std=gnu11", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
        *(*includes(kit), f"-I{HERE}", f"-I{ROOT / 'tests'}", "-DRX_BUFFERS=16"),
        *(*(KITS / kit / name for name in DRIVEN[kit]), HERE / f"drive_{kit}.c"),
        *(*sorted(CORE.glob("*.c")), "-o", program),
    )
    done = subprocess.run([program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^[1-9]\d* passed, 0 failed$", done.stdout, re.MULTILINE)
