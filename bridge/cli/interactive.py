# SPDX-License-Identifier: BSD-3-Clause
"""The prompt of gpio-bridge set --interactive: gpioset's commands and messages."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import sys
from collections.abc import Sequence

from bridge.cli import common
from bridge.cli.options import Failure
from bridge.cli.values import Handle, parse_value

_PROMPT = "gpio-bridge set> "
_HISTORY_MAX = 20

_HELP = """\
COMMANDS:
    exit
            Release the lines and end.
    get [line]...
            Show the values that were set, of all lines or of these.
    help
            Show this.
    set <line=value>...
            Set lines.
    sleep <period>
            Wait for a time; digits and us, ms (the default), s or m.
    toggle [line]...
            Toggle all lines or these."""

_COMMANDS = ("exit", "get", "help", "set", "sleep", "toggle")


class _Wrong(Exception):
    """What was wrong with a command; the prompt comes again afterwards."""


def converse(handles: Sequence[Handle], unquoted: bool) -> None:
    """Read commands until `exit` or the end of input.

    `handles` are the lines of the command line, `unquoted` is how `get` shows their ids.
    Raises OSError when a chip is gone.
    """
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="backslashreplace")  # a wrong byte only makes a wrong command
    if sys.stdin.isatty() and sys.stdout.isatty():
        _restore_terminal_on_signals()
        _prepare_editing([handle.id for handle in handles])
    lines = {handle.id: handle for handle in handles}
    while True:
        try:
            words = _split(input(_PROMPT))
        except EOFError:
            return
        if words == ["exit"]:
            return
        try:
            if words:
                _do(words[0], words[1:], lines, unquoted)
        except _Wrong as wrong:
            print(wrong)
        sys.stdout.flush()


def _split(line: str) -> list[str]:
    """Split at blanks outside double quotes."""
    return re.findall(r'(?:"[^"]*"?|[^\s"])+', line)


def _do(command: str, words: list[str], lines: dict[str, Handle], unquoted: bool) -> None:
    if command == "get":
        pairs = [(handle.id, handle.value) for handle in _named(words, lines)]
        print(common.value_words(pairs, unquoted, False))
    elif command == "set":
        _set(words, lines)
    elif command == "toggle":
        _change([(handle, not handle.value) for handle in _named(words, lines)])
    elif command == "sleep":
        _sleep(words)
    elif command == "help":
        print(_HELP)
    elif command == "exit":
        raise _Wrong("too many command parameters provided")
    else:
        raise _Wrong(f"unknown command: '{command}'\nTry the 'help' command")


def _named(words: list[str], lines: dict[str, Handle]) -> list[Handle]:
    """Return the lines of these ids, all of them for none."""
    return [_line(_unquote(word), lines) for word in words] or list(lines.values())


def _line(id: str, lines: dict[str, Handle]) -> Handle:
    if id not in lines:
        raise _Wrong(f"unknown line: '{id}'")
    return lines[id]


def _unquote(word: str) -> str:
    if not word.startswith('"'):
        return word
    if len(word) < 2 or not word.endswith('"'):
        raise _Wrong(f"invalid line id: '{word}'")
    return word[1:-1]


def _set(words: list[str], lines: dict[str, Handle]) -> None:
    if not words:
        raise _Wrong("at least one GPIO line value must be specified")
    changes = []
    for word in words:
        try:
            id, active = parse_value(word)
        except Failure as failure:
            raise _Wrong(str(failure)) from None
        changes.append((_line(id, lines), active))
    _change(changes)


def _change(changes: list[tuple[Handle, bool]]) -> None:
    for handle, active in changes:
        handle.change(active)
    for held in {id(handle.held): handle.held for handle, _ in changes}.values():
        held.apply()


def _sleep(words: list[str]) -> None:
    if not words:
        raise _Wrong("a period must be specified")
    if len(words) > 1:
        raise _Wrong("only one period can be specified")
    try:
        common.pause(common.parse_period(words[0]))
    except Failure:
        raise _Wrong(f"invalid period: '{words[0]}'") from None


def _restore_terminal_on_signals() -> None:
    """Die of a signal as usual, but not without echo, which line editing turns off.

    A thread waits for signals: a handler in Python would run at the next key only, when the signal
    comes just before readline waits.
    """
    import termios
    import threading

    before = termios.tcgetattr(sys.stdin)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    deadly = {number for number in numbers if signal.getsignal(number) is signal.SIG_DFL}
    signal.pthread_sigmask(signal.SIG_BLOCK, deadly)

    def end() -> None:
        number = signal.sigwait(deadly)
        with contextlib.suppress(termios.error):  # after SIGHUP the terminal may be gone
            termios.tcsetattr(sys.stdin, termios.TCSANOW, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, deadly)
        os.kill(os.getpid(), number)

    threading.Thread(target=end, daemon=True).start()


def _prepare_editing(ids: list[str]) -> None:
    """Line editing, a history, and completion with the tab key, if Python has readline."""
    with contextlib.suppress(ImportError):
        import readline

        def complete(text: str, state: int) -> str | None:
            before = readline.get_line_buffer()[: readline.get_begidx()]
            fitting = [word for word in _candidates(before, text, ids) if word.startswith(text)]
            return fitting[state] if state < len(fitting) else None

        readline.set_completer(complete)
        readline.set_completer_delims(" ")
        readline.parse_and_bind("tab: complete")
        readline.set_history_length(_HISTORY_MAX)


def _candidates(before: str, text: str, ids: list[str]) -> list[str]:
    """Return what may stand behind `before`: a command, a line, or its value."""
    words = before.split()
    if not words:
        return [f"{command} " for command in _COMMANDS]
    if words[0] == "set":
        id, separator, _ = text.partition("=")
        if not separator:
            return [f"{each}=" for each in ids]
        return [f"{id}={value} " for value in ("active", "inactive")]
    return [f"{id} " for id in ids] if words[0] in ("get", "toggle") else []
