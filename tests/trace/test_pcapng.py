# SPDX-License-Identifier: BSD-3-Clause
"""Files of records: what we read back, and what Debian's tshark makes of them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from io import BytesIO

import pytest

from bridge import wire
from bridge.trace import pcapng
from bridge.trace.record import TraceKind, TraceRecord
from tests.processes import LATE_S

LINKS = [pcapng.Interface(0, "m4", [("rpmsg-io-0", 1024)]), pcapng.Interface(3, "dsp")]

Tshark = Callable[..., list[str]]


def records(
    *messages: tuple[int, str], link: int = 0, features: int = wire.F_TAG
) -> list[TraceRecord]:
    """Records of these kinds and bytes, a millisecond apart."""
    found = []
    for number, (kind, text) in enumerate(messages):
        data = bytes.fromhex(text)
        found.append(
            TraceRecord(
                5_000_000_000 + number * 1_000_000,
                number,
                1024,
                1025,
                link,
                kind,
                features,
                len(data),
                data,
            )
        )
    return found


SENT, RECEIVED, TIMEOUT = TraceKind.SENT, TraceKind.RECEIVED, TraceKind.TIMEOUT
GET = "04 00 04 00 00 00 00 00 07 00 00 00"
OK = "00 00 00 01 07 00 00 00"


def test_what_is_written_can_be_read() -> None:
    written = records((TraceKind.UP, ""), (SENT, GET), (RECEIVED, OK), link=3)
    file = BytesIO(pcapng.pack(written, LINKS))
    links, found = pcapng.read(file, "x")
    assert [link.name for link in links] == ["m4", "dsp"]
    channel, *rest = found
    assert (channel.kind, channel.data, channel.link) == (TraceKind.CHANNEL, b"rpmsg-io-0", 0)
    offset = rest[0].time_ns - written[0].time_ns
    assert [one._replace(time_ns=one.time_ns - offset, link=3) for one in rest] == written


def test_a_file_that_was_cut_shows_what_is_whole() -> None:
    whole = pcapng.pack(records((SENT, GET), (RECEIVED, OK)), LINKS)
    counts = [len(pcapng.read(BytesIO(whole[:length]), "x")[1]) for length in range(len(whole))]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 2)


def test_a_damaged_file_is_refused_or_read() -> None:
    whole = pcapng.pack(records((SENT, GET), (RECEIVED, OK)), LINKS)
    refused = 0
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        try:
            pcapng.read(BytesIO(bytes(damaged)), "x")
        except OSError as error:
            assert error.strerror == "x: no pcapng file of gpio-bridge trace"
            refused += 1
    assert refused


# ---- tshark ---------------------------------------------------------------------


@pytest.fixture
def tshark(tmp_path_factory: pytest.TempPathFactory) -> Tshark:
    """Runs tshark with our dissector on records; its lines."""
    program = shutil.which("tshark")
    if program is None:
        pytest.skip("no tshark: make deps")
    directory = tmp_path_factory.mktemp("tshark")
    # Of its own, so that no preference of whoever runs the tests counts.
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(directory), "LC_ALL": "C.UTF-8"}

    def run(written: list[TraceRecord], *arguments: str) -> list[str]:
        path = directory / "x.pcapng"
        path.write_bytes(pcapng.pack(written, LINKS))
        done = subprocess.run(
            [program, "-X", f"lua_script:{pcapng.DISSECTOR}", "-r", str(path), *arguments],
            capture_output=True,
            text=True,
            env=environment,
            timeout=LATE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Lua" not in done.stderr, done.stderr
        return done.stdout.splitlines()

    return run


def test_tshark_filters_by_line(tshark: Tshark) -> None:
    other = "04 00 05 00 00 00 00 00 08 00 00 00"
    written = records((SENT, GET), (SENT, other), (RECEIVED, "00 00 00 00 08 00 00 00"), (RECEIVED, OK))  # fmt: skip # noqa: E501
    fields = ["rpmsg_gpio.type", "rpmsg_gpio.tag", "rpmsg_gpio.latency", "frame.interface_name"]
    arguments = [word for field in fields for word in ("-e", field)]
    lines = tshark(written, "-Y", "rpmsg_gpio.line == 4", "-T", "fields", *arguments)
    assert lines == ["0x0004\t7\t\tm4", "0x0004\t7\t0.003\tm4"]


def test_tshark_shows_messages_in_words(tshark: Tshark) -> None:
    written = records((SENT, GET), (RECEIVED, OK))
    events = records(
        (RECEIVED, "01 01 02 00 01 00 00 00 01 00 00 00 00 00 00 00"),
        features=wire.F_CREDITS | wire.F_TIMESTAMP,
    )
    events[0] = events[0]._replace(number=2, time_ns=events[0].time_ns + 10_000_000)
    lines = tshark(written + events, "-T", "fields", "-e", "_ws.col.Info")
    assert lines == [
        "channel rpmsg-io-0 at 0x400",
        "GET_VALUE line 4",
        "OK 1 (GET_VALUE line 4)",
        "EVENT line 2 high",
    ]


def test_tshark_gives_replies_without_tags_to_the_oldest_requests(tshark: Tshark) -> None:
    """Of firmware that has forgotten what was negotiated."""
    tags = ["09 00", "2c 01", "02 00", "07 00", "a0 0f", "01 00", "41 00"]
    sent = [(SENT, f"04 00 0{line} 00 00 00 00 00 {tag} 00 00") for line, tag in enumerate(tags)]
    written = records(*sent, *[(RECEIVED, "00 00 01")] * len(tags))
    lines = tshark(written, "-Y", "rpmsg_gpio.status", "-T", "fields", "-e", "_ws.col.Info")
    assert lines == [f"OK 1 (GET_VALUE line {line})" for line in range(len(tags))]


#: Messages of one controller, what it has accepted, and what tshark says of them.
VIOLATIONS: list[tuple[list[tuple[int, str]], int, str]] = [
    ([(SENT, GET), (RECEIVED, OK)], wire.F_TAG, ""),
    ([(RECEIVED, OK)], wire.F_TAG, "A reply that answers no request"),
    (
        [(SENT, GET), (RECEIVED, "00 00 02 00 07 00 00 00")],
        wire.F_TAG,
        "The status is neither OK nor ERR",
    ),
    ([(SENT, GET), (RECEIVED, "00 00 01 00 07 00 00 00")], wire.F_TAG, "The request was refused"),
    ([(SENT, GET), (RECEIVED, "00 00 00 02 07 00 00 00")], wire.F_TAG, "The value is not defined"),
    (
        [(SENT, GET), (RECEIVED, "00 00 00 01 07")],
        wire.F_TAG,
        "The length fits no form of the message",
    ),
    ([(RECEIVED, "02 00 00")], 0, "Byte 0 is neither requestq nor eventq"),
    ([(RECEIVED, "01 02 00")], wire.F_CREDITS, "The length fits no form of the message"),
    ([(RECEIVED, "01 04 02 00 01 00 00 00")], wire.F_CREDITS, "Flags that are not defined"),
    (
        [(RECEIVED, "01 00 02 00 05 00 00 00 01 01 02 00 04 00 00 00")],
        wire.F_CREDITS,
        "The number is not ahead of the line's last one",
    ),
    (
        [(RECEIVED, "01 00 02 00 05 00 00 00 01 01 02 00 08 00 00 00")],
        wire.F_CREDITS,
        "Edges of the line are missing",
    ),
    ([(SENT, GET), (TIMEOUT, GET)], wire.F_TAG, "No reply until the deadline"),
    ([(TraceKind.SENT_AGAIN, GET)], wire.F_TAG, "A frame that was on its way before"),
    ([(TraceKind.REPEATED, OK)], wire.F_TAG, "A frame that was on its way before"),
    ([(TraceKind.DAMAGED, "")], 0, "A frame that was damaged on the line"),
    ([(SENT, "04 00 00")], 0, "The length fits no form of the message"),
    (
        [(SENT, GET), (TIMEOUT, GET), (RECEIVED, OK)],
        wire.F_TAG,
        "A reply after the request was given up,No reply until the deadline",
    ),
    ([(TraceKind.DOWN, "78")], 0, "The link is dead"),
]


def test_tshark_tells_what_breaks_the_protocol(tshark: Tshark) -> None:
    written = records((TraceKind.UP, ""))
    for address, (messages, features, _) in enumerate(VIOLATIONS, 5000):
        for record in records(*messages, features=features):
            number = len(written)
            time_ns = written[0].time_ns + number * 1_000_000
            written.append(record._replace(number=number, time_ns=time_ns, address=address))
    columns = ["-T", "fields", "-e", "rpmsg_gpio.address", "-e", "_ws.expert.message"]
    said: dict[int, set[str]] = {}
    for line in tshark(written, *columns):
        address, _, text = line.partition("\t")
        said.setdefault(int(address, 16), set()).update({text} - {""})
    for address, (messages, _, expected) in enumerate(VIOLATIONS, 5000):
        assert ",".join(sorted(said[address])) == expected, messages
