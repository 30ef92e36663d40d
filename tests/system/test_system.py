# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge system: files in their places, and away again; whose they are is never forgotten.

tests/udev checks the files by the system's own tools, tests/packaging those of a wheel.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge.cli.system import system
from bridge.system.installation import RECORD, Installation, program
from bridge.system.places import KINDS, SystemFile, system_files
from tests.users import ALICE, needs_root, user

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
ROOT = Path(__file__).parents[2]
UNIT = "/usr/local/lib/systemd/system/gpio-bridge.service"
RULES = "/usr/local/lib/udev/rules.d/60-rpmsg-gpio-bridge.rules"


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a root, links with where they lead."""
    return {
        str(p.relative_to(root)): os.readlink(p).encode() if p.is_symlink() else p.read_bytes()
        for p in root.rglob("*")
        if p.is_symlink() or p.is_file()
    }


def below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def install(root: Path, *files: SystemFile, force: bool = False) -> dict[str, tuple[str, str]]:
    """Install files, ours by default: what was done with each, and why."""
    place = Installation(str(root), force=force)
    wanted = list(files) or system_files("/usr/local")
    return {step.path: (step.done, step.why) for step in place.install(wanted, {})}


def remove(root: Path, force: bool = False) -> dict[str, str]:
    return {step.path: step.done for step in Installation(str(root), force=force).remove()}


# ---- the verb ------------------------------------------------------------------------


def test_install_twice_and_remove(cli: Cli, tmp_path: Path) -> None:
    first = cli("system", "install", "--root", str(tmp_path))
    assert first.returncode == 0, first.stderr
    lines = first.stdout.splitlines()
    assert f"installed  {UNIT}" in lines
    assert "installed  /etc/dbus-1/system.d/rpmsg-gpio-bridge.conf" in lines
    assert "installed  /usr/local/share/man/man1/gpio-bridge-system.1" in lines
    files = tree(tmp_path)
    assert len(files) == sum(line.startswith("installed") for line in lines) + 1, "and the record"
    assert all(stat.S_IMODE(below(tmp_path, p).stat().st_mode) == 0o644 for p in files)
    again = cli("system", "install", "--root", str(tmp_path))
    assert {line.split()[0] for line in again.stdout.splitlines()[:-1]} == {"same"}
    assert tree(tmp_path) == files
    away = cli("system", "remove", "--root", str(tmp_path))
    assert away.returncode == 0, away.stderr
    assert f"removed    {UNIT}" in away.stdout.splitlines()
    assert list(tmp_path.iterdir()) == [], "nor is a directory left that was made for them"
    nothing = cli("system", "remove", "--root", str(tmp_path))
    assert (nothing.returncode, nothing.stdout) == (
        0, "there is nothing that `install` put in place\n",
    )  # fmt: skip


def test_they_are_those_of_make(cli: Cli, tmp_path: Path) -> None:
    by_make, by_verb = tmp_path / "make", tmp_path / "verb"
    by_verb.mkdir()
    subprocess.run(
        ["make", "-s", "install-system", f"DESTDIR={by_make}"], cwd=ROOT, check=True, timeout=60
    )
    kinds = [kind for kind in KINDS if kind != "help"]
    run = cli("system", "install", "--root", str(by_verb), "--prefix", "/usr", *kinds)
    assert run.returncode == 0, run.stderr
    below(by_verb, RECORD).unlink()
    assert tree(by_verb) == tree(by_make)
    assert set((ROOT / "udev").iterdir()) == {
        ROOT / "udev" / name
        for name in (
            "places",
            *(line.split()[1] for line in (ROOT / "udev/places").read_text().splitlines()[4:]),
        )
    }, "every file of udev/ has its place"


def test_dry_run_changes_nothing(cli: Cli, tmp_path: Path) -> None:
    run = cli("system", "install", "--dry-run", "--root", str(tmp_path), "rules")
    assert run.stdout == f"installed  {RULES}\ndry run: nothing was changed\n"
    assert list(tmp_path.iterdir()) == []
    cli("system", "install", "--root", str(tmp_path), "rules")
    files = tree(tmp_path)
    run = cli("system", "remove", "--dry-run", "--root", str(tmp_path))
    assert f"removed    {RULES}\n" in run.stdout
    assert tree(tmp_path) == files


def test_json(cli: Cli, tmp_path: Path) -> None:
    run = cli("system", "install", "--root", str(tmp_path), "--json", "rules")
    assert json.loads(run.stdout) == {
        "files": [{"done": "installed", "path": RULES, "why": ""}], "notes": [], "dry_run": False,
    }  # fmt: skip


def test_a_system_without_systemd_or_root_is_refused(cli: Cli) -> None:
    """Whoever runs this: one of the two is wanting, or this would change the system."""
    if os.geteuid() == 0 and os.path.isdir("/run/systemd/system"):
        pytest.skip("it would install")
    run = cli("system", "install")
    assert (run.returncode, run.stdout) == (1, "")
    if os.geteuid() == 0:
        assert "systemd does not run this system" in run.stderr
        assert "gpio-bridge system install rules modules help" in run.stderr
    else:
        assert "only root may install files of the system: sudo gpio-bridge system" in run.stderr


@needs_root
@pytest.mark.parametrize("verb", ["install", "remove"])
def test_a_user_who_is_not_root(verb: str) -> None:
    with user(ALICE), pytest.raises(PermissionError, match=f"only root may {verb} files of the"):
        CliRunner().invoke(system, [verb], catch_exceptions=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["install", "--root", "/none/such"], "the root /none/such is no directory"),
        (["install", "--root", "/etc/passwd"], "the root /etc/passwd is no directory"),
        (["install", "rule"], "'rule' is not one of 'rules', 'units'"),
    ],
)
def test_what_cannot_be_meant(cli: Cli, arguments: list[str], said: str) -> None:
    run = cli("system", *arguments)
    assert run.returncode == 1
    assert said in run.stderr


def test_a_root_that_cannot_be_written_to(cli: Cli) -> None:
    run = cli("system", "install", "--root", "/sys/kernel", "rules")
    assert run.returncode == 1
    assert run.stderr.startswith("gpio-bridge system: ")
    assert "/sys/kernel/usr" in run.stderr


# ---- whose a file is -------------------------------------------------------------------


def test_files_of_a_debian_package_are_left_to_apt(cli: Cli, tmp_path: Path) -> None:
    unit = "/usr/lib/systemd/system/gpio-bridge.service"
    listed = below(tmp_path, "/var/lib/dpkg/info/rpmsg-gpio-bridge.list")
    for path in (listed, below(tmp_path, unit)):
        path.parent.mkdir(parents=True)
    listed.write_text(f"/.\n/usr\n{unit}\n")
    below(tmp_path, unit).write_text("theirs\n")
    before = tree(tmp_path)
    for arguments in ([], ["--dry-run"], ["rules"]):
        run = cli("system", "install", "--root", str(tmp_path), *arguments)
        assert run.returncode == 1
        assert "the package rpmsg-gpio-bridge has put these files in place" in run.stderr
        assert tree(tmp_path) == before
    forced = cli("system", "install", "--root", str(tmp_path), "--force", "units")
    assert f"{UNIT}  (it hides {unit})" in forced.stdout
    remove(tmp_path)
    below(tmp_path, unit).unlink()  # removed, and not purged
    assert cli("system", "install", "--root", str(tmp_path), "rules").returncode == 0


def test_a_file_of_somebody_else_is_left(cli: Cli, tmp_path: Path) -> None:
    theirs = below(tmp_path, RULES)
    theirs.parent.mkdir(parents=True)
    theirs.write_text("# theirs\n")
    run = cli("system", "install", "--root", str(tmp_path), "rules", "units")
    assert run.returncode == 1, "not all is in place"
    assert f"left       {RULES}  (a file that is not ours is there; --force" in run.stdout
    assert theirs.read_text() == "# theirs\n"
    assert below(tmp_path, UNIT).exists(), "everything else is"
    assert RULES not in remove(tmp_path)
    assert tree(tmp_path) == {RULES.lstrip("/"): b"# theirs\n"}
    assert install(tmp_path, force=True)[RULES][0] == "replaced"
    remove(tmp_path)
    assert tree(tmp_path) == {}


def test_the_same_file_of_somebody_else_stays_theirs(tmp_path: Path) -> None:
    unit = next(file for file in system_files("/usr/local") if file.place == UNIT)
    theirs = below(tmp_path, UNIT)
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(unit.content)
    assert install(tmp_path)[UNIT] == ("same", "it was there already, and stays on remove")
    remove(tmp_path)
    assert theirs.exists()


def test_what_the_user_changed_is_left(tmp_path: Path) -> None:
    install(tmp_path)
    unit = below(tmp_path, UNIT)
    unit.write_text("[Unit]\n# mine\n")
    assert install(tmp_path)[UNIT] == ("left", "it was changed since; --force overwrites it")
    assert remove(tmp_path)[UNIT] == "left"
    assert set(tree(tmp_path)) == {UNIT.lstrip("/"), RECORD.lstrip("/")}, "it is not forgotten"
    assert remove(tmp_path) == {UNIT: "left"}
    assert remove(tmp_path, force=True) == {UNIT: "removed"}
    assert list(tmp_path.iterdir()) == []


def test_a_newer_version_updates_what_nobody_changed(tmp_path: Path) -> None:
    old = SystemFile("units", UNIT, b"old")
    install(tmp_path, old)
    assert install(tmp_path, old._replace(content=b"new"))[UNIT] == ("updated", "")
    assert below(tmp_path, UNIT).read_bytes() == b"new"
    assert remove(tmp_path) == {UNIT: "removed"}


def test_what_was_deleted_meanwhile(tmp_path: Path) -> None:
    install(tmp_path)
    below(tmp_path, UNIT).unlink()
    assert remove(tmp_path)[UNIT] == "gone"
    assert list(tmp_path.iterdir()) == []


def test_a_masked_unit_stays_masked(tmp_path: Path) -> None:
    unit = below(tmp_path, UNIT)
    unit.parent.mkdir(parents=True)
    unit.symlink_to("/dev/null")
    assert install(tmp_path)[UNIT][0] == "left"
    assert os.readlink(unit) == "/dev/null"


def test_copies_that_count_instead_or_no_more_are_named(tmp_path: Path) -> None:
    for path in ("/etc/udev/rules.d/60-rpmsg-gpio-bridge.rules",
                 "/usr/lib/systemd/system/gpio-bridge.service"):  # fmt: skip
        below(tmp_path, path).parent.mkdir(parents=True)
        below(tmp_path, path).touch()
    done = install(tmp_path)
    assert done[RULES][1] == "/etc/udev/rules.d/60-rpmsg-gpio-bridge.rules counts instead"
    assert done[UNIT][1] == "it hides /usr/lib/systemd/system/gpio-bridge.service"


def test_no_link_leads_out_of_the_root(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "usr").mkdir(parents=True)
    outside.mkdir()
    (root / "usr/local").symlink_to(outside)
    with pytest.raises(OSError, match="which is not below"):
        install(root)
    assert list(outside.iterdir()) == []


def test_a_link_within_the_root_is_followed(tmp_path: Path) -> None:
    (tmp_path / "var/usrlocal").mkdir(parents=True)
    (tmp_path / "usr").mkdir()
    (tmp_path / "usr/local").symlink_to("../var/usrlocal")
    install(tmp_path)
    assert (tmp_path / "var/usrlocal/lib/systemd/system/gpio-bridge.service").exists()
    remove(tmp_path)
    assert sorted(p.name for p in (tmp_path / "var").iterdir()) == ["usrlocal"]


def test_an_install_that_was_interrupted_is_finished_by_the_next(tmp_path: Path) -> None:
    """Between the record and the file, and between the file and the record."""
    old, new = SystemFile("units", UNIT, b"old"), SystemFile("units", UNIT, b"new")
    install(tmp_path, old)
    below(tmp_path, UNIT).unlink()  # the record only
    assert install(tmp_path, old)[UNIT][0] == "installed"
    below(tmp_path, UNIT).write_bytes(b"new")  # the record has the old one yet
    assert install(tmp_path, new)[UNIT] == ("same", "")
    assert remove(tmp_path) == {UNIT: "left"}, "until an install has said so"
    install(tmp_path, new, force=True)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{", "{1:2}", '{"../../etc/passwd": "x"}', '{"/": "x"}', '{"/etc/../x": "x"}',
        '{"/etc/x": 1}',
    ],
)  # fmt: skip
def test_a_record_that_is_none_is_not_believed(tmp_path: Path, text: str) -> None:
    record = below(tmp_path, RECORD)
    record.parent.mkdir(parents=True)
    record.write_text(text)
    with pytest.raises(ValueError, match="is no record of installed files"):
        remove(tmp_path)


# ---- the program ------------------------------------------------------------------------


def test_the_units_find_the_program(tmp_path: Path) -> None:
    root = str(tmp_path)
    assert program(root) is None
    link = tmp_path / "usr/local/bin/gpio-bridge"
    place = Installation(root)
    list(place.install([], {"/usr/local/bin/gpio-bridge": "/opt/gpio bridge/bin/gpio-bridge"}))
    assert os.readlink(link) == "/opt/gpio bridge/bin/gpio-bridge"
    assert program(root) == "/usr/local/bin/gpio-bridge"
    assert remove(tmp_path) == {"/usr/local/bin/gpio-bridge": "removed"}


def test_a_program_that_the_sandbox_hides_is_told(cli: Cli, tmp_path: Path) -> None:
    run = cli("system", "install", "--root", str(tmp_path), "units")
    assert "no gpio-bridge in /usr/local/bin" in run.stdout
