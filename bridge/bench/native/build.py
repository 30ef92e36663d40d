# SPDX-License-Identifier: BSD-3-Clause
"""How the C of the benchmarks is compiled: cffi in API mode, beside the shim.

setup.py uses it as it uses `bridge.shim.build`; the code that is measured has no part in it.
"""

from __future__ import annotations

from glob import glob

from cffi import FFI

from bridge.shim.declarations import declarations

HEADERS = """
    #include "edges.h"
    #include "floor.h"
    #include "guest.h"
    #include "trips.h"
    #include "uapi.h"
"""
INCLUDE_DIRS = [
    "bridge/bench/native",
    "bridge/shim",
    "firmware_stub/core",
    "firmware_stub/remote",
    "firmware_stub/host",
]
DECLARATIONS = declarations(
    "bridge/bench/native/_native.pyi",
    HEADERS,
    INCLUDE_DIRS,
    "gb_bench_client gb_bench_edges_read",
)

ffibuilder = FFI()
ffibuilder.cdef(DECLARATIONS)
ffibuilder.set_source(
    "bridge.bench.native._native",
    HEADERS,
    sources=[
        *sorted(glob("bridge/bench/native/[a-z]*.c")),
        "bridge/shim/pump/client.c",
        "bridge/shim/pump/event_ring.c",
        # Of a link, what the calling thread needs to drive it alone.
        "bridge/shim/pump/link.c",
        "bridge/shim/pump/pump.c",
        "bridge/shim/pump/reports.c",
        "bridge/shim/pump/trace.c",
        *sorted(glob("firmware_stub/host/*/*.c")),
    ],
    include_dirs=INCLUDE_DIRS,
    extra_compile_args=["-std=gnu11", "-O2", "-g", "-fvisibility=hidden"],
    libraries=["pthread"],
)
