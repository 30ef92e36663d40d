# SPDX-License-Identifier: BSD-3-Clause
"""What verbs print: JSON, and the sentences in exceptions."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO


def print_json(what: object) -> None:
    """Print a JSON value on a line of its own, at once."""
    import json

    print(json.dumps(what), flush=True)


def open_new(path: str) -> BinaryIO:
    """Make a file that only its owner can read.

    Raises OSError: FileExistsError, it is there already, whatever it is; and others of open(2).
    """
    import errno
    import os

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
