# SPDX-License-Identifier: BSD-3-Clause
"""Times of many round trips: percentiles, and histograms for a terminal or into a file."""

from __future__ import annotations

import csv
import errno
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bridge.extras import missing

#: What a histogram's file can be, by its suffix.
SUFFIXES = (".csv", ".png", ".svg")

_BARS = 10  # up to p99
_BAR_WIDTH = 40
_BINS = 200  # of a plot


class Histogram:
    """How often a round trip took how long."""

    def __init__(self) -> None:
        """Begin with none."""
        self._counts: Counter[int] = Counter()

    def add(self, samples_ns: Iterable[int]) -> None:
        """Count round trips of so many nanoseconds each."""
        self._counts.update(samples_ns)

    def __len__(self) -> int:
        """How many there are."""
        return self._counts.total()

    def percentile_us(self, percent: float) -> float:
        """Return the nearest-rank percentile; 0 is the least and 100 the most."""
        left = int(len(self) * percent / 100)
        for time_ns in sorted(self._counts):
            left -= self._counts[time_ns]
            if left < 0:
                return time_ns / 1000
        return max(self._counts) / 1000

    def figures(self) -> dict[str, Any]:
        """Return what JSON has of it."""
        shown = {"min_us": 0, "p50_us": 50, "p99_us": 99, "p999_us": 99.9, "max_us": 100}
        figures = {key: round(self.percentile_us(p), 2) for key, p in shown.items()}
        return {**figures, "rounds": len(self)}

    def per_us(self) -> Counter[int]:
        """Return how many took how many whole microseconds."""
        counts: Counter[int] = Counter()
        for time_ns, count in self._counts.items():
            counts[time_ns // 1000] += count
        return counts

    def bars(self) -> Iterator[str]:
        """Return lines of text, a bar each: ten up to p99, then to p99.9 and to the longest.

        Each of the ten ends at the same multiple of where it begins.
        """
        least = max(self.percentile_us(0), 0.001)
        step = (self.percentile_us(99) / least) ** (1 / _BARS)
        edges = [least * step**n for n in range(_BARS + 1)]
        edges += [self.percentile_us(99.9), self.percentile_us(100)]
        counts = [0] * (len(edges) - 1)
        for time_ns, count in self._counts.items():
            bar = sum(time_ns / 1000 > edge for edge in edges[1:-1])
            counts[bar] += count
        for low, high, count in zip(edges, edges[1:], counts, strict=False):
            width = round(_BAR_WIDTH * count / max(counts)) or bool(count)
            yield f"{low:9.1f} to {high:9.1f} us {count:9} {'#' * width}".rstrip()


def check_file(path: Path) -> None:
    """Find out whether a histogram can be written there, before anything is measured.

    Raises OSError: EINVAL the suffix is not one of SUFFIXES, ENOSYS a plot needs a
    package that is not installed, what open(2) says.
    """
    if path.suffix not in SUFFIXES:
        raise OSError(
            errno.EINVAL, f"{path}: a histogram's file ends in one of {', '.join(SUFFIXES)}"
        )
    if path.suffix != ".csv":
        _pyplot()
    path.touch()


def write_file(path: Path, histograms: Mapping[str, Histogram], title: str) -> None:
    """Write histograms, by what was measured: a table for each us, or a plot. Raises OSError."""
    if path.suffix == ".csv":
        _write_table(path, histograms)
    else:
        _write_plot(path, histograms, title)


def _write_table(path: Path, histograms: Mapping[str, Histogram]) -> None:
    columns = [histogram.per_us() for histogram in histograms.values()]
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["us", *histograms])
        for time_us in sorted(set().union(*columns)):
            table.writerow([time_us, *(column[time_us] for column in columns)])


def _write_plot(path: Path, histograms: Mapping[str, Histogram], title: str) -> None:
    pyplot = _pyplot()
    longest = max(histogram.percentile_us(100) for histogram in histograms.values())
    bins = [longest * n / _BINS for n in range(_BINS + 1)]
    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    for name, histogram in histograms.items():
        counts = histogram.per_us()
        axes.hist(list(counts), bins, weights=list(counts.values()), histtype="step", label=name)
    axes.set(title=title, xlabel="round trip in us", ylabel="round trips", yscale="log")
    axes.legend()
    figure.savefig(path)
    pyplot.close(figure)


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise missing("plots of histograms", "matplotlib") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
