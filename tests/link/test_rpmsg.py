# SPDX-License-Identifier: BSD-3-Clause
"""rpmsg URLs, and remoteproc names on a tree that looks like a board's sysfs.

The kernel of tests/kernel has no remoteproc hardware; the layout is that of
drivers/remoteproc/remoteproc_virtio.c on a SoC. All else runs on the real thing
there, but for what happens there too rarely: see the finder's part.
"""

from __future__ import annotations

import errno
import gc
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from select import POLLIN, poll

import pytest

from bridge import wire
from bridge.link import resolve, rpmsg, rpmsg_finder
from bridge.link.rpmsg_finder import Finder
from bridge.link.rpmsg_sysfs import ADDR_ANY, BusChannel, Node, Processor, Sysfs
from bridge.link.rpmsg_target import Target, parse
from bridge.shim.ffi import ffi, lib


class Board:
    """A sysfs with remoteprocs whose firmware announced channels."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._nodes = 0
        for folder in ("bus/rpmsg/devices", "bus/rpmsg/drivers/rpmsg_chrdev", "class/rpmsg"):
            (root / folder).mkdir(parents=True)
        (root / "bus/rpmsg/drivers/rpmsg_chrdev/bind").touch()
        self.dev = root / "dev"
        self.dev.mkdir()
        self.modules = root / "modules"
        self.modules.mkdir()

    def processor(self, number: int, name: str, device: str) -> Path:
        remoteproc = self.root / f"devices/platform/{device}/remoteproc/remoteproc{number}"
        virtio = remoteproc / f"remoteproc{number}#vdev0buffer/virtio{number}"
        virtio.mkdir(parents=True)
        (remoteproc / "name").write_text(f"{name}\n")
        self.device(virtio, f"virtio{number}.rpmsg_ctrl.0.0", "rpmsg_ctrl", 0)
        return virtio

    def device(self, virtio: Path, path: str, name: str, dst: int) -> Path:
        device = virtio / path
        device.mkdir()
        (device / "name").write_text(f"{name}\n")
        (device / "src").write_text("0xffffffff\n")
        (device / "dst").write_text(f"{dst:#x}\n")
        (device / "driver_override").write_text("(null)\n")
        (self.root / "bus/rpmsg/devices" / path).symlink_to(device)
        return device

    def node(self, channel: Path, name: str, dst: int) -> str:
        devname = f"rpmsg{self._nodes}"
        self._nodes += 1
        node = channel / "rpmsg" / devname
        node.mkdir(parents=True)
        (node / "name").write_text(f"{name}\n")
        (node / "src").write_text("1024\n")
        (node / "dst").write_text(f"{dst}\n")
        (node / "device").symlink_to(channel)
        (channel / "driver").symlink_to(self.root / "bus/rpmsg/drivers/rpmsg_chrdev")
        (self.root / "class/rpmsg" / devname).symlink_to(node)
        return devname


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def select(board: Board, rest: str) -> str:
    return parse(rest).select(Sysfs(str(board.root)))[0].title


def test_the_only_processor_is_found(board: Board) -> None:
    board.processor(0, "m4_0", "4c000000.m4")
    assert select(board, "") == "m4_0"


def test_several_processors_want_a_name(board: Board) -> None:
    board.processor(0, "m4_0", "4c000000.m4")
    board.processor(1, "dsp", "58000000.dsp")
    with pytest.raises(OSError, match=r"m4_0, dsp.*say which") as error:
        select(board, "")
    assert error.value.errno == errno.ENOTUNIQ
    assert select(board, "remoteproc=dsp") == "dsp"
    assert select(board, "device=4c000000.m4") == "m4_0"
    with pytest.raises(OSError, match="no processor called m7 has rpmsg; there is m4_0, dsp"):
        select(board, "remoteproc=m7")


def test_no_processor(board: Board) -> None:
    with pytest.raises(OSError, match="is its firmware running") as error:
        select(board, "")
    assert error.value.errno == errno.ENOENT


def test_channels_and_nodes_of_one_processor(board: Board) -> None:
    sysfs = Sysfs(str(board.root))
    m4 = board.processor(0, "m4_0", "4c000000.m4")
    dsp = board.processor(1, "dsp", "58000000.dsp")
    board.device(m4, "virtio0.rpmsg-io-1.-1.1025", "rpmsg-io-1", 1025)
    bound = board.device(m4, "virtio0.rpmsg-io-0.-1.1024", "rpmsg-io-0", 1024)
    other = board.device(dsp, "virtio1.rpmsg-io-0.-1.1024", "rpmsg-io-0", 1024)
    board.node(other, "rpmsg-io-0", 1024)
    devname = board.node(bound, "rpmsg-io-0", 1024)
    processor, _ = parse("remoteproc=m4_0").select(sysfs)
    channels = [c for c in sysfs.channels(processor) if c.name != "rpmsg_ctrl"]
    assert [(c.name, c.dst, c.driver) for c in channels] == [
        ("rpmsg-io-0", 1024, "rpmsg_chrdev"),
        ("rpmsg-io-1", 1025, None),
    ]
    (node,) = sysfs.nodes(processor)
    assert (node.devname, node.src, node.dst) == (devname, 1024, 1024)
    assert node.parent == channels[0].path
    assert len(sysfs.nodes()) == 2


def test_bind_writes_what_the_kernel_wants(board: Board) -> None:
    sysfs = Sysfs(str(board.root))
    m4 = board.processor(0, "m4_0", "4c000000.m4")
    device = board.device(m4, "virtio0.rpmsg-io-0.-1.1024", "rpmsg-io-0", 1024)
    processor, _ = parse("").select(sysfs)
    channel = sysfs.channels(processor)[-1]
    assert sysfs.may_bind(channel)
    sysfs.bind(channel)
    assert (device / "driver_override").read_text().startswith("rpmsg_chrdev")
    bind = board.root / "bus/rpmsg/drivers/rpmsg_chrdev/bind"
    assert bind.read_text() == "virtio0.rpmsg-io-0.-1.1024"


def test_successor_on_the_same_path_is_another(board: Board, tmp_path: Path) -> None:
    sysfs = Sysfs(str(board.root))
    path = board.processor(0, "m4_0", "4c000000.m4")
    processor, _ = parse("").select(sysfs)
    assert sysfs.there(processor)
    path.rename(tmp_path / "old")
    assert not sysfs.there(processor)
    path.mkdir()
    assert not sysfs.there(processor)


# ---- the finder: what changes while it looks ----------------------------------------


class Events:
    """A monitor of uevents that has those of `happen`."""

    def __init__(self, *subsystems: str) -> None:
        self._ends = os.pipe2(os.O_NONBLOCK)

    def fileno(self) -> int:
        return self._ends[0]

    def poll(self, timeout: float) -> object:
        try:
            return os.read(self._ends[0], 1)
        except BlockingIOError:
            return None

    def happen(self) -> None:
        os.write(self._ends[1], b"!")

    def __del__(self) -> None:
        for fd in self._ends:
            os.close(fd)


class Changing(Sysfs):
    """A sysfs that changes just when its nodes were listed: once, by `change`.

    Attributes:
        listings: so often they were.
    """

    change: Callable[[], None] | None = None
    listings = 0

    def nodes(self, processor: Processor | None = None) -> list[Node]:
        self.listings += 1
        found = super().nodes(processor)
        change, self.change = self.change, None
        if change is not None:
            change()
        return found


class Link:
    """A finder's other side.

    Attributes:
        finder: on a `Changing` sysfs.
        up: whether it was after the last look.
    """

    up = True
    started = False

    def __init__(
        self, board: Board, control: socket.socket, theirs: socket.socket, rest: str
    ) -> None:
        self.dev = board.dev
        self.sysfs = Changing(str(board.root), str(board.dev), str(board.modules))
        self.finder = Finder(parse(rest), self.sysfs, control)
        self._theirs = theirs

    def start(self) -> None:
        """Let it look by itself, until the link is closed."""
        self.started = True
        self.finder.start()
        self.finder.wait(60)

    def wakes(self) -> bool:
        """Whether something in /dev makes the finder look."""
        look = poll()
        look.register(self.finder._inotify, POLLIN)
        return bool(look.poll(0))

    def look(self) -> list[tuple[int, int, str]]:
        """One look of the finder: (code, address, node behind the descriptor) it sent."""
        self.up = self.finder._look()
        return self.told()

    def told(self, timeout_s: float = 0) -> list[tuple[int, int, str]]:
        """What it sent, as `look`; waits at most so long for something."""
        ready = poll()
        ready.register(self._theirs, POLLIN)
        found = []
        while ready.poll(0 if found else timeout_s * 1000):
            data, fds, _, _ = socket.recv_fds(self._theirs, ffi.sizeof("struct gb_rpmsg_packet"), 1)
            if not data:  # a finder that looks by itself has ended
                break
            packet = ffi.from_buffer("struct gb_rpmsg_packet *", data)
            node = "".join(Path(os.readlink(f"/proc/self/fd/{fd}")).name for fd in fds)
            found.append((packet.code, packet.address, node))
            for fd in fds:
                os.close(fd)
        return found


@pytest.fixture
def link(board: Board, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Link]]:
    """Makes the link of the board, when its processor is there."""
    monkeypatch.setattr(rpmsg_finder, "monitor", Events)
    made: list[Link] = []
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def make(rest: str = "") -> Link:
        made.append(Link(board, ours, theirs, rest))
        return made[0]

    yield make
    theirs.close()
    for each in made:
        if not each.started:
            each.finder.close()
    ours.close()


def test_number_given_to_another_while_it_is_looked_at(
    board: Board, link: Callable[..., Link]
) -> None:
    """The node that is opened is the one that was listed, or none."""
    m4 = board.processor(0, "m4_0", "4c000000.m4")
    old = board.device(m4, "virtio0.rpmsg-io-0.-1.1024", "rpmsg-io-0", 1024)
    board.node(old, "rpmsg-io-0", 1024)
    here = link()
    (here.dev / "rpmsg0").touch()

    def restart() -> None:
        """The firmware announces its channels in another order."""
        (board.root / "bus/rpmsg/devices" / old.name).unlink()
        (board.root / "class/rpmsg/rpmsg0").unlink()
        old.rename(board.root / "old")
        new = board.device(m4, "virtio0.rpmsg-io-1.-1.1025", "rpmsg-io-1", 1025)
        board._nodes = 0
        board.node(new, "rpmsg-io-1", 1025)

    here.sysfs.change = restart
    assert here.look() == []
    assert here.look() == [(lib.GB_RPMSG_ATTACH, 1025, "rpmsg0")]
    assert here.look() == []


def test_processor_that_another_replaces_while_it_is_looked_at(
    board: Board, link: Callable[..., Link], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crash the kernel makes all anew, with the same names: that is another link's."""
    m4 = board.processor(0, "m4_0", "4c000000.m4")
    channel = board.device(m4, "virtio0.rpmsg-io-0.-1.1024", "rpmsg-io-0", 1024)
    (board.dev / board.node(channel, "rpmsg-io-0", 1024)).touch()
    here = link()
    list_channels = here.sysfs.channels

    def crash_before(processor: Processor) -> list[BusChannel]:
        m4.rename(board.root / "before")
        shutil.copytree(board.root / "before", m4, symlinks=True)
        return list_channels(processor)

    monkeypatch.setattr(here.sysfs, "channels", crash_before)
    assert here.look() == [(lib.GB_RPMSG_DOWN, 0, "")]
    assert not here.up


