# SPDX-License-Identifier: BSD-3-Clause
"""tools/wheels: what a shim for another machine is compiled with, and what comes of it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
_SIZES = """
#include <Python.h>
#include <sys/types.h>
#define SAME(name, type) _Static_assert(SIZEOF_##name == sizeof(type), #name)
SAME(INT, int); SAME(LONG, long); SAME(LONG_LONG, long long); SAME(SIZE_T, size_t);
SAME(VOID_P, void *); SAME(WCHAR_T, wchar_t); SAME(UINTPTR_T, uintptr_t); SAME(PID_T, pid_t);
SAME(SHORT, short); SAME(DOUBLE, double);
"""


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """tools/wheels as a module."""
    spec = spec_from_loader("wheels", SourceFileLoader("wheels", str(ROOT / "tools/wheels")))
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("compiler", ["gcc", "aarch64-linux-gnu-gcc", "arm-linux-gnueabihf-gcc"])
def test_python_headers_have_the_sizes_of_the_machine(
    compiler: str, tool: ModuleType, tmp_path: Path
) -> None:
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed: make deps")
    tool.python_headers(tmp_path / "python")
    done = subprocess.run(
        [compiler, f"-I{tmp_path}/python", "-x", "c", "-fsyntax-only", "-"],
        input=_SIZES, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "armv7l", "riscv64"])
def test_a_wheel_needs_no_more_than_it_says(machine: str, tmp_path: Path) -> None:
    if not (find_spec("ziglang") and shutil.which("readelf")):
        pytest.skip("needs readelf, and Zig's compiler: make wheels")
    subprocess.run(
        [sys.executable, ROOT / "tools/wheels", "--to", tmp_path, machine], check=True, timeout=550
    )
    (wheel,) = tmp_path.glob(f"*-cp310-abi3-manylinux_2_*_{machine}.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    files = [*tmp_path.glob("*/*/*.so"), *tmp_path.glob("*/*/*/*.so")]
    for file in (*files, tmp_path / "firmware_stub/bin/firmware-stub"):
        said = subprocess.run(
            ["readelf", "--wide", "--version-info", "--dynamic", "--sections", "-A", file],
            check=True, stdout=subprocess.PIPE, text=True,
        ).stdout  # fmt: skip
        assert all(int(minor) <= 31 for minor in re.findall(r"GLIBC_2\.(\d+)", said)), file
        needed = re.findall(r"\(NEEDED\).*\[(.*?)\]", said)
        assert all(re.match(r"(libc|libpthread|libdl|ld-linux.*)\.so", n) for n in needed), needed
        assert not re.search(r" \.(symtab|debug_)", said), file
        # Start files of Zig's, in programs, say that they have NEON, and have no use for it.
        assert file not in files or "Tag_Advanced_SIMD_arch" not in said, file
    assert len(files) == 3
