# SPDX-License-Identifier: BSD-3-Clause
"""Recording: from the edges of lines to a file, until it is enough."""

from __future__ import annotations

import errno
import os
import select
import threading
import time
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from bridge.recording.model import HIGH, LOW, UNKNOWN, lost_text
from bridge.recording.sink import Sink
from bridge.recording.source import Batch, Source
from bridge.recording.trigger import Trigger
from bridge.shim.recording import apply, in_order

__all__ = ["Limits", "Recorder", "Totals"]

# An edge may take so long from its own time until it is here.
_WAY_NS = 20_000_000
# Edges before the trigger that are kept at most: 40 MB.
_BEFORE_MAX = 4_000_000
_CLOCK_NS = 250_000_000
_AGAIN_S = 0.5

Reopen = Callable[[], Source]


@dataclass(frozen=True)
class Limits:
    """When to record: times in ns, 0 for none.

    Attributes:
        pre: what is kept of the time before the trigger.
        post: after the trigger, then the recording ends.
        duration: of all of it, then it ends whatever happened.
        sample: levels are read so often, in the place of edges.
    """

    pre: int = 0
    post: int = 0
    duration: int = 0
    sample: int = 0


@dataclass
class Totals:
    """What was recorded: edges, and those known to be missing, by the index of their signal."""

    edges: int = 0
    lost: dict[int, int] = field(default_factory=dict)
    triggered: bool = False
    seconds: float = 0.0
    late: int = 0
    latest_ns: int = 0
    late_samples: int = 0
    bound_ns: int = 0
    by_arrival: int = 0
    outages: int = 0


