# SPDX-License-Identifier: BSD-3-Clause
"""The file of a listening unix socket: made with its mode and group, or said why not."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import os
import socket
import stat
import time
from collections.abc import Iterator

# Clients beyond this wait in connect(2), where those who flood us wait, too. A longer queue would
# be full of theirs, and everybody else would stand behind it.
_BACKLOG = 256
# Another service is in bind() for a moment only; anybody else who locks the directory keeps nobody
# from starting.
_TURN_S = 1.0


def bind(path: str, mode: int, group: str | None, uid: int | None = None) -> socket.socket:
    """Create a listening SOCK_SEQPACKET socket that does not block.

    Args:
        path: of the socket; its directory must exist. A socket there that nobody
            listens on is replaced.
        mode: permission bits.
        group: who owns it, None leaves that as it is.
        uid: user id whose it is, None is ours.

    Raises:
        OSError: with a sentence: EADDRINUSE another service listens there,
            EEXIST something else is there, ENOENT, EACCES, EPERM...
    """
    with _turn(os.path.dirname(path)):
        _make_room(path)
        return _listen(path, mode, group, uid)


@contextlib.contextmanager
def _turn(directory: str) -> Iterator[None]:
    """One service at a time: a socket that does not listen yet looks like one left behind."""
    fd = -1
    with contextlib.suppress(OSError):  # bind(2) says what is wrong, if anything is
        fd = os.open(directory or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        _lock(fd)
    try:
        yield
    finally:
        if fd >= 0:
            os.close(fd)


def _lock(fd: int) -> None:
    deadline = time.monotonic() + _TURN_S
    while time.monotonic() < deadline:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(0.01)


def _listen(path: str, mode: int, group: str | None, uid: int | None) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    try:
        _bind(sock, path)
        try:
            _own(path, mode, group, uid)
            sock.listen(_BACKLOG)
        except OSError:
            os.unlink(path)
            raise
    except BaseException:
        sock.close()
        raise
    return sock


def _bind(sock: socket.socket, path: str) -> None:
    # Nobody may connect before the file has its mode and group. It gets its mode from the socket,
    # without the umask, which all threads share.
    os.fchmod(sock.fileno(), 0o600)
    try:
        sock.bind(path)
    except FileNotFoundError:
        parent = os.path.dirname(path)
        raise OSError(
            errno.ENOENT,
            f"{path}: the directory {parent} does not exist; create it, or say another --socket",
        ) from None
    except OSError as error:
        number = error.errno or errno.ENAMETOOLONG
        why = f"cannot be created: {error.strerror or error}; say another --socket"
        raise OSError(number, f"{path}: {why}") from None


def _own(path: str, mode: int, group: str | None, uid: int | None) -> None:
    """Give the file its owners and mode, by a descriptor: others may swap it in /tmp."""
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid():
            raise OSError(errno.EPERM, f"{path}: somebody has put something else there meanwhile")
        file = f"/proc/self/fd/{fd}"  # fchown(2) and fchmod(2) take no O_PATH
        if group is not None:
            _give_group(file, path, group)
        if uid is not None:
            _give(file, path, (uid, -1), f"user id {uid}")
        os.chmod(file, mode)
    finally:
        os.close(fd)


def _give_group(file: str, path: str, group: str) -> None:
    try:
        gid = grp.getgrnam(group).gr_gid
    except KeyError:
        raise OSError(errno.EINVAL, f'there is no group "{group}" to own {path}') from None
    _give(file, path, (-1, gid), f"group {group}")


def _give(file: str, path: str, owners: tuple[int, int], whom: str) -> None:
    try:
        os.chown(file, *owners)
    except OSError as error:
        raise OSError(error.errno, f"{path}: cannot be given to {whom}: {error.strerror}") from None


def _make_room(path: str) -> None:
    """Remove a socket that nobody listens on; anything else in the way is an error."""
    try:
        kind = os.lstat(path).st_mode
    except OSError:
        return  # bind(2) says what is wrong, if anything is
    if not stat.S_ISSOCK(kind):
        raise OSError(errno.EEXIST, f"{path}: something that is no socket is in the way")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EPROTOTYPE):
                why = f"a socket is in the way: {error.strerror}; say another --socket"
                raise OSError(error.errno, f"{path}: {why}") from None
    raise OSError(
        errno.EADDRINUSE,
        f"{path}: another process listens there; stop it, or say another --socket",
    )
