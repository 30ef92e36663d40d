# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge run: programs that know /dev/gpiochipN, on the lines of the service."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import bridge
from bridge.cli.elf import Program, read_program
from bridge.cli.options import Command, Option, UsageError
from bridge.client.control import Connection
from bridge.control_protocol import SOCKET_VARIABLE, default_socket

LIBRARY = Path(bridge.__file__).parent / "preload" / "libgpio-cdev.so"
"""What the program is started with; bridge/preload is its source."""

# These repeat bridge/preload/preload.h.
_CHIPS_MAX = 64
_NAME_MAX = 63
_SOCKET_MAX = 107
# Seconds until the service knows all chips of its links.
_SETTLED_S = 5.0


class Place(NamedTuple):
    """Where the chips are.

    Attributes:
        socket: of the service.
        stub: of the firmware stub's socket, None without --stub.
    """

    socket: str
    stub: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What tells a program where it is."""
        told = {SOCKET_VARIABLE: os.path.abspath(self.socket)}
        if self.stub is not None:
            told["FIRMWARE_STUB_SOCKET"] = self.stub
        return told


COMMAND = Command(
    "run",
    "PROGRAM ARGS...",
    "Run a program that knows nothing of the service on its lines.",
    """
gpio-bridge run -- gpiomon -c m4-0 BUTTON
gpio-bridge run --stub demo -- gpiodetect
gpio-bridge run --link rpmsg: -- python my_test.py
gpio-bridge run --stub demo --shell

It finds the chips as /dev/gpiochipN, with numbers above those of this Linux, and under
their own names (/dev/m4-0). No root and no kernel module is needed; nobody else sees
them. The chips are those that are there when it starts. Exit status and signals are the
program's.

