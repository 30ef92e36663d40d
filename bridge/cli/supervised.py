# SPDX-License-Identifier: BSD-3-Clause
"""Programs that load no library, for gpio-bridge run: by a seccomp supervisor.

The program is a child then; its exit status and its signals are passed on.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import socket
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

# What is passed on to the program. Those of a terminal reach it by themselves.
_SIGNALS = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
    signal.SIGTSTP,
    signal.SIGWINCH,
)


def run_supervised(
    library: Path, path: str, command: Sequence[str], environment: Mapping[str, str]
) -> int:
    """Run a program to its end; its exit status. Dies of the signal that it died of.

    Args:
        library: whose filter and supervisor are used (bridge/preload/supervise.c).
        path: of the program.
        command: its arguments, its name first.
        environment: of the program and of the supervisor.

    Raises:
        OSError: the kernel has no such filter (ENOSYS, EINVAL), or the program cannot be
            run.
    """
    os.environ.update(environment)  # the library reads it when it is loaded
    supervisor = ctypes.CDLL(str(library))
    ours, theirs = socket.socketpair()
    signal.pthread_sigmask(signal.SIG_BLOCK, (*_SIGNALS, signal.SIGCHLD))
    child = os.fork()
    if not child:
        ours.close()
        _become(supervisor, theirs, path, command)
    theirs.close()
    answer, fds, _, _ = socket.recv_fds(ours, 64, 1)
    if not fds:
        os.waitpid(child, 0)
        number = int(answer or errno.ECHILD)
        raise OSError(number, f"seccomp filters with a supervisor: {os.strerror(number)}")
    end = os.pidfd_open(child)
    thread = threading.Thread(
        target=supervisor.gpio_bridge_supervise, args=(fds[0], end), daemon=True
    )
    thread.start()
    failed = ours.recv(64)  # closed by execve(2), or why there is none
    status = _wait(child)
    if failed:
        raise OSError(int(failed), f"{path}: {os.strerror(int(failed))}")
    return _end_as(status)


def _become(
    supervisor: ctypes.CDLL, answer: socket.socket, path: str, command: Sequence[str]
) -> None:
    """Be the program; never return."""
    try:
        listener = supervisor.gpio_bridge_trap()
        if listener < 0:
            answer.send(str(-listener).encode())
            os._exit(127)
        socket.send_fds(answer, [b"0"], [listener])
        os.close(listener)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*_SIGNALS, signal.SIGCHLD))
        os.execve(path, list(command), os.environ)
    except OSError as error:
        answer.send(str(error.errno or errno.EIO).encode())
    finally:
        os._exit(127)


def _wait(child: int) -> int:
    """Pass signals on until the program has ended; its wait status."""
    while True:
        info = signal.sigwaitinfo((*_SIGNALS, signal.SIGCHLD))
        if info.si_signo != signal.SIGCHLD:
            if info.si_code <= 0:  # of a process, not of the terminal
                os.kill(child, info.si_signo)
            continue
        pid, status = os.waitpid(child, os.WNOHANG | os.WUNTRACED)
        if pid and os.WIFSTOPPED(status):
            os.kill(os.getpid(), signal.SIGSTOP)
            os.kill(child, signal.SIGCONT)
        elif pid:
            return status


def _end_as(status: int) -> int:
    if not os.WIFSIGNALED(status):
        return os.WEXITSTATUS(status)
    number = os.WTERMSIG(status)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the program's own is enough
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)
    return 128 + number
