# SPDX-License-Identifier: BSD-3-Clause
"""A lab on loopback: labgrid's coordinator, exporters and client, sshd, services and stubs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

from bridge import Chip
from bridge.bench.rig import Serve
from firmware_stub import Stub
from tests import labs
from tests.integrations.programs import LATE, Program, free_port

LINES = ("LED_GREEN", "LED_RED", "LED_BLUE", "RELAY", "BUTTON_USER")


class Sshd:
    """An sshd on loopback, and an `ssh` on a path of its own that knows it by any name.

    The host "east" is reached over a connection that is there already, as users of labs set
    up ssh; each other one by new connections.
    """

    def __init__(self, directory: Path) -> None:
        self.bin = directory / "bin"
        self.bin.mkdir()
        self._port = free_port()
        for name in ("host", "user"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True
            )
        shutil.copy(directory / "user.pub", directory / "authorized")
        (directory / "sshd_config").write_text(
            f"Port {self._port}\nListenAddress 127.0.0.1\nHostKey {directory}/host\n"
            f"PidFile none\nUsePAM no\nStrictModes no\nMaxStartups 100\nMaxSessions 100\n"
            f"AuthorizedKeysFile {directory}/authorized\n"
        )
        (directory / "ssh_config").write_text(
            f"Host east\nControlPath {directory}/east\n"
            f"Host *\nHostName 127.0.0.1\nPort {self._port}\nIdentityFile {directory}/user\n"
            f"IdentitiesOnly yes\nUserKnownHostsFile /dev/null\nStrictHostKeyChecking no\n"
            f"LogLevel ERROR\n"
        )
        (self.bin / "ssh").write_text(
            f'#!/bin/sh\nexec {shutil.which("ssh")} -F {directory}/ssh_config "$@"\n'
        )
        (self.bin / "ssh").chmod(0o755)
        with contextlib.suppress(OSError):  # as Debian's unit makes it, for root
            Path("/run/sshd").mkdir()
        sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
        assert sshd is not None
        self._program = Program(
            [sshd, "-D", "-e", "-f", f"{directory}/sshd_config"],
            "Server listening", directory, dict(os.environ),
        )  # fmt: skip
        self._program.ready()
        self._shared = Program(
            [str(self.bin / "ssh"), "-MN", "-oPermitLocalCommand=yes",
             "-oLocalCommand=echo connected", "east"],
            "connected", directory, dict(os.environ),
        )  # fmt: skip
        self._shared.ready()

    def stop(self) -> None:
        self._shared.stop()
        self._program.stop()


# labgrid's client takes seconds to load: each run of it is a fork of a process that has.
# Each connection is a fork, too, and has one run after the other.
_FORKS = """
import json, os, signal, socket, sys, traceback
import labgrid.driver, labgrid.remote.client, labgrid.resource, labgrid.strategy
import bridge.integrations.labgrid
server = socket.socket(fileno=0)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    connection, _ = server.accept()
    if not os.fork():
        break
    connection.close()
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
stream = connection.makefile("rw")
for line in stream:
    asked = json.loads(line)
    child = os.fork()
    if not child:
        status = 1
        try:
            for fd in (1, 2):
                os.dup2(os.open(asked["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), fd)
            os.environ.update(asked["environment"])
            sys.stdout = os.fdopen(1, "w", buffering=1)
            if "code" in asked:
                exec(asked["code"], {"__name__": "__main__"})
            else:
                sys.argv = ["labgrid-client", *asked["arguments"]]
                labgrid.remote.client.main()
            status = 0
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    print(child, file=stream, flush=True)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), file=stream, flush=True)
"""


class Clients:
    """The process that loads labgrid's client once for all of them."""

    def __init__(self, lab: Lab) -> None:
        """Begin to load it."""
        self.path = str(lab.directory / "clients")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(self.path)
            server.listen()
            self._process = subprocess.Popen(
                [sys.executable, "-c", _FORKS], cwd=lab.directory, env=lab.environment, stdin=server
            )
        lab.stack.callback(self._stop)

    def _stop(self) -> None:
        self._process.kill()
        self._process.wait()


class Client:
    """Runs labgrid's client, or programs with it, one after the other."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._output = lab.directory / f"client-{id(self)}"
        connection = lab.stack.enter_context(socket.socket(socket.AF_UNIX))
        connection.connect(lab.clients.path)
        self._stream = lab.stack.enter_context(connection.makefile("rw"))

    def begin(self, user: str, **asked: object) -> int:
        """Start a run; return its process id."""
        self._output.write_text("")
        environment = {"LG_USERNAME": user}
        asked = {"output": str(self._output), "environment": environment, **asked}
        self._stream.write(json.dumps(asked) + "\n")
        self._stream.flush()
        return int(self._stream.readline())

    def end(self) -> tuple[int, str]:
        """Wait for the end of the run: its status, and what it said."""
        return int(self._stream.readline()), self._output.read_text()

    def says(self, line: str) -> None:
        """Wait until the run says a line."""
        deadline = time.monotonic() + LATE
        while line not in self._output.read_text().splitlines():
            assert time.monotonic() < deadline, self._output.read_text()
            time.sleep(0.01)

    def arguments(self, place: str, *arguments: str) -> list[str]:
        config = ["-c", str(self._lab.environment_file(place))] if arguments[0] == "io" else []
        return [*config, "-p", place, *arguments]

    def run(self, place: str, *arguments: str, user: str = "") -> tuple[int, str]:
        """Run labgrid's client on a place."""
        self.begin(user or "me", arguments=self.arguments(place, *arguments))
        return self.end()

    def program(self, place: str, code: str, user: str = "me") -> int:
        """Start a program that has the place's target as `target`; return its process id."""
        file = str(self._lab.environment_file(place))
        head = (
            "import sys, time\nfrom labgrid import Environment\n"
            f"target = Environment({file!r}).get_target('main')\n"
        )
        return self.begin(user, code=head + textwrap.dedent(code))

    def __call__(self, place: str, *arguments: str, user: str = "") -> str:
        """Run labgrid's client to its end, which must be a good one."""
        status, said = self.run(place, *arguments, user=user)
        assert status == 0, f"{arguments}: {said}"
        return said


class Host:
    """An exporter's host: boards, a service on them, the keeper, labgrid's exporter."""

    def __init__(self, lab: Lab, name: str, boards: int) -> None:
        directory = lab.directory / name
        directory.mkdir()
        self.name = name
        self.stubs = [
            lab.stack.enter_context(Stub("demo", socket=directory / f"b{number}.sock"))
            for number in range(boards)
        ]
        links = [
            word
            for number, stub in enumerate(self.stubs)
            for word in ("--link", f"{stub.url},name=b{number}")
        ]
        self.serve = lab.stack.enter_context(Serve(directory, *links, "--timeout-ms", "10000"))
        self.serve.wait_for_chips(2 * boards)
        self.keeper_socket = directory / "keeper.sock"
        self._lab = lab
        environment = {**lab.environment, "GPIO_BRIDGE_SOCKET": self.serve.socket}
        self.keeper = lab.program(
            "-m", "bridge.integrations.labgrid.keeper", "-c", lab.coordinator_at,
            "--socket", str(self.keeper_socket), "--patience", str(lab.patience),
            ready=r"has \d+ places", environment=environment,
        )  # fmt: skip
        lines = [
            f"  {line}:\n    cls: NetworkGPIOBridgeLine\n    host: {name}\n"
            f"    chip: b{number}-0\n    line: {line}\n    active_low: {active_low}\n"
            f"    fallback: {lab.fallback.get(line, 'release')}\n"
            f"    until: {lab.until.get(line, 'place')}\n"
            f"    socket: {self.keeper_socket}\n"
            for number in range(boards)
            for line in LINES
            for active_low in ("true" if line == "BUTTON_USER" else "false",)
        ]
        text = "".join(
            f"b{number}:\n" + "".join(lines[number * len(LINES) : (number + 1) * len(LINES)])
            for number in range(boards)
        )
        (directory / "exporter.yaml").write_text(text)
        self.exporter = lab.program(
            "-m", "labgrid.remote.exporter", "-c", lab.coordinator_at, "-n", name,
            "--hostname", name, str(directory / "exporter.yaml"), ready="creating poll task",
        )  # fmt: skip

    def ready(self) -> None:
        """Wait until all of it is."""
        self.keeper.ready()
        self.exporter.ready()

    def used(self) -> dict[str, str]:
        """Who has which line, of all boards."""
        found = {}
        for number in range(len(self.stubs)):
            with Chip(f"{self.serve.socket}#b{number}-0") as chip:
                found.update(
                    {
                        f"b{number}/{i.name}": str(i.consumer)
                        for i in chip.get_all_line_info()
                        if i.used
                    }
                )
        return found


class Lab:
    """All of it, as a context manager."""

    def __init__(
        self,
        hosts: dict[str, int],
        patience: float = 300,
        fallback: dict[str, str] | None = None,
        until: dict[str, str] | None = None,
        places: str = "",
    ) -> None:
        """Say how many boards are at which host.

        `places` is what the coordinator finds in its places.yaml.
        """
        self._places = places
        for program in ("ssh", "rsync"):
            if not shutil.which(program):
                labs.lacks(f"{program} is not installed (make deps)")
        if not shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin"):
            labs.lacks("sshd is not installed (make deps)")
        self._packages = labs.need("labgrid")
        self._hosts = hosts
        self.patience = patience
        self.fallback = fallback or {}
        self.until = until or {}

    def __enter__(self) -> Lab:
        with contextlib.ExitStack() as stack:
            self.stack = stack
            self.directory = Path(tempfile.mkdtemp(prefix="lab-"))
            self.stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
            (self.directory / "sshd").mkdir()
            self._sshd = Sshd(self.directory / "sshd")
            self.stack.callback(self._sshd.stop)
            self.coordinator_at = f"127.0.0.1:{free_port()}"
            self.environment = {
                **self._packages,
                "LG_COORDINATOR": self.coordinator_at,
                "LG_AGENT_PREFIX": str(self.directory),
                "PATH": f"{self._sshd.bin}:{os.environ['PATH']}",
                "LG_HOSTNAME": "here",
            }
            (self.directory / "places.yaml").write_text(self._places or "{}\n")
            self.clients = Clients(self)
            self.client = Client(self)
            self.coordinator = self.program(
                "-m", "labgrid.remote.coordinator", "-l", self.coordinator_at,
                ready="Coordinator ready",
            )  # fmt: skip
            self.coordinator.ready()
            self.hosts = {name: Host(self, name, boards) for name, boards in self._hosts.items()}
            for host in self.hosts.values():
                host.ready()
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def program(
        self, *arguments: str, ready: str, environment: dict[str, str] | None = None
    ) -> Program:
        """Start a Python program that is stopped with the lab."""
        program = Program(
            [sys.executable, *arguments], ready, self.directory, environment or self.environment
        )
        self.stack.callback(program.stop)
        return program

    def environment_file(self, place: str) -> Path:
        """labgrid's description of a target that is a place, with a driver for each line."""
        # A place of one line is called after it.
        lines = [line for line in LINES if place.endswith(f"-{line}")] or LINES[:4]
        drivers = "".join(
            f"    - GPIOBridgeOutputDriver: {{name: {line}, bindings: {{line: {line}}}}}\n"
            for line in lines
        )
        file = self.directory / f"{place}.yaml"
        file.write_text(
            f"targets:\n  main:\n    resources:\n      RemotePlace: {{name: {place}}}\n"
            f"    drivers:\n{drivers}"
            + (
                "    - GPIOBridgeInputDriver: {name: button, bindings: {line: BUTTON_USER}}\n"
                if len(lines) > 1
                else ""
            )
            + "imports: [bridge.integrations.labgrid]\n"
        )
        return file


@contextlib.contextmanager
def acquired(lab: Lab, place: str) -> Iterator[None]:
    """Have a place for a while."""
    lab.client(place, "acquire")
    yield
    lab.client(place, "release")


def check_no_line_is_held(host: Host) -> None:
    """Wait until nobody has a line."""
    deadline = time.monotonic() + LATE
    while host.used():
        assert time.monotonic() < deadline, f"{host.name}: {host.used()}\n{host.keeper.log}"
        time.sleep(0.02)
