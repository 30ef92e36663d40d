# SPDX-License-Identifier: BSD-3-Clause
"""One archive for a bug report: what the doctor, the service and the kernel have to say.

`bridge.doctor.privacy` says what is left out.
"""

from __future__ import annotations

import errno
import importlib.metadata
import io
import json
import os
import platform
import re
import stat
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from bridge.client.control import Connection
from bridge.control_protocol import LAST, STATUS
from bridge.doctor.findings import Finding, Place
from bridge.doctor.privacy import LEFT_OUT, Privacy
from bridge.trace.decode import Decoder
from bridge.trace.pcapng import Interface, channel_records, pack, read
from bridge.trace.record import Records, TraceKind, TraceRecord

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Contents", "write"]

_KMSG_MAX = 4 * 1024 * 1024
_FILE_MAX = 1024 * 1024
_KERNEL = re.compile(r"remoteproc|rproc|rpmsg|virtio|gpio|mailbox|ttyRPMSG", re.IGNORECASE)
_PACKAGES = ("rpmsg-gpio-bridge", "cffi", "msgpack", "pyserial", "pyudev")
# Flags of serve with the name of a group behind them.
_GROUP_FLAGS = ("--group", "--trace-group")


class Contents(NamedTuple):
    """What is in a bundle.

    Attributes:
        put: names of its files.
        missing: what could not be read, a sentence each.
    """

    put: list[str]
    missing: list[str]


def write(file: BinaryIO, place: Place, found: Sequence[Finding]) -> Contents:
    """Write a tar.gz.

    Args:
        file: open for writing bytes.
        place: where to look.
        found: what the doctor found.

    Raises:
        OSError: the archive cannot be written.
    """
    contents = Contents([], [])
    privacy = Privacy()
    now = time.time()

    def put(name: str, content: Content) -> None:
        if not isinstance(content, (str, bytes)):
            content = json.dumps(privacy.value(content), indent=2)
        if isinstance(content, str):
            content = privacy.text(content).encode("utf-8", "replace")
        entry = tarfile.TarInfo(f"gpio-bridge/{name}")
        entry.size, entry.mtime, entry.mode = len(content), now, 0o600
        archive.addfile(entry, io.BytesIO(content))
        contents.put.append(name)

    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        put("doctor.json", [finding._asdict() for finding in found])
        put("versions.txt", "".join(f"{line}\n" for line in _versions()))
        for gather in (_service, _kernel):
            for name, read in gather(place, privacy):
                try:
                    put(name, read())
                except (OSError, ValueError) as error:
                    why = error.strerror if isinstance(error, OSError) else None
                    contents.missing.append(privacy.text(f"{name}: {why or error}"))
        summary = [*contents.put, *(f"not there: {one}" for one in contents.missing)]
        put("contents.txt", "".join(f"{line}\n" for line in summary))
    return contents


Content = Any
"""Text, bytes, or what JSON is made of."""
_Parts = Iterator[tuple[str, Callable[[], Content]]]


def _versions() -> Iterator[str]:
    yield f"Linux {platform.release()} {platform.machine()}"
    yield f"Python {platform.python_version()}"
    for package in _PACKAGES:
        try:
            yield f"{package} {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            yield f"{package}: not installed"
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return
    yield release.get("PRETTY_NAME", "")


# ---- the service --------------------------------------------------------------


def _fails(error: OSError) -> Callable[[], str]:
    def read() -> str:
        raise error

    return read


def _service(place: Place, privacy: Privacy) -> _Parts:
    """Its status, its configuration, and what went over its links."""
    try:
        connection = Connection.open(place.socket)
    except (OSError, ValueError) as error:
        cause = error if isinstance(error, OSError) else OSError(errno.EINVAL, str(error))
        yield "status.json", _fails(cause)
        return
    with closing(connection):
        try:
            status = {**connection.call(STATUS), "chips": connection.chips()}
        except OSError as error:
            yield "status.json", _fails(error)
            return
        privacy.learn(peer["uid"] for peer in status["peers"])
        yield "status.json", lambda: status
        yield "configuration.json", lambda: _configuration(place, status["pid"])
        for link in status["links"]:
            name = link["name"]
            try:
                answer = connection.call(LAST, link=name)
            except OSError as error:
                yield f"trace/{name}.pcapng", _fails(error)
                continue
            yield from _trace(name, answer, privacy)
    yield from _dead_links(status["traces"], privacy)


