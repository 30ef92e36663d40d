# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge record: write the edges of lines to a file, as a logic analyser does."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from datetime import timedelta
from types import FrameType, SimpleNamespace

from bridge.cli import common
from bridge.cli.options import Choice, Command, Failure, Option
from bridge.cli.output import complain, sentence
from bridge.client.chip import Chip
from bridge.client.line_settings import LineSettings
from bridge.line import Edge
from bridge.recording import formats
from bridge.recording.model import Header, Signal
from bridge.recording.recorder import Limits, Recorder, Reopen
from bridge.recording.sink import Sink
from bridge.recording.source import Source
from bridge.recording.trigger import Trigger

_SIZES = {"": 1, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_SAMPLE_MIN_US = 100


def _size(text: str) -> int:
    """Return a number of bytes: digits and k, M or G. Raises Failure."""
    found = re.fullmatch(r"(\d{1,12})([kMG]?)", text, re.ASCII)
    if not found or not int(found[1]):
        raise Failure(f"invalid size: {text} (digits, and k, M or G)")
    return int(found[1]) * _SIZES[found[2]]


def _rate(text: str) -> int:
    """Return samples a second: digits and k or M, which are 1000 here. Raises Failure."""
    found = re.fullmatch(r"(\d{1,9})([kM]?)", text, re.ASCII)
    rate = int(found[1]) * {"": 1, "k": 1000, "M": 1_000_000}[found[2]] if found else 0
    if not 1 <= rate <= 100_000_000:
        raise Failure(f"invalid sample rate: {text} (digits, and k or M; at most 100M)")
    return rate


COMMAND = Command(
    "record",
    "LINE...",
    "Write the edges of lines to a file as they come, until Ctrl-C or --duration.",
    """
gpio-bridge record -o boot.vcd RESET_PHY SENSOR_IRQ         until Ctrl-C; then: gtkwave boot.vcd
gpio-bridge record -o x.vcd --duration 2s LOOP_IN           then: sigrok-cli -I vcd -i x.vcd
gpio-bridge record -o x.vcd --trigger 'FAULT_N:falling' --pre 1s --post 1s FAULT_N SENSOR_IRQ
gpio-bridge record -o x.sr --sample-rate 1M LOOP_IN         for PulseView
gpio-bridge record -o day.vcd --max-time 60m --keep 24 DOOR_SWITCH
gpio-bridge record --bulk-read 10ms -o slow.csv DIP_0 DIP_1

EXPR is terms with commas in between, all true at one moment:
  LINE=1 (a level), LINE:rising, LINE:falling, LINE:edge,
  LINE:high<10us, LINE:low>5ms, LINE:pulse<1us (how long a level lasted)
""",
    [
        Option("-o --output FILE", "File that is written, or replaced [default: stdout]."),
        Option(
            "-f --format FORMAT",
            "vcd, csv, sr or jsonl [default: as FILE ends, else vcd].",
            Choice("format", {word: word for word in formats.FORMATS}),
        ),
        Option("-T --trigger EXPR", "Write nothing until this happens; see above."),
        Option("--pre T", "Keep so much of the time before the trigger.", common.parse_period, 0),
        Option(
            "--post T",
            "End so long after the trigger [default: go on].",
            common.parse_period,
            0,
        ),
        Option(
            "-d --duration T", "End after this time, whatever happened.", common.parse_period, 0
        ),
        Option(
            "--bulk-read T",
            "Read the levels every T instead of asking for edges: for pins that have none.",
            common.parse_period,
            0,
        ),
        Option(
            "--max-size BYTES", "Begin another file, FILE-0001 and so on, at this size.", _size, 0
        ),
        Option("--max-time T", "Begin another file after this time.", common.parse_period, 0),
        Option("--keep NUM", "Keep so many of these files.", common.parse_number, 0),
        Option(
            "--sample-rate HZ", "Samples a second of an .sr file [default: 1M].", _rate, 1_000_000
        ),
        Option("-q --quiet", "Say nothing at the end."),
        common.BANNER,
        common.BIAS,
        common.ACTIVE_LOW,
        common.consumer_option("gpio-bridge record"),
        *common.LINE_OPTIONS,
    ],
)


def main(arguments: list[str]) -> int:
    """Run the tool; return its exit status."""
    options, lines = COMMAND.parse(arguments)
    if not lines:
        raise Failure("at least one GPIO line must be specified")
    _check(options)
    to_file = options.output not in (None, "-")
    format = options.format or (formats.format_of(options.output) if to_file else "vcd")
    found = common.Lines.asked(lines, options)
    if found.report("record"):
        return 1
    groups = found.by_chip()
    names = _names([line for _, group in groups for line in group])
    trigger = None
    if options.trigger is not None:
        trigger = Trigger(options.trigger, names, common.parse_period)
    import time

    began_ns = time.monotonic_ns()
    sources = _request(groups, options)
    signals = [
        Signal(name, about)
        for name, about in zip(names, _abouts(groups, options.active_low), strict=True)
    ]
    header = Header(signals, notes=_time_base(list(sources), options), rate_hz=options.sample_rate)
    sink = Sink(
        options.output,
        format,
        header,
        options.max_size,
        options.max_time * 1000,
        options.keep,
    )
    limits = Limits(
        options.pre * 1000, options.post * 1000, options.duration * 1000, options.bulk_read * 1000
    )
    recorder = Recorder(
        sources,
        began_ns,
        sink,
        limits,
        trigger,
        lambda said: complain(f"gpio-bridge record: {said}"),
        lambda: complain(f"Recording {', '.join(names)}...") if options.banner else None,
    )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number == signal.SIGINT or signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _stopper(recorder))
    # A signal that comes just before the recorder waits has no handler run until the wait is over.
    signal.set_wakeup_fd(recorder.waker, warn_on_full_buffer=False)
    try:
        totals = recorder.run()
    finally:
        signal.set_wakeup_fd(-1)
    if not options.quiet:
        notes = "; ".join(recorder.notes())
        complain(f"gpio-bridge record: {totals.seconds:.3f} s, {notes}")
    if trigger is not None and not totals.triggered:
        raise Failure(f"the trigger {options.trigger} did not happen, so nothing was written")
    found.close()
    return 0


