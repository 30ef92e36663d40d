# SPDX-License-Identifier: BSD-3-Clause
"""Inside the kernel: our system files installed, the real sysusers and udevd run."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .guest import Guest

INSTALLED = Path("/run/installed")
LIBRARY = INSTALLED / "usr/lib"


def run(*command: str | Path) -> str:
    """Run a program; what it prints. A failure shows what it said."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def writable(*folders: str) -> None:
    """Let folders of the read-only host be written to, in memory."""
    for folder in folders:
        place = Path("/run/overlay") / folder.strip("/").replace("/", "-")
        for part in ("upper", "work"):
            (place / part).mkdir(parents=True)
        layers = f"lowerdir={folder},upperdir={place}/upper,workdir={place}/work"
        run("mount", "-t", "overlay", "-o", layers, "overlay", folder)


def install() -> None:
    """``make install-system`` into /run/installed, and the users and groups it asks for."""
    writable("/etc")
    run("make", "-s", "install-system", f"DESTDIR={INSTALLED}")
    run("systemd-sysusers", LIBRARY / "sysusers.d/rpmsg-gpio-bridge.conf")
    run("systemd-tmpfiles", "--create", LIBRARY / "tmpfiles.d/rpmsg-gpio-bridge.conf")


def install_rules() -> None:
    """Our rules where udevd finds them beside the system's."""
    rules = Path("/run/udev/rules.d")
    rules.mkdir(parents=True)
    for rule in (LIBRARY / "udev/rules.d").iterdir():
        (rules / rule.name).write_text(rule.read_text())


@contextlib.contextmanager
def udevd(*, rules: bool = True) -> Iterator[None]:
    """A udevd, with our rules or without; it has seen every device by then."""
    if rules:
        install_rules()
    daemon = subprocess.Popen(["/lib/systemd/systemd-udevd"])
    try:
        Guest.until(lambda: os.path.exists("/run/udev/control"), "udevd to listen")
        run("udevadm", "control", "--ping", "--timeout=60")
        run("udevadm", "trigger", "--action=add")
        settle()
        yield
    finally:
        daemon.terminate()
        daemon.wait(60)


def settle() -> None:
    """Wait until udevd has handled every event."""
    run("udevadm", "settle", "--timeout=60")


def properties(node: str | Path) -> dict[str, str]:
    """What udev's database says of a device node."""
    lines = run("udevadm", "info", "--query=property", f"--name={node}").splitlines()
    return dict(line.split("=", 1) for line in lines)


def owner(node: str | Path) -> tuple[str, str, str]:
    """User, group and permission bits of a node."""
    import grp
    import pwd

    status = os.stat(node)
    mode = f"{status.st_mode & 0o7777:04o}"
    return pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid).gr_name, mode


# ---- systemd -----------------------------------------------------------------------

UNITS = Path("/run/units")
TARGET = """
[Unit]
Description=What a test needs
Requires=systemd-udevd.service
Wants=systemd-udev-trigger.service
"""
# systemd's own preparations: cgroups, and folders that it may write to.
START = """
mount -t cgroup2 cgroup /sys/fs/cgroup
mkdir -p /run/var/upper /run/var/work
mount -t overlay -o lowerdir=/var,upperdir=/run/var/upper,workdir=/run/var/work overlay /var
mount -t tmpfs -o mode=1777 tmp /tmp
exec /lib/systemd/systemd --system --unit=test.target --show-status=no --log-target=console
"""


class Systemd:
    """A systemd as process 1 of a namespace, with our units; udev starts them or not.

    Args:
        guest: to wait with.
    """

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        UNITS.mkdir()
        (UNITS / "test.target").write_text(TARGET)
        install_rules()
        self._install_units()

    def _install_units(self) -> None:
        """As installed, but for the program: it may be where the sandbox hides it."""
        Path("/run/python").mkdir()
        run("mount", "--bind", sys.base_prefix, "/run/python")
        program = f"/run/python/bin/{os.path.basename(os.path.realpath(sys.executable))}"
        folders = []
        for entry in sys.path:
            if os.path.isdir(entry) and not entry.startswith((sys.base_prefix, "/usr/")):
                folders.append(f"/run/path/{len(folders)}")
                os.makedirs(folders[-1])
                run("mount", "--bind", entry, folders[-1])
        for unit in (LIBRARY / "systemd/system").iterdir():
            text = unit.read_text()
            if unit.suffix == ".socket":
                (UNITS / unit.name).write_text(text)
                continue
            text = text.replace("ExecStart=gpio-bridge ", f"ExecStart={program} -m bridge.cli ")
            text = text.replace("ExecStart=python3 ", f"ExecStart={program} ")
            assert f"ExecStart={program} -m bridge." in text
            (UNITS / unit.name).write_text(text)
            self.drop_in(
                unit.name,
                f"Environment=PYTHONPATH={':'.join(folders)}",
                "StandardError=append:/run/serve.log",
            )

    @staticmethod
    def drop_in(unit: str, *lines: str) -> None:
        """Further settings of a service."""
        folder = UNITS / f"{unit}.d"
        folder.mkdir(exist_ok=True)
        (folder / f"{len(list(folder.iterdir()))}.conf").write_text(
            "\n".join(("[Service]", *lines, ""))
        )

    def __enter__(self) -> Systemd:
        """Start it, and wait until it has its devices."""
        self._process = subprocess.Popen(
            [
                *("unshare", "--pid", "--fork", "--mount", "--mount-proc"),
                *("sh", "-e", "-c", START),
            ],
            cwd="/",
            stdin=subprocess.DEVNULL,
            env={
                **os.environ,
                "container": "test",
                # The folder that systemctl writes to comes first.
                "SYSTEMD_UNIT_PATH": f"/run/systemd/system:{UNITS}:/lib/systemd/system",
            },
        )
        self._guest.until(lambda: self.active("test.target"), "systemd to be up", 60)
        return self

    def __exit__(self, *error: object) -> None:
        """Show what the service said; the end of the kernel is its end."""
        print(self.log, flush=True)

    @property
    def log(self) -> str:
        """What the services wrote."""
        log = Path("/run/serve.log")
        return log.read_text() if log.exists() else ""

    def control(self, *arguments: str) -> str:
        """What systemctl prints."""
        command = ["systemctl", "--no-pager", *arguments]
        return subprocess.run(
            ["nsenter", f"--target={self._pid()}", "--pid", "--mount", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        ).stdout.strip()

    def _pid(self) -> int:
        """Of process 1 inside, the only child of unshare."""
        children = f"/proc/{self._process.pid}/task/{self._process.pid}/children"
        with contextlib.suppress(OSError, IndexError):
            return int(Path(children).read_text().split()[0])

        def found() -> list[str]:
            ps = ("ps", "-o", "pid=", "--ppid", str(self._process.pid))
            return subprocess.run(ps, stdout=subprocess.PIPE, text=True).stdout.split()

        # It may not have forked yet.
        return int(self._guest.until(found, "process 1 of systemd")[0])

    def active(self, unit: str) -> bool:
        """Whether a unit is."""
        return self.control("is-active", unit) == "active"

    def show(self, unit: str, what: str) -> str:
        """A property of a unit."""
        return self.control("show", "--value", f"--property={what}", unit)
