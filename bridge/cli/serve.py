# SPDX-License-Identifier: BSD-3-Clause
"""``gpio-bridge serve``: run the service."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from bridge.control_protocol import default_socket
from bridge.text import printable

EPILOG = """
\b
Examples:
  # on a board: the coprocessor is found by itself; or at the end of a UART
  gpio-bridge serve --link rpmsg:
  gpio-bridge serve --link serial:/dev/ttyUSB0
  # the firmware stub on this PC, a control socket of your own
  gpio-bridge serve --link vhost-user:/tmp/fw.sock --socket /tmp/gpio.sock
  # two coprocessors; the second gets a name, and has no CONFIG extension
  gpio-bridge serve --link vhost-user:/run/m4.sock \\
      --link vhost-user:/run/dsp.sock,name=dsp,lines=16
  # lines of this Linux as another chip
  gpio-bridge serve --link vhost-user:/run/m4.sock --link gpiochip:/dev/gpiochip0
  # is the file right? It is shown, nothing is started
  gpio-bridge serve --config /etc/rpmsg-gpio-bridge.toml --check
  # everything from a file, only the deadline is another one
  gpio-bridge serve --config /etc/rpmsg-gpio-bridge.toml --timeout-ms 200

\b
A --link may carry the options of a [[link]] table of the file:
  URL[,name=NAME][,lines=N][,extensions=all|none|NAME+NAME][,on_release=none|keep]
     [,on_release.LINE=POLICY][,on_restart=release|restore|hold][,on_restart.LINE=POLICY]
     [,label.INDEX=TEXT][,names.INDEX=NAME+NAME][,raw.INDEX=ADDRESS|LABEL]
A NAME with a plus is written in double quotes, and so is that of a line without.

\b
An --export is a vhost-user socket for one guest (QEMU, User-Mode Linux),
  vhost-user-gpio:PATH,chip=CHIP              all lines of a chip
  vhost-user-gpio:PATH,chip=CHIP,lines=0,LED  some, by offset or name
  vhost-user-gpio:PATH,lines=CHIP:LINE=NAME,CHIP:LINE
                                              of several chips, with new names
or a chip of this kernel, /dev/gpiochipN (needs gpio-bridge plug; docs/gpiochip.md):
  gpiochip:dln2,chip=CHIP                     all lines of a chip
  gpiochip:dln2,lines=CHIP:LINE,CHIP:LINE     some, of several chips
or keys and LEDs of this kernel, as gpio-keys and leds-gpio have them:
  uinput:,chip=CHIP,lines=BUTTON=KEY_POWER,active_low=true
  uleds:,chip=CHIP,lines=LED_GREEN

\b
The service runs in the foreground until SIGTERM, SIGINT or SIGHUP. A link may
come up later, go away and return; its chips follow. Pins stay as they are when
the service stops.
"""


@click.command(
    "serve",
    short_help="Run the service that owns the links.",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 90},
)
@click.option(
    "-c",
    "--config",
    "config_path",
    metavar="FILE",
    help="Read this TOML file; flags win over it, and --link replaces its links.",
)
@click.option(
    "-l",
    "--link",
    "links",
    multiple=True,
    metavar="URL",
    help="Keep a link up to this coprocessor; may be repeated.",
)
@click.option(
    "-x",
    "--export",
    "exports",
    multiple=True,
    metavar="SPEC",
    help="Give a guest's kernel, or this one, lines as a gpiochip; may be repeated (see below).",
)
@click.option(
    "--socket",
    "socket_path",
    metavar="PATH",
    help="Control socket (default: $GPIO_BRIDGE_SOCKET, else /run/rpmsg-gpio-bridge/control.sock).",
)
@click.option("--mode", metavar="OCTAL", help="Permissions of the socket (default 0660).")
@click.option("--group", metavar="GROUP", help="Group that owns the socket.")
@click.option(
    "--trace-group",
    metavar="GROUP",
    help="Group that may read what goes over the links, gpio-bridge trace (default: whoever may "
    "connect, and nobody but root where there are [[access]] tables).",
)
@click.option(
    "--traces",
    metavar="DIRECTORY",
    help="Where the last messages of a link that died are kept (default: beside the socket; "
    '"": nowhere).',
)
@click.option(
    "--timeout-ms",
    type=click.IntRange(1, 60_000),
    metavar="N",
    help="Deadline of one request to the firmware, milliseconds (default 1000).",
)
@click.option(
    "--extensions",
    metavar="LIST",
    help="Protocol extensions to use: all (default), none, or a list such as config,names,tag.",
)
@click.option(
    "--on-release",
    metavar="POLICY",
    help="What becomes of released lines: none gives them back to the firmware "
    "(default), keep leaves them as they are.",
)
@click.option(
    "--on-restart",
    metavar="POLICY",
    help="What becomes of held lines when the firmware restarts: release (default), "
    "restore or hold.",
)
@click.option(
    "--remoteproc",
    "remoteprocs",
    multiple=True,
    metavar="NAME[,auto-stop]",
    help="Start this remote processor; with auto-stop it stops when the service ends, "
    "however it ends. May be repeated.",
)
@click.option(
    "--realtime",
    metavar="PRIORITY[,...]",
    help="Run the pump with this priority of SCHED_FIFO (see below).",
)
@click.option(
    "--ready-fd",
    type=click.IntRange(0),
    metavar="N",
    help="Write a line to this descriptor once the socket accepts connections.",
)
@click.option(
    "--log-level",
    type=click.Choice(["error", "warning", "info", "debug"]),
    default="info",
    show_default=True,
    help="What goes to standard error: what failed, what went wrong, too, links and chips that "
    "come and go, too, or everything.",
)
@click.option("-v", "--verbose", is_flag=True, help="The same as --log-level debug.")
@click.option("--check", is_flag=True, help="Check the configuration, show it, and end.")
def serve(
    ready_fd: int | None, log_level: str, verbose: bool, check: bool, **flags: Any
) -> int | None:
    """Run the service.

    It keeps links to coprocessors up, finds their GPIO controllers over rpmsg,
    and serves them as chips on a control socket, where the other verbs of
    gpio-bridge and the Python package `bridge` find them.
    """
    # ConfigError and OSError are raised from here: gpio-bridge prints their sentences.
    _leave_out_tls()
    import asyncio

    from bridge.service import Service

    _log_from("debug" if verbose else log_level)
    service = Service(_configuration(**flags))
    if check:
        from bridge.service.check import check as found_by_check

        return _report(found_by_check(service.config))
    asyncio.run(service.run(_announce(ready_fd)))
    return None


def _leave_out_tls() -> None:
    """Import asyncio as in a Python without ssl: OpenSSL would be a seventh of the service.

    A package of links may import ssl all the same; only asyncio's own TLS is not there.
    """
    if "asyncio" in sys.modules or "ssl" in sys.modules:
        return
    sys.modules["ssl"] = None  # type: ignore[assignment]
    try:
        import asyncio  # noqa: F401
    finally:
        del sys.modules["ssl"]


class _Formatter(logging.Formatter):
    """A sentence for a terminal; for the journal with its priority (sd-daemon(3))."""

    def __init__(self) -> None:
        super().__init__("gpio-bridge serve: %(message)s")
        self._journal = _is_journal(sys.stderr.fileno())

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Keep names of others from beginning a line of their own."""
        record.message = printable(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not self._journal:
            return text
        priority = next(number for level, number in _PRIORITIES if record.levelno >= level)
        return "\n".join(f"<{priority}>{line}" for line in text.splitlines())


# Levels of logging, and the priorities of syslog(3) that go with them.
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))


