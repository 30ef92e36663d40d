# SPDX-License-Identifier: BSD-3-Clause
"""The text format of Prometheus, for the textfile collector of its node exporter."""

from __future__ import annotations

from collections.abc import Iterator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Sample = tuple[dict[str, Any], float]

_PREFIX = "gpio_bridge"


def text(status: dict[str, Any]) -> str:
    """Return what `status --json` says in numbers.

    The client library of Prometheus would keep these numbers in objects of its own only to print
    them; a test reads them by its parser.
    """
    return "".join(f"{line}\n" for line in _lines(status))


def _lines(status: dict[str, Any]) -> Iterator[str]:
    for name, kind, help, samples in _families(status):
        yield f"# HELP {_PREFIX}_{name} {help}"
        yield f"# TYPE {_PREFIX}_{name} {kind}"
        for labels, value in samples:
            yield f"{_PREFIX}_{name}{_labels(labels)} {value:.10g}"


def _labels(labels: dict[str, Any]) -> str:
    words = ",".join(f'{name}="{_escaped(str(value))}"' for name, value in labels.items())
    return f"{{{words}}}" if words else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _families(status: dict[str, Any]) -> Iterator[tuple[str, str, str, list[Sample]]]:
    """Name, type, help and samples of each metric."""
    yield "uptime_seconds", "gauge", "How long the service has run.", [({}, status["uptime_s"])]
    links = [({"link": link["name"]}, link) for link in status["links"]]
    yield (
        "link_up",
        "gauge",
        "Whether the link is up.",
        [(labels, float(link["state"] == "up")) for labels, link in links],
    )
    yield (
        "link_ups_total",
        "counter",
        "How often the link came up.",
        [(labels, link["ups"]) for labels, link in links],
    )
    yield (
        "link_messages_total",
        "counter",
        "Messages since the link came up.",
        [
            ({**labels, "direction": word}, link["messages"][word])
            for labels, link in links
            for word in ("sent", "received")
            if link["messages"]
        ],
    )
    yield (
        "link_strays_total",
        "counter",
        "Messages that belonged to no controller or made no sense.",
        [(labels, link["strays"]) for labels, link in links],
    )
    chips = [({"chip": chip["name"]}, chip["metrics"]) for chip in status["chips"]]
    counted = [(labels, chip) for labels, chip in chips if "answered" in chip]
    for key, help in (
        ("answered", "Requests to the firmware that it answered."),
        ("refused", "Of these, answered with ERR."),
        ("timeouts", "Requests without a reply until their deadline."),
    ):
        samples = [(labels, chip[key]) for labels, chip in counted]
        yield f"chip_requests_{key}_total", "counter", help, samples
    yield (
        "chip_reply_seconds",
        "gauge",
        "Time that so many of the replies did not take longer than.",
        _quantiles(counted),
    )
    for key, help in (
        ("requests", "Requests that the firmware has handled."),
        ("refused", "Of these, answered with ERR."),
        ("sent", "Messages that the firmware has sent."),
        ("starved", "How often one of these found no transmit buffer."),
        ("overruns", "Edges that found no room in the firmware."),
    ):
        samples = [(labels, chip["firmware"][key]) for labels, chip in chips if chip["firmware"]]
        yield f"firmware_{key}_total", "counter", help, samples
    lines = [
        ({**labels, "line": line["offset"], "name": line["name"] or ""}, line)
        for labels, chip in chips
        for line in chip["lines"]
    ]
    for key, name, help in (
        ("edges", "line_edges_total", "Edges that came."),
        ("lost", "line_edges_lost_total", "Edges that did not come."),
    ):
        yield name, "counter", help, [(labels, line[key]) for labels, line in lines]
    requests = [
        (
            {
                **labels,
                "consumer": one["consumer"],
                "uid": one["uid"],
                "lines": ",".join(map(str, one["lines"])),
            },
            one,
        )
        for labels, chip in chips
        for one in chip["requests"]
        if "operations" in one
    ]
    for key, help in (
        ("operations", "Gets and sets of a line request."),
        ("failed", "Of these, those that failed."),
        ("edges", "Edges of its lines."),
        ("overwritten", "Of these, those that its client had no place for."),
    ):
        samples = [(labels, one[key]) for labels, one in requests]
        yield f"request_{key}_total", "counter", help, samples
    yield (
        "request_operation_seconds",
        "gauge",
        "Time in the service that so many of the gets and sets did not take longer than.",
        _quantiles(requests),
    )


def _quantiles(counted: list[tuple[dict[str, Any], dict[str, Any]]]) -> list[Sample]:
    """The two times that are told of what is counted."""
    return [
        ({**labels, "quantile": quantile}, one[key] / 1e9)
        for labels, one in counted
        for quantile, key in (("0.5", "p50_ns"), ("0.99", "p99_ns"))
    ]
