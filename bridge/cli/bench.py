# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge bench: round trips, edge rate, idle CPU and memory."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.figures import measured, print_figures, print_table, progress

if TYPE_CHECKING:
    from bridge.bench.histogram import Histogram
    from bridge.bench.measure import Tell

_Decorator = Callable[[Callable[..., None]], Callable[..., None]]


class _Seconds(click.FloatRange):
    """A range that refuses nan, which is neither below nor above any limit."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Convert, or fail as click does."""
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):
            self.fail(f"{value} is no number of seconds.", param, ctx)
        return seconds


def _loop(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, str] | None:
    """Take the names of two lines apart."""
    if value is None:
        return None
    output, colon, read = value.partition(":")
    if not (output and colon and read):
        raise click.BadParameter(f"{value!r} is not OUT:IN, the names of two lines")
    return output, read


_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
_UNPINNED = click.option("--unpinned", is_flag=True, help="Let processes run on all CPUs.")


def _seconds_option(what: str) -> _Decorator:
    return click.option(
        "--seconds", type=_Seconds(0.1, 3600), default=2.0, show_default=True, metavar="N",
        help=what,
    )  # fmt: skip


def _pinned_and_not(
    measure: Callable[[float, bool, Tell], dict[str, Any]], seconds: float
) -> Callable[[Tell], dict[str, Any]]:
    def both(tell: Tell) -> dict[str, Any]:
        return {**measure(seconds, True, tell), "unpinned": measure(seconds, False, tell)}

    return both


def _edges_option(what: str) -> _Decorator:
    return click.option(
        "--edges", "count", type=click.IntRange(1000, 100_000_000), default=1_000_000,
        show_default=True, metavar="N", help=what,
    )  # fmt: skip


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@_JSON
@_seconds_option("How long each measurement takes.")
@click.option(
    "--explain",
    is_flag=True,
    help="Count instead: system calls, changes of process and CPU time of each party.",
)
@click.pass_context
def bench(ctx: click.Context, as_json: bool, seconds: float, explain: bool) -> None:
    """Measure the data path against firmware on a simulated board.

    \b
    floor    a plain C relay, client -> relay -> peer and back: the least that two
             processes between a program and its peer cost here
    direct   get_value() with the link inside this process
    service  get_value() through the service; service_c is the same without Python
             on this side
    edges    edges a second to this process, and how many were lost
    idle     CPU of the service over 2 s with a client and an armed edge

    Everything is measured twice: with all processes pinned to one CPU, and unpinned,
    where the scheduler's waking of an idle CPU is measured too.

    With --explain, a get, a set with its edge, and a guest's request are taken apart:
    what each party does for one of them (strace, where installed, counts system calls).

    \b
      gpio-bridge bench
      gpio-bridge bench --json --seconds 5
      gpio-bridge bench --explain
      gpio-bridge bench link --stub demo       any link; on your board: --link rpmsg:
      gpio-bridge bench serial                 a get over a UART
      gpio-bridge bench record                 edges to a file
    """
    if ctx.invoked_subcommand is not None:
        return
    from bridge.bench.measure import measure

    if explain:
        _explain(as_json)
        return
    result = measured(_pinned_and_not(measure, seconds), as_json)
    if result is None:
        return
    rows = [
        ("floor.p50_us", "us", ""),
        ("floor.p99_us", "us", ""),
        ("direct.p50_us", "us", ""),
        ("direct.p99_us", "us", ""),
        ("direct.ratio_p50", "x floor", "at most 0.8"),
        ("service.p50_us", "us", ""),
        ("service.p99_us", "us", ""),
        ("service.ratio_p50", "x floor", "at most 2"),
        ("service.ratio_p99", "x floor", "at most 2"),
        ("service_c.p50_us", "us", ""),
        ("service_c.ratio_p50", "x floor", "at most 1.5"),
        ("edges.per_s", "/s", ""),
        ("edges.lost", "", "0"),
        ("idle.cpu_percent", "%", "0.0"),
        ("rss_mb", "MB", "under 48"),
    ]
    both = {"pinned": result, "unpinned": result["unpinned"]}
    print_figures("gpio-bridge bench", rows, "target, pinned", **both)


def _explain(as_json: bool) -> None:
    from bridge.bench.explain import measure

    result = measured(measure, as_json)
    if result is None:
        return
    rows = []
    for way, parties in result["ways"].items():
        for party, spent in parties.items():
            calls = spent["calls"]
            total = "" if calls is None else round(sum(calls.values()), 1)
            names = " ".join(f"{name} {count:g}" for name, count in (calls or {}).items())
            rows.append((way, party, total, spent["changes"], spent["cpu_us"], names))
    heads = ("one", "party", "system calls", "changes of process", "CPU us", "which calls")
    print_table("gpio-bridge bench --explain", heads, rows)
    if result["why"]:
        click.echo(f"System calls are not counted: {result['why']}.", err=True)


