# SPDX-License-Identifier: BSD-3-Clause
"""The flight recorder of a link: its last records, and files of them when the link dies."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
from collections.abc import Sequence

from bridge.service.config import Config
from bridge.service.own_directory import beside, open_own_directory
from bridge.shim.pump import Trace
from bridge.trace import pcapng
from bridge.trace.record import Records

log = logging.getLogger(__name__)

KEPT_MAX = 4
"""Files of one link that are kept, the latest."""


def directory_of(config: Config) -> str | None:
    """Where files go: configured, else beside the control socket; None is nowhere."""
    if config.traces is None and config.socket is not None:
        return beside(config.socket, "traces")
    return config.traces or None


class Recorder:
    """What went over one link, whatever became of its sessions.

    Args:
        name: of the link.
        number: of the link in its service.
        trace: of the pump.
        directory: for the files, None for none.
    """

    def __init__(self, name: str, number: int, trace: Trace, directory: str | None) -> None:
        self.name = name
        self.number = number
        self.trace = trace
        self._directory = directory

    def last(self) -> bytes:
        """The last records, as slots."""
        return self.trace.last()

    def link_died(self, channels: Sequence[tuple[str, int]]) -> None:
        """Write the last records into a file, and log where it is.

        Args:
            channels: name and address of each that the link had.
        """
        if self._directory is None:
            return
        records = Records().feed(self.last())
        link = pcapng.Interface(self.number, self.name, channels)
        content = pcapng.pack(records, [link])
        name = time.strftime(f"{self.name}-%Y%m%dT%H%M%S.pcapng", time.gmtime())
        try:
            directory = open_own_directory(self._directory, 0o700)
        except OSError as error:
            log.warning(
                "link %s: its last messages are not kept: %s: %s",
                self.name,
                self._directory,
                error.strerror,
            )
            return
        try:
            self._write(directory, name, content)
        except FileExistsError:
            return  # the link died twice in this second
        except OSError as error:
            log.warning("link %s: its last messages are not kept: %s", self.name, error.strerror)
            return
        finally:
            os.close(directory)
        path = os.path.join(self._directory, name)
        log.info("link %s: its last messages: gpio-bridge trace -r %s", self.name, path)

    def _write(self, directory: int, name: str, content: bytes) -> None:
        """Make the file, and remove those before the latest ones."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, 0o600, dir_fd=directory), "wb") as file:
            file.write(content)
        pattern = re.compile(re.escape(self.name) + r"-\d{8}T\d{6}\.pcapng")
        ours = sorted(filter(pattern.fullmatch, os.listdir(directory)))
        for old in ours[:-KEPT_MAX]:
            with contextlib.suppress(OSError):
                os.unlink(old, dir_fd=directory)
