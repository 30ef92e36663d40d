# SPDX-License-Identifier: BSD-3-Clause
"""What kind of program a file is: whether a preloaded library can be in it."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import struct
from typing import NamedTuple

_PT_INTERP = 3
_PT_NOTE = 4
_SCRIPTS_MAX = 4
_NOTES_MAX = 65536
_HEADERS_MAX = 64
_HEADER_SIZE = 64


class Program(NamedTuple):
    """A program as the kernel would run it.

    Attributes:
        path: of the file that was named.
        bits: 64 or 32, 0 where it is no ELF file.
        machine: ``e_machine`` of the ELF header.
        dynamic: whether it has an interpreter, which loads libraries.
        go: whether it was made by Go, which calls the kernel by itself.
        privileged: whether it is set-user-id or has capabilities: the loader then ignores
            LD_PRELOAD.
    """

    path: str
    bits: int = 0
    machine: int = 0
    dynamic: bool = False
    go: bool = False
    privileged: bool = False

    @property
    def loads_nothing(self) -> bool:
        """Whether a preloaded library would not be asked."""
        return bool(self.bits) and (not self.dynamic or self.go)

    def why_not_at_all(self, library: Program) -> str | None:
        """Why it cannot be given chips, as the end of a sentence; None if it can.

        Args:
            library: that is to be loaded into it.
        """
        if not self.bits:
            return None  # what execve(2) says of it is better
        if self.privileged:
            return "is set-user-id, and is not run with what others bring along"
        if (self.bits, self.machine) != (library.bits, library.machine):
            return f"is of another kind of processor than {library.path}"
        return None


def read_program(name: str) -> Program:
    """The program that a name means, behind the `#!` lines of scripts.

    Raises:
        OSError: ENOENT it is not there, EACCES it cannot be run.
    """
    path = name if "/" in name else shutil.which(name)
    if path is None:
        raise OSError(errno.ENOENT, f"there is no program {name} in the PATH")
    current = path
    for _ in range(_SCRIPTS_MAX):
        head = _head(current)
        if head[:2] != b"#!":
            return _read_elf(path, current, head)
        words = os.fsdecode(head[2:].split(b"\n", 1)[0]).split()
        if not words:
            break
        current = words[0]
        if os.path.basename(current) == "env" and len(words) > 1:
            current = shutil.which(words[-1] if words[1] == "-S" else words[1]) or current
    return Program(path)


def _head(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(4096)
    except PermissionError:
        return b""  # without the right to read, it may still be run
    except OSError as error:
        raise OSError(error.errno, f"{path}: {os.strerror(error.errno or 0)}") from None


class _Layout(NamedTuple):
    """Where an ELF file has what is read here, by its class."""

    header: str  # e_phoff of the header
    header_at: int
    counts_at: int  # e_phentsize, e_phnum
    size: int  # of a program header at least
    word: str
    offset_at: int  # p_offset
    length_at: int  # p_filesz


_LAYOUTS = {
    1: _Layout("I", 28, 42, 32, "I", 4, 16),
    2: _Layout("Q", 32, 54, 56, "Q", 8, 32),
}


def _read_elf(path: str, file: str, head: bytes) -> Program:
    layout = _LAYOUTS.get(head[4]) if head[:4] == b"\x7fELF" and len(head) >= _HEADER_SIZE else None
    if layout is None:
        return Program(path)
    order = "<" if head[5] == 1 else ">"
    (at,) = struct.unpack_from(order + layout.header, head, layout.header_at)
    size, count = struct.unpack_from(f"{order}HH", head, layout.counts_at)
    kinds, notes = set(), b""
    with open(file, "rb") as elf:
        for number in range(min(count, _HEADERS_MAX)):
            elf.seek(at + number * size)
            entry = elf.read(size)
            if len(entry) < layout.size:
                break
            (kind,) = struct.unpack_from(f"{order}I", entry)
            kinds.add(kind)
            if kind == _PT_NOTE:
                elf.seek(struct.unpack_from(order + layout.word, entry, layout.offset_at)[0])
                length = struct.unpack_from(order + layout.word, entry, layout.length_at)[0]
                notes += elf.read(min(length, _NOTES_MAX))
    set_id = os.stat(file).st_mode & (stat.S_ISUID | stat.S_ISGID)
    return Program(
        path,
        bits=64 if layout.word == "Q" else 32,
        machine=struct.unpack_from(f"{order}H", head, 18)[0],
        dynamic=_PT_INTERP in kinds,
        go=b"Go\0\0" in notes,
        privileged=bool(set_id) and os.geteuid() != 0,
    )
