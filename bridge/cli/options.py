# SPDX-License-Identifier: BSD-3-Clause
"""Options as getopt_long(3) parses them with "+", which libgpiod's tools use.

Parsing stops at the first word that is no option, so that a line may be called --help,
and a long option may be shortened to a prefix that no other option has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace

from bridge.errors import did_you_mean

TYPE_CHECKING = False  # as in typing, which costs a tool more than all of this
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "JSON",
    "SOCKET",
    "Choice",
    "Command",
    "Done",
    "Failure",
    "Option",
    "UsageError",
    "no_arguments",
]

_HELP_WIDTH = 100


class Failure(Exception):
    """What ends a tool with status 1; the message goes to stderr."""


class UsageError(Failure):
    """A wrong option; a hint at --help follows the message."""


class Done(Exception):
    """--help or --version was shown, and the tool ends with status 0."""


class Choice:
    """A conversion of a word of `words`, with libgpiod's message for any other."""

    def __init__(self, what: str, words: Mapping[str, Any]) -> None:
        self._what = what
        self.words = words

    def __call__(self, word: str) -> Any:
        """Return what a word stands for. Raises Failure."""
        if word not in self.words:
            raise Failure(f"invalid {self._what}: {word} (choose from {', '.join(self.words)})")
        return self.words[word]


class Option:
    """One option: `words` such as ``-b --bias BIAS``, the last one for its argument.

    `convert` makes a value of the argument and raises Failure when it can not;
    `default` is the value without the option (False for one that takes no argument).
    One without argument may give a `value` to an `attribute` that others give values to,
    too: the last one counts. One that may be `repeated` gives a list.
    """

    def __init__(
        self,
        words: str,
        help: str,
        convert: Callable[[str], Any] = str,
        default: Any = None,
        attribute: str | None = None,
        value: object = True,
        repeated: bool = False,
    ) -> None:
        self.help = help
        self.convert = convert
        self.names = [word for word in words.split() if word.startswith("-")]
        last = words.rsplit(maxsplit=1)[-1]
        self.metavar = "" if last.startswith("-") else last
        self.longs = [name for name in self.names if name.startswith("--")]
        self.default = () if repeated else default if self.metavar else False
        self.attribute = attribute or self.longs[0][2:].replace("-", "_")
        self.value = value
        self.repeated = repeated

    @property
    def synopsis(self) -> str:
        """The option as the help shows it."""
        names = ", ".join(self.names)
        short = "" if self.names[0] in self.longs else "-"
        return f"{'' if short else '    '}{names}{' ' if self.metavar else ''}{self.metavar}"


class Command:
    """A tool: its options and what its help says.

    `usage` names the arguments, `summary` is a line, `details` are lines printed as
    they are. `options` are those given, and --help and --version.
    """

    def __init__(
        self, name: str, usage: str, summary: str, details: str, options: Sequence[Option]
    ) -> None:
        self.name = name
        self.usage = usage
        self._summary = summary
        self._details = details
        self.options = [
            *options,
            Option("-h --help", "Show this and exit."),
            Option("-v --version", "Show the version and exit."),
        ]

    def parse(self, arguments: Sequence[str]) -> tuple[SimpleNamespace, list[str]]:
        """Return the options' values and the words that are left.

        Raises UsageError with getopt's words, Failure from a conversion, and Done after
        --help and --version.
        """
        values = SimpleNamespace(**{option.attribute: option.default for option in self.options})
        words = iter(arguments)
        left: list[str] = []
        for word in words:
            if word == "--":
                break
            if not word.startswith("-") or word == "-":
                left = [word]
                break
            parse = self._long if word.startswith("--") else self._shorts
            for option, argument in parse(word, words):
                self._take(option, argument, values)
        return values, [*left, *words]

    def _take(self, option: Option, argument: str | None, values: SimpleNamespace) -> None:
        if option.attribute == "help":
            print(self.help())
            raise Done
        if option.attribute == "version":
            from bridge import __version__

            print(f"gpio-bridge {self.name} v{__version__}")
            raise Done
        value = option.value if argument is None else option.convert(argument)
        if option.repeated:
            value = [*getattr(values, option.attribute), value]
        setattr(values, option.attribute, value)

    def _long(self, word: str, words: Iterator[str]) -> Iterator[tuple[Option, str | None]]:
        name, separator, argument = word.partition("=")
        option = self._match(name)
        if not option.metavar:
            if separator:
                raise UsageError(f"option '{option.longs[0]}' doesn't allow an argument")
            yield option, None
            return
        given = argument if separator else next(words, None)
        if given is None:
            raise UsageError(f"option '{option.longs[0]}' requires an argument")
        yield option, given

    def _match(self, name: str) -> Option:
        matches: dict[str, Option] = {}
        for option in self.options:
            for long in option.longs:
                if long == name:
                    return option
                if long.startswith(name):
                    matches[long] = option
        if not matches:
            hint = did_you_mean(name, (long for option in self.options for long in option.longs))
            raise UsageError(f"unrecognized option '{name}'{'; ' if hint else ''}{hint}")
        if len(set(matches.values())) > 1:
            possible = " ".join(f"'{long}'" for long in matches)
            raise UsageError(f"option '{name}' is ambiguous; possibilities: {possible}")
        return next(iter(matches.values()))

    def _shorts(self, word: str, words: Iterator[str]) -> Iterator[tuple[Option, str | None]]:
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            option = next((o for o in self.options if f"-{letter}" in o.names), None)
            if option is None:
                raise UsageError(f"invalid option -- '{letter}'")
            if not option.metavar:
                yield option, None
                continue
            argument = letters or next(words, None)
            if argument is None:
                raise UsageError(f"option requires an argument -- '{letter}'")
            yield option, argument
            return

    def help(self) -> str:
        """What --help prints."""
        import textwrap

        rows = [(option.synopsis, option.help) for option in self.options]
        width = max(len(synopsis) for synopsis, _ in rows) + 4
        lines = [f"Usage: gpio-bridge {self.name} [OPTIONS] {self.usage}", "", self._summary, ""]
        lines += [f"  {line}".rstrip() for line in self._details.strip("\n").splitlines()]
        lines += ["", "Options:"]
        for synopsis, text in rows:
            pieces = textwrap.wrap(text, _HELP_WIDTH - width, break_on_hyphens=False)
            lines.append(f"  {synopsis:{width - 2}}{pieces[0]}")
            lines += [" " * width + piece for piece in pieces[1:]]
        return "\n".join(lines)


SOCKET = Option(
    "--socket PATH",
    "Control socket of the service [default: $GPIO_BRIDGE_SOCKET or "
    "/run/rpmsg-gpio-bridge/control.sock].",
)
JSON = Option("--json", "Print one JSON object.")


def no_arguments(words: list[str]) -> None:
    """Raise UsageError when something is left of a command line that takes nothing more."""
    if words:
        raise UsageError(f"unexpected argument '{words[0]}'")
