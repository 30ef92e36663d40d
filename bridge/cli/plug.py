# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge plug: the helper of gpiochip exports, which runs as root."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import click

import bridge
from bridge.control_protocol import DEFAULT_HELPER

PROGRAM = Path(bridge.__file__).parent / "plug/gpio-bridge-plug"
_ACTIVATED_FD = 3
_EXIT_IDLE_S = 10


@click.command(
    "plug",
    short_help="Plug chips of a service into this kernel.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 90},
)
@click.option("--user", required=True, help="The user that the service runs as: a name or an id.")
@click.option(
    "--socket", "path", metavar="PATH", help=f"Where the service asks (default: {DEFAULT_HELPER})."
)
@click.option(
    "--patience-ms",
    type=click.IntRange(10, 600_000),
    default=120,
    show_default=True,
    help="So long a service may be silent while the kernel waits for it; then its chip goes.",
)
def plug(user: str, path: str | None, patience_ms: int) -> int:
    """Plug the chips of gpiochip exports into this kernel, and watch over them.

    \b
      gpio-bridge plug --user gpio-bridge
      gpio-bridge plug --user 1000 --socket /run/plug.sock

    It needs root and vhci_hcd (modprobe vhci-hcd), and does nothing else, so that the
    service needs neither. systemd starts it by gpio-bridge-plug.socket, when a service
    asks; then it ends when nothing is plugged in. Whoever may ask can plug any USB device in.
    """
    uid = _uid(user)
    activated = os.environ.get("LISTEN_PID") == str(os.getpid())
    if activated and path is not None:
        raise click.UsageError("--socket: the service manager has given a socket already")
    fd = _ACTIVATED_FD if activated else _socket(path or DEFAULT_HELPER, uid)
    os.set_inheritable(fd, True)
    exit_idle_s = _EXIT_IDLE_S if activated else 0
    os.execv(PROGRAM, [str(PROGRAM), str(fd), str(uid), str(patience_ms), str(exit_idle_s)])


def _uid(user: str) -> int:
    try:
        return int(user) if user.isascii() and user.isdigit() else pwd.getpwnam(user).pw_uid
    except KeyError:
        raise click.UsageError(f'--user: there is no user "{user}"') from None


def _socket(path: str, uid: int) -> int:
    """A socket that only the service can connect to."""
    from bridge.socket_file import bind

    return bind(path, 0o600, None, uid).detach()
