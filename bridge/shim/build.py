# SPDX-License-Identifier: BSD-3-Clause
"""How the shim is compiled: cffi in API mode, declarations from decl/*.h in order.

Used by setup.py through ``cffi_modules``; every path is relative to the project's
root, where a build starts.
"""

from __future__ import annotations

from glob import glob
from pathlib import Path

from cffi import FFI

#: What tests/shim/test_declarations.py compares: the declarations and what they repeat.
HEADERS = """
#include <linux/gpio.h>
#include <stdbool.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include "rpmsg_gpio.h"
#include "pump/request.h"
#include "pump/vhost_user_link.h"
#include "pump/rpmsg_link.h"
#include "pump/gpiochip_link.h"
#include "pump/serial_link.h"
#include "pump/endpoint.h"
#include "pump/client.h"
#include "pump/direct.h"
#include "pump/event_ring.h"
#include "recording/changes.h"
#include "recording/text.h"
#include "export/export.h"
#include "usb/adapter.h"
#include "cdev/cdev.h"
#include "virtio/vhost_user_session.h"
"""

DECLARATIONS = "".join(Path(part).read_text() for part in sorted(glob("bridge/shim/decl/*.h")))
INCLUDE_DIRS = [
    "bridge/shim",
    "firmware_stub/core",
    "firmware_stub/remote",
    "firmware_stub/host",
    "firmware_stub/ports/linux",
]

ffibuilder = FFI()
ffibuilder.cdef(DECLARATIONS)
ffibuilder.set_source(
    "bridge.shim._shim",
    HEADERS,
    sources=sorted(
        glob("bridge/shim/*/*.c")
        + glob("firmware_stub/host/*/*.c")
        + glob("firmware_stub/core/*.c")
        + glob("firmware_stub/ports/linux/*.c")
    ),
    include_dirs=INCLUDE_DIRS,
    extra_compile_args=["-std=gnu11", "-O2", "-g", "-fvisibility=hidden"],
    libraries=["pthread"],
)