def _check(options: SimpleNamespace) -> None:
    """Refuse options that mean nothing together. Raises Failure."""
    if options.trigger is None and (options.pre or options.post):
        raise Failure("--pre and --post speak of the time around a --trigger EXPR: give one")
    if (options.max_size or options.max_time) and options.output in (None, "-"):
        raise Failure("--max-size and --max-time need the name of a file: give -o FILE")
    if options.keep and not (options.max_size or options.max_time):
        raise Failure("--keep counts the files of --max-size or --max-time: give one of them")
    if 0 < options.bulk_read < _SAMPLE_MIN_US:
        raise Failure(f"--bulk-read: {_SAMPLE_MIN_US} us is the shortest period")


def _stopper(recorder: Recorder) -> Callable[[int, FrameType | None], None]:
    def stop(number: int, frame: FrameType | None) -> None:
        recorder.stop()

    return stop


def _names(lines: list[common.Line]) -> list[str]:
    """A unique name for each line: its own, or chip and offset."""
    infos = [line.chip.get_line_info(line.offset) for line in lines]
    own = [
        info.name or f"{line.chip.get_info().name}.{line.offset}"
        for info, line in zip(infos, lines, strict=True)
    ]
    return [
        name if own.count(name) == 1 else f"{line.chip.get_info().name}.{name}"
        for name, line in zip(own, lines, strict=True)
    ]


def _abouts(groups: list[tuple[Chip, list[common.Line]]], active_low: bool) -> list[str]:
    return [
        f"line {line.offset} of chip {chip.get_info().name} [{chip.get_info().label}]"
        f"{', 1 is low' if active_low else ''}"
        for chip, group in groups
        for line in group
    ]


def _request(
    groups: list[tuple[Chip, list[common.Line]]], options: SimpleNamespace
) -> dict[Source, Reopen]:
    """Request the lines of each chip; with each, how to do it again. Raises Failure."""
    settings = LineSettings(
        edge_detection=Edge.NONE if options.bulk_read else Edge.BOTH,
        bias=options.bias,
        active_low=options.active_low,
        debounce_period=timedelta(0),
    )
    sources: dict[Source, Reopen] = {}
    first = 0
    for chip, group in groups:
        offsets = [line.offset for line in group]
        names = [chip.get_line_info(offset).name for offset in offsets]
        if len(offsets) > common.LINES_MAX:
            raise Failure(f"too many lines of chip {chip.path}: {common.LINES_MAX} is the most")
        try:
            source = Source(chip, offsets, first, settings, options.consumer, len(groups))
        except (OSError, ValueError, NotImplementedError) as error:
            hint = ""
            if getattr(error, "errno", None) == 6:  # ENXIO
                hint = "; --bulk-read 10ms records levels without edges"
            raise Failure(
                f"unable to request lines on chip {chip.path}: {sentence(error)}{hint}"
            ) from None

        def again(
            path: str = chip.path,
            offsets: list[int] = offsets,
            names: list[str | None] = names,
            first: int = first,
        ) -> Source:
            chip = Chip(path)
            try:
                # Another firmware may have other lines there.
                if [chip.get_line_info(offset).name for offset in offsets] != names:
                    raise ValueError("the lines have other names now")
                return Source(chip, offsets, first, settings, options.consumer, len(groups))
            except BaseException:
                chip.close()
                raise

        sources[source] = again
        first += len(offsets)
    return sources


def _time_base(sources: list[Source], options: SimpleNamespace) -> list[str]:
    """Say whose the times are, a sentence for each chip."""
    notes = []
    for source in sources:
        clock = source.clock()
        if options.bulk_read:
            text = (
                f"levels, read every {options.bulk_read} us; times are the host's, "
                "of when each answer came"
            )
        elif clock is None:
            text = (
                "times are the host's, of when messages came: the firmware does not stamp edges "
                "(TIMESTAMP)"
            )
        else:
            text = "times are the coprocessor's, on CLOCK_MONOTONIC, "
            text += (
                f"off by at most {clock[0] / 1000:.1f} us as the recording begins"
                if clock[0]
                else "as soon as its clock is known"
            )
        notes.append(f"chip {source.name}: {text}")
    return notes
