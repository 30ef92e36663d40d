# SPDX-License-Identifier: BSD-3-Clause
"""What verbs print: JSON, and the sentences in exceptions."""

from __future__ import annotations


def print_json(what: object) -> None:
    """Print a JSON value on a line of its own, at once."""
    import json

    print(json.dumps(what), flush=True)


def sentence(error: BaseException) -> str:
    """Return the sentence in an exception of the client library, without its errno."""
    if isinstance(error, UnicodeEncodeError):
        return f"{error.object!r} is not UTF-8"
    if isinstance(error, OSError) and error.strerror:
        name = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{name}"
    return str(error.args[-1]) if error.args else type(error).__name__
