# SPDX-License-Identifier: BSD-3-Clause
"""What a bundle leaves out: names of users, groups and the host, passwords and tokens."""

from __future__ import annotations

import grp
import os
import platform
import pwd
import re
from collections.abc import Iterable
from typing import Any

__all__ = ["LEFT_OUT", "Privacy"]

LEFT_OUT = "(left out)"
"""Stands in the place of what is nobody's business."""

_PATTERNS = (
    (re.compile(r"//[^/@\s]+@"), f"//{LEFT_OUT}@"),
    (re.compile(r"/(home|Users|run/user)/[^/\s\"']+"), rf"/\1/{LEFT_OUT}"),
    (
        re.compile(r"(\w*(?:password|passwd|secret|token)\w*\s*[=:]\s*)[^\s,;&]+", re.IGNORECASE),
        rf"\1{LEFT_OUT}",
    ),
)
# Whatever is behind these keys.
_KEYS = re.compile(r"users|groups?|trace_group|.*(?:password|passwd|secret|token).*", re.IGNORECASE)
_FIRST_PERSON = 1000  # numbers below are the system's own users and groups
_NOBODY = 65534


class Privacy:
    """Leaves out what is nobody's business: the names that this system knows, and secrets."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._pattern: re.Pattern[str] | None = None  # of the names; made when it is used
        self._add(platform.node())
        for variable in ("LOGNAME", "USER", "SUDO_USER"):
            self._add(os.environ.get(variable, ""))
        for user in pwd.getpwall():
            if _FIRST_PERSON <= user.pw_uid != _NOBODY:
                self._add_user(user)
        for group in grp.getgrall():
            if _FIRST_PERSON <= group.gr_gid != _NOBODY:
                self._add(group.gr_name)
        self.learn([os.getuid()])

    def learn(self, uids: Iterable[int]) -> None:
        """Leave out these users, too: a directory service need not list its users."""
        for uid in uids:
            try:
                user = pwd.getpwuid(uid)
            except KeyError:
                continue
            if uid >= _FIRST_PERSON:
                self._add_user(user)

    def _add_user(self, user: pwd.struct_passwd) -> None:
        self._add(user.pw_name)
        self._add(user.pw_gecos.partition(",")[0])

    def _add(self, name: str) -> None:
        if name and name != "root":
            self._names.add(name)
            self._pattern = None

    def text(self, text: str) -> str:
        """Return text without what is nobody's business."""
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        if self._pattern is None:
            names = "|".join(map(re.escape, sorted(self._names, key=len, reverse=True))) or "(?!)"
            self._pattern = re.compile(rf"(?<![A-Za-z0-9])(?:{names})(?![A-Za-z0-9])")
        return self._pattern.sub(LEFT_OUT, text)

    def value(self, value: Any) -> Any:
        """Return the same of what JSON is made of; keys stay, all behind some of them goes."""
        if isinstance(value, dict):
            return {
                key: LEFT_OUT if _is_private(key, inner) else self.value(inner)
                for key, inner in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.value(inner) for inner in value]
        if value is None or isinstance(value, (bool, int, float)):
            return value
        return self.text(str(value))


def _is_private(key: str, value: Any) -> bool:
    """Whether a key has names or a secret behind it, and no tables about users."""
    tables = isinstance(value, list) and all(isinstance(one, dict) for one in value)
    return _KEYS.fullmatch(key) is not None and bool(value) and not tables