def test_a_look_lists_the_nodes_once(board: Board, link: Callable[..., Link]) -> None:
    """The nodes are not listed once a channel: with 64 of them that took seconds."""
    m4 = board.processor(0, "m4_0", "4c000000.m4")
    here = link()
    for number in range(8):
        name, address = f"rpmsg-io-{number}", 1024 + number
        channel = board.device(m4, f"virtio0.{name}.-1.{address}", name, address)
        (here.dev / board.node(channel, name, address)).touch()
    assert len(here.look()) == 8
    assert here.look() == []
    assert here.sysfs.listings == 2


def test_stable_link_that_leads_to_another_node(board: Board, link: Callable[..., Link]) -> None:
    """After a restart udev's old link may lead to a number that another controller has now."""
    m4 = board.processor(0, "m4_0", "4c000000.m4")
    for number, index in enumerate((1, 0)):
        name, address = f"rpmsg-io-{index}", 1024 + index
        channel = board.device(m4, f"virtio0.{name}.-1.{address}", name, address)
        assert board.node(channel, name, address) == f"rpmsg{number}"
        (board.dev / f"rpmsg{number}").touch()
    stable = board.dev / "rpmsg-gpio/m4_0-0"
    stable.parent.mkdir()
    stable.symlink_to("../rpmsg0")
    here = link(str(stable))
    assert here.look() == [(lib.GB_RPMSG_ATTACH, 1025, "rpmsg0")]
    stable.with_name("new").symlink_to("../rpmsg1")
    stable.with_name("new").rename(stable)
    assert here.wakes()
    assert here.look() == [(lib.GB_RPMSG_DOWN, 0, "")]
    assert not here.up


