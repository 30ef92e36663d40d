# SPDX-License-Identifier: BSD-3-Clause
"""Run gcc's -fanalyzer and clang's analyzer on C sources: make analyze.

    python tests/analyze.py "-Ifolder ..." CLANG SOURCE...

Each finding is mended, or answered below with why it is none. Status 1 with what is neither.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

# (file, kind of finding): why it is none.
ANSWERS = {
    ("bridge/preload/files.c", "core.NullDereference"): (
        "an empty path is no file of ours: where the chip is NULL, the file is FILE_NONE"
    ),
    ("bridge/preload/listing.c", "-Wanalyzer-malloc-leak"): (
        "the stream is the program's, which closes it"
    ),
    ("bridge/shim/cdev/descriptor.c", "core.NullDereference"): (
        "none of the first channel_count channels is NULL; memmove() is not followed"
    ),
    ("bridge/shim/export/export.c", "-Wanalyzer-malloc-leak"): (
        "what prepare() allocated is in the export, which gb_exported_unreference() frees"
    ),
    ("bridge/shim/pump/rpmsg_link.c", "-Wanalyzer-malloc-leak"): (
        "the link is freed at the end of the same function, behind its endpoints"
    ),
    ("bridge/shim/pump/trace.c", "-Wanalyzer-use-of-uninitialized-value"): (
        "a record fills all of its slots but the last one, which is zeroed before"
    ),
    ("firmware_stub/ports/host/firmware.c", "-Wanalyzer-malloc-leak"): (
        "what a controller allocated is in the firmware, which firmware_free() frees"
    ),
    ("firmware_stub/ports/host/control.c", "unix.Malloc"): (
        "drop_client() takes the client out of the list before it frees it"
    ),
}
_FINDING = re.compile(r"^(?P<file>[^:\s]+):(?P<line>\d+):\d+: warning: .*\[(?P<kind>[^]]+)]$", re.M)


# An analysis has no bound of its own; the longest of ours takes 40 s, most take less than 5.
CPU_MAX_S = 120


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_MAX_S, CPU_MAX_S))


def _run(command: list[str]) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_limit,
        env=os.environ | {"LC_ALL": "C"},
    )
    # gcc's driver tells it of the compiler behind it.
    if done.returncode == -signal.SIGKILL or "Killed signal terminated" in done.stderr:
        return f"{command[-1]}:1:1: warning: not analysed in {CPU_MAX_S} s of CPU [{command[0]}]\n"
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return done.stderr


def findings(source: str, includes: list[str], clang: str) -> Iterable[re.Match[str]]:
    """Return what both analyzers find in one source."""
    common = ["-std=gnu11", *includes, source]
    text = _run(["gcc", "-O1", "-fanalyzer", "-c", "-o", os.devnull, *common])
    if clang:
        text += _run([clang, "--analyze", "-Xclang", "-analyzer-output=text", *common])
    return _FINDING.finditer(text)


def main(includes: str, clang: str, *sources: str) -> int:
    """Print what is not answered, and which answers nothing asked for."""
    bad, asked = 0, set()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(lambda one: findings(one, includes.split(), clang), sources):
            for match in found:
                key = (match["file"], match["kind"])
                asked.add(key)
                if key not in ANSWERS:
                    print(match[0])
                    bad += 1
    for file, kind in ANSWERS.keys() - asked:
        if file in sources:
            print(f"{file}: {kind} is answered, and was not found by these compilers")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    print(f"{len(sources)} sources, {bad} findings without an answer, {cpu:.0f} s of CPU")
    if not clang:
        print("make analyze: clang is not there; gcc's analyzer alone (make deps installs it)")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
