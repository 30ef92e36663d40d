# SPDX-License-Identifier: BSD-3-Clause
"""Boot a User-Mode Linux kernel with the host's files as root and run a test in it.

    @in_kernel("demo")
    def test_channel_is_there(guest: Guest) -> None:
        assert Path("/sys/bus/rpmsg/devices/virtio0.rpmsg-io-0.-1.1024").exists()

The body runs inside, as root, in the Python of the host; each board named is a
firmware stub on the host, attached as a virtio-rpmsg device. What the body
returns, the wrapped test returns; what it raises fails the test, with the
console.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.firmware_stub.broken.stub import Stub

ROOT = Path(__file__).resolve().parents[2]
MEMORY = "256M"
# The limit for a kernel that hangs: it lives for seconds, but the machine may have other things to
# do.
LIFE_S = 300
RPMSG = 7  # VIRTIO_ID_RPMSG

_COMPLAINT = re.compile(r"BUG:|WARNING:|Kernel panic|Oops")
# How virtio_uml takes it that a backend has died, gpiolib that a USB adapter is pulled out
# whose lines somebody watches, and gpio-virtio that remoteproc calls it outside of an interrupt.
_EXPECTED = re.compile(
    r"WARNING: .*(virtio_uml\.c:\d+ at vu_(interrupt|del_vqs)|irq/manage\.c:\d+ at free_irq"
    r"|irq/handle\.c:\d+ at __handle_irq_event_percpu)"
)

_MCONSOLE = struct.Struct("=III512s")  # mconsole_request: magic, version, length, data
_MCONSOLE_REPLY = struct.Struct("=IiI512s")  # err, more, length, data
_MCONSOLE_MAGIC = 0xCAFEBABE


class Outcome(NamedTuple):
    """A kernel's life: exit status of the process, console, and what the call left."""

    status: int
    console: str
    result: dict[str, Any] | None


def patient(command: str) -> str:
    """A stub's command, with more patience than its 5 s if it is one that waits."""
    waits = command.startswith("wait") and " timeout " not in command
    return f"{command} timeout 60s" if waits else command


