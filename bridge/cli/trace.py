# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge trace: what goes over the wire."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from contextlib import closing

from bridge.cli.options import JSON, SOCKET, Command, Failure, Option, no_arguments
from bridge.cli.output import open_new
from bridge.client.control import Connection
from bridge.control_protocol import LAST, STATUS, default_socket
from bridge.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import SimpleNamespace
    from typing import BinaryIO

    from bridge.trace.decode import Chip, Message
    from bridge.trace.pcapng import Interface
    from bridge.trace.record import TraceRecord


def _count(word: str) -> int:
    if not (word.isascii() and word.isdigit() and int(word)):
        raise Failure(f"invalid number of messages: {word}")
    return int(word)


COMMAND = Command(
    "trace",
    "",
    "Show what goes over the wire, message by message, or write it for Wireshark.",
    """
gpio-bridge trace                          all links, until Ctrl-C
gpio-bridge trace --link m4 -n 10          ten messages of one link
gpio-bridge trace -w x.pcapng              for Wireshark, which needs the dissector:
wireshark -X "lua_script:$(gpio-bridge trace --dissector)" x.pcapng
gpio-bridge trace --last                   the last messages, from before this was started
gpio-bridge trace -r x.pcapng              what -w wrote, or the service when a link died

A line has the time, the controller, the direction (> to the firmware), what the message
says, its tag, how long a reply took, and after !! what is wrong with it.
""",
    [
        Option("-l --link NAME", "Only this link of the service [default: all]."),
        Option("-n --num-messages NUM", "End after so many messages.", _count),
        Option("-w --write FILE", "Write a pcapng file (- is standard output), and show nothing."),
        Option("-r --read FILE", "Show a file instead of what goes over the wire now."),
        Option("--last", "Show or write the last messages of each link, and end."),
        Option("--monotonic", "Show the times of CLOCK_MONOTONIC, as mon does, in seconds."),
        Option("--dissector", "Print where the dissector for Wireshark is, and end."),
        JSON,
        SOCKET,
    ],
)

_RED, _YELLOW, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[0m"


def main(arguments: list[str]) -> int:
    """Run the tool; return its exit status."""
    options, left = COMMAND.parse(arguments)
    no_arguments(left)
    if options.dissector:
        from bridge.trace.pcapng import DISSECTOR

        print(DISSECTOR)
    elif options.read is not None:
        _read(options)
    else:
        with closing(Connection.open(options.socket or default_socket())) as connection:
            (_last if options.last else _live)(options, connection)
    return 0


# ---- where records come from --------------------------------------------------


def _read(options: SimpleNamespace) -> None:
    """Show a file."""
    from bridge.trace.pcapng import read

    if options.write is not None or options.last or options.monotonic:
        raise Failure("--read goes with no --write, --last and --monotonic")
    with open(options.read, "rb") as file:
        links, records = read(file, options.read)
    wanted = [link for link in links if options.link in (None, link.name)]
    if not wanted:
        names = ", ".join(link.name for link in links)
        raise Failure(f'there is no link "{options.link}" in {options.read}; there are: {names}')
    numbers = {link.number for link in wanted}
    chosen = [record for record in records if record.link in numbers]
    _Printer(options, wanted, None, 0).take(chosen[: options.num_messages])


def _last(options: SimpleNamespace, connection: Connection) -> None:
    """Show or write what the service has kept."""
    from bridge.trace.pcapng import Interface
    from bridge.trace.record import Records

    names = [link["name"] for link in connection.call(STATUS)["links"]]
    chosen = names if options.link is None else [options.link]
    answers = [connection.call(LAST, link=name) for name in chosen]
    links = [Interface.of(link) for answer in answers for link in answer["links"]]
    records = [one for answer in answers for one in Records().feed(answer["records"])]
    records.sort(key=lambda record: record.time_ns)
    shown = records[-options.num_messages :] if options.num_messages else records
    since = records if options.write is None else shown
    out = _output(options, links, connection, since[0].time_ns if since else 0)
    if options.write is None:
        out.tell(records[: len(records) - len(shown)])  # what is shown may answer these
    out.take(shown)
    out.close()


def _live(options: SimpleNamespace, connection: Connection) -> None:
    """Read along until a signal comes, or there were enough messages."""
    from bridge.trace.pcapng import Interface
    from bridge.trace.record import TraceReader

    answer, (bell, ring) = connection.trace(options.link or "")
    reader = TraceReader(ring, bell)
    stop = _stop_descriptor()
    poller = select.poll()
    poller.register(reader.fd, select.POLLIN)
    poller.register(stop, select.POLLIN)
    links = [Interface.of(link) for link in answer["links"]]
    out = _output(options, links, connection, time.monotonic_ns())
    left = options.num_messages
    try:
        while (left is None or left > 0) and stop not in dict(poller.poll()):
            records = reader.read()[:left]
            out.take(records)
            left = None if left is None else left - len(records)
    finally:
        out.close()
        lost = f", {reader.lost} more were not read in time" if reader.lost else ""
        print(f"{out.count} messages{lost}", file=sys.stderr)


def _stop_descriptor() -> int:
    """A descriptor that is readable once a signal asked us to end: files are whole then."""
    ours, theirs = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)
    return ours