class Recorder:
    """Takes the edges of sources to a sink."""

    def __init__(
        self,
        sources: dict[Source, Reopen],
        began_ns: int,
        sink: Sink,
        limits: Limits,
        trigger: Trigger | None = None,
        tell: Callable[[str], None] = lambda sentence: None,
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare.

        Args:
            sources: what is recorded, and how to request it again after its chip was gone.
            began_ns: CLOCK_MONOTONIC before they were requested.
            sink: where it goes.
            limits: when to begin and to end.
            trigger: what to wait for before anything is written; None: nothing.
            tell: is told of chips that go and come back.
            ready: is called when everything is set up.
        """
        self._reopen = dict(sources)
        self._began = began_ns
        self._sink = sink
        self._limits = limits
        self._trigger = trigger
        self._tell = tell
        self._ready = ready
        self._levels = bytearray([UNKNOWN]) * sum(len(source.offsets) for source in sources)
        self._held = Batch()  # of several sources, until what came before must have come
        self._before: deque[tuple[array[int], array[int]]] = deque()
        self._before_count = 0
        self._end: int | None = began_ns + limits.duration if limits.duration else None
        self._poller = select.poll()
        self._by_fd: dict[int, Source] = {}
        self._wake, self._woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._coming: dict[int, Reopen] = {}  # by the first signal of what is gone
        self._back: list[Source] = []
        self._asked = self._stopped = False
        self._next_sample = began_ns
        self._clock_due = began_ns
        self._arrivals: dict[Source, int] = {}
        self.totals = Totals()

    def stop(self) -> None:
        """End the recording with what happened until now; at once when called again.

        It may be called in a signal handler.
        """
        self._stopped = self._asked
        self._asked = True
        now = time.monotonic_ns()
        self._end = now if self._end is None else min(now, self._end)
        with suppress(OSError):  # it is full, or the recording has ended
            os.write(self._woken, b"!")

    @property
    def waker(self) -> int:
        """A pipe's end, in which a byte ends the recorder's wait (signal.set_wakeup_fd())."""
        return self._woken

    def run(self) -> Totals:
        """Record until the limits, or stop(). Raises OSError when the file can not be written."""
        self._poller.register(self._wake, select.POLLIN)
        batches = [self._begin(source) for source in list(self._reopen)]
        if self._trigger is None:
            self._sink.begin(self._began, self._levels)
        elif self._trigger.begin(self._began, self._levels):
            self._fire(self._began)
        self._take(batches)
        self._ready()
        try:
            while not self._ended():
                self._step()
        finally:
            end = self._finish()
        totals = self.totals
        totals.seconds = (end - self._began) / 1e9
        totals.late, totals.latest_ns = self._sink.late, self._sink.latest_ns
        return totals

    # ---- sources -------------------------------------------------------------

    def _begin(self, source: Source) -> Batch:
        """Watch a source; return the first edges, and fill in the levels before them."""
        levels = source.levels()
        batch = Batch()
        if self._limits.sample:
            batch = source.sample()
        else:
            self._by_fd[source.request.fd] = source
            self._poller.register(source.request.fd, select.POLLIN)
            if source.request.wait_edge_events(0):
                batch = source.read()
        first = {code >> 2: code & 3 for code in reversed(batch.codes)}
        for index, level in enumerate(levels, source.first):
            edge = first.get(index)
            known = edge in (LOW, HIGH) and not self._limits.sample
            self._levels[index] = HIGH - (edge or LOW) if known else level
        self._look_at_clock(source)
        return batch

    def _lose(self, source: Source) -> Batch:
        """The chip of a source is gone: nothing is known of its lines until it is back."""
        now = time.monotonic_ns()
        for fd in [fd for fd, one in self._by_fd.items() if one is source]:
            self._poller.unregister(fd)
            del self._by_fd[fd]
        reopen = self._reopen.pop(source)
        source.close()
        self.totals.outages += 1
        self._tell(f"chip {source.name} is gone: the recording goes on when it is back")
        self._coming[source.first] = reopen
        threading.Thread(target=self._await, args=(reopen,), daemon=True).start()
        return source.unknown(now)

    def _await(self, reopen: Reopen) -> None:
        """Request the lines again, in a thread, until that works."""
        while not self._stopped:
            try:
                source = reopen()
            except (OSError, ValueError):
                time.sleep(_AGAIN_S)
                continue
            self._back.append(source)
            with suppress(OSError):
                os.write(self._woken, b"!")
            return

    def _return(self, source: Source) -> Batch:
        """Go on with a source that is back, from the levels that it has now."""
        self._reopen[source] = self._coming.pop(source.first)
        now = time.monotonic_ns()
        edges = self._begin(source)
        self._tell(f"chip {source.name} is back")
        batch = Batch()
        for index in range(source.first, source.first + len(source.offsets)):
            batch.times.append(now)
            batch.codes.append(index << 2 | self._levels[index])
        batch.marks = len(batch.times) + edges.marks
        batch.times.extend(max(when, now) for when in edges.times)
        batch.codes += edges.codes
        batch.lost = edges.lost
        return batch

    # ---- the loop ------------------------------------------------------------

    def _ended(self) -> bool:
        if self._stopped:
            return True
        return self._end is not None and time.monotonic_ns() >= self._end + _WAY_NS

    def _step(self) -> None:
        """Wait for something to do, and do it."""
        ready = self._poller.poll(self._patience_ms())
        batches = []
        for fd, _ in ready:
            if fd == self._wake:
                with suppress(BlockingIOError):
                    os.read(self._wake, 64)
                continue
            source = self._by_fd[fd]
            try:
                batches.append(source.read())
            except OSError as error:
                if error.errno != errno.ENODEV:
                    raise
                batches.append(self._lose(source))
        while self._back:
            batches.append(self._come_back(self._back.pop()))
        if self._limits.sample and time.monotonic_ns() >= self._next_sample:
            batches += self._sample()
        self._take(batches)
        now = time.monotonic_ns()
        if now >= self._clock_due and sum(len(batch.times) for batch in batches) < 64:
            self._clock_due = now + _CLOCK_NS
            for source in self._reopen if batches else ():
                with suppress(OSError):
                    self._look_at_clock(source)

    def _come_back(self, source: Source) -> Batch:
        try:
            return self._return(source)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            return self._lose(source)

    def _patience_ms(self) -> float | None:
        """How long nothing is to be done unless something comes."""
        due = [] if self._end is None else [self._end + _WAY_NS]
        if self._held.times:
            due.append(self._held.times[0] + _WAY_NS)
        if self._limits.sample:
            due.append(self._next_sample)
        if self._trigger is not None and not self.totals.triggered:
            lasting = self._trigger.due()
            due += [] if lasting is None else [lasting + _WAY_NS]
        if not due:
            return None
        return min(3_600_000, max(0, -(-(min(due) - time.monotonic_ns()) // 1_000_000)))

    def _sample(self) -> list[Batch]:
        """Read the levels of all sources, at times that do not drift."""
        batches = []
        for source in list(self._reopen):
            try:
                batches.append(source.sample())
            except OSError as error:
                if error.errno == errno.ENODEV:
                    batches.append(self._lose(source))
                elif not isinstance(error, TimeoutError):
                    raise
        self._next_sample += self._limits.sample
        missed = (time.monotonic_ns() - self._next_sample) // self._limits.sample
        if missed > 0:
            self.totals.late_samples += missed
            self._next_sample += missed * self._limits.sample
        return batches

    # ---- changes -------------------------------------------------------------

    def _take(self, batches: list[Batch], everything: bool = False) -> None:
        """Pass on what was read, in order of time."""
        for batch in batches:
            for _, signal, number in batch.lost:
                self.totals.lost[signal] = self.totals.lost.get(signal, 0) + number
        several = len(self._reopen) + len(self._coming) > 1
        if not several:
            # Without a change, too, a pulse may have become a long one.
            for batch in batches or [Batch()]:
                self._pass(_ordered(batch))
            return
        for batch in batches:
            self._held.times += batch.times
            self._held.codes += batch.codes
            self._held.lost += batch.lost
            self._held.marks += batch.marks
        held = _ordered(self._held)
        until = len(held.times)
        if not everything:
            until = bisect_right(held.times, time.monotonic_ns() - _WAY_NS)
        ready, self._held = Batch(), Batch()
        ready.times, self._held.times = held.times[:until], held.times[until:]
        ready.codes, self._held.codes = held.codes[:until], held.codes[until:]
        ready.lost, ready.marks = held.lost, held.marks
        self._pass(ready)

    def _pass(self, batch: Batch) -> None:
        """Hand changes to trigger and file."""
        trigger = self._trigger
        if trigger is None or self.totals.triggered:
            self._write(batch)
            return
        at = trigger.feed(batch.times, batch.codes)
        if at is not None:
            self._keep(batch.times[: at + 1], batch.codes[: at + 1])
            rest = Batch()
            when = batch.times[at]
            rest.times, rest.codes = batch.times[at + 1 :], batch.codes[at + 1 :]
            rest.lost, rest.marks = batch.lost, batch.marks
            self._fire(when)
            self._write(rest)
            return
        self._keep(batch.times, batch.codes)
        lasting = trigger.due()
        if lasting is not None and time.monotonic_ns() >= lasting + _WAY_NS:
            self._fire(lasting)

    def _keep(self, times: array[int], codes: array[int]) -> None:
        """Keep what may be wanted of the time before the trigger."""
        if times:
            self._before.append((times, codes))
            self._before_count += len(times)
        oldest = time.monotonic_ns() - self._limits.pre - 2 * _WAY_NS
        while self._before and (
            self._before[0][0][-1] < oldest or self._before_count > _BEFORE_MAX
        ):
            _, gone = self._before.popleft()
            self._before_count -= len(gone)
            apply(gone, self._levels)

    def _fire(self, when: int) -> None:
        """The trigger happened: begin the file, with what came before."""
        self.totals.triggered = True
        zero = max(self._began, when - self._limits.pre)
        if self._limits.post:
            end = when + self._limits.post
            self._end = end if self._end is None else min(self._end, end)
        kept = Batch()
        for times, codes in self._before:
            kept.times += times
            kept.codes += codes
        self._before.clear()
        first = bisect_left(kept.times, zero)
        apply(kept.codes[:first], self._levels)
        self._sink.begin(zero, self._levels)
        kept.times, kept.codes = kept.times[first:], kept.codes[first:]
        until = bisect_right(kept.times, when)
        rest = Batch()
        rest.times, rest.codes = kept.times[until:], kept.codes[until:]
        kept.times, kept.codes = kept.times[:until], kept.codes[:until]
        self._write(kept)
        self._sink.note(when, "trigger")
        self._write(rest)

    def _write(self, batch: Batch) -> None:
        if self._end is not None:
            until = bisect_right(batch.times, self._end)
            del batch.times[until:], batch.codes[until:]
        self.totals.edges += max(0, len(batch.times) - batch.marks)
        for when, signal, number in batch.lost:
            self._sink.note(when, lost_text(self._sink.name_of(signal), number))
        self._sink.write(batch.times, batch.codes)

    # ---- the end -------------------------------------------------------------

    def _finish(self) -> int:
        """Write what waits, release everything, and return the time of the end."""
        now = time.monotonic_ns()
        self._stopped = True
        batches: list[Batch] = []
        for source in self._by_fd.values():
            with suppress(OSError):
                batches += _waiting(source, now)
        for source in self._reopen:
            with suppress(OSError):
                self._look_at_clock(source)
        try:
            self._take(batches, everything=True)
            end = now if self._end is None else min(now, self._end)
            if self._sink.open:
                self._sink.end(end, self.notes())
            return end
        finally:
            for source in (*self._reopen, *self._back):
                source.close()
            os.close(self._wake)

    def _look_at_clock(self, source: Source) -> None:
        """Note how far off the times may be."""
        clock = source.clock()
        if clock is None:
            return
        bound, by_arrival = clock
        self.totals.bound_ns = max(self.totals.bound_ns, bound)
        before = self._arrivals.setdefault(source, by_arrival)
        self.totals.by_arrival += by_arrival - before
        self._arrivals[source] = by_arrival

    def notes(self) -> list[str]:
        """Return what there is to say at the end, a sentence each."""
        totals = self.totals
        lost = sum(totals.lost.values())
        names = ", ".join(
            f"{self._sink.name_of(signal)} {number}" for signal, number in totals.lost.items()
        )
        notes = [f"{totals.edges} edges, {lost} lost{f' ({names})' if names else ''}"]
        if totals.bound_ns:  # of no edge, the clock being unknown, there is none
            notes.append(f"times are off by at most {totals.bound_ns / 1000:.1f} us")
            if totals.outages:
                # Nobody could be asked for the bound of what came after the last look at it.
                notes.append("in the last moments before a chip was gone by at most 1000 us")
        if totals.by_arrival:
            notes.append(f"{totals.by_arrival} edges have the time of their arrival")
        if self._sink.late:
            notes.append(
                f"{self._sink.late} edges came late and were moved, by at most "
                f"{self._sink.latest_ns / 1000:.1f} us"
            )
        if totals.late_samples:
            notes.append(f"{totals.late_samples} readings of the levels were too late and left out")
        if totals.outages:
            notes.append(f"chips were gone {totals.outages} times")
        return notes


def _waiting(source: Source, now: int) -> Iterator[Batch]:
    """The edges that wait, until one that is later than now. Raises OSError."""
    latest = 0
    while latest <= now and source.request.wait_edge_events(0):
        batch = source.read()
        latest = batch.times[-1]
        yield batch


def _ordered(batch: Batch) -> Batch:
    """Order changes by time."""
    times = batch.times
    if in_order(times):
        return batch
    order = sorted(range(len(times)), key=times.__getitem__)
    ordered = Batch()
    ordered.times.extend(times[index] for index in order)
    ordered.codes.extend(batch.codes[index] for index in order)
    ordered.lost, ordered.marks = batch.lost, batch.marks
    return ordered
