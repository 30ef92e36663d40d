# SPDX-License-Identifier: BSD-3-Clause
"""Guests whose answers go to memory that their VMM has never touched."""

from __future__ import annotations

import mmap
import os
import select
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from . import frontend as vu
from .conftest import Start
from .frontend import NEXT, WRITE, Frontend

Eventually = Callable[..., None]

FILLED_MAX = 4096  # GUEST_MEMORY_PAGES_MAX
PAGES = 3 * FILLED_MAX
PAGE = mmap.PAGESIZE
HOLLOW = 0x8000_0000
LED, TOGETHER = 0, 16

pytestmark = pytest.mark.skipif(
    not Path("/proc/sys/vm/unprivileged_userfaultfd").exists(),
    reason="this kernel has no userfaultfd(2)",
)


class Hollow(Frontend):
    """A guest with a second region of memory, in which no page is there yet."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.hollow = os.memfd_create("hollow")
        os.ftruncate(self.hollow, PAGES * PAGE)

    def close(self) -> None:
        if self.memfd >= 0:
            os.close(self.hollow)
        super().close()

    def share(self) -> int:
        own = struct.pack("=QQQQ", vu.GUEST, vu.SIZE, vu.USER, 0)
        hollow = struct.pack("=QQQQ", HOLLOW, PAGES * PAGE, vu.USER + vu.SIZE, 0)
        table = struct.pack("=II", 2, 0) + own + hollow
        return self.tell(vu.SET_MEM_TABLE, table, (self.memfd, self.hollow))

    @property
    def pages(self) -> int:
        """How many pages are there now."""
        return os.fstat(self.hollow).st_blocks * 512 // PAGE

    def up(self) -> Hollow:
        super().up()
        return self

    def ask_into(self, pages: range) -> None:
        """Requests, one for each page, in which its answer is to be."""
        queue = self.queues[vu.REQUESTQ]
        for page in pages:
            head = queue.post(struct.pack("<HHI", vu.GET_DIRECTION, LED, 0), 2)
            queue.descriptor(head, vu.GUEST + queue.buffer(head), 8, NEXT, head + 1)
            queue.descriptor(head + 1, HOLLOW + page * PAGE, 2, WRITE, 0)
        queue.notify()
        for _ in pages:
            while queue.pop() is None:
                ready, _, _ = select.select([queue.call, self.socket], [], [], vu.TIMEOUT_S)
                if self.socket in ready:
                    raise ConnectionResetError("the back-end hung up")
                assert ready, "no answer"
                os.eventfd_read(queue.call)

    def answer_in(self, page: int) -> bytes:
        return os.pread(self.hollow, 2, page * PAGE)


def test_an_answer_may_go_to_a_page_that_nobody_has_touched(export: Start) -> None:
    with Hollow(export().path) as guest:
        guest.up()
        guest.ok(vu.SET_DIRECTION, LED, vu.OUT)
        guest.ask_into(range(TOGETHER))
        assert guest.pages == TOGETHER
        assert {guest.answer_in(page) for page in range(TOGETHER)} == {bytes([vu.OK, vu.OUT])}


def test_the_service_pays_for_few_pages(export: Start, eventually: Eventually) -> None:
    exported = export()
    with Hollow(exported.path) as guest:
        guest.up()
        with pytest.raises(ConnectionResetError):
            for first in range(0, PAGES, TOGETHER):
                guest.ask_into(range(first, first + TOGETHER))
        # Its rings and buffers it has touched itself. Time gives one more page in ten seconds.
        assert FILLED_MAX - TOGETHER <= guest.pages <= FILLED_MAX + TOGETHER
        eventually(lambda: "that its VMM has never touched" in exported.rig.serve.log, "the reason")
    with Frontend(exported.path) as another:  # one that needs no more
        another.up().ok(vu.GET_VALUE, LED)
    with Hollow(exported.path) as again, pytest.raises(ConnectionResetError):
        again.up().ask_into(range(TOGETHER))


def test_a_page_that_the_vmm_takes_back_counts_again(export: Start) -> None:
    """Else a guest could have the service fill the same page just when its VMM has let it go."""
    with Hollow(export().path) as guest:
        guest.up()
        with (
            mmap.mmap(guest.hollow, TOGETHER * PAGE) as pages,
            pytest.raises(ConnectionResetError),
        ):
            for _ in range(PAGES // TOGETHER):
                guest.ask_into(range(TOGETHER))
                pages.madvise(mmap.MADV_REMOVE)
