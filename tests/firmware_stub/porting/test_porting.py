# SPDX-License-Identifier: BSD-3-Clause
"""What docs/porting.md says of the core's settings holds, and the files that it names exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
CORE = ROOT / "firmware_stub" / "core"
CC = shlex.split(os.environ.get("CC", "cc"))
WARNINGS = [
    *("-Wall", "-Wextra", "-Wshadow", "-Wstrict-prototypes", "-Wmissing-prototypes"),
    *("-Wconversion", "-Wno-sign-conversion", "-Werror"),
]
INCLUDES = [f"-I{path}" for path in (CORE, ROOT / "tests")]


def compile_c(*arguments: object) -> None:
    command = [*CC, *WARNINGS, *INCLUDES, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


BITS = (
    "CONFIG",
    "NAMES",
    "TAG",
    "EPOCH",
    "CREDITS",
    "TIMESTAMP",
    "BULK",
    "LINE_CONFIG",
    "COUNTERS",
)
ALL = (1 << len(BITS)) - 1
COMBINATIONS = {
    "none": 0,
    "all": ALL,
    **{f"only {name}": 1 << bit for bit, name in enumerate(BITS)},
    **{f"all but {name}": ALL & ~(1 << bit) for bit, name in enumerate(BITS)},
    "no events": ALL & ~0x30,
}


def build_and_run(features: int, tmp_path: Path, *defines: str) -> None:
    """Compile all files as an MCU's compiler sees them, and run the result."""
    program = tmp_path / "features"
    compile_c(
        *("-std=c99", "-pedantic", "-Os", f"-DRPMSG_GPIO_FEATURES={features}", *defines),
        *(HERE / "features.c", *sorted(CORE.glob("*.c")), "-o", program),
    )
    done = subprocess.run([program, str(features)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("features", COMBINATIONS.values(), ids=COMBINATIONS)
def test_extensions_can_be_left_out(features: int, tmp_path: Path) -> None:
    build_and_run(features, tmp_path)


SIZES = {
    "least": (
        *("-DRPMSG_GPIO_REPLY_MAX=48", "-DRPMSG_GPIO_SERIAL_TX_SIZE=52"),
        *("-DRPMSG_GPIO_SERIAL_RX_MAX=16", "-DRPMSG_GPIO_SERIAL_RX_RING=32"),
        "-DRPMSG_GPIO_SERIAL_RX_WINDOW=1",
    ),
    "a long RX_MAX": ("-DRPMSG_GPIO_SERIAL_RX_MAX=496",),
    "most": (
        *("-DRPMSG_GPIO_SERIAL_TX_SIZE=0x7fff", "-DRPMSG_GPIO_SERIAL_RX_MAX=496"),
        *("-DRPMSG_GPIO_SERIAL_RX_RING=0x8000", "-DRPMSG_GPIO_SERIAL_RX_WINDOW=64"),
    ),
}


@pytest.mark.parametrize("defines", SIZES.values(), ids=SIZES)
def test_sizes_can_be_changed(defines: tuple[str, ...], tmp_path: Path) -> None:
    build_and_run(0, tmp_path, *defines)


ALLOWED = {
    "names_fit": ("device", "REPLY_MAX=64", "FEATURES=2", "FEATURES=0"),
    "ring_is_a_power_of_two": ("serial", "FEATURES=0", "SERIAL_RX_RING=65536", "SERIAL_RX_RING=16"),
    "rx_takes_every_request": ("serial", "FEATURES=64", "SERIAL_RX_MAX=27", "SERIAL_RX_MAX=28"),
}


@pytest.mark.parametrize("check", ALLOWED)
def test_what_cannot_work_does_not_compile(check: str) -> None:
    part, both, bad, good = ALLOWED[check]
    for define in (good, bad):
        command = [
            *CC,
            *INCLUDES,
            "-fsyntax-only",
            f"-DRPMSG_GPIO_{both}",
            f"-DRPMSG_GPIO_{define}",
        ]
        done = subprocess.run(
            [*command, CORE / f"rpmsg_gpio_{part}.c"], capture_output=True, text=True, timeout=60
        )
        assert (check in done.stderr) == (done.returncode != 0) == (define == bad), done.stderr


def test_the_guide_names_files_that_exist() -> None:
    guide = (ROOT / "docs" / "porting.md").read_text()
    paths = re.findall(r"`((?:firmware_stub|tests|docs)/[\w./-]+)`", guide)
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
