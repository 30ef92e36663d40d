# SPDX-License-Identifier: BSD-3-Clause
"""Run a C test by qemu-user: python tests/arm/c_test.py QEMU SYSROOT FOLDER TEST.

FOLDER has the tests of one machine. Status 0: all passed but those that a fault of qemu-user
spoils; that it has the fault is shown each time by tests/arm/qemu_user.c, which uses nothing of
this project.
"""

from __future__ import annotations

import re
import subprocess
import sys

#: All of its cases: the test is not run.
WHOLE = {"*"}
_VIRTIO = "firmware_stub/host/virtio"
#: What qemu_user.c is asked: which cases of which tests fail where the answer is no.
SPOILED = {
    # Of the descriptors that come, those that there is no room for are closed.
    "surplus": {
        "shim/test_cdev": {"of_many_descriptors_at_once_one_is_taken"},
        f"{_VIRTIO}/test_vhost_user": {"surplus_descriptors_are_refused_and_closed"},
    },
    # Without io_setup(2) a thread signals eventfds: a moment later, several times in one, and
    # not at all where there is no descriptor left for it (virtio/notifier.h).
    "aio": {
        f"{_VIRTIO}/test_notifier": {"an_eventfd_counts"},
        "firmware_stub/ports/host/test_rpmsg_backend": {"calls_are_suppressed_when_not_wanted"},
        # Such a thread has a descriptor of its own, and ends a moment after its guest.
        "export/test_hostile_guest": {
            "no_descriptor_leaks",
            "without_descriptors_the_loop_rests",
        },
    },
    # The test forbids calls, to be without them.
    "seccomp": {
        f"{_VIRTIO}/test_notifier": {"a_thread_helps_where_the_kernel_cannot"},
    },
    # A session is loaded from a socket that is read from its beginning (SO_PEEK_OFF).
    "peek": {
        f"{_VIRTIO}/test_vhost_user_handover": {
            "a_running_session_goes_on",
            "the_log_of_what_is_in_flight_goes_with_it",
            "a_session_that_has_said_little_goes_on",
            "tampered_states_end_in_a_sentence",
        },
    },
    # A client in the pump's process finds its request by the socket's number (SO_COOKIE).
    "cookie": {
        "shim/test_direct": WHOLE,
        "link/test_rpmsg_link": {"a_client_in_this_process"},
    },
    # Offsets in a folder have 64 bits on this machine, and 32 in a program of 32 bits.
    "readdir": {"export/test_hostile_guest": {"corpus"}},
    # The test stops a process after each instruction or system call.
    "ptrace": {
        f"{_VIRTIO}/test_inflight": {"each_chain_returns_once_whatever_store_was_the_last"},
        f"{_VIRTIO}/test_vhost_user_handover": {
            "a_process_that_is_killed_while_it_loads_leaves_it_all",
        },
    },
}


def main(qemu: str, sysroot: str, folder: str, test: str) -> int:
    """See the top of this file."""

    def run(*program: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [qemu, "-L", sysroot, *program],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200,
        )  # fmt: skip

    def lacks(question: str) -> bool:
        return run(f"{folder}/arm/qemu_user", question).returncode == 1

    for question, spoiled in SPOILED.items():
        if spoiled.get(test) == WHOLE and lacks(question):
            print(f"{test}: not run by {qemu} (qemu_user {question})")
            return 0
    done = run(f"{folder}/{test}")
    failed = set(re.findall(r"^FAILED (\w+)$", done.stdout, re.MULTILINE))
    excused = set()
    for question, spoiled in SPOILED.items():
        cases = failed & spoiled.get(test, set())
        if cases and lacks(question):
            print(f"{test}: {', '.join(sorted(cases))} failed by {qemu} (qemu_user {question})")
            excused |= cases
    if done.returncode == 0 or (failed and failed == excused):
        return 0
    print(done.stdout, f"status {done.returncode}", sep="\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