# ---- where they go ------------------------------------------------------------


def _output(
    options: SimpleNamespace, links: Sequence[Interface], connection: Connection, since_ns: int
) -> _Printer | _File:
    """A file or standard output; both know the channels that were there before."""
    from bridge.trace.pcapng import channel_records

    out: _Printer | _File = (
        _Printer(options, links, connection, _realtime_offset(options))
        if options.write is None
        else _File(options.write, links)
    )
    out.tell(list(channel_records(links, since_ns)))
    return out


def _realtime_offset(options: SimpleNamespace) -> int:
    return 0 if options.monotonic else time.time_ns() - time.monotonic_ns()


class _File:
    """Records for Wireshark."""

    def __init__(self, path: str, links: Sequence[Interface]) -> None:
        from bridge.trace.pcapng import Writer

        self.count = 0
        self._file: BinaryIO = sys.stdout.buffer if path == "-" else open_new(path)
        self._writer = Writer(self._file, links)

    def tell(self, records: Iterable[TraceRecord]) -> None:
        """Write what was before."""
        for record in records:
            self._writer.write(record)
        self._file.flush()

    def take(self, records: Sequence[TraceRecord]) -> None:
        """Write records, at once: whoever looks at the file sees what happened."""
        self.count += len(records)
        self.tell(records)

    def close(self) -> None:
        """The file is whole."""
        self._file.flush()
        if self._file is not sys.stdout.buffer:
            self._file.close()


class _Printer:
    """Records as lines of text, or as objects."""

    def __init__(
        self,
        options: SimpleNamespace,
        links: Sequence[Interface],
        connection: Connection | None,
        offset_ns: int,
    ) -> None:
        from bridge.trace.decode import Decoder

        self.count = 0
        self._json = options.json
        self._seconds = options.monotonic
        self._colour = os.isatty(1) and not os.environ.get("NO_COLOR")
        self._offset_ns = offset_ns
        self._links = {link.number: link.name for link in links}
        self._chips: dict[tuple[str, int], Chip] = {}
        self._connection = connection
        self._asked = 0.0
        self._decoder = Decoder(self._links, self._chips)

    def tell(self, records: Sequence[TraceRecord]) -> None:
        """Learn what was before."""
        self._look_up(records)
        for record in records:
            list(self._decoder.decode(record))

    def take(self, records: Sequence[TraceRecord]) -> None:
        """Print records."""
        self.count += len(records)
        self._look_up(records)
        lines = [
            self._object(message) if self._json else self._text(message)
            for record in records
            for message in self._decoder.decode(record)
        ]
        if lines:
            print("\n".join(lines), flush=True)

    def close(self) -> None:
        """Nothing is left."""

    def _look_up(self, records: Sequence[TraceRecord]) -> None:
        """Ask for the chips behind addresses that are new, at most once a second."""
        places = {(self._links.get(one.link, ""), one.address) for one in records}
        unknown = any(address and (link, address) not in self._chips for link, address in places)
        if self._connection is None or not unknown or time.monotonic() - self._asked < 1:
            return
        self._asked = time.monotonic()
        self._chips.update(_chips(self._connection))

    def _object(self, message: Message) -> str:
        time_ns = message.time_ns + self._offset_ns
        return json.dumps({**message._asdict(), "time_ns": time_ns})

    def _text(self, message: Message) -> str:
        time_ns = message.time_ns + self._offset_ns
        words = [self._time(time_ns), f"{message.where:10}", message.direction, message.text]
        if message.tag is not None:
            words.append(f"[tag {message.tag}]")
        if message.latency_ns is not None:
            words.append(_duration(message.latency_ns))
        if message.again:
            words.append("(again)")
        words += [f"!! {fault}" for fault in message.faults]
        text = printable(" ".join(words))
        colour = _RED if message.faults else _YELLOW if message.again else ""
        return f"{colour}{text}{_PLAIN}" if self._colour and colour else text

    def _time(self, time_ns: int) -> str:
        seconds, rest = divmod(time_ns, 1_000_000_000)
        if self._seconds:
            return f"{seconds}.{rest:09}"
        return f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{rest // 1000:06}"


def _chips(connection: Connection) -> Iterator[tuple[tuple[str, int], Chip]]:
    """The chips that there are, by link and address."""
    from bridge.trace import decode

    for chip in connection.chips():
        try:
            names = [line["name"] for line in connection.lines(chip["name"])]
        except FileNotFoundError:
            continue  # it went away meanwhile
        if chip["address"] is not None:
            yield (chip["link"], chip["address"]), decode.Chip(chip["name"], names)


def _duration(time_ns: int) -> str:
    if time_ns < 1_000_000:
        return f"{time_ns / 1e3:.1f} us"
    return f"{time_ns / 1e6:.2f} ms"
