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

#: What qemu_user.c is asked: which cases of which tests fail where the answer is no.
SPOILED = {
    "surplus": {
        "shim/test_cdev": {"of_many_descriptors_at_once_one_is_taken"},
        "firmware_stub/host/virtio/test_vhost_user": {"surplus_descriptors_are_refused_and_closed"},
    },
}


def main(qemu: str, sysroot: str, folder: str, test: str) -> int:
    """See the top of this file."""

    def run(*program: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [qemu, "-L", sysroot, *program],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
        )  # fmt: skip

    done = run(f"{folder}/{test}")
    failed = set(re.findall(r"^FAILED (\w+)$", done.stdout, re.MULTILINE))
    excused = set()
    for question, spoiled in SPOILED.items():
        cases = failed & spoiled.get(test, set())
        if cases and run(f"{folder}/arm/qemu_user", question).returncode == 1:
            print(f"{test}: {', '.join(sorted(cases))} failed by {qemu} (qemu_user {question})")
            excused |= cases
    if done.returncode == 0 or (failed and failed == excused):
        return 0
    print(done.stdout, f"status {done.returncode}", sep="\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