def _configuration(place: Place, pid: int) -> dict[str, Any]:
    """The flags that the service's process was started with, and what its file says.

    The file is read as TOML and not copied: comments may say anything.
    """
    directory = f"{place.proc}/{pid}"
    given = Path(directory, "cmdline").read_bytes().decode(errors="replace").split("\0")
    words: list[str] = []
    for word in given:
        words += word.split("=", 1) if word.startswith("--") else [word]
    pairs = list(pairwise(["", *words]))
    command = [LEFT_OUT if before in _GROUP_FLAGS else word for before, word in pairs]
    paths = [word for before, word in pairs if before in ("-c", "--config")]
    # As the process sees it, from its own folder.
    files = [tomllib.loads(_text_of(os.path.join(directory, "cwd", path))) for path in paths[-1:]]
    return {"command": " ".join(command).strip(), "file": files[0] if files else None}


def _text_of(path: str) -> str:
    """A regular file, or the beginning of it."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, f"{path} is no regular file")
        return file.read(_FILE_MAX).decode("utf-8", "replace")


def _trace(name: str, answer: dict[str, Any], privacy: Privacy) -> _Parts:
    """The last messages of a link, for Wireshark and in words."""
    records = [_private(record, privacy) for record in Records().feed(answer["records"])]
    links = [Interface.of(link) for link in answer["links"]]
    yield f"trace/{name}.pcapng", lambda: pack(records, links)

    def words() -> str:
        decoder = Decoder({link.number: link.name for link in links})
        before = list(channel_records(links, records[0].time_ns if records else 0))
        lines = (message for one in (*before, *records) for message in decoder.decode(one))
        return "".join(
            f"{line.time_ns / 1e9:.6f} {line.where} {line.direction} {line.text}"
            f"{''.join(f' !! {fault}' for fault in line.faults)}\n"
            for line in lines
        )

    yield f"trace/{name}.txt", words


def _private(record: TraceRecord, privacy: Privacy) -> TraceRecord:
    """A record whose text, of why a link is down, may be seen."""
    if record.kind != TraceKind.DOWN:
        return record
    data = privacy.text(record.data.decode("utf-8", "replace")).encode()
    return record._replace(data=data, length=len(data))


def _dead_links(path: str | None, privacy: Privacy) -> _Parts:
    """What is left of links that died."""
    if path is None:
        return
    directory = Path(path)
    try:
        names = sorted(path.name for path in directory.iterdir() if path.suffix == ".pcapng")
    except FileNotFoundError:
        return
    except OSError as error:
        yield "dead-links", _fails(error)
        return
    for name in names:
        yield f"dead-links/{name}", partial(_dead_link, directory / name, privacy)


def _dead_link(path: Path, privacy: Privacy) -> bytes:
    with open(path, "rb") as file:
        links, records = read(file, str(path))
    return pack([_private(record, privacy) for record in records], links, realtime=True)


# ---- the kernel ---------------------------------------------------------------


def _kernel(place: Place, privacy: Privacy) -> _Parts:
    """What it said of remote processors and rpmsg."""
    yield "kernel.txt", lambda: "".join(_kernel_lines(f"{place.dev}/kmsg"))


def _kernel_lines(path: str) -> Iterator[str]:
    """The lines that are about us: a record of kmsg is one read, `head;text`."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        total = 0
        while total < _KMSG_MAX:
            try:
                record = os.read(fd, 8192)
            except BlockingIOError:
                return
            except BrokenPipeError:
                continue  # it was overwritten; the next read has the oldest that is left
            if not record:
                return
            total += len(record)
            head, _, text = record.decode("utf-8", "replace").partition(";")
            line = text.split("\n", 1)[0]
            if _KERNEL.search(line):
                microseconds = head.split(",")[2:3] or ["0"]
                yield f"[{int(microseconds[0]) / 1e6:.6f}] {line}\n"
    finally:
        os.close(fd)
