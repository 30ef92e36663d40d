# SPDX-License-Identifier: BSD-3-Clause
"""How the C of the benchmarks is compiled: cffi in API mode, beside the shim.

setup.py uses it as it uses `bridge.shim.build`; the code that is measured has no part in it.
"""

from __future__ import annotations

from glob import glob

from cffi import FFI

DECLARATIONS = """
    int gb_bench_edges(uint32_t count, uint64_t *elapsed_ns);
    int gb_bench_floor(uint32_t rounds, uint32_t *samples_ns);

    struct gb_bench_guest;

    struct gb_bench_guest *gb_bench_guest_open(const char *path);
    int gb_bench_guest_request(struct gb_bench_guest *guest, uint16_t type, uint16_t gpio,
                               uint32_t value);
    int64_t gb_bench_guest_set(struct gb_bench_guest *guest, uint32_t lines, uint32_t rounds);
    int gb_bench_guest_arm(struct gb_bench_guest *guest, uint16_t gpio);
    int64_t gb_bench_guest_event(struct gb_bench_guest *guest);
    void gb_bench_guest_close(struct gb_bench_guest *guest);

    struct gb_bench_edges_read {
        uint32_t received;
        uint32_t last;
        uint32_t disordered;
    };

    int gb_bench_uapi_get(const char *path, uint32_t offset, uint32_t rounds,
                          uint32_t *samples_ns);
    int gb_bench_uapi_watch(const char *path, uint32_t lines);
    int gb_bench_uapi_edges(int fd, uint32_t count, uint32_t timeout_ms,
                            struct gb_bench_edges_read *result);

    struct gb_bench_client {
        int operation_fd;
        void *operate, *direct;
    };

    int64_t gb_bench_client_get(const struct gb_bench_client *client, uint64_t duration_ns,
                                uint32_t rounds, uint32_t *samples_ns);
    int64_t gb_bench_client_edge(const struct gb_bench_client *client, int bell, int ring_fd,
                                 uint64_t duration_ns, uint32_t rounds, uint32_t *samples_ns);
    int64_t gb_bench_device_get(int fd, uint16_t gpio, uint64_t duration_ns, uint32_t rounds,
                                uint32_t *samples_ns);
    int64_t gb_bench_link_get(void *link, const char *channel, uint16_t gpio, char why[160],
                              uint64_t duration_ns, uint32_t rounds, uint32_t *samples_ns);
"""
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