def _log_from(level: str) -> None:
    """Send what has this level or a worse one to standard error."""
    from bridge.service.log_lines import RateLimit, Writer

    handler = Writer(sys.stderr.fileno())
    handler.addFilter(RateLimit())
    handler.setFormatter(_Formatter())
    number = logging.getLevelName(level.upper())
    # Messages of the libraries below a warning mean nothing to whoever runs a service.
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler])
    logging.getLogger("bridge").setLevel(number)


def _is_journal(fd: int) -> bool:
    """Whether a descriptor leads to the journal (systemd.exec(5), JOURNAL_STREAM)."""
    status = os.fstat(fd)
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _report(problems: list[str]) -> int:
    for problem in problems:
        print(f"gpio-bridge serve: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _configuration(
    config_path: str | None,
    links: tuple[str, ...],
    socket_path: str | None,
    mode: str | None,
    group: str | None,
    trace_group: str | None,
    traces: str | None,
    timeout_ms: int | None,
    extensions: str | None,
    on_release: str | None,
    on_restart: str | None,
    exports: tuple[str, ...],
    remoteprocs: tuple[str, ...],
    realtime: str | None,
) -> Any:
    """The file, and over it the flags."""
    from bridge.service import config as configs

    result = configs.Config(socket=default_socket())
    if config_path is not None:
        result = configs.load(config_path, result)
    shared = configs.shared_from_flags(extensions, on_release, on_restart)
    if links:
        made = tuple(configs.link_from_flag(text, shared) for text in links)
        configs.check_names(made, "--link")
    else:
        made = tuple(replace(link, **shared) for link in result.links)
    if not made:
        raise configs.ConfigError(
            "no link to serve: give --link URL, for example --link vhost-user:/tmp/fw.sock, "
            "or a --config FILE with a [[link]] table"
        )
    changes: dict[str, Any] = {"links": made}
    if exports:
        changes["exports"] = tuple(configs.export_from_flag(text) for text in exports)
        configs.check_exports(changes["exports"], "--export")
    if remoteprocs:
        changes["remoteproc"] = tuple(configs.remoteproc_from_flag(text) for text in remoteprocs)
    if realtime is not None:
        changes["realtime"] = configs.realtime_from_flag(realtime)
    words = {
        "socket": socket_path,
        "mode": mode,
        "group": group,
        "trace_group": trace_group,
        "traces": traces,
    }
    for key, text in words.items():
        if text is not None:
            changes[key] = configs.from_flag(key, text)
    if timeout_ms is not None:
        changes["timeout_ms"] = timeout_ms
    return replace(result, **changes)


def _announce(ready_fd: int | None) -> Callable[[], None] | None:
    if ready_fd is None:
        return None

    def ready() -> None:
        # Whoever waits at --ready-fd may be gone, which is no reason not to serve.
        with contextlib.suppress(OSError):
            os.write(ready_fd, b"ready\n")
            os.close(ready_fd)

    return ready