@bench.command("guest")
@_JSON
@_seconds_option("How long each measurement takes.")
@click.option(
    "--peer",
    metavar="SOCKET",
    help="Measure this vhost-user-gpio back-end, too.",
)
def guest(as_json: bool, seconds: float, peer: str | None) -> None:
    """Measure an export as a guest sees it: SET_VALUE a second, and edges.

    A lean driver in C takes the guest's part, so that only the back-end counts. The same
    is measured with a plain back-end in Python that relays to the same firmware through
    the client library, and for scale with one that has no firmware behind it. All
    processes are pinned to one CPU; "unpinned" has the figures without that.

    With --peer the same guest is pointed at any other back-end that listens, in the same
    run: it sets its lines 0 to 7. Only who started that one can pin it, for example all
    of both with taskset:

    \b
      taskset -c 1 vhost-device-gpio -s /tmp/peer.sock -c 1 -l 0 &
      taskset -c 1 gpio-bridge bench guest --peer /tmp/peer.sock0
    """
    from bridge.bench.guest import LINES, measure

    result = measured(_pinned_and_not(partial(measure, peer=peer), seconds), as_json)
    if result is None:
        return
    rows = []
    for name, what in (("ops_per_s", "at_once"), ("one_by_one_per_s", "one_by_one")):
        plain = result["python_backend"]
        ratio = result["ratio" if what == "at_once" else "ratio_one_by_one"]
        rows.append((what, result[name], plain[name], plain["local"][name], "SET_VALUE/s", ratio))
    rows.append(("edge", result["edge_p50_us"], "", "", "us, p50", ""))
    heads = ("figure", "export", "in Python", "without firmware", "unit", "ratio")
    print_table(f"gpio-bridge bench guest, {LINES} lines", heads, rows)
    if peer is not None:
        other = result["peer"]
        click.echo(
            f"{peer}: {other['ops_per_s']} and {other['one_by_one_per_s']} SET_VALUE/s; the export "
            f"has {other['ratio']} and {other['ratio_one_by_one']} of that."
        )


@bench.command()
@_JSON
@_seconds_option("How long each attack is measured, and again elsewhere.")
@click.option(
    "--rounds", type=click.IntRange(1, 100), default=3, show_default=True, metavar="N",
    help="Over which these seconds are spread.",
)  # fmt: skip
@click.argument("names", nargs=-1, metavar="[ATTACK]...")
def attack(as_json: bool, seconds: float, rounds: int, names: tuple[str, ...]) -> None:
    """Measure a client's p99 beside attacks of other peers on the same service.

    \b
    connect-flood   connections that say nothing, 100 at a time
    hoard           connections and open chips up to the limits of a user
    packets         nonsense on the control socket, no answer is read
    calls           200 connections ask for the status, which takes longest
    operations      malformed operations on a line request
    edges-unread    100,000 edges a second for a client that reads none
    bell            the client of such edges wakes the service by its bell
    files           files come and go beside a link's missing socket
    guest-floods    a guest sets lines as fast as it can
    guest-blocks    a VMM fills its call descriptor and makes it block
    backend-blocks  a back-end of firmware does that with the kick descriptors
    firmware-lies   firmware says anything of its clock, and of a line's credits
    state-file      a guest's state file is truncated and swapped at work
    chip-links      the folder of chip paths is swapped while chips come and go

    Each is compared with the same attack on another service on the same CPU, in rounds
    that take turns: the machine is as busy, and the client's service is not. The client
    gets a value of a firmware of its own, and asks the control socket for a line. A
    get is to be at most 3 times, a control call at most 5 times as slow.
    """
    from bridge.bench.attack import CONTROL_RATIO_MAX, GET_RATIO_MAX, measure_attacks
    from bridge.bench.attackers import ATTACKS

    for name in names:
        if name not in ATTACKS:
            raise click.UsageError(f"no attack is called {name!r}; there are {', '.join(ATTACKS)}")
    result = measured(lambda tell: measure_attacks(seconds, list(names), rounds, tell), as_json)
    if result is None:
        return
    keys = [
        *("get_p99_us", "get_p99_us_without", "get_ratio"),
        *("control_p99_us", "control_p99_us_without", "control_ratio", "failed"),
    ]
    rows = [
        (name, *("none" if one[key] is None else one[key] for key in keys))
        for name, one in result["attacks"].items()
    ]
    heads = ("p99 in us", "get", "without", "ratio", "control", "without", "ratio", "failed")
    title = f"at most {GET_RATIO_MAX:g} (get) and {CONTROL_RATIO_MAX:g} (control call) times"
    rows.append(
        ("alone", result["get_p99_us_alone"], "", "", result["control_p99_us_alone"], "", "", "")
    )
    print_table(title, heads, rows)
    for name, one in result["attacks"].items():
        if one["unserved"]:
            rounds_of = f"{one['unserved']} of {rounds} rounds"
            click.echo(f"{name}: in {rounds_of} no get or no control call succeeded", err=True)


