# SPDX-License-Identifier: BSD-3-Clause
"""What goes over the links: who may read it, how many, and what is left of a link that died."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bridge.bench.rig import Rig
from bridge.service import Config, LinkConfig, ServiceThread
from bridge.service.access import AccessRule
from bridge.service.recorder import KEPT_MAX, Recorder
from bridge.service.tracing import TAPS_MAX, Tracing
from bridge.trace import pcapng
from bridge.trace.record import Records, TraceKind, TraceReader
from firmware_stub import Stub
from tests.users import ALICE, BOB, needs_root, user

from .conftest import RawClient

Eventually = Callable[[Callable[[], bool], str], None]


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceThread]:
    with Stub("demo") as stub:
        thread = ServiceThread(Config(socket=None, links=(LinkConfig(stub.url, name="fw"),)))
        thread.wait_chip("fw-0", 30)
        thread.wait_chip("fw-1", 30)
        yield thread
        thread.close()


def tap(client: RawClient, **arguments: Any) -> tuple[dict[str, Any], TraceReader]:
    """Read along."""
    client.send("trace", **arguments)
    reply, (bell, ring) = client.receive()
    assert reply is not None
    return reply["ok"], TraceReader(ring, bell)


def test_what_a_client_does_is_seen_by_who_reads_along(service: ServiceThread) -> None:
    client = RawClient(service.connect())
    answer, reader = tap(client)
    (link,) = answer["links"]
    assert link == {"name": "fw", "number": 0, "channels": link["channels"]}
    assert sorted(link["channels"]) == [["rpmsg-io-0", 0x400], ["rpmsg-io-1", 0x401]]
    client.request("fw-0", {"offset": 3, "flags": 1 << 2}).close()
    assert reader.wait(30)
    kinds = {record.kind for record in reader.read()}
    assert kinds <= {TraceKind.SENT, TraceKind.RECEIVED}
    assert reader.lost == 0
    client.socket.close()
    with pytest.raises(OSError, match="ended the trace"):
        while reader.wait(30):
            reader.read()


def test_the_last_messages_are_from_before(service: ServiceThread) -> None:
    client = RawClient(service.connect())
    answer = client.ok("last", link="fw")
    records = list(Records().feed(answer["records"]))
    assert [record.number for record in records] == list(range(len(records)))
    assert records[0].kind == TraceKind.UP
    client.socket.close()


def test_a_link_that_is_not_there(service: ServiceThread) -> None:
    client = RawClient(service.connect())
    for op in ("trace", "last"):
        assert client.fails(op, link="m5") == (
            errno.ENOENT,
            'there is no link "m5"; there are: fw',
        )
    client.socket.close()


def test_a_few_may_read_along_at_once(service: ServiceThread) -> None:
    with ExitStack() as stack:
        clients = [RawClient(service.connect()) for _ in range(TAPS_MAX + 1)]
        for client in clients[:-1]:
            stack.callback(tap(client)[1].close)
        number, why = clients[-1].fails("trace")
        assert (number, why) == (errno.EBUSY, f"{TAPS_MAX} programs trace already; end one of them")
        clients[0].socket.close()
        clients[1].ok("status")  # after the hang-up was noticed, since that came first
        stack.callback(tap(clients[-1])[1].close)
        for client in clients:
            client.socket.close()


@needs_root
def test_with_rules_of_access_only_the_group_reads_along() -> None:
    """Alice may do everything with the lines, and still must not see what others do."""
    rules = (AccessRule(may=("drive", "watch"), users=(ALICE,), uids=frozenset({ALICE})),)
    with Stub("demo") as stub:
        links = (LinkConfig(stub.url, name="fw"),)
        for config, allowed in (
            (Config(socket=None, links=links), {ALICE, BOB}),
            (Config(socket=None, links=links, access=rules), set()),
            (Config(socket=None, links=links, trace_group="nogroup"), set()),
        ):
            tracing = Tracing(config, ())
            for uid in (ALICE, BOB):
                peer = cast(Any, SimpleNamespace(uid=uid, groups=frozenset({uid})))
                if uid in allowed:
                    tracing.check(peer)
                else:
                    with pytest.raises(PermissionError, match="may not trace"):
                        tracing.check(peer)
        thread = ServiceThread(Config(socket=None, links=links, access=rules))
        thread.wait_chip("fw-0", 30)
        with user(ALICE):
            client = RawClient(thread.connect())
        assert client.fails("last", link="fw")[0] == errno.EACCES
        assert client.fails("trace")[0] == errno.EACCES
        client.socket.close()
        thread.close()


def test_a_member_of_the_group_reads_along() -> None:
    gid = os.getgid()
    import grp

    group = grp.getgrgid(gid).gr_name
    tracing = Tracing(Config(trace_group=group), ())
    tracing.check(cast(Any, SimpleNamespace(uid=ALICE, groups=frozenset({gid}))))


def test_a_group_that_is_not_there_is_told() -> None:
    with pytest.raises(OSError, match='trace_group: there is no group "no-such-group"'):
        Tracing(Config(trace_group="no-such-group"), ())


def test_a_link_that_dies_leaves_its_last_messages(eventually: Eventually) -> None:
    with Rig() as rig:
        rig.stub.kill()
        eventually(lambda: "its last messages" in rig.serve.log, "the file is logged")
        (line,) = [one for one in rig.serve.log.splitlines() if "its last messages" in one]
        path = Path(line.rpartition(" ")[2])
        assert path.parent == Path(rig.serve.socket).with_suffix(".traces")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        links, records = pcapng.read(path.open("rb"), str(path))
        assert [link.name for link in links] == ["fw"]
        assert records[-1].kind == TraceKind.DOWN
        assert b"closed" in records[-1].data
        assert {one.data for one in records if one.kind == TraceKind.CHANNEL} >= {b"rpmsg-io-0"}


class Slots:
    """What a recorder wants of the pump."""

    def last(self) -> bytes:
        return b""


def test_the_latest_files_are_kept(tmp_path: Path) -> None:
    directory = tmp_path / "traces"
    directory.mkdir(mode=0o700)
    stamps = [f"m4-20260101T00000{second}.pcapng" for second in range(8)]
    for name in (*stamps, "m4-2-20260101T000000.pcapng", "mine"):
        (directory / name).write_bytes(b"")
    Recorder("m4", 0, cast(Any, Slots()), str(directory)).link_died([])
    left = sorted(path.name for path in directory.iterdir())
    assert len(left) == KEPT_MAX + 2
    assert left[0] == "m4-2-20260101T000000.pcapng"
    assert left[1:KEPT_MAX] == stamps[-KEPT_MAX + 1 :]
    assert left[-1] == "mine"


def test_a_directory_that_others_may_write_to_gets_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "traces"
    directory.mkdir()
    directory.chmod(0o777)
    Recorder("m4", 0, cast(Any, Slots()), str(directory)).link_died([])
    assert not list(directory.iterdir())
    assert "lets others write to it" in caplog.text


def test_none_are_wanted(tmp_path: Path) -> None:
    Recorder("m4", 0, cast(Any, Slots()), None).link_died([])
    assert not list(tmp_path.iterdir())
