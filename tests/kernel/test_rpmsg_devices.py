# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's own rpmsg devices: what the link relies on."""

from __future__ import annotations

import errno
import os
import select
import struct
from pathlib import Path

import pytest

from bridge import wire
from bridge.link.rpmsg_sysfs import ADDR_ANY, CHARDEV, Sysfs

from .guest import Guest
from .load import PATIENCE_S
from .rpmsg import RAW, controllers, the_processor
from .uml import in_kernel


def features_answered(path: str) -> bytes:
    """Ask GET_FEATURES over an endpoint device as any program would."""
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        os.write(fd, struct.pack("<HHI", wire.MSG_GET_FEATURES, 0, wire.ALL_FEATURES))
        assert select.select([fd], [], [], PATIENCE_S)[0], "no answer"
        return os.read(fd, 512)
    finally:
        os.close(fd)


def is_features_reply(message: bytes) -> bool:
    return len(message) >= 8 and message[0] == 0 and message[1] == 0


@in_kernel("demo")
def test_announced_channel_gets_a_device_by_driver_override(guest: Guest) -> None:
    sysfs = Sysfs()
    processor = the_processor(guest, sysfs, 2)
    first, second = controllers(sysfs, processor)
    assert (first.name, first.dst, first.driver) == ("rpmsg-io-0", 0x400, None)
    assert (second.name, second.dst, second.driver) == ("rpmsg-io-1", 0x401, None)
    assert not sysfs.nodes(processor)
    sysfs.bind(first)
    (node,) = sysfs.nodes(processor)
    assert (node.name, node.dst, node.parent) == ("rpmsg-io-0", 0x400, first.path)
    assert sysfs.channels(processor)[-2].driver == CHARDEV
    assert is_features_reply(features_answered(f"/dev/{node.devname}"))


@in_kernel("demo")
def test_bind_that_fails_leaves_no_driver_override(guest: Guest) -> None:
    """Otherwise the channel would be lost for every other driver."""
    sysfs = Sysfs()
    processor = the_processor(guest, sysfs, 2)
    first, second = controllers(sysfs, processor)
    (other,) = (c for c in sysfs.channels(processor) if c.driver == "rpmsg_ctrl")
    with pytest.raises(OSError, match="busy") as error:
        sysfs.bind(second._replace(path=other.path))
    assert error.value.errno == errno.EBUSY
    assert Path(f"{other.path}/driver_override").read_text() == "(null)\n"
    # Whoever binds it first, udev or we, has it for good.
    sysfs.bind(first)
    with pytest.raises(OSError, match="busy"):
        sysfs.bind(first)
    assert Path(f"{first.path}/driver_override").read_text() == f"{CHARDEV}\n"


@in_kernel(RAW)
def test_rpmsg_raw_binds_by_itself(guest: Guest) -> None:
    sysfs = Sysfs()
    processor = the_processor(guest, sysfs, 1)
    (node,) = guest.until(lambda: sysfs.nodes(processor), "the node")
    assert node.name == "rpmsg-raw"
    assert is_features_reply(features_answered(f"/dev/{node.devname}"))


@in_kernel("demo")
def test_endpoint_through_the_control_device(guest: Guest) -> None:
    sysfs = Sysfs()
    processor = the_processor(guest, sysfs, 2)
    sysfs.create_endpoint(processor, "rpmsg-io-0", 2000, 0x400)
    (node,) = sysfs.nodes(processor)
    assert (node.name, node.src, node.dst) == ("rpmsg-io-0", 2000, 0x400)
    assert is_features_reply(features_answered(f"/dev/{node.devname}"))
    assert "0x7d0" in guest.stub("channels")  # the firmware knows us by our address
    sysfs.create_endpoint(processor, "rpmsg-io-1", ADDR_ANY, 0x401)
    assert len(sysfs.nodes(processor)) == 2