@bench.command()
@_JSON
@_seconds_option("How long each measurement takes.")
@click.option(
    "--machine", type=click.Choice(["sifive_u", "mps2-an385", "mps3-an536"]), default="sifive_u",
    show_default=True, help="Of QEMU: a RISC-V core, a Cortex-M3 or a Cortex-R52.",
)  # fmt: skip
def rings(as_json: bool, seconds: float, machine: str) -> None:
    """Measure a get of firmware on an emulated MCU, on rings in shared memory.

    The same is measured with the firmware stub, in turns; the ratio is to be at most 4.
    Needs QEMU, and `make mcu` before.
    """
    from bridge.bench.rings import RATIO_MAX, measure_rings

    result = measured(lambda tell: measure_rings(seconds, machine, tell), as_json)
    if result is None:
        return
    rows = [
        (name, result[f"{name}_p50_us"], result[f"{name}_p99_us"], "us") for name in ("stub", "mcu")
    ]
    rows.append(("ratio", result["ratio"], "", f"at most {RATIO_MAX:g}"))
    print_table(f"gpio-bridge bench rings, {machine}", ("get", "p50", "p99", "unit"), rows)


@bench.command()
@_JSON
@click.option(
    "--rounds", type=click.IntRange(10, 100_000), default=300, show_default=True, metavar="N",
    help="How often each figure is measured.",
)  # fmt: skip
def scale(as_json: bool, rounds: int) -> None:
    """Measure one client alone, and again beside 200 clients that hold 1000 requests.

    \b
    request  request a line and release it
    watch    watch a line and end the watch
    lookup   find a line by its name

    The board has 64 chips. The ratio of request is to be at most 1.5.
    """
    from bridge.bench.scale import measure_scale

    result = measured(lambda tell: measure_scale(rounds, tell), as_json)
    if result is None:
        return
    rows = []
    for what in ("request", "watch", "lookup"):
        one, many = result["one"][f"{what}_us"], result["many"][f"{what}_us"]
        rows.append((what, one, many, "us", f"{many / one:.2f}"))
    print_table("gpio-bridge bench scale", ("figure", "alone", "among many", "unit", "ratio"), rows)


