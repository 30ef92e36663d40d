# SPDX-License-Identifier: BSD-3-Clause
"""Sessions of sigrok (.sr): samples at a rate, in a zip file, for PulseView and sigrok-cli."""

from __future__ import annotations

import configparser
import errno
import io
import os
import zipfile
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from bridge import __version__
from bridge.recording.model import UNKNOWN, Header, Recording, Wave, code_of
from bridge.shim.recording import Samples

__all__ = ["Writer", "read"]

_NS = 1_000_000_000
# A member of the zip file has at most so many bytes, and at most what so much time brings: a
# recorder that is killed loses what is not in a member yet.
_PIECE_MAX = 4 << 20
_PIECE_NS = _NS
_NO_SIGNAL = code_of(0, UNKNOWN)


class Writer:
    """A file as it is recorded; after each piece it is a whole zip file.

    The format has no unknown level: a line whose edges were lost keeps its last one.
    """

    def __init__(self, path: str | None, header: Header, levels: list[int]) -> None:
        """Begin a file; see `bridge.recording.formats.writer`."""
        if path in (None, "-"):
            raise OSError(errno.EINVAL, "a zip file such as .sr needs a file: give -o FILE.sr")
        assert path is not None
        self._path = path
        self._rate = header.rate_hz
        self._samples = Samples(header.rate_hz, levels)
        self._pieces = 0
        self._waiting = bytearray()
        self._piece_end = _PIECE_NS
        self.size = 0
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("version", "2")
            file.writestr("metadata", self._metadata(header))

    def _metadata(self, header: Header) -> str:
        lines = ["[global]", f"sigrok version=gpio-bridge {__version__}", "", "[device 1]"]
        lines += ["capturefile=logic-1", f"total probes={len(header.signals)}"]
        lines += [f"samplerate={_rate_text(self._rate)}", "total analog=0"]
        lines += [f"probe{n}={signal.name}" for n, signal in enumerate(header.signals, 1)]
        lines += [f"unitsize={self._samples.unit}"]
        return "\n".join(lines) + "\n"

    def write(self, times: Sequence[int], codes: Sequence[int], zero: int = 0) -> None:
        """Write the samples until each change, which shows in the following ones."""
        if not times:
            return
        self._take(times, codes, zero)
        if times[-1] - zero >= self._piece_end:
            self._flush()
            self._piece_end = times[-1] - zero + _PIECE_NS

    def _take(self, times: Sequence[int], codes: Sequence[int], zero: int) -> None:
        for block in self._samples.blocks(times, codes, zero):
            self._waiting += block
            if len(self._waiting) >= _PIECE_MAX:
                self._flush()

    def note(self, time: int, text: str) -> None:
        """Do nothing: the format has no place for notes."""

    def close(self, time: int, notes: list[str]) -> None:
        """Write the samples until the end."""
        # What would change behind the last sample, of no signal.
        self._take([time + -(-_NS // self._rate)], [_NO_SIGNAL], 0)
        self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        self._pieces += 1
        with closing(_Growing(self._path)) as grown:
            with zipfile.ZipFile(grown, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
                file.writestr(f"logic-1-{self._pieces}", bytes(self._waiting))
                self.size = file.start_dir
            grown.write_all()
        self._waiting.clear()


class _Growing(io.RawIOBase):
    """A zip file that a member is added to, in memory until all of it is written at once.

    The member takes the place of the file's directory: who died meanwhile, or found the disk full,
    would leave a file without one, which nothing can read.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._size = os.fstat(self._fd).st_size
        self._at = 0
        self._begin = 0  # of what is written, which goes on to the end
        self._written = bytearray()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = os.preadv(self._fd, [buffer], self._at)
        self._at += count
        return count

    def write(self, data: Any) -> int:
        if not self._written:
            self._begin = self._at
        at = self._at - self._begin
        self._written[at : at + len(data)] = data
        self._at += len(data)
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        return self._at if size is None else size  # a directory only grows

    def write_all(self) -> None:
        """Write first what is behind the end of the file. Raises OSError: it is as it was."""
        fresh = self._size - self._begin
        try:
            self._put(self._written[fresh:], self._size)
        except OSError as error:
            os.ftruncate(self._fd, self._size)
            raise OSError(error.errno, error.strerror, self._path) from None
        self._put(self._written[:fresh], self._begin)

    def _put(self, data: bytearray, at: int) -> None:
        view = memoryview(data)
        while view:
            count = os.pwrite(self._fd, view, at)
            view, at = view[count:], at + count

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._fd)


def _rate_text(rate: int) -> str:
    for size, unit in ((1_000_000, "MHz"), (1000, "kHz")):
        if rate % size == 0:
            return f"{rate // size} {unit}"
    return f"{rate} Hz"


def read(path: str) -> Recording:
    """Read a session, of sigrok or of ours."""
    if path == "-":
        raise OSError(errno.EINVAL, "a zip file such as .sr is read from a file, not from a pipe")
    try:
        with zipfile.ZipFile(path) as file:
            return _read(file)
    except (zipfile.BadZipFile, KeyError, configparser.Error, ValueError, IndexError) as error:
        raise ValueError(f"{path} is no session of sigrok: {error}") from None


def _read(file: zipfile.ZipFile) -> Recording:
    metadata = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    metadata.read_file(io.TextIOWrapper(file.open("metadata"), "utf-8", errors="replace"))
    device = metadata["device 1"]
    rate = _rate(device["samplerate"])
    unit = int(device["unitsize"])
    if not 1 <= unit <= 64:
        raise ValueError(f"a sample of {unit} bytes")
    probes = {
        int(key[5:]): name
        for key, name in device.items()
        if key.startswith("probe") and key[5:].isdigit()
    }
    names = [probes[number] for number in sorted(probes)]
    shifts = [number - 1 for number in sorted(probes)]
    waves = [Wave(name) for name in names]
    capture = device.get("capturefile", "logic-1")
    pieces = sorted(
        (int(name[len(capture) + 1 :]), name)
        for name in file.namelist()
        if name.startswith(f"{capture}-")
    )
    if not pieces and capture not in file.namelist():
        raise ValueError("there are no samples in it yet")
    sample, last = 0, -1
    for name in [name for _, name in pieces] or [capture]:
        with file.open(name) as data:
            while block := data.read(unit << 12):
                samples = len(block) // unit
                if last >= 0 and block == last.to_bytes(unit, "little") * samples:
                    sample += samples  # most of a file is silence
                    continue
                for at in range(0, len(block) - unit + 1, unit):
                    word = int.from_bytes(block[at : at + unit], "little")
                    if word != last:
                        time = sample * _NS // rate
                        for wave, shift in zip(waves, shifts, strict=True):
                            wave.change(time, word >> shift & 1)
                        last = word
                    sample += 1
    return Recording(waves, max(0, sample - 1) * _NS // rate, [f"{rate} samples a second"])


def _rate(text: str) -> int:
    number, _, unit = text.partition(" ")
    rate = int(float(number) * {"": 1, "Hz": 1, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9}[unit])
    if rate < 1:
        raise ValueError(f"a rate of {text}")
    return rate
