# SPDX-License-Identifier: BSD-3-Clause
"""A back-end that does not behave, in the handshake."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.link.vhost_user import connect
from bridge.shim.ffi import lib

SHORT_MS, LONG_MS = 300, 30_000
GET_FEATURES, SET_FEATURES = 1, 2
RPMSG_F_NS, RPMSG_F_BUFSZ = 1 << 0, 1 << 1
REPLY = 5  # version 1, and the reply bit
VERSION_1 = 1 << 32


def reply(request: int, value: int, flags: int = REPLY) -> bytes:
    return struct.pack("=IIIQ", request, flags, 8, value)


def half_a_reply(guest: socket.socket) -> None:
    """The answer comes with a descriptor, which nobody asked for."""
    fd = os.eventfd(0)
    socket.send_fds(guest, [reply(GET_FEATURES, VERSION_1)[:7]], [fd])
    os.close(fd)


def hang_up(guest: socket.socket) -> None:
    guest.shutdown(socket.SHUT_RDWR)


def say(message: bytes) -> Callable[[socket.socket], None]:
    return lambda guest: guest.sendall(message)


def test_other_buffer_sizes_are_not_accepted(tmp_path: Path) -> None:
    """VIRTIO_RPMSG_F_BUFSZ of Linux 7.4: our buffers have 512 bytes, whatever is offered."""
    path = str(tmp_path / "fw.sock")
    accepted = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            guest, _ = listener.accept()
            with guest:
                guest.recv(24, socket.MSG_WAITALL)  # SET_OWNER, GET_FEATURES
                guest.sendall(reply(GET_FEATURES, VERSION_1 | RPMSG_F_BUFSZ | RPMSG_F_NS))
                message = guest.recv(20, socket.MSG_WAITALL)
                accepted.append(struct.unpack("=IIIQ", message))

        backend = threading.Thread(target=serve)
        backend.start()
        with contextlib.suppress(OSError):  # it hangs up then
            lib.gb_link_close(connect(path, LONG_MS))
        backend.join()
    ((request, _, _, features),) = accepted
    assert (request, features) == (SET_FEATURES, VERSION_1 | RPMSG_F_NS)


CASES = {
    "half": (half_a_reply, errno.ETIMEDOUT, "does not answer"),
    "hangs-up": (hang_up, errno.ECONNRESET, "hung up"),
    "version": (say(reply(GET_FEATURES, 0, 6)), errno.EPROTO, "version 1"),
    "other-reply": (say(reply(15, VERSION_1)), errno.EPROTO, "with message 15"),
    "no-reply-bit": (say(reply(GET_FEATURES, VERSION_1, 1)), errno.EPROTO, "with message 1"),
    "too-long": (
        say(struct.pack("=III", GET_FEATURES, REPLY, 1 << 20)),
        errno.EPROTO,
        "longer than any",
    ),
    "legacy": (say(reply(GET_FEATURES, 1)), errno.EPROTONOSUPPORT, "VIRTIO_F_VERSION_1"),
    "no-rpmsg": (say(reply(GET_FEATURES, VERSION_1)), errno.EPROTONOSUPPORT, "rpmsg"),
}


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("name", CASES)
def test_it_is_given_up_with_a_sentence_and_nothing_stays_open(name: str, tmp_path: Path) -> None:
    misbehave, number, sentence = CASES[name]
    path = str(tmp_path / "fw.sock")
    done, over = threading.Event(), threading.Event()
    timeout_ms = SHORT_MS if number == errno.ETIMEDOUT else LONG_MS
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            guest, _ = listener.accept()
            with guest:
                asked = b""
                while len(asked) < 24:  # SET_OWNER, GET_FEATURES
                    asked += guest.recv(4096)
                misbehave(guest)
                done.set()
                over.wait()

        backend = threading.Thread(target=serve)
        backend.start()
        before = len(open_descriptors()) + 1  # the guest that was accepted
        with pytest.raises(OSError, match=sentence) as failure:
            connect(path, timeout_ms)
        done.wait()
        after = len(open_descriptors())
        over.set()
        backend.join()
    assert failure.value.errno == number
    assert after == before
