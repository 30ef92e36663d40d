# SPDX-License-Identifier: BSD-3-Clause
"""The resource tables compile for a Cortex-M, and Linux would take what is in their section.

The checks are those of rproc_elf_load_rsc_table() and rproc_handle_vdev() in drivers/remoteproc of
Linux 7.3.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from tests.processes import LATE_S

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "firmware_stub/kits/resource_table"
ARM = "arm-none-eabi-gcc"
WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
    "-Wconversion",
    "-Werror",
]
TABLES = {
    # By SoC: addresses of the vrings, alignment, number of descriptors, as in docs/boards.
    "stm32mp1": (0xFFFFFFFF, 0xFFFFFFFF, 16, 16),
    "imx": (0xA4000000, 0xA4008000, 4096, 256),
    "k3": (0xFFFFFFFF, 0xFFFFFFFF, 4096, 256),
}
RSC_VDEV, VIRTIO_ID_RPMSG = 3, 7


@pytest.mark.skipif(shutil.which(ARM) is None, reason=f"no {ARM}; install it: make deps")
@pytest.mark.parametrize("soc", TABLES)
def test_linux_would_take_it(soc: str, tmp_path: Path) -> None:
    built, section = tmp_path / "table.o", tmp_path / "section"
    subprocess.run(
        [ARM, "-mcpu=cortex-m4", "-mthumb", "-ffreestanding", "-std=gnu11", "-Os", *WARNINGS,
         "-c", FOLDER / f"{soc}.c", "-o", built],
        check=True, timeout=LATE_S,
    )  # fmt: skip
    subprocess.run(
        ["arm-none-eabi-objcopy", "-O", "binary", "--only-section=.resource_table", built, section],
        check=True,
        timeout=LATE_S,
    )
    table = section.read_bytes()
    version, entries, *reserved = struct.unpack_from("<4I", table)
    assert (version, entries, reserved) == (1, 1, [0, 0])
    (offset,) = struct.unpack_from("<I", table, 16)
    kind, device, _, features, _, config_len, status, vrings, *zero = struct.unpack_from(
        "<6I4B", table, offset
    )
    assert (kind, device, features) == (RSC_VDEV, VIRTIO_ID_RPMSG, 1), "NS, and not BUFSZ"
    assert (config_len, status, vrings, zero) == (0, 0, 2, [0, 0])
    assert offset + 28 + vrings * 20 == len(table), "all of it, and no more"
    first, second, align, number = TABLES[soc]
    rings = [struct.unpack_from("<5I", table, offset + 28 + i * 20) for i in range(vrings)]
    assert rings == [(first, align, number, 0, 0), (second, align, number, 1, 0)]


@pytest.mark.parametrize("soc", TABLES)
def test_the_boards_page_has_the_same_addresses(soc: str) -> None:
    page = {"stm32mp1": "stm32mp", "imx": "imx", "k3": "am6x"}[soc]
    text = (ROOT / f"docs/boards/{page}.md").read_text()
    for address in TABLES[soc][:2]:
        assert address == 0xFFFFFFFF or f"reg = <0 {address:#x} " in text