def test_removal_that_is_told_before_it_is_done(board: Board, link: Callable[..., Link]) -> None:
    """The kernel sends the event first; then, maybe after the look, sysfs changes."""
    m4 = board.processor(0, "m4_0", "4c000000.m4")
    here = link()
    here.start()
    here.sysfs.change = lambda: m4.rename(board.root / "old")  # type: ignore[func-returns-value]
    here.finder._monitor.happen()
    assert here.told(timeout_s=30) == [(lib.GB_RPMSG_DOWN, 0, "")]


def test_close_that_is_told_before_it_is_done(
    board: Board, link: Callable[..., Link], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel tells that a busy node is closed, and lets go of it after the look."""
    m4 = board.processor(0, "m4_0", "4c000000.m4")
    channel = board.device(m4, "virtio0.rpmsg-io-0.-1.1024", "rpmsg-io-0", 1024)
    node = board.dev / board.node(channel, "rpmsg-io-0", 1024)
    node.touch()
    others = os.open(node, os.O_RDWR)
    real_open = os.open
    # Each look tries twice: the first one, and the one that the close makes.
    tries = ["busy"] * 4

    def open_(path: str, flags: int) -> int:
        if path == str(node) and tries:
            raise OSError(errno.EBUSY, tries.pop())
        return real_open(path, flags)

    monkeypatch.setattr(rpmsg_finder, "_PATIENCE_S", -1)  # no looks but those of events
    monkeypatch.setattr(os, "open", open_)
    here = link()
    here.start()
    assert len(tries) == 2
    os.close(others)
    assert here.told(timeout_s=60) == [(lib.GB_RPMSG_ATTACH, 1024, node.name)]


def test_no_thread_for_the_search_is_a_failure_to_try_again_after(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    board.processor(0, "m4_0", "4c000000.m4")
    sysfs = Sysfs(str(board.root), str(board.dev))
    monkeypatch.setattr(rpmsg, "Sysfs", lambda: sysfs)
    monkeypatch.setattr(rpmsg_finder, "monitor", Events)

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    open_before = set(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(OSError, match="can't start new thread") as error:
            rpmsg.connect("", 1000)
    assert error.value.errno == errno.EAGAIN
    del error
    gc.collect()
    assert set(os.listdir("/proc/self/fd")) <= open_before


def test_folder_of_nodes_that_cannot_be_watched(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A permission that comes late would otherwise never be noticed."""
    monkeypatch.setattr(rpmsg_finder, "monitor", Events)
    board.processor(0, "m4_0", "4c000000.m4")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, pytest.raises(OSError, match="/nowhere cannot be watched") as error:
        Finder(parse(""), Sysfs(str(board.root), str(board.root / "nowhere")), ours)
    assert error.value.errno == errno.ENOENT


# ---- channels that are not ours -----------------------------------------------------

CONTROLLERS = ["rpmsg-io-0", "rpmsg-io-12", "rpmsg-raw", f"rpmsg-io-{10**21}"]
STRANGERS = [
    "rpmsg-io-channel",  # NXP's SRTM firmware: another protocol
    "rpmsg-io-00",
    "rpmsg-io-01",
    "rpmsg-io-1a",
    "rpmsg-io-_",
    "rpmsg-io-",
    "rpmsg-io--1",
    "rpmsg-io-0x1",
    "rpmsg-io-0 ",
    "rpmsg-io-\u0663",  # a digit, and not ours
    "rpmsg-io-0\n",
    "rpmsg-io-0\\x1b[2J",
    "rpmsg-raw0",
    "rpmsg-raw ",
    "rpmsg-tty",
    "rpmsg-io",
    f"rpmsg-io-{10**22}",  # 32 bytes without an end
    "",
]


@pytest.mark.parametrize("name", CONTROLLERS)
def test_channels_of_controllers(name: str) -> None:
    assert wire.is_controller(name)
    assert wire.channel_index(name) == (None if name == "rpmsg-raw" else name[9:])


@pytest.mark.parametrize("name", STRANGERS)
def test_channels_of_somebody_else(name: str) -> None:
    assert not wire.is_controller(name)
    assert wire.channel_index(name) is None


def bound(board: Board, link: Callable[..., Link], rest: str, *names: str) -> set[str]:
    """Which of these channels without driver a look binds, of all that it writes to."""
    m4 = board.processor(0, "m4_0", "4c000000.m4")
    devices = {
        name: board.device(m4, f"virtio0.{number}", name, 1024 + number)
        for number, name in enumerate(names)
    }
    here = link(rest)
    for _ in range(2):  # a trouble that lasts is told
        here.look()
    return {
        name
        for name, device in devices.items()
        if (device / "driver_override").read_text() != "(null)\n"
    }


def test_somebody_elses_channel_is_left_alone(board: Board, link: Callable[..., Link]) -> None:
    shown = [name for name in STRANGERS if name.isascii() and "\n" not in name]
    assert bound(board, link, "", *shown, "rpmsg-io-7") == {"rpmsg-io-7"}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("modules.alias", "alias pci:v0 nothing\nalias rpmsg:rpmsg-io-* gpio_rpmsg\n"),
        ("modules.alias", "alias rpmsg:rpmsg-io- gpio_rpmsg\n"),
        ("modules.builtin.modinfo", "a.file=b\0gpio_rpmsg.alias=rpmsg:rpmsg-io-0\0a.license=GPL\0"),
    ],
    ids=["pattern", "prefix", "built in"],
)
def test_channel_that_a_module_is_for_is_left_to_it(
    board: Board,
    link: Callable[..., Link],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    text: str,
) -> None:
    monkeypatch.setattr(rpmsg_finder, "_PATIENCE_S", 0.0)
    (board.modules / file).write_text(text)
    assert bound(board, link, "", "rpmsg-io-0") == set()
    assert "rpmsg-io-0 is left to the kernel's gpio_rpmsg" in caplog.text
    assert "claim=yes" in caplog.text


