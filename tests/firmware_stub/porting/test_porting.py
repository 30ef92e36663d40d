# SPDX-License-Identifier: BSD-3-Clause
"""The code that docs/porting.md shows compiles, works, and is what the file holds."""

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
INCLUDES = [f"-I{path}" for path in (HERE, HERE / "standin", CORE, ROOT / "tests")]


def compile_c(*arguments: object) -> None:
    command = [*CC, *WARNINGS, *INCLUDES, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("glue", ["openamp", "rpmsg_lite"])
def test_the_glue_is_c99_and_freestanding(glue: str, tmp_path: Path) -> None:
    compile_c(
        *("-std=c99", "-pedantic", "-ffreestanding", "-Os", "-c"),
        *(HERE / f"{glue}_glue.c", "-o", tmp_path / "glue.o"),
    )


@pytest.mark.parametrize("glue", ["openamp", "rpmsg_lite"])
def test_the_glue_works(glue: str, tmp_path: Path) -> None:
    program = tmp_path / "drive"
    compile_c(
        *("-std=gnu11", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
        *(HERE / f"{glue}_glue.c", HERE / f"drive_{glue}.c", *sorted(CORE.glob("*.c"))),
        *("-o", program),
    )
    done = subprocess.run([program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^[1-9]\d* passed, 0 failed$", done.stdout, re.MULTILINE)


BITS = ("CONFIG", "NAMES", "TAG", "EPOCH", "CREDITS", "TIMESTAMP", "BULK", "LINE_CONFIG")
ALL = (1 << len(BITS)) - 1
COMBINATIONS = {
    "none": 0,
    "all": ALL,
    **{f"only {name}": 1 << bit for bit, name in enumerate(BITS)},
    **{f"all but {name}": ALL & ~(1 << bit) for bit, name in enumerate(BITS)},
    "no events": ALL & ~0x30,
}


@pytest.mark.parametrize("features", COMBINATIONS.values(), ids=COMBINATIONS)
def test_extensions_can_be_left_out(features: int, tmp_path: Path) -> None:
    """All files, as an MCU's compiler sees them; and what comes of it runs."""
    program = tmp_path / "features"
    compile_c(
        *("-std=c99", "-pedantic", "-Os", f"-DRPMSG_GPIO_FEATURES={features}"),
        *(HERE / "features.c", *sorted(CORE.glob("*.c")), "-o", program),
    )
    done = subprocess.run([program, str(features)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_names_need_room() -> None:
    """A configuration that cannot work does not compile."""
    small = "-DRPMSG_GPIO_REPLY_MAX=64"
    for define in ("-DRPMSG_GPIO_FEATURES=0", "-DRPMSG_GPIO_FEATURES=2"):
        command = [*CC, *INCLUDES, "-fsyntax-only", small, define]
        done = subprocess.run(
            [*command, CORE / "rpmsg_gpio_device.c"], capture_output=True, text=True, timeout=60
        )
        assert ("names_fit" in done.stderr) == (done.returncode != 0) == define.endswith("2")


@pytest.mark.parametrize("glue", ["openamp", "rpmsg_lite"])
def test_the_guide_shows_the_file(glue: str) -> None:
    guide = (ROOT / "docs" / "porting.md").read_text()
    code = (HERE / f"{glue}_glue.c").read_text().partition("*/\n")[2]
    assert f"```c\n{code}```" in guide


def test_the_guide_names_files_that_exist() -> None:
    guide = (ROOT / "docs" / "porting.md").read_text()
    paths = re.findall(r"`((?:firmware_stub|tests|docs)/[\w./-]+)`", guide)
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
