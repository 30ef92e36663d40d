# SPDX-License-Identifier: BSD-3-Clause
"""Run the fuzz targets in turn: those of libFuzzer in build/fuzz, those in Python here.

    make fuzz FUZZ_SECONDS=60              all of them, within the time
    make fuzz FUZZ_ARGS=core               one
    make fuzz FUZZ_ARGS=--for-ever         again and again, until interrupted

What they learn is kept in the folder --run; tests/fuzz/corpus has the inputs that make
test replays. A finding ends the run: its input is named, becomes a file of the corpus,
and a test.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "fuzz"
# Shares of the time. A target that is ten times as fast as another one gets no more for that.
C_TARGETS = {
    "core": 3,
    "serial_device": 2,
    "serial_driver": 2,
    "requests": 3,
    "vhost_user_link": 2,
    "rpmsg_backend": 2,
    "rpmsg_remote": 1,
    "virtio_gpio_remote": 1,
    "export": 3,
    "cdev": 2,
    "adapter": 2,
}
PYTHON_TARGETS = {"control": 2, "config": 1}
TARGETS = C_TARGETS | PYTHON_TARGETS
# Inputs of a peer are short, and a small quarantine stays in the cache. The replay of a finding
# says where a block was allocated.
OPTIONS = ["-max_len=256", "-timeout=20", "-rss_limit_mb=1024", "-print_final_stats=1"]
ENVIRONMENT = {
    "ASAN_OPTIONS": "quarantine_size_mb=8:malloc_context_size=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


def command(target: str, seconds: int, run: Path) -> list[str]:
    """The command line that runs a target for some seconds."""
    if target in PYTHON_TARGETS:
        return [sys.executable, str(HERE / f"fuzz_{target}.py"), f"--seconds={seconds}"]
    folder = run / target
    folder.mkdir(parents=True, exist_ok=True)
    corpus = HERE / "corpus" / target
    return [
        str(BUILD / target),
        f"-max_total_time={seconds}",
        f"-artifact_prefix={run}/{target}-",
        *OPTIONS,
        str(folder),
        *([str(corpus)] if corpus.is_dir() else []),
    ]


def run_target(target: str, seconds: int, run: Path) -> int:
    """Run one for some seconds; how many executions it made, or -1 after a finding."""
    log = run / f"{target}.log"
    with log.open("wb") as output:
        done = subprocess.run(
            command(target, seconds, run),
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | ENVIRONMENT,
            check=False,
        )
    text = log.read_text(errors="replace")
    found = re.findall(r"stat::number_of_executed_units:\s*(\d+)", text)
    count = int(found[-1]) if found else 0
    state = "ok" if done.returncode == 0 else f"FOUND SOMETHING: see {log}"
    print(f"{target:18} {count:12,} executions in {seconds:4} s  {state}", flush=True)
    if done.returncode:
        print("\n".join(text.splitlines()[-30:]), flush=True)
    return count if done.returncode == 0 else -1


def add_to_total(path: Path | None, target: str, count: int) -> None:
    """A line for each run, with the sum so far."""
    if path is None:
        return
    lines = path.read_text().splitlines() if path.exists() else []
    total = int(lines[-1].split()[-1].replace(",", "")) if lines else 0
    stamp = time.strftime("%H:%M:%S", time.gmtime())
    with path.open("a") as file:
        file.write(f"{stamp} {target} {count:,} total {total + count:,}\n")


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description="Fuzz what peers send.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=600, help="for all of them together")
    parser.add_argument(
        "--run", type=Path, default=BUILD / "run", help="folder for what they learn"
    )
    parser.add_argument("--for-ever", action="store_true", help="begin again after --seconds")
    parser.add_argument("--total", type=Path, help="file that adds up executions")
    args = parser.parse_args()
    targets = args.targets or list(TARGETS)
    unknown = [target for target in targets if target not in TARGETS]
    if unknown:
        parser.error(f"no target is called {unknown[0]!r}; there are {', '.join(TARGETS)}")
    missing = [t for t in targets if t in C_TARGETS and not (BUILD / t).exists()]
    if missing:
        print(
            f"make fuzz: {', '.join(missing)} skipped: they need clang and its libFuzzer "
            "(make deps installs them)"
        )
        targets = [target for target in targets if target not in missing]
    args.run.mkdir(parents=True, exist_ok=True)
    shares = sum(TARGETS[target] for target in targets)
    bad = total = 0
    while targets:
        for target in targets:
            seconds = max(1, args.seconds * TARGETS[target] // shares)
            count = run_target(target, seconds, args.run)
            bad += count < 0
            total += max(count, 0)
            add_to_total(args.total, target, max(count, 0))
        if not args.for_ever:
            break
    print(f"{total:,} executions")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