A library is loaded into the program for this (LD_PRELOAD). Programs that are linked
statically or made by Go get a seccomp filter instead, and a supervisor in this process.
""",
    [
        Option(
            "-c --chip CHIP",
            "Only this chip; may be repeated, the order is that of the numbers.",
            repeated=True,
        ),
        Option("--stub BOARD", "Start firmware on this simulated board for the time of the run."),
        Option(
            "--link URL",
            "Start a service on this link for the time of the run; may be repeated.",
            repeated=True,
        ),
        Option("-s --socket PATH", "Control socket of the service."),
        Option("--seccomp", "Use a seccomp supervisor, as for programs that load no library."),
        Option(
            "--gpiod",
            "Only give Python programs a module gpiod that has the chips; load nothing else.",
        ),
        Option("--shell", "Run $SHELL, in which everything is run so."),
    ],
)


def main(arguments: list[str]) -> int:
    """Become the program; return the exit status of one that is supervised."""
    options, program = COMMAND.parse(arguments)
    if options.shell == bool(program):
        raise UsageError("say what to run: PROGRAM ARGS..., or --shell")
    where = (options.stub is not None, bool(options.link), options.socket is not None)
    if where.count(True) > 1:
        raise UsageError("only one of --stub, --link and --socket says where the chips are")
    if options.gpiod and options.seccomp:
        raise UsageError("--gpiod needs no supervisor: leave --seccomp out")
    command = [_shell()] if options.shell else program
    found = read_program(command[0])
    supervised = not options.gpiod and _is_supervised(found, options.seccomp)
    if options.stub is not None:
        place = _in_background(lambda: _stub(options.stub))
    elif options.link:
        place = _in_background(lambda: _service(options.link))
    else:
        place = Place(options.socket or default_socket())
    names = _names(place, options.chip)
    if options.gpiod:
        os.execve(found.path, command, _environment_of_python(place, names))
    environment = _environment(place, names)
    if supervised:
        from bridge.cli.supervised import run_supervised

        return run_supervised(LIBRARY, found.path, command, environment)
    before = os.environ.get("LD_PRELOAD")
    environment["LD_PRELOAD"] = f"{LIBRARY}:{before}" if before else str(LIBRARY)
    os.execve(found.path, command, {**os.environ, **environment})


def _shell() -> str:
    import pwd

    return os.environ.get("SHELL") or pwd.getpwuid(os.getuid()).pw_shell or "/bin/sh"


def _is_supervised(program: Program, wanted: bool) -> bool:
    """Whether a library would not do. Raises OSError where a supervisor would not either."""
    library = read_program(str(LIBRARY))
    why = program.why_not_at_all(library)
    if why:
        raise OSError(errno.ENOEXEC, f"{program.path} {why}")
    return wanted or program.loads_nothing


# ---- chips ------------------------------------------------------------------------


def _names(place: Place, wanted: Sequence[str]) -> list[str]:
    """The chips of the run, in the order of their numbers. Raises OSError."""
    connection = Connection.open(place.socket)
    try:
        if not wanted:
            with contextlib.suppress(TimeoutError):  # the chips that there are by then
                connection.wait(_SETTLED_S, settled=True)
        there = [chip["name"] for chip in connection.chips()]
    finally:
        connection.close()
    for name in wanted:
        if name not in there:
            raise OSError(
                errno.ENOENT,
                f'there is no chip "{name}"; chips online: {", ".join(there) or "none"}',
            )
    names = list(dict.fromkeys(wanted)) or there
    if not names:
        raise OSError(errno.ENODEV, "no chip is online (gpio-bridge status says why)")
    if len(names) > _CHIPS_MAX:
        raise OSError(errno.E2BIG, f"a run has up to {_CHIPS_MAX} chips; choose some with --chip")
    for name in names:
        if len(name) > _NAME_MAX:
            raise OSError(errno.ENAMETOOLONG, f'chip "{name}": its name is too long for a run')
    return names


def first_number(dev: Path = Path("/dev"), sysfs: Path = Path("/sys/bus/gpio/devices")) -> int:
    """The number of the first chip of a run: above all that this Linux has."""
    taken = [-1]
    for folder in (dev, sysfs):
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):
                match = re.fullmatch(r"gpiochip([0-9]{1,6})", name)
                taken += [int(match[1])] if match else []
    return max(taken) + 1


def _environment(place: Place, names: Sequence[str]) -> dict[str, str]:
    socket = os.path.abspath(place.socket)
    if len(os.fsencode(socket)) > _SOCKET_MAX:
        raise OSError(errno.ENAMETOOLONG, f"the path of the service's socket is too long: {socket}")
    if re.search(r"[\s:]", str(LIBRARY)):
        raise OSError(
            errno.EINVAL,
            f"LD_PRELOAD cannot name {LIBRARY}, whose path has a blank or a colon; install the "
            "package elsewhere",
        )
    first = first_number()
    return {
        "GPIO_BRIDGE_RUN": socket,
        "GPIO_BRIDGE_RUN_CHIPS": ",".join(f"{first + at}:{name}" for at, name in enumerate(names)),
        **place.environment,
    }


def _environment_of_python(place: Place, names: Sequence[str]) -> dict[str, str]:
    """That of a program whose module gpiod leads to the chips, under the same paths."""
    from bridge import as_gpiod

    first = first_number()
    chips = {f"/dev/gpiochip{first + at}": name for at, name in enumerate(names)}
    chips |= {f"/dev/{name}": name for name in names}
    return as_gpiod.environment(chips, {**os.environ, **place.environment})


# ---- firmware and service for the time of the run -----------------------------------


@contextlib.contextmanager
def _stub(board: str) -> Iterator[Place]:
    from bridge.bench.rig import Rig

    with Rig(board=board) as rig:
        yield Place(rig.serve.socket, str(rig.stub.socket))


@contextlib.contextmanager
def _service(links: Sequence[str]) -> Iterator[Place]:
    import shutil
    import tempfile

    from bridge.bench.rig import Serve

    directory = Path(tempfile.mkdtemp(prefix="gpio-bridge-run-"))
    try:
        arguments = [word for link in links for word in ("--link", link)]
        with Serve(directory, *arguments) as serve:
            yield Place(serve.socket)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _in_background(start: Callable[[], contextlib.AbstractContextManager[Place]]) -> Place:
    """Keep something up until this process ends, whatever program it has become by then.

    The keeper is a process that is no child of this one: the program that we become must not meet a
    child that it does not know, and Ctrl-C is its own affair.

    Raises:
        OSError: it could not be started.
    """
    ours, theirs = os.pipe()
    watched = os.getpid()
    child = os.fork()
    if not child:
        os.close(ours)
        if os.fork():
            os._exit(0)
        _keep(start, theirs, watched)
    os.close(theirs)
    os.waitpid(child, 0)
    with open(ours, encoding="utf-8", errors="surrogateescape") as answer:
        words = answer.read().split("\0")
    if words[0] == "ready":
        return Place(words[1], words[2] or None)
    number, sentence = [*words, "", ""][1:3]
    raise OSError(int(number or errno.ECHILD), sentence or "it did not start")


def _keep(
    start: Callable[[], contextlib.AbstractContextManager[Place]], answer: int, watched: int
) -> None:
    """Run as the keeper; never return."""
    import select
    import signal

    # `pkill -f PROGRAM` finds this process, too, which would leave service and firmware behind.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        os.set_inheritable(answer, False)
        end = os.pidfd_open(watched)
        with start() as place:
            _tell(answer, "ready", place.socket, place.stub or "")
            select.select([end], [], [])
    except OSError as error:
        _tell(answer, "failed", str(error.errno or errno.EIO), error.strerror or str(error))
    except ValueError as error:
        _tell(answer, "failed", str(errno.EINVAL), str(error))
    finally:
        os._exit(0)


def _tell(answer: int, *words: str) -> None:
    with contextlib.suppress(OSError):  # reported already
        os.write(answer, "\0".join(words).encode(errors="surrogateescape"))
        os.close(answer)
