# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge status: what the service serves, to whom, and what is down and why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from bridge.cli.options import JSON, SOCKET, Command, Option, no_arguments
from bridge.cli.output import print_json
from bridge.client.control import Connection
from bridge.control_protocol import METRICS, STATUS, default_socket
from bridge.text import printable

COMMAND = Command(
    "status",
    "",
    "Show the service: its links, chips, exports and clients, what is down and why.",
    """
gpio-bridge status
gpio-bridge status | grep ' down '
gpio-bridge status --json
gpio-bridge status --prometheus > /var/lib/node_exporter/gpio_bridge.prom

One record a line: what it is, its name, its state, and more. The exit status is 0
when a service answers, whatever it says.
""",
    [
        JSON,
        Option("--prometheus", "Print the counters in the text format of Prometheus."),
        SOCKET,
    ],
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_Record = tuple[str, str, str, str]


def main(arguments: list[str]) -> int:
    """Run the tool; return its exit status."""
    options, left = COMMAND.parse(arguments)
    no_arguments(left)
    path = options.socket or default_socket()
    connection = Connection.open(path)
    try:
        every = options.json or options.prometheus
        chips = list(_counted(connection, connection.chips(), every))
        status = {**connection.call(STATUS), "socket": path, "chips": chips}
    finally:
        connection.close()
    if options.json:
        print_json(status)
        return 0
    if options.prometheus:
        from bridge.cli.prometheus import text

        print(text(status), end="")
        return 0
    print("\n".join(printable(line) for line in _aligned(list(_records(status)))))
    return 0


def _counted(
    connection: Connection, chips: list[dict[str, Any]], every: bool
) -> Iterator[dict[str, Any]]:
    """The chips with what each has counted, or only those whose firmware counts too.

    Those that went away meanwhile are left out.
    """
    for chip in chips:
        if not every and "counters" not in chip["features"]:
            yield chip
            continue
        with suppress(FileNotFoundError):
            yield {**chip, "metrics": connection.call(METRICS, chip=chip["name"])}


def _records(status: dict[str, Any]) -> Iterator[_Record]:
    """What, its name, its state, and more, for everything there is."""
    about = f"pid {status['pid']}, up for {_duration(status['uptime_s'])}"
    yield "service", status["socket"], "running", f"version {status['version']}, {about}"
    yield from _realtime(status.get("realtime", {}))
    for name, state in status["processors"].items():
        yield "remoteproc", name, state, ""
    for link in status["links"]:
        yield _link(link, status["chips"])
        for doubt in link.get("doubts", ()):
            yield "link", link["name"], "doubt", doubt
        for controller in link.get("unusable", ()):
            yield "chip", controller["chip"], "unusable", f"{controller['why']}"
    for chip in status["chips"]:
        yield (
            "chip",
            chip["name"],
            "online",
            f"[{chip['label']}] {_count(chip['num_lines'], 'line')}",
        )
        if "metrics" in chip:
            yield "chip", chip["name"], "counters", _counters(chip["metrics"]["firmware"])
    for aggregate in status.get("aggregates", ()):
        if not aggregate["online"]:
            yield "chip", aggregate["name"], "offline", _reason(aggregate)
    for line in status.get("kept", ()):
        yield _kept(line)
    for export in status["exports"]:
        yield _export(export)
    for rule in status.get("access", ()):
        yield _rule(rule)
    for user in status.get("users", ()):
        yield _user(user, status["limits"])
    for peer in status.get("peers", ()):
        yield _peer(peer)


def _realtime(realtime: dict[str, Any]) -> Iterator[_Record]:
    """How the pump is scheduled, if it is, and what of that was refused."""
    words = []
    if realtime.get("priority"):
        words.append(f"priority {realtime['priority']}")
    if realtime.get("cpus"):
        words.append(f"CPUs {', '.join(map(str, realtime['cpus']))}")
    if realtime.get("lock_memory"):
        words.append("locked memory")
    if words:
        refused = "; ".join(realtime["refused"])
        state = "refused" if refused else "in effect"
        yield "realtime", "pump", state, f"{', '.join(words)}{_because(refused)}"


def _link(link: dict[str, Any], chips: list[dict[str, Any]]) -> _Record:
    """How long a link has been in its state, and why it is not up."""
    parts = [link["url"]]
    if link["state"] == "up":
        parts.append(_count(sum(chip["link"] == link["name"] for chip in chips), "chip"))
    if "since_s" in link:
        parts.append(f"for {_duration(link['since_s'])}")
    if link.get("ups", 0) > 1:
        parts.append(f"came up {link['ups']} times")
    policies = {"": link.get("on_release"), **link.get("lines_on_release", {})}
    parts += [
        f"on_release {policy}{line and f' for {line}'}"
        for line, policy in policies.items()
        if line or policy == "keep"
    ]
    return "link", link["name"], link["state"], f"{', '.join(parts)}{_because(link['why'])}"


def _counters(counted: dict[str, int] | None) -> str:
    """What firmware has counted since it started."""
    if counted is None:
        return "the firmware does not tell"
    return ", ".join(f"{name} {number}" for name, number in counted.items())


def _kept(line: dict[str, Any]) -> _Record:
    """An output that stays, for whom, and why it is not held."""
    name = f"{line['chip']}:{line['name'] or line['offset']}"
    text = f'{"active" if line["value"] else "inactive"}, by "{line["consumer"]}" of user id '
    text += f"{line['uid']}, on_restart {line['on_restart']}"
    return "kept", name, "held" if line["held"] else "waiting", f"{text}{_because(line['why'])}"


def _because(why: str) -> str:
    return f": {why}" if why else ""


def _export(export: dict[str, Any]) -> _Record:
    """Whether its guest is there, and what keeps lines away from it."""
    state = "connected" if export["connected"] else "waiting"
    text = (
        f"{export['path']}, {_count(export['lines'], 'line')}, {_count(export['guests'], 'guest')}"
    )
    return "export", export["name"], state, f"{text}{_because(_reason(export))}"


def _peer(peer: dict[str, Any]) -> _Record:
    """A process with connections to the service."""
    text = (
        f"{peer['client']}, {_command(peer['pid'])}uid {peer['uid']}, "
        f"{_count(peer['connections'], 'connection')}, {_count(peer['chips'], 'open chip')}"
    )
    return "client", str(peer["pid"]), "connected", text


def _rule(rule: dict[str, Any]) -> _Record:
    """Who may do what with which lines."""
    users = [f"user {one}" for one in rule["users"]]
    who = [*users, *(f"group {one}" for one in rule["groups"])] or ["everybody"]
    lines = f"lines {', '.join(map(str, rule['lines']))}" if rule["lines"] else "all lines"
    may = f"{', '.join(who)}: {', '.join(rule['may']) or 'nothing'}"
    return "access", rule["chip"], "limited", f"{lines}, {may}"


def _user(user: dict[str, Any], limits: dict[str, Any]) -> _Record:
    """What a user has of the limits of one user."""
    words = {"connections": "connections", "handles": "open chips", "requests": "line requests"}
    counts = [f"{user[key]} of {limits[key]} {word}" for key, word in words.items()]
    lines = f"{user['lines']} of {limits['lines']} lines"
    memory = f"{user['memory_kib'] / 1024:.1f} of {limits['memory_mib']} MiB"
    full = any(user[key] >= limits[key] for key in (*words, "lines"))
    return (
        "user",
        f"uid {user['uid']}",
        "full" if full else "served",
        ", ".join((*counts, lines, memory)),
    )


def _reason(what: dict[str, Any]) -> str:
    """Why an export or an aggregate lacks lines."""
    missing = what["waiting_for"]
    return what["why"] or (f"waits for {', '.join(missing)}" if missing else "")


def _command(pid: int) -> str:
    """The name of a process, if this user may know it."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return f"{file.read().strip()}, "
    except OSError:
        return ""


def _aligned(records: list[_Record]) -> list[str]:
    widths = [max(len(record[column]) for record in records) for column in range(3)]
    return [
        "  ".join(
            f"{word:{width}}" for word, width in zip(record, (*widths, 0), strict=True)
        ).rstrip()
        for record in records
    ]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _duration(seconds: float) -> str:
    """A time in its two largest units that are not zero."""
    whole = int(seconds)
    for unit, size, smaller, part in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {smaller}"
    return f"{seconds:.1f} s"
