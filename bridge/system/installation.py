# SPDX-License-Identifier: BSD-3-Clause
"""Files put in place and taken away: only what was put there, and as it was put there.

A record below /var/lib says what is ours: each file with the digest of what was written, links
with where they lead, and directories that were made for them. What is there and is not in the
record is somebody else's, and what is in it and has another digest was changed by the user:
both are left unless they are to be overwritten.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from bridge.system.places import SystemFile

__all__ = ["RECORD", "Installation", "Step", "package", "program"]

RECORD = "/var/lib/rpmsg-gpio-bridge/system-files"
"""What was put in place, as a JSON object: by path, the digest of a file or where a link leads."""

_DIRECTORY = "directory"
_LINK = "link:"
# Where a file of the same name in several of these counts once, that of the first.
_OVERLAYS = ("/etc", "/run", "/usr/local/lib", "/usr/lib")
# What Debian's package of these files put where.
_DEBIAN = ("rpmsg-gpio-bridge", "/var/lib/dpkg/info/rpmsg-gpio-bridge.list")
# Where systemd looks for programs.
_PROGRAM_FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin")


class Step(NamedTuple):
    """What was done with one file, or would be.

    Attributes:
        done: ``installed``, ``updated``, ``replaced``, ``same``, ``removed``, ``gone`` or ``left``.
        path: of the file on the system, without the root.
        why: why it was left, or what is worth knowing.
    """

    done: str
    path: str
    why: str = ""


class Installation:
    """The files on a system.

    Args:
        root: the system's root directory, / for this one.
        dry: only say what would be done.
        force: overwrite and remove what is not as it was put there, too.

    Raises:
        OSError: the root is no directory.
        ValueError: the record is damaged.
    """

    def __init__(self, root: str = "/", *, dry: bool = False, force: bool = False) -> None:
        if not os.path.isdir(root):
            raise NotADirectoryError(errno.ENOTDIR, f"the root {root} is no directory")
        self._root = Path(root).resolve()
        self._dry = dry
        self._force = force
        self._record = self._read_record()

    def install(self, files: Iterable[SystemFile], links: dict[str, str]) -> Iterator[Step]:
        """Put files in place.

        Args:
            files: what is to be there.
            links: symbolic links by their paths, and where each leads.

        Yields:
            What was done, file by file.

        Raises:
            OSError: a file can not be written; those before it are in place and recorded.
        """
        wanted = {file.place: _digest(file.content) for file in files}
        contents = {file.place: file.content for file in files}
        wanted |= {path: f"{_LINK}{target}" for path, target in links.items()}
        for path, what in wanted.items():
            there = self._what_is_at(path)
            ours = there is not None and self._record.get(path) == there
            if there == what:
                ours = path in self._record
                yield Step(
                    "same", path, "" if ours else "it was there already, and stays on remove"
                )
            elif there is None or ours or self._force:
                self._write(path, what, contents.get(path))
                done = "installed" if there is None else "updated" if ours else "replaced"
                yield Step(done, path, self._hidden(path))
            elif path in self._record:
                yield Step("left", path, "it was changed since; --force overwrites it")
            else:
                yield Step("left", path, "a file that is not ours is there; --force overwrites it")

    def remove(self) -> Iterator[Step]:
        """Take away what was put in place; directories made for it go when they are empty.

        Yields:
            What was done, file by file.

        Raises:
            OSError: a file can not be removed.
        """
        for path, what in self._files().items():
            there = self._what_is_at(path)
            if there not in (None, what) and not self._force:
                yield Step("left", path, "it was changed since; --force removes it")
                continue
            if not self._dry:
                self._inside(path).unlink(missing_ok=True)
                del self._record[path]
                self._save()
            yield Step("gone" if there is None else "removed", path)
        if not self._dry:
            self._remove_directories()

    def _remove_directories(self) -> None:
        """Remove those made for our files where nothing is in them, the record last."""
        if not self._files():
            self._inside(RECORD).unlink(missing_ok=True)
        for path in [path for path, what in self._record.items() if what == _DIRECTORY][::-1]:
            with suppress(OSError):  # it is in use by others, and theirs now
                self._inside(path).rmdir()
                del self._record[path]
        if self._files():
            self._save()

    def _files(self) -> dict[str, str]:
        return {path: what for path, what in self._record.items() if what != _DIRECTORY}

    def _hidden(self, path: str) -> str:
        """What to know of files of the same name that count instead of this, or no more."""
        mine = next((place for place in _OVERLAYS if path.startswith(f"{place}/")), None)
        if mine is None:
            return ""
        name = path.removeprefix(mine)
        for place in _OVERLAYS:
            if place != mine and (self._root / f"{place}{name}".lstrip("/")).exists():
                first = _OVERLAYS.index(place) < _OVERLAYS.index(mine)
                return f"{place}{name} counts instead" if first else f"it hides {place}{name}"
        return ""

    def _inside(self, path: str) -> Path:
        """The path below the root; no link on the way may lead out of it."""
        if path == "/":
            return self._root
        below = self._root / path.lstrip("/")
        where = below.parent.resolve()
        if not where.is_relative_to(self._root):
            raise OSError(
                errno.EXDEV, f"{below.parent} is a link to {where}, which is not below {self._root}"
            )
        return where / below.name

    def _what_is_at(self, path: str) -> str | None:
        """What the record would say of what is there; None when there is nothing."""
        file = self._inside(path)
        try:
            if file.is_symlink():
                return f"{_LINK}{os.readlink(file)}"
            return _digest(file.read_bytes())
        except FileNotFoundError:
            return None
        except IsADirectoryError:
            return _DIRECTORY

    def _write(self, path: str, what: str, content: bytes | None) -> None:
        """Put one file or link in place, all of it or nothing."""
        if self._dry:
            return
        file = self._inside(path)
        self._make(os.path.dirname(path))
        new = file.with_name(f".{file.name}.new")
        new.unlink(missing_ok=True)
        if content is None:
            new.symlink_to(what.removeprefix(_LINK))
        else:
            new.write_bytes(content)
            new.chmod(0o644)
        # A new file is recorded before it is there, and an old one as it is until it is another:
        # whatever comes between, the next install finds out what is ours.
        self._record.setdefault(path, what)
        self._save()
        new.replace(file)
        self._record[path] = what
        self._save()

    def _make(self, path: str) -> None:
        """Make a directory and those above it, and record which were made."""
        folder = self._inside(path)
        if folder.is_dir():
            return
        self._make(os.path.dirname(path))
        folder.mkdir()
        folder.chmod(0o755)
        self._record[path] = _DIRECTORY

    def _save(self) -> None:
        self._make(os.path.dirname(RECORD))
        file = self._inside(RECORD)
        new = file.with_name(f".{file.name}.new")
        new.write_text(json.dumps(self._record, indent=0) + "\n")
        new.replace(file)

    def _read_record(self) -> dict[str, str]:
        file = self._inside(RECORD)
        try:
            record = json.loads(file.read_text())
            for path, what in record.items():
                plain = os.path.isabs(path) and os.path.normpath(path) == path != "/"
                if not (plain and isinstance(what, str)):
                    raise ValueError(f"it names {path!r}")
        except FileNotFoundError:
            return {}
        except (AttributeError, ValueError) as error:
            raise ValueError(f"{file} is no record of installed files: {error}") from None
        return dict(record)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def program(root: str) -> str | None:
    """Return the path by which systemd finds gpio-bridge, None where it does not.

    Args:
        root: the system's root directory.
    """
    places = (f"{folder}/gpio-bridge" for folder in _PROGRAM_FOLDERS)
    return next((place for place in places if os.path.lexists(f"{root}{place}")), None)


def package(root: str) -> str | None:
    """Return the name of the distribution's package that has these files, None where none has.

    Args:
        root: the system's root directory.
    """
    name, listed = _DEBIAN
    try:
        paths = Path(f"{root}{listed}").read_text().splitlines()
    except OSError:
        return None
    # A package that was removed, but not purged, still has a list: of directories.
    return name if any(os.path.isfile(f"{root}{path}") for path in paths) else None