@bench.command()
@_JSON
@_edges_option("Edges of a burst.")
@_UNPINNED
def edges(as_json: bool, count: int, unpinned: bool) -> None:
    """Measure bursts of edges, their timestamps, and bulk operations.

    \b
    floor   records through the same ring between two C processes, no firmware
    one     a burst on one line, to this process, through the service
    many    the same over 32 lines
    bound   of the error of a timestamp, after a second; the firmware's clock is hours
            off and 100 ppm too fast
    inside  edges whose timestamp is within the bound of the board's true time
    bulk    32 lines set in one message, against one after the other

    All processes are pinned to one CPU unless --unpinned is given.
    """
    from bridge.bench.edges import measure_edges

    result = measured(lambda tell: measure_edges(count, not unpinned, tell), as_json)
    if result is None:
        return
    rate = min(500_000, result["floor"]["per_s"] // 5)
    rows = [
        ("floor.per_s", "/s", ""),
        ("one.per_s", "/s", f"at least {rate}"),
        ("one.lost", "", "0"),
        ("many.per_s", "/s", f"at least {rate}"),
        ("many.lost", "", "0"),
        ("bound_us", "us", "under 50"),
        ("inside_percent", "%", "at least 99.9"),
        ("error_us.p50", "us", ""),
        ("untimed", "", "0"),
        ("bulk.per_s", "lines/s", ""),
        ("bulk.ratio", "x", "at least 10"),
        ("bulk.ratio_pipelined", "x", ""),
        ("bulk.same_step", "", "True"),
    ]
    print_figures("gpio-bridge bench edges", rows, measured=result)


@bench.command("record")
@_JSON
@_seconds_option("How long it records.")
@click.option(
    "--rate", type=click.IntRange(0, 2_000_000), default=0, show_default=True, metavar="N",
    help="Edges a second of all lines; 0: as many as the firmware can send.",
)  # fmt: skip
@click.option(
    "--lines", type=click.IntRange(1, 32), default=1, show_default=True, metavar="N",
    help="Lines that change.",
)  # fmt: skip
@click.option(
    "--format", "kind", type=click.Choice(["vcd", "csv", "jsonl", "sr"]), default="vcd",
    show_default=True, help="Format of the files.",
)  # fmt: skip
def record_(as_json: bool, seconds: float, rate: int, lines: int, kind: str) -> None:
    """Measure `gpio-bridge record`: edges that arrive in a file, and lost ones.

    \b
    per_s    edges a second on the pins
    lost     that are not in the file, by the gaps in their numbers; it says so itself
    buffer   those of them that waited for the recorder until later ones took their place;
             the firmware had no memory for the others
    cpu      of stub, service and recorder, in us an edge

    With --rate the pins change by the clock, whether or not the firmware has memory, and a
    stub that waits for a CPU loses edges that firmware on a CPU of its own would not.
    At most 128 MiB are written, to a temporary directory.

    \b
      gpio-bridge bench record --seconds 60
      gpio-bridge bench record --seconds 60 --rate 500000 --lines 8
    """
    from bridge.bench.record import measure_record

    result = measured(lambda tell: measure_record(seconds, rate, lines, kind, tell), as_json)
    if result is None:
        return
    rows = [
        ("per_s", "/s", "at least 500000"),
        ("count", "", ""),
        ("lost", "", "0"),
        ("loss_in_buffer", "", "0"),
        *((f"cpu_us_per_edge.{name}", "us/edge", "") for name in result["cpu_us_per_edge"]),
        ("cpu_percent", "% of a CPU", ""),
        ("load", "processes", ""),
    ]
    rounded = {**result, "load": round(result["load"], 1)}
    print_figures("gpio-bridge bench record", rows, measured=rounded)


@bench.command("run")
@_JSON
@_seconds_option("How long the gets take.")
@_edges_option("Edges of the burst.")
@_UNPINNED
def run_(as_json: bool, seconds: float, count: int, unpinned: bool) -> None:
    """Measure a program of the kernel's uAPI, in C, under `gpio-bridge run`.

    \b
    get     GPIO_V2_LINE_GET_VALUES_IOCTL, and as ratio beside the same get by this
            project's own client in C, in the same process
    edges   a burst on 8 lines, read(2) by the program; unannounced are edges that did not
            come and of which no sequence number tells

    All processes are pinned to one CPU unless --unpinned is given.
    """
    from bridge.bench.run import measure_run

    result = measured(lambda tell: measure_run(seconds, count, not unpinned, tell), as_json)
    if result is None:
        return
    rows = [
        ("get.p50_us", "us", ""),
        ("get.p99_us", "us", ""),
        ("get.client_p50_us", "us", ""),
        ("get.ratio_p50", "x client", "at most 1.3"),
        ("edges.per_s", "/s", "at least 500000"),
        ("edges.lost", "", "0"),
        ("edges.unannounced", "", "0"),
    ]
    print_figures("gpio-bridge bench run", rows, measured=result)


@bench.command(context_settings={"help_option_names": ["-h", "--help"]})
@_JSON
@_seconds_option("How long to measure.")
@click.option(
    "--baud", type=click.IntRange(300, 4000000), default=115200, show_default=True, metavar="N",
    help="Rate of the simulated UART in bits per second.",
)  # fmt: skip
def serial(as_json: bool, seconds: float, baud: int) -> None:
    """Measure get_value() over a UART, beside the time of its bytes.

    The firmware stub is at the other end of a pty, on which a byte takes the time it
    has at this rate; the link lives in this process.

    \b
      gpio-bridge bench serial
      gpio-bridge bench serial --json --baud 921600
    """
    from bridge.bench.serial import measure_serial

    def measure(tell: Tell) -> dict[str, Any]:
        tell(f"a get at {baud} bits/s")
        return measure_serial(seconds, baud)

    result = measured(measure, as_json)
    if result is None:
        return
    rows = [
        ("wire_us", "us", ""),
        ("get_p50_us", "us", ""),
        ("get_p99_us", "us", ""),
        ("ratio", "x wire", "at most 1.5 at 115200"),
    ]
    print_figures(f"gpio-bridge bench serial, {baud} bits/s", rows, measured=result)


@bench.command()
@_JSON
@_seconds_option("How long each way is measured.")
@click.option("--link", "url", metavar="URL", help="Link to measure.")
@click.option("--stub", metavar="BOARD", help="Measure firmware on this simulated board.")
@click.option("--socket", metavar="PATH", help="Measure the service that runs there.")
@click.option(
    "--line", metavar="NAME",
    help="Line to get, or its offset on the first chip [default: the first free input].",
)  # fmt: skip
@click.option("--input", "as_input", is_flag=True, help="Make it an input first.")
@click.option(
    "--loop", metavar="OUT:IN", callback=_loop,
    help="An output that is driven, and an input that is wired to it: measure edges, too.",
)  # fmt: skip
@click.option(
    "--load", type=click.IntRange(0, 1000), default=0, show_default=True, metavar="N",
    help="Let so many processes compute meanwhile.",
)  # fmt: skip
@click.option(
    "--realtime", type=click.IntRange(0, 98), default=0, metavar="PRIORITY",
    help="Measure the service once more with its real-time options, and this client with them.",
)  # fmt: skip
@click.option(
    "--histogram", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write a histogram: .csv, or by matplotlib .svg or .png.",
)  # fmt: skip
def link(
    as_json: bool,
    seconds: float,
    url: str | None,
    stub: str | None,
    socket: str | None,
    line: str | None,
    as_input: bool,
    loop: tuple[str, str] | None,
    load: int,
    realtime: int,
    histogram: Path | None,
) -> None:
    """Measure round trips on a link: a get of a line, timed in C.

    \b
    node     the least that the link allows: one thread that writes GET_VALUE and waits
             for the reply, on the same endpoint
    direct   with the link in this process
    service  through a service
    service_realtime
             with --realtime: the same with [realtime] priority and lock_memory, and a
             client of that priority; a service that runs already stays as it is
    edge     with --loop: from before the set of the one line to the event of the other

    The line is requested as it is; strict firmware tells the value of an input or output
    only, and then --input is needed. Where a service has the link, that
    service is measured, and nothing else can be. docs/timing.md has the method.

    \b
      gpio-bridge bench link --link rpmsg:
      gpio-bridge bench link --link serial:/dev/ttyUSB0 --line READY --seconds 20
      gpio-bridge bench link --stub demo --loop LOOP_OUT:LOOP_IN --load 2
      gpio-bridge bench link --stub demo --load 2 --realtime 50
      gpio-bridge bench link --socket /tmp/gpio.sock --histogram latency.svg
    """
    from bridge.bench.histogram import check_file, write_file
    from bridge.bench.link import Asked, Running, first_in_first_out, measure_link
    from bridge.cli.reach import holder_of
    from bridge.cli.signals import ends_on_signals

    if [url, stub, socket].count(None) != 2:
        raise click.UsageError("say what to measure: one of --link, --stub and --socket")
    ends_on_signals()
    if histogram is not None:
        check_file(histogram)
    with ExitStack() as stack:
        running = None if socket is None else Running(socket, None)
        if stub is not None:
            from firmware_stub import Stub

            board = stack.enter_context(Stub(stub))
            url = board.url
            if realtime:  # it stands for a processor that has nothing else to do
                stack.enter_context(first_in_first_out(realtime + 1, board.pid or 0))
        elif url is not None:
            holder = holder_of(url)
            running = None if holder is None else Running(holder.socket, holder.link)
        tell = stack.enter_context(progress())
        asked = Asked(url, running, line, as_input, loop, seconds, load, realtime)
        found = measure_link(asked, tell)
    figures = {"url": url, "load": load, "realtime": realtime, **found.figures()}
    if histogram is not None:
        write_file(histogram, found.histograms, f"gpio-bridge bench link {url or socket}")
    if as_json:
        print(json.dumps(figures))
        return
    _print_link(figures, found.histograms)


def _print_link(figures: dict[str, Any], histograms: dict[str, Histogram]) -> None:
    heads = ("us", "min", "p50", "p99", "p99.9", "max", "x node", "rounds")
    rows = []
    for name in histograms:
        one = figures[name]
        times = (one[key] for key in ("min_us", "p50_us", "p99_us", "p999_us", "max_us"))
        rows.append((name, *times, figures["ratio"].get(name, ""), one["rounds"]))
    print_table("gpio-bridge bench link", heads, rows)
    for what, why in figures["why"].items():
        print(f"no {what}: {why}")
    for name, histogram in histograms.items():
        print(f"\n{name}")
        print("\n".join(histogram.bars()))
