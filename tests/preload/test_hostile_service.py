# SPDX-License-Identifier: BSD-3-Clause
"""What the preload library does about a service that is late, lies or does not answer."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgpack

from bridge.cli.run import LIBRARY
from tests.processes import LATE_S

GET_LINE = 0xC250B407
PROGRAM = f"""
import fcntl, os
chip = os.open("/dev/gpiochip7", os.O_RDWR)
def count():
    return len(os.listdir("/proc/self/fd"))
try:
    fcntl.ioctl(chip, {GET_LINE}, bytearray(592))
except OSError as error:
    print("refused", error.errno)
before = count()
for _ in range(5):
    try:
        os.close(int.from_bytes(fcntl.ioctl(chip, {GET_LINE}, bytes(592))[-4:], "little"))
    except OSError:
        pass
print(count() - before)
"""
Answer = Callable[[socket.socket, int, bytes], None]


@contextmanager
def program(path: Path) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {
        "LD_PRELOAD": str(LIBRARY),
        "GPIO_BRIDGE_RUN": str(path),
        "GPIO_BRIDGE_RUN_CHIPS": "7:fw-0",
    }
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def serve(listener: socket.socket, answer: Answer) -> None:
    """One chip for one program."""
    connection, _ = listener.accept()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with connection, ours, theirs:
        connection.recv(4096)
        connection.send(msgpack.packb({"seq": 1, "ok": {}}))
        connection.recv(4096)
        socket.send_fds(connection, [msgpack.packb({"seq": 2, "ok": {}})], [theirs.fileno()])
        _, fds, _, _ = socket.recv_fds(ours, 17, 1)
        with socket.socket(fileno=fds[0]) as channel:
            while packet := channel.recv(4096):
                answer(channel, struct.unpack_from("=II", packet)[1], packet[8:])


def output_with(tmp_path: Path, answer: Answer) -> list[str]:
    """What the program prints when the service answers so."""
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        service = threading.Thread(target=serve, args=(listener, answer), daemon=True)
        service.start()
        with program(path) as process:
            out, _ = process.communicate(timeout=LATE_S)
    return out.split()


def with_a_line(channel: socket.socket, error: int, sequence: int, argument: bytes) -> None:
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    packet = struct.pack("=iI", error, sequence) + (b"" if error else argument)
    socket.send_fds(channel, [packet], [ends[0].fileno()])
    for end in ends:
        end.close()


def test_a_late_answer_leaves_no_line_open(tmp_path: Path) -> None:
    def answer(channel: socket.socket, sequence: int, argument: bytes) -> None:
        with_a_line(channel, 0, sequence - 1, argument)
        with_a_line(channel, 0, sequence, argument)

    assert output_with(tmp_path, answer) == ["0"]


def test_a_refusal_leaves_no_line_open(tmp_path: Path) -> None:
    def answer(channel: socket.socket, sequence: int, argument: bytes) -> None:
        with_a_line(channel, 16, sequence, argument)

    assert output_with(tmp_path, answer) == ["refused", "16", "0"]


def sockets_of(pid: int) -> Iterator[socket.socket]:
    """Copies of a process's sockets."""
    libc = ctypes.CDLL(None)
    pidfd = os.pidfd_open(pid)
    for name in os.listdir(f"/proc/{pid}/fd"):
        fd = libc.syscall(438, pidfd, int(name), 0)  # pidfd_getfd(2)
        if fd >= 0 and os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
            with socket.socket(fileno=fd) as copy:
                yield copy
        elif fd >= 0:
            os.close(fd)
    os.close(pidfd)


def test_a_service_that_accepts_nobody_is_waited_for_with_a_deadline(
    tmp_path: Path, eventually: Callable[[Callable[[], bool], str], None]
) -> None:
    path = tmp_path / "control.sock"
    kind = socket.AF_UNIX, socket.SOCK_SEQPACKET
    with socket.socket(*kind) as listener, socket.socket(*kind) as first:
        listener.bind(str(path))
        listener.listen(0)
        first.connect(str(path))
        with program(path) as process:
            deadlines: list[int] = []

            def connects() -> bool:
                found = sockets_of(process.pid)
                option = socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16
                deadlines[:] = [struct.unpack("ll", one.getsockopt(*option))[0] for one in found]
                return any(deadlines)

            eventually(connects, "no socket of the program has a deadline for connect(2)")
            assert deadlines == [120]
