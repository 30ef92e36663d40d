# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge system: what the system needs around the program."""

from __future__ import annotations

import errno
import os
import subprocess
import sysconfig
from collections.abc import Iterable

import click

from bridge.cli.output import print_json
from bridge.system.installation import Installation, Step, package, program
from bridge.system.places import HELP, KINDS, SystemFile, help_files, system_files

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_ROOT = click.option(
    "--root",
    metavar="DIR",
    default="/",
    help="Root directory of another system, such as an image; nothing of it is run.",
)
_DRY = click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
_FORCE = click.option(
    "--force", is_flag=True, help="Also overwrite or remove what others put there or changed."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
# Folders that the sandbox of the units hides, and where a link to the program is of no use.
_HIDDEN = ("/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/")
_LEFT_FOR_GOOD = (
    "user gpio-bridge, groups gpio and rpmsg, and /etc/default/gpio-bridge stay; "
    "a service that runs goes on: systemctl stop gpio-bridge"
)


@click.group(context_settings=_CONTEXT)
def system() -> None:
    """Put what the system needs around this program into its places, or take it away.

    \b
      sudo gpio-bridge system install
      gpio-bridge system install --dry-run
      gpio-bridge system install --root /mnt/image --prefix /usr
      sudo gpio-bridge system remove

    Each file is named, with what was done. Files of others, and those that were changed since,
    are left as they are, and the exit status is then 1.
    """


def _kinds() -> str:
    return "\n".join(f"      {kind:8}  {about}" for kind, about in KINDS.items())


@system.command(
    context_settings=_CONTEXT,
    help=f"""Put files in place: all, or those of the KINDs that are named.

    \b
{_kinds()}

    \b
      sudo gpio-bridge system install
      sudo gpio-bridge system install rules modules help     (a system without systemd)

    On this system they are made known, too: users and directory are made, modules are loaded,
    systemd and udev read their files again. A package of the distribution does all this by itself.
    """,
)
@click.argument("kinds", metavar="[KIND]...", nargs=-1, type=click.Choice(list(KINDS)))
@_ROOT
@click.option(
    "--prefix",
    type=click.Choice(["/usr/local", "/usr"]),
    default="/usr/local",
    show_default=True,
    help="/usr is for those who make an image or a package.",
)
@_DRY
@_FORCE
@_JSON
def install(
    kinds: tuple[str, ...], root: str, prefix: str, dry_run: bool, force: bool, as_json: bool
) -> int:
    """Put files in place; the decorator has its help."""
    if not force:
        _need_no_package(root)
    here = _is_here(root)
    if here and not dry_run:
        _need_root("install")
        _need_systemd(kinds)
    files = system_files(prefix)
    if HELP in kinds or not kinds:
        from bridge.cli import completion, manual

        files += help_files(
            prefix, manual.pages(), completion.source("bash"), completion.source("zsh")
        )
    files = [file for file in files if not kinds or file.kind in kinds]
    links, notes = _program_link(root, prefix) if "units" in kinds or not kinds else ({}, [])
    steps = _told(Installation(root, dry=dry_run, force=force).install(files, links), as_json)
    done = {step.path for step in steps if step.done in ("installed", "updated", "replaced")}
    commands = _commands([file for file in files if file.place in done], prefix) if here else []
    failed = _run(commands, dry_run, notes)
    return _end(steps, [*notes, *failed], dry_run, as_json) or bool(failed)


@system.command(context_settings=_CONTEXT)
@_ROOT
@_DRY
@_FORCE
@_JSON
def remove(root: str, dry_run: bool, force: bool, as_json: bool) -> int:
    """Take away what `install` put in place, and nothing else.

    \b
      sudo gpio-bridge system remove
    """
    here = _is_here(root)
    if here and not dry_run:
        _need_root("remove")
    steps = _told(Installation(root, dry=dry_run, force=force).remove(), as_json)
    notes = [_LEFT_FOR_GOOD] if steps else ["there is nothing that `install` put in place"]
    commands = []
    if here and any(step.done == "removed" for step in steps) and _systemd_runs():
        commands = [["systemctl", "daemon-reload"], ["udevadm", "control", "--reload"]]
    failed = _run(commands, dry_run, notes)
    return _end(steps, [*notes, *failed], dry_run, as_json) or bool(failed)


def _is_here(root: str) -> bool:
    return os.path.realpath(root) == "/"


def _need_root(verb: str) -> None:
    if os.geteuid() != 0:
        raise PermissionError(
            errno.EPERM,
            f"only root may {verb} files of the system: sudo gpio-bridge system {verb}; "
            "--dry-run shows what it would do, --root DIR is for an image",
        )


def _need_no_package(root: str) -> None:
    name = package(root)
    if name:
        raise FileExistsError(
            errno.EEXIST,
            f"the package {name} has put these files in place, and apt keeps them: nothing is to "
            f"be done. To have those of this program instead, apt remove {name}; --force puts "
            "them in front of the package's",
        )


def _systemd_runs() -> bool:
    """As sd_booted(3) finds out."""
    return os.path.isdir("/run/systemd/system")


def _need_systemd(kinds: tuple[str, ...]) -> None:
    if not {"units", "users"}.isdisjoint(kinds or KINDS) and not _systemd_runs():
        raise OSError(
            errno.EOPNOTSUPP,
            "systemd does not run this system, so units and users would do nothing: make user "
            "gpio-bridge and groups gpio and rpmsg, start `gpio-bridge serve` as your init does, "
            "and name the rest: gpio-bridge system install rules modules help; "
            "for an image use --root DIR",
        )


def _program_link(root: str, prefix: str) -> tuple[dict[str, str], list[str]]:
    """A link by which systemd finds this program, where it does not by itself; and notes."""
    ours = f"{prefix}/bin/gpio-bridge"
    found = program(root)
    if found not in (None, ours):
        return {}, []
    here = os.path.realpath(root).rstrip("/")
    script = os.path.join(sysconfig.get_path("scripts"), "gpio-bridge")
    target = script.removeprefix(here)
    if found == ours and not os.path.islink(f"{root}{ours}"):
        return {}, []  # a package's own program
    if not (os.path.exists(script) and script.startswith(f"{here}/")):
        if found:
            return {}, []
        return {}, [f"no gpio-bridge in {prefix}/bin of {root}: the units need one there"]
    if target.startswith(_HIDDEN):
        return {}, [
            f"{target} is where the units cannot see it: install the package into a virtual "
            "environment such as /opt/gpio-bridge"
        ]
    return {ours: target}, []


def _commands(files: Iterable[SystemFile], prefix: str) -> list[list[str]]:
    """What makes new files known to the running system."""
    kinds = {file.kind for file in files}
    name = "rpmsg-gpio-bridge.conf"
    commands = {
        "users": [
            ["systemd-sysusers", f"{prefix}/lib/sysusers.d/{name}"],
            ["systemd-tmpfiles", "--create", f"{prefix}/lib/tmpfiles.d/{name}"],
        ],
        "units": [["systemctl", "daemon-reload"]],
        "modules": [["systemctl", "restart", "systemd-modules-load.service"]],
        "rules": [
            ["udevadm", "control", "--reload"],
            ["udevadm", "trigger", "--subsystem-match=rpmsg"],
        ],
    }
    if not _systemd_runs():
        commands["modules"] = [["modprobe", "-a", "rpmsg_char", "rpmsg_ctrl"]]
    return [command for kind, each in commands.items() if kind in kinds for command in each]


def _run(commands: list[list[str]], dry: bool, notes: list[str]) -> list[str]:
    """Run commands, note what was run; return what failed."""
    failed = []
    for command in commands:
        words = " ".join(command)
        if dry:
            notes.append(f"would run {words}")
            continue
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=90)
        except (OSError, subprocess.TimeoutExpired) as error:
            failed.append(f"{words} failed: {error}")
            continue
        if done.returncode:
            said = (done.stderr or done.stdout).strip() or f"status {done.returncode}"
            failed.append(f"{words} failed: {said}")
        else:
            notes.append(f"ran {words}")
    return failed


def _told(steps: Iterable[Step], as_json: bool) -> list[Step]:
    """Print steps while they are done, so that a failure shows how far it came."""
    told = []
    for step in steps:
        told.append(step)
        if not as_json:
            why = f"  ({step.why})" if step.why else ""
            print(f"{step.done:9}  {step.path}{why}", flush=True)
    return told


def _end(steps: list[Step], notes: list[str], dry: bool, as_json: bool) -> int:
    if as_json:
        files = [step._asdict() for step in steps]
        print_json({"files": files, "notes": notes, "dry_run": dry})
    else:
        print("\n".join([*notes, *(["dry run: nothing was changed"] if dry else [])]))
    return 1 if any(step.done == "left" for step in steps) else 0
