# SPDX-License-Identifier: BSD-3-Clause
"""The compiled parts: the shim (a cffi module), a library to preload, and two programs."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from typing import Any

import setuptools
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

# What says how the modules are compiled imports of this tree, which a build has not on its path.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

# What a setuptools older than 77, as Debian 12 has it, does not take from pyproject.toml.
LICENSE = "license_expression" if int(setuptools.__version__.split(".")[0]) >= 77 else "license"

# A shim of one Python's stable ABI serves every later one: one wheel a platform.
ABI = "cp310"

STUB = Extension(
    "firmware_stub.bin.firmware-stub",
    sources=sorted(
        glob("firmware_stub/core/*.c")
        + glob("firmware_stub/host/*/*.c")
        + glob("firmware_stub/ports/host/*.c")
    ),
    include_dirs=[
        "firmware_stub/core",
        "firmware_stub/remote",
        "firmware_stub/host",
        "firmware_stub/ports/host",
    ],
    extra_compile_args=[
        *("-std=gnu11", "-O2", "-g"),
        *("-include", "firmware_stub/ports/host/core_config.h"),
    ],
)

# Plugs a USB device into the kernel, as root: a program that does nothing else.
PLUG = Extension(
    "bridge.plug.gpio-bridge-plug",
    sources=["bridge/plug/main.c"],
    extra_compile_args=["-std=gnu11", "-O2", "-g"],
)
PROGRAMS = {STUB.name: "firmware_stub/bin", PLUG.name: "bridge/plug"}

# Goes into programs of any libc: it is linked with none, but names glibc's libdl, where
# dlsym() was before 2.34. musl has both names for itself.
PRELOAD = Extension(
    "bridge.preload.libgpio-cdev",
    sources=sorted(glob("bridge/preload/*.c")),
    depends=sorted(glob("bridge/preload/*.h")),
    extra_compile_args=[
        *("-std=gnu11", "-O2", "-g", "-fvisibility=hidden", "-U_FORTIFY_SOURCE"),
        # It has the symbols of both sizes of offsets and times, each by its own name.
        *("-U_FILE_OFFSET_BITS", "-U_TIME_BITS"),
        # What programs pass may be NULL, whatever the headers say; and no symbol that only
        # some libcs have.
        *("-fno-delete-null-pointer-checks", "-Wno-nonnull-compare", "-fno-stack-protector"),
    ],
    extra_link_args=["-nostdlib"],
)


def _libdl() -> list[str]:
    """What names libdl.so.2 where the C library is glibc; musl has none to link with."""
    try:
        glibc = os.confstr("CS_GNU_LIBC_VERSION")
    except ValueError:
        glibc = None
    return ["-Wl,--no-as-needed", "-l:libdl.so.2"] if glibc else []


class BuildExt(build_ext):
    """Links programs as such, instead of modules; compiles on all processors."""

    def copy_extensions_to_source(self) -> None:
        """A program's folder may hold nothing that git would keep."""
        for folder in PROGRAMS.values():
            os.makedirs(folder, exist_ok=True)
        super().copy_extensions_to_source()

    def get_ext_filename(self, fullname: str) -> str:
        """A program has no suffix; asked for with and without its package."""
        if any(fullname in (name, name.rpartition(".")[2]) for name in PROGRAMS):
            return os.path.join(*fullname.split("."))
        if fullname in (PRELOAD.name, PRELOAD.name.rpartition(".")[2]):
            return os.path.join(*fullname.split(".")) + ".so"
        return str(super().get_ext_filename(fullname))

    def build_extensions(self) -> None:
        """Compile each file in a process of its own, as many at once as there are processors."""
        one_by_one = self.compiler.compile

        def compile_all(sources: list[str], **options: Any) -> list[str]:
            def compile_one(source: str) -> list[str]:
                print(f"  CC      {source}", flush=True)
                return list(one_by_one([source], **options))

            with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
                return [built for job in pool.map(compile_one, sources) for built in job]

        self.compiler.compile = compile_all
        # Nothing is linked with what a Python of one's own has in its folders, and each program
        # under `gpio-bridge run` would look there for libraries.
        self.compiler.linker_so = [
            word for word in self.compiler.linker_so if not word.startswith("-Wl,-rpath")
        ]
        super().build_extensions()

    def build_extension(self, ext: Extension) -> None:
        """Compile and link; what is installed elsewhere than in this tree is stripped."""
        strip = [] if self.editable_mode or self.inplace else ["-Wl,--strip-all"]
        ext.extra_link_args = [*ext.extra_link_args, *strip]
        if ext.name == PRELOAD.name:
            ext.extra_link_args += _libdl()
        if ext.name not in PROGRAMS:
            super().build_extension(ext)
            return
        objects = self.compiler.compile(
            ext.sources,
            output_dir=os.path.join(self.build_temp, ext.name),
            include_dirs=ext.include_dirs,
            extra_postargs=ext.extra_compile_args,
            depends=ext.depends,
        )
        target = self.get_ext_fullpath(ext.name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        self.compiler.link_executable(
            objects,
            os.path.basename(target),
            output_dir=os.path.dirname(target),
            extra_postargs=ext.extra_link_args,
        )


class BuildPy(build_py):
    """Takes along udev/, which `gpio-bridge system install` puts in place; its source stays one."""

    def run(self) -> None:
        """Copy the modules, and the files beside bridge/system/places.py."""
        super().run()
        if not self.editable_mode:
            folder = os.path.join(self.build_lib, "bridge/system/files")
            self.mkpath(folder)
            for file in glob("udev/*"):
                self.copy_file(file, folder, preserve_mode=False)


setup(
    **{LICENSE: "BSD-3-Clause"},
    cffi_modules=[
        "bridge/shim/build.py:ffibuilder",
        "bridge/bench/native/build.py:ffibuilder",
    ],
    ext_modules=[STUB, PLUG, PRELOAD],
    cmdclass={"build_ext": BuildExt, "build_py": BuildPy},
    options={"bdist_wheel": {"py_limited_api": ABI}},
)