def test_channel_that_a_module_is_for_is_used_when_told(
    board: Board, link: Callable[..., Link]
) -> None:
    (board.modules / "modules.alias").write_text("alias rpmsg:rpmsg-io-* gpio_rpmsg\n")
    assert bound(board, link, "?claim=yes", "rpmsg-io-0") == {"rpmsg-io-0"}


def test_modules_for_other_channels_are_in_nobodys_way(
    board: Board, link: Callable[..., Link]
) -> None:
    aliases = ("rpmsg-raw rpmsg_char", "rpmsg_chrdev rpmsg_char", "rpmsg-tty rpmsg_tty")
    (board.modules / "modules.alias").write_text(
        "".join(f"alias rpmsg:{alias}\n" for alias in aliases)
    )
    assert bound(board, link, "", "rpmsg-io-0", "rpmsg-raw") == {"rpmsg-io-0", "rpmsg-raw"}


# ---- URLs -------------------------------------------------------------------------


def test_urls() -> None:
    assert resolve("rpmsg:").rest == ""
    assert parse("") == Target()
    assert parse("remoteproc=m4_0?via=ctrl") == Target(remoteproc="m4_0", via="ctrl")
    assert parse("?claim=yes").claim
    assert parse("/dev/rpmsg0") == Target(node="/dev/rpmsg0")
    assert parse("?dst=0x400").endpoint == ("rpmsg-io-0", ADDR_ANY, 0x400)
    assert parse("?dst=1025&src=2000&name=rpmsg-raw").endpoint == (
        "rpmsg-raw",
        2000,
        1025,
    )
    assert rpmsg.short_name("") == "rpmsg"
    assert rpmsg.short_name("remoteproc=m4_0") == "m4_0"


@pytest.mark.parametrize(
    ("rest", "says"),
    [
        ("m4_0", "no link URL; write rpmsg:"),
        ("remoteproc=", "no link URL"),
        ("?via=magic", "via is one of"),
        ("?claim=maybe", "claim is one of no, yes"),
        ("?via", "KEY=VALUE"),
        ("?src=5", "src is no option here"),
        ("?dst=0x80000000", "0 to 0x7fffffff"),
        ("?dst=x", "0 to 0x7fffffff"),
        ("?dst=5&name=tty", "controller's name"),
        ("?speed=fast", "speed is no option here"),
    ],
)
def test_bad_urls(rest: str, says: str) -> None:
    with pytest.raises(OSError, match=says) as error:
        parse(rest)
    assert error.value.errno == errno.EINVAL