class Machine:
    """One boot of the kernel.

    Args:
        linux: the kernel's executable.
        stubs: running firmware stubs, attached in this order.
        parameters: further words of the kernel's command line.
        processors: names of remote processors (rproc_uml.c): the first stubs are
            their firmware, and are attached when the processor is started.
    """

    def __init__(
        self,
        linux: Path,
        stubs: Sequence[Stub] = (),
        parameters: Sequence[str] = (),
        processors: Sequence[str] = (),
    ) -> None:
        self._linux = linux
        self.stubs = list(stubs)
        self._processors = list(processors)
        self._parameters = list(parameters)
        self._uml = Path()
        #: What the test inside may call by `Guest.host`.
        self.calls: dict[str, Callable[..., Any]] = {
            "stub": lambda index, command: self.stubs[index].command(patient(command), 70),
            "kill": lambda index: self.stubs[index].kill(),
            "start": self._start,
            "restart": self._restart,
            "attach": self.attach,
            "log": lambda index: self.stubs[index].log,
        }

    @property
    def pid(self) -> int:
        """The process that is the running kernel."""
        return int((self._uml / "pid").read_text())

    def run(
        self, inside: Callable[..., Any], arguments: Sequence[Any] = (), timeout_s: int = LIFE_S
    ) -> Outcome:
        """Boot, call a function inside and wait for the end, at most `timeout_s`.

        The function stands at the top of a file of this project; a `guest.Guest` is
        its first argument, and the others and its value must be JSON.
        """
        # By file, since pytest's names of modules are its own.
        module = ".".join(Path(inside.__code__.co_filename).relative_to(ROOT).with_suffix("").parts)
        # Short: mconsole is a unix socket below it.
        work = Path(tempfile.mkdtemp(prefix="uml-"))
        call = {"module": module, "function": inside.__name__, "arguments": list(arguments)}
        (work / "call").write_text(json.dumps(call))
        ours, theirs = socket.socketpair()
        try:
            with ours, theirs, open(work / "console", "wb") as console:
                process = subprocess.Popen(
                    self._command(work, theirs.fileno(), timeout_s),
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=console,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                    cwd=work,
                )
                theirs.close()
                threading.Thread(target=self._serve, args=(ours,), daemon=True).start()
                try:
                    self._started(process)
                    status = process.wait(timeout_s + 10)
                    status = 128 - status if status < 0 else status  # as a shell says it
                finally:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            text = (work / "console").read_text(errors="replace")
            left = work / "result"
            return Outcome(status, text, json.loads(left.read_text()) if left.exists() else None)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _command(self, work: Path, host: int, timeout_s: int) -> list[str]:
        self._uml = work / "uml"
        # On SIGTERM a kernel takes its drivers down, which can hang as the guest did.
        return [
            *("timeout", "--signal", "KILL", str(timeout_s)),
            str(self._linux),
            *(f"mem={MEMORY}", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro"),
            *("con=null", "con0=null,fd:1", "console=tty0", f"ssl0=fd:{host}", "ssl=null"),
            *(f"uml_dir={work}/", "umid=uml", f"init={ROOT}/tests/kernel/init"),
            *(f"GB_WORK={work}", f"GB_ROOT={ROOT}", f"GB_PYTHON={sys.executable}"),
            *(
                f"virtio_uml.remoteproc={name}:{stub.socket}"
                for name, stub in zip(self._processors, self.stubs, strict=False)
            ),
            *(
                f"virtio_uml.device={stub.socket}:{RPMSG}"
                for stub in self.stubs[len(self._processors) :]
            ),
            *self._parameters,
        ]

    def _started(self, process: subprocess.Popen[bytes]) -> None:
        """The kernel's process runs."""

    # ---- what the inside asks of us ---------------------------------------------

    def _serve(self, connection: socket.socket) -> None:
        """Answer the calls of the inside until it hangs up."""
        with contextlib.suppress(OSError), connection.makefile("rwb") as stream:
            for line in stream:
                stream.write(json.dumps(self._answer(line)).encode() + b"\n")
                stream.flush()

    def _answer(self, line: bytes) -> tuple[str, Any]:
        try:
            name, *arguments = json.loads(line)
            return "ok", self.calls[name](*arguments)
        except OSError as error:
            return "error", (error.errno or errno.EIO, error.strerror or str(error))
        except Exception as error:
            return "error", (errno.EINVAL, f"{type(error).__name__}: {error}")

    def _start(self, index: int) -> None:
        self.stubs[index].start()
        self.attach(index)

    def _restart(self, index: int) -> None:
        """The firmware resets; the kernel loses the device and gets it anew."""
        self.stubs[index].restart()
        self.attach(index)

    def attach(self, index: int) -> None:
        """Attach a stub to the running kernel, as a new virtio device.

        That of a remote processor is attached by its recovery or its next start.

        Raises OSError EIO with the kernel's words when it refuses.
        """
        if index < len(self._processors):
            return
        answer = self.mconsole(f"config virtio_uml.device={self.stubs[index].socket}:{RPMSG}")
        if answer:
            raise OSError(errno.EIO, f"the kernel did not attach the stub: {answer}")

    def mconsole(self, command: str) -> str:
        """Give a command to the kernel's management console; return what it says."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.settimeout(60)
            connection.bind("")  # a name to answer to
            data = command.encode()
            request = _MCONSOLE.pack(_MCONSOLE_MAGIC, 2, len(data), data)
            connection.sendto(request, str(self._uml / "mconsole"))
            text, more = b"", 1
            while more:
                reply = connection.recv(_MCONSOLE_REPLY.size)
                error, more, length, data = _MCONSOLE_REPLY.unpack(
                    reply.ljust(_MCONSOLE_REPLY.size, b"\0")
                )
                text += data[:length].rstrip(b"\0")
        return text.decode(errors="replace") if error or text else ""


def in_kernel(
    *boards: str,
    timeout_s: int = LIFE_S,
    parameters: Sequence[str] = (),
    processors: Sequence[str] = (),
    **options: Any,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a test of a function that runs inside the kernel (see the module's docstring).

    Args:
        boards: for `firmware_stub.Stub`, one each.
        timeout_s: for the kernel's whole life in seconds.
        parameters: further words of the kernel's command line.
        processors: names of remote processors, whose firmware the first boards are.
        options: of the stubs.
    """

    def decorate(inside: Callable[..., Any]) -> Callable[..., Any]:
        def test(kernel: Path) -> None:
            with contextlib.ExitStack() as stack:
                stubs = [stack.enter_context(Stub(board, **options)) for board in boards]
                machine = Machine(kernel, stubs, parameters, processors)
                check(machine.run(inside, (), timeout_s), stubs)

        functools.update_wrapper(test, inside)
        del test.__wrapped__  # type: ignore[attr-defined] # pytest would ask it for its arguments
        test.inside = inside  # type: ignore[attr-defined]
        return test

    return decorate


def check(outcome: Outcome, stubs: Sequence[Stub] = ()) -> Any:
    """Return what the inside returned, or fail with all that is known.

    A kernel that complains fails too, whatever the test inside says.
    """
    result = outcome.result
    told = _told(outcome, stubs)
    if result is None:
        raise AssertionError(f"the kernel ended with status {outcome.status}, no result{told}")
    if "skipped" in result:
        pytest.skip(result["skipped"])
    if "failed" in result:
        raise AssertionError(f"{result['failed']}{told}")
    _check_console(outcome, told)
    assert outcome.status == 0, f"the kernel ended with status {outcome.status}{told}"
    print(told, result["value"] or "", sep="\n")  # pytest -rP shows it
    return result["value"]


def check_killed(outcome: Outcome, stubs: Sequence[Stub] = ()) -> None:
    """As `check`, for a kernel that was killed before the inside came to its end."""
    told = _told(outcome, stubs)
    if outcome.result is not None:
        raise AssertionError(f"{outcome.result.get('failed', 'it was not killed')}{told}")
    _check_console(outcome, told)


def _told(outcome: Outcome, stubs: Sequence[Stub]) -> str:
    told = f"\n---- console ----\n{outcome.console[-12000:]}"
    return told + "".join(f"\n---- firmware ----\n{stub.log[-4000:]}" for stub in stubs)


def _check_console(outcome: Outcome, told: str) -> None:
    for line in outcome.console.splitlines():
        complained = _COMPLAINT.search(line) and not _EXPECTED.search(line)
        assert not complained, f"the kernel complained: {line}{told}"
