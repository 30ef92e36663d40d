# SPDX-License-Identifier: BSD-3-Clause
"""Programs of other C libraries and word sizes, with the library made for these; of languages."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.bench.rig import Rig
from bridge.cli.run import LIBRARY
from tests.preload.test_preload import BOARD, FIRST, HERE, LATE_S

SOURCES = sorted(LIBRARY.parent.glob("*.c"))
# As setup.py has them.
OPTIONS = (
    *("-std=gnu11", "-O2", "-fvisibility=hidden", "-U_FORTIFY_SOURCE", "-Wall", "-Wextra"),
    *("-fno-delete-null-pointer-checks", "-Wno-nonnull-compare", "-fno-stack-protector", "-Werror"),
)
LIBDL = ("-Wl,--no-as-needed", "-l:libdl.so.2")
I686 = "/usr/i686-linux-gnu/lib"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with Rig(board=BOARD) as running:
        yield running


@pytest.fixture
def run(rig: Rig) -> Run:
    """Run a program to its end, with a library in it."""
    told = {
        "GPIO_BRIDGE_RUN": rig.serve.socket,
        "GPIO_BRIDGE_RUN_CHIPS": f"{FIRST}:fw-0,{FIRST + 1}:fw-1",
    }

    def go(library: Path, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, env={**os.environ, **told, "LD_PRELOAD": str(library)},
            capture_output=True, text=True, timeout=LATE_S,
        )  # fmt: skip

    return go


def needs(tool: str, package: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed ({package})")


def compile_(*words: str | Path) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=LATE_S)
    assert done.returncode == 0, done.stderr


def check_as_in_the_kernel(
    run: Run, tmp_path: Path, compiler: tuple[str, ...], libdl: tuple[str, ...],
    options: tuple[str, ...],
) -> None:  # fmt: skip
    """Make the library and the programs of this folder by a compiler, and run them."""
    library = tmp_path / "libgpio-cdev.so"
    compile_(*compiler, *OPTIONS, "-shared", "-fPIC", "-nostdlib", "-o", library, *SOURCES, *libdl)
    for source in ("uapi_v2.c", "uapi_v1.c"):
        program = tmp_path / source.removesuffix(".c")
        compile_(*compiler, "-std=gnu11", *options, "-o", program, HERE / source)
        done = run(library, str(program), "/dev/fw-0")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("all is as in the kernel\n")


@pytest.mark.parametrize(
    "times", [(), ("-D_FILE_OFFSET_BITS=64",), ("-D_FILE_OFFSET_BITS=64", "-D_TIME_BITS=64")]
)
def test_of_32_bits(run: Run, tmp_path: Path, times: tuple[str, ...]) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("i386 is the other word size of x86-64")
    needs("i686-linux-gnu-gcc", "make deps")
    found = (f"-Wl,--dynamic-linker={I686}/ld-linux.so.2", f"-Wl,-rpath={I686}")
    check_as_in_the_kernel(run, tmp_path, ("i686-linux-gnu-gcc",), LIBDL, (*times, *found))


def test_of_musl(run: Run, tmp_path: Path) -> None:
    needs("musl-gcc", "make deps")
    # The kernel's headers, which musl-gcc has not.
    folders = ("/usr/include", f"/usr/include/{platform.machine()}-linux-gnu")
    headers = tuple(word for folder in folders for word in ("-idirafter", folder))
    check_as_in_the_kernel(run, tmp_path, ("musl-gcc", *headers), (), ())


def test_it_needs_no_version_of_glibc() -> None:
    """What it takes of the C library has no version: it is looked up when the program runs."""
    needs("readelf", "make deps")
    said = subprocess.run(
        ["readelf", "--wide", "--version-info", "--dyn-syms", LIBRARY],
        check=True, stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip
    assert "dlsym" in said
    assert "GLIBC_" not in said


def test_of_cxx(run: Run, tmp_path: Path) -> None:
    """By libgpiod's own binding, of libgpiod 1 (Debian 12)."""
    needs("g++", "make deps")
    if not Path("/usr/include/gpiod.hpp").is_file() or Path("/usr/include/gpiodcxx").is_dir():
        pytest.skip("libgpiod-dev is not installed, or of libgpiod 2 (make deps)")
    program = tmp_path / "cxx"
    compile_("g++", "-Wall", "-Werror", "-o", program, HERE / "libgpiod_v1.cc", "-lgpiodcxx")
    done = run(LIBRARY, str(program), "fw-0")
    assert (done.stdout, done.returncode) == ("pins 8\nrising 1\nfalling 0\n", 0), done.stderr


def test_of_rust(run: Run, tmp_path: Path) -> None:
    needs("rustc", "rustc")
    program = tmp_path / "rust"
    compile_("rustc", "--edition=2021", "-Dwarnings", "-o", program, HERE / "uapi_v2.rs")
    done = run(LIBRARY, str(program), "/dev/fw-0")
    assert (done.stdout, done.returncode) == ("pins 8\n1\n0\n", 0), done.stderr
