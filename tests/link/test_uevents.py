# SPDX-License-Identifier: BSD-3-Clause
"""libudev where it is hard to find, or not there; tests/kernel has its events."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from bridge.link import uevents

utils = pytest.importorskip("pyudev._ctypeslib.utils")


@pytest.fixture
def no_ldconfig(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What ctypes finds where there is neither ldconfig nor a compiler."""
    monkeypatch.setattr(utils, "find_library", lambda name: None)
    uevents._context.cache_clear()
    yield
    uevents._context.cache_clear()


def test_without_ldconfig(no_ldconfig: None) -> None:
    assert uevents.monitor("rpmsg").fileno() >= 0
    assert utils.find_library("udev") is None, "pyudev is as it was"


def test_without_libudev(no_ldconfig: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uevents, "_SONAME", "libudev-is-not-here.so.1")
    with pytest.raises(OSError, match="rpmsg links need libudev: libudev-is-not-here") as error:
        uevents.monitor("rpmsg")
    assert error.value.errno == errno.ENOSYS
