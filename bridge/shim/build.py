# SPDX-License-Identifier: BSD-3-Clause
"""How the shim is compiled: cffi in API mode, declared by its own headers.

Used by setup.py through ``cffi_modules``; every path is relative to the project's
root, where a build starts.
"""

from __future__ import annotations

from glob import glob

from cffi import FFI

from bridge.shim.declarations import declarations

INCLUDE_DIRS = [
    "bridge/shim",
    "firmware_stub/core",
    "firmware_stub/remote",
    "firmware_stub/host",
    "firmware_stub/ports/linux",
]

#: What tests/shim/test_declarations.py compares: the declarations and what they repeat.
HEADERS = """
#include <linux/gpio.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include "rpmsg_gpio.h"
#include "pump/reports.h"
#include "pump/pump.h"
#include "pump/trace.h"
#include "pump/link.h"
#include "pump/calls.h"
#include "pump/controller.h"
#include "pump/request.h"
#include "pump/vhost_user_link.h"
#include "pump/rpmsg_link.h"
#include "pump/gpiochip_link.h"
#include "pump/serial_link.h"
#include "pump/endpoint.h"
#include "pump/operation.h"
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
#: Functions and constants of Linux; the numbers of ioctls differ between architectures.
_OF_LINUX = """
int inotify_init1(int flags);
int inotify_add_watch(int fd, const char *path, uint32_t mask);
int inotify_rm_watch(int fd, int wd);
#define IN_CREATE ...
#define IN_MOVED_TO ...
#define IN_ATTRIB ...
#define IN_CLOSE_WRITE ...
#define IN_CLOSE_NOWRITE ...
#define IN_DELETE_SELF ...
#define IN_MOVE_SELF ...
#define IN_ONESHOT ...

int mlockall(int flags);
#define MCL_CURRENT ...
#define MCL_FUTURE ...
#define MCL_ONFAULT ...

#define GPIO_GET_CHIPINFO_IOCTL ...
#define GPIO_V2_GET_LINEINFO_IOCTL ...
#define GPIO_V2_GET_LINEINFO_WATCH_IOCTL ...
#define GPIO_V2_GET_LINE_IOCTL ...
#define GPIO_GET_LINEINFO_UNWATCH_IOCTL ...
#define GPIO_GET_LINEINFO_IOCTL ...
#define GPIO_GET_LINEINFO_WATCH_IOCTL ...
#define GPIO_GET_LINEHANDLE_IOCTL ...
#define GPIO_GET_LINEEVENT_IOCTL ...
"""

DECLARATIONS = _OF_LINUX + declarations(
    "bridge/shim/_shim.pyi",
    HEADERS,
    INCLUDE_DIRS,
    """
    gb_report gb_link_counters gb_tap_fds gb_clock_state gb_controller_counters gb_line_counters
    gb_line_plan gb_request_fds gb_request_counters gb_serial_options gb_serial_counters
    gb_rpmsg_packet gb_message gb_operation gb_operation_reply gb_exchange gb_line_event
    gb_recorded_line gb_recorded gb_loss gb_word gb_changes gb_sampler
    gb_export_state_header gb_export_line gb_export_status gb_export_config
    gb_adapter_status gb_adapter_config
    """,
)

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
