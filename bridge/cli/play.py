# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge set --from: outputs driven as in a recording."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

from bridge.cli import common
from bridge.cli.options import Failure
from bridge.cli.output import complain, sentence
from bridge.cli.replay import lines_of
from bridge.client.line_request import LineRequest
from bridge.client.line_settings import LineSettings
from bridge.line import Direction, Value
from bridge.recording import formats
from bridge.recording.model import HIGH
from bridge.recording.play import play


class _Outputs:
    """Lines of any chips, by the ids of the command line."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[LineRequest, int]] = {}
        self._requests: list[LineRequest] = []

    def add(self, request: LineRequest, lines: list[common.Line]) -> None:
        """Take lines of a request."""
        self._requests.append(request)
        self._places.update({line.id: (request, line.offset) for line in lines})

    def set(self, levels: Mapping[str, int]) -> None:
        """Drive lines; those of one chip in one message, where the firmware can (BULK)."""
        values: dict[LineRequest, dict[int | str, Value]] = {}
        for id, level in levels.items():
            request, offset = self._places[id]
            values.setdefault(request, {})[offset] = Value(level)
        for request, wanted in values.items():
            request.set_values(wanted)

    def release(self) -> None:
        """Release the lines."""
        for request in self._requests:
            request.release()


def drive(file: str, options: SimpleNamespace, words: list[str]) -> int:
    """Drive the lines of `words` as a recording says; return the exit status. Raises Failure."""
    if options.interactive or options.toggle is not None or options.daemonize:
        raise Failure("--from goes neither with --interactive, --toggle nor --daemonize")
    recording = formats.read(file)
    lines = lines_of(recording, words)
    found = common.Lines.asked(lines.values(), options)
    if found.report("set"):
        return 1
    first = {line: recording.wave(name).levels[0] for name, line in lines.items()}
    settings = LineSettings(
        direction=Direction.OUTPUT,
        bias=options.bias,
        drive=options.drive,
        active_low=options.active_low,
    )
    outputs = _Outputs()
    for owner, group in found.by_chip():
        values: dict[int | str, Value] = {
            line.offset: Value(int(first[line.id] == HIGH)) for line in group
        }
        try:
            request = owner.request_lines(
                {tuple(values): settings}, options.consumer, output_values=values
            )
        except (OSError, ValueError, NotImplementedError) as error:
            raise Failure(
                f"unable to request lines on chip '{owner.path}': {sentence(error)}"
            ) from None
        outputs.add(request, group)
    if options.banner:
        common.print_banner("Setting", list(lines.values()))
    jitter = play(recording, lines, outputs)
    complain(f"gpio-bridge set: {jitter.text()}, until each was answered")
    common.pause(options.hold_period)
    outputs.release()
    found.close()
    return 0
