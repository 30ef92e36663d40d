# SPDX-License-Identifier: BSD-3-Clause
"""Waveforms to look at: as text, and as SVG or PNG by matplotlib."""

from __future__ import annotations

from bisect import bisect_left
from pathlib import Path
from typing import Any, NamedTuple

from bridge.extras import missing
from bridge.recording.model import UNKNOWN, Wave

__all__ = ["ASCII", "UNICODE", "Marks", "axis", "plot", "row", "time_text"]

_UNITS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1000, "us"))


class Marks(NamedTuple):
    """The signs of a waveform: levels, an edge, and a column with several of them."""

    low: str
    high: str
    unknown: str
    edge: str
    edges: str


ASCII = Marks("_", "-", "x", "|", "#")
UNICODE = Marks("▁", "▔", "x", "│", "▒")


def time_text(ns: float) -> str:
    """Return a time or a difference of times in the unit that suits it."""
    for size, unit in _UNITS:
        if abs(ns) >= size:
            return f"{ns / size:.6g} {unit}"
    return f"{ns:.6g} ns"


def row(wave: Wave, begin: int, end: int, columns: int, marks: Marks) -> str:
    """Return a wave from `begin` to `end` as a row of so many characters."""
    signs = []
    at = bisect_left(wave.times, begin + 1)
    for column in range(1, columns + 1):
        until = begin + (end - begin) * column // columns
        following = bisect_left(wave.times, until + (column == columns), at)
        levels = wave.levels[max(0, at - 1) : following]
        changes, at = following - at, following
        if UNKNOWN in levels:
            signs.append(marks.unknown)
        elif changes == 0:
            signs.append(marks[levels[-1]])
        else:
            signs.append(marks.edge if changes == 1 else marks.edges)
    return "".join(signs)


def axis(begin: int, end: int, columns: int) -> str:
    """Return a line with both ends of the time, and what a column is."""
    left, right = time_text(begin), time_text(end)
    middle = f"{time_text((end - begin) / columns)} a column"
    room = columns - len(left) - len(right)
    return f"{left}{middle:^{max(room, len(middle) + 2)}}{right}"


def plot(path: str, waves: list[Wave], begin: int, end: int, marks: list[int], title: str) -> None:
    """Write a picture, whose kind the end of its name tells: .svg or .png.

    Raises OSError: it can not be written, or matplotlib is not there (ENOSYS).
    """
    pyplot = _pyplot()
    scale, unit = next(((s, u) for s, u in _UNITS if end - begin >= s), (1, "ns"))
    figure, axes = pyplot.subplots(
        len(waves),
        figsize=(10, 0.8 + 0.5 * len(waves)),
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for wave, axis in zip(waves, axes[:, 0], strict=True):
        times, levels = _steps(wave, begin, end)
        axis.step([time / scale for time in times], levels, where="post", linewidth=1)
        for time, level, following in zip(times, levels, times[1:], strict=False):
            if level == 0.5:
                axis.axvspan(time / scale, following / scale, alpha=0.3, hatch="///")
        for mark in marks:
            axis.axvline(mark / scale, linestyle="--", linewidth=0.8, color="black")
        axis.set(ylim=(-0.3, 1.3), yticks=[], xlim=(begin / scale, end / scale))
        axis.set_ylabel(wave.name, rotation=0, ha="right", va="center")
        axis.spines[["top", "right", "left"]].set_visible(False)
    axes[-1, 0].set_xlabel(f"time in {unit}")
    figure.suptitle(title)
    # Without its date the same waveform makes the same file.
    metadata = {"Date": None} if Path(path).suffix == ".svg" else None
    figure.savefig(path, metadata=metadata)
    pyplot.close(figure)


def _steps(wave: Wave, begin: int, end: int) -> tuple[list[int], list[float]]:
    """Times and heights from `begin` to `end`; an unknown level is half way."""
    times = [begin, *(time for time in wave.times if begin < time < end), end]
    return times, [(0.0, 1.0, 0.5)[wave.level_at(time)] for time in times]


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise missing("pictures of waveforms", "matplotlib") from None
    matplotlib.use("Agg")
    matplotlib.rcParams.update(
        {"svg.hashsalt": "gpio-bridge", "svg.fonttype": "none", "text.parse_math": False}
    )
    from matplotlib import pyplot

    return pyplot
