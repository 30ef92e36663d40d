# SPDX-License-Identifier: BSD-3-Clause
"""gpiochip: URLs that lead nowhere; tests/kernel/test_gpiochip_link.py has real chips."""

from __future__ import annotations

import errno
import os

import pytest

from bridge.link import gpiochip


@pytest.mark.parametrize(
    ("rest", "number", "wrong"),
    [
        ("gpiochip0", errno.EINVAL, "write gpiochip:/dev/gpiochipN or gpiochip:label=LABEL"),
        ("/dev/null", errno.EINVAL, "/dev/null is no GPIO character device"),
        ("/dev/gpiochip99999", errno.ENOENT, "/dev/gpiochip99999 cannot be opened"),
        ("label=nobody's", errno.ENOENT, 'has the label "nobody\'s"'),
    ],
)
def test_what_is_wrong_is_said(rest: str, number: int, wrong: str) -> None:
    with pytest.raises(OSError, match=wrong) as refused:
        gpiochip.connect(rest, 1000)
    assert refused.value.errno == number


def test_names_of_links() -> None:
    assert gpiochip.short_name("/dev/gpiochip3") == "gpiochip3"
    assert gpiochip.short_name("label=30200000.gpio") == "30200000.gpio"


@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero"])
def test_link_that_cannot_be_served_leaves_nothing_open(path: str) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="is no GPIO character device"):
        gpiochip.connect(path, 1000)
    assert sorted(os.listdir("/proc/self/fd")) == before
