# SPDX-License-Identifier: BSD-3-Clause
"""What verbs print: JSON, and sentences about what went wrong."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, TextIO


def print_json(what: object) -> None:
    """Print a JSON value on a line of its own, at once."""
    import json

    print(json.dumps(what), flush=True)


def open_new(path: str) -> BinaryIO:
    """Make a file that only its owner can read.

    Raises OSError: FileExistsError, it is there already, whatever it is; and others of open(2).
    """
    import errno

    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return open(os.open(path, flags, 0o600), "wb")
    except FileExistsError:
        raise FileExistsError(
            errno.EEXIST, f"{path} is there already, and is left alone; choose another name"
        ) from None
    except OSError as error:
        raise OSError(error.errno, f"{path}: {error.strerror}") from None


def sentence(error: BaseException) -> str:
    """Return the sentence in an exception of the client library, without its errno."""
    if isinstance(error, UnicodeEncodeError):
        return f"{error.object!r} is not UTF-8"
    if isinstance(error, OSError) and error.strerror:
        name = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{name}"
    return str(error.args[-1]) if error.args else type(error).__name__


def tell_of_silence(name: str) -> None:
    """Say after a second that the service does not answer, while waiting goes on."""
    from bridge.client import control

    control.on_silence = lambda sentence: complain(f"{name}: {sentence}")


def complain_of(error: BaseException, name: str) -> None:
    """Print what an exception of the client library or of stdout says, after `name`."""
    if isinstance(error, BrokenPipeError):
        return  # the EPIPE of stdout, whose reader had enough; that of the control socket is ENODEV
    if flush_output(name):  # otherwise stdout failed, which was reported
        complain(f"{name}: {sentence(error)}")


def complain(*lines: str) -> None:
    """Print lines to stderr, if it takes them."""
    try:
        for line in lines:
            print(line, file=sys.stderr)
        sys.stderr.flush()
    except OSError:
        _drop(sys.stderr)


def flush_output(name: str) -> bool:
    """Write what is printed; return False when stdout does not take it, which is reported."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _drop(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            complain(f"{name}: cannot write to standard output: {error.strerror}")
        return False
    return True


def _drop(stream: TextIO) -> None:
    """Discard what is in a stream: the interpreter would try to write it again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
