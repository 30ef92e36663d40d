# SPDX-License-Identifier: BSD-3-Clause
"""Clients of several users in one test: whose they are is decided when they connect."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ALICE = 42_001
BOB = 42_002
OPERATORS = 42_100

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")


@contextmanager
def user(uid: int, gid: int | None = None, groups: tuple[int, ...] = ()) -> Iterator[None]:
    """Connect as this user inside the block; the process stays root's."""
    groups_before = os.getgroups()
    os.setgroups(groups)
    os.setegid(uid if gid is None else gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups_before)


@contextmanager
def open_directory() -> Iterator[Path]:
    """A directory that every user may enter, which a test's own is not."""
    path = Path(tempfile.mkdtemp(prefix="gpio-bridge-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
