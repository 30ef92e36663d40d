# SPDX-License-Identifier: BSD-3-Clause
"""What cffi reads of our own headers: functions that a .pyi names, structs, constants."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path


def declarations(types: str, includes: str, folders: Iterable[str], structs: str) -> str:
    """Return the declarations for ``FFI.cdef``.

    Args:
        types: path of the .pyi whose class ``_Lib`` has the functions.
        includes: the lines that include the headers; all constants of those in quotes are declared.
        folders: where these are looked for.
        structs: names of the structs whose fields Python uses; the others stay opaque.
    """
    code = "".join(
        _code(path.read_text())
        for header in re.findall(r'#include "(.*)"', includes)
        for path in (Path(folder, header) for folder in folders)
        if path.exists()
    )
    functions = "|".join(re.findall(r"^    def (?!__)(\w+)", Path(types).read_text(), re.M))
    prototype = rf"^(?:static inline )?([a-z][\w\s*]*\b(?:{functions})\([^(){{}};]*\))\s*[;{{]"
    return "\n".join(
        [
            *(_struct(code, name) for name in structs.split()),
            *(f"#define {name} ..." for name in _numbers(code)),
            *(
                f"static char *const {name};"
                for name in re.findall(r'^#define (\w+)\s+"', code, re.M)
            ),
            *(f"{found};" for found in re.findall(prototype, code, re.M)),
        ]
    )


def _code(header: str) -> str:
    """The header without comments, each directive on a line of its own."""
    return re.sub(r"/\*.*?\*/", "", header, flags=re.S).replace("\\\n", "")


def _numbers(code: str) -> Iterable[str]:
    """The constants whose values the compiler tells: of enums and of directives."""
    yield from re.findall(r'^#define (\w+)[ \t]+[^"\s]', code, re.M)
    for enumerators in re.findall(r"^enum\b[^{;]*\{([^}]*)\}", code, re.M):
        yield from re.findall(r"(?:^|,)\s*(\w+)", enumerators)


def _struct(code: str, name: str) -> str:
    """The definition of a struct; the compiler tells the lengths of its arrays."""
    found = re.search(rf"^struct {name} \{{[^}}]*\}};", code, re.M)
    if found is None:
        raise ValueError(f"struct {name} is in none of the headers")
    return re.sub(r"\[[^\]]*[A-Z][^\]]*\]", "[...]", found[0])
