# SPDX-License-Identifier: BSD-3-Clause
"""The limits of what one user id may have of the service at once.

A user's clients, handles, line requests and lines are counted, and their memory is estimated in
bytes, so that the others have their share. A reserve of the service's descriptors is kept for users
who have few.
"""

from __future__ import annotations

import errno
import resource
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

MIB = 1024 * 1024

CONNECTION_BYTES = 8 * 1024
"""What a connection takes here, beside what is on its way: measured 5 KB, and its socket."""
HANDLE_BYTES = 12 * 1024
"""What an open chip takes: its ring of 32 info events, its bell, and the objects."""
REQUEST_BYTES = 16 * 1024
"""What a line request takes, without its ring of edge events."""

GUARANTEED = 64
"""Descriptors that a user has even where the reserve begins."""

# The part of the service's descriptors for links, exports, guests, and files that it reads.
_OWN_DESCRIPTORS = 256
_DESCRIPTORS = {"connections": 2, "handles": 2, "requests": 4}
_BYTES = {
    "connections": CONNECTION_BYTES,
    "handles": HANDLE_BYTES,
    "requests": REQUEST_BYTES,
    "lines": 0,
    "memory": 1,
}


@dataclass(frozen=True)
class Limits:
    """What one user id may have at once.

    Attributes:
        connections: to the control socket.
        handles: chips that its clients have open.
        requests: line requests.
        lines: held lines, of all its requests.
        memory_mib: all of that in MiB, with the messages and edges under way.
        reserve_percent: of the service's descriptors, kept for users with fewer than
            `GUARANTEED`.
    """

    connections: int = 1024
    handles: int = 2048
    requests: int = 2048
    lines: int = 4096
    memory_mib: int = 128
    reserve_percent: int = 25

    def of(self, what: str) -> int:
        """The limit of one of the things that `Account` counts."""
        return self.memory_mib * MIB if what == "memory" else int(getattr(self, what))


class Budgets:
    """The accounts of all users of one service.

    Args:
        limits: of each of them.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._accounts: dict[int, Account] = {}
        self._used = 0  # descriptors

    def account(self, uid: int) -> Account:
        """The account of a user id."""
        account = self._accounts.get(uid)
        if account is None:
            account = self._accounts[uid] = Account(self, uid)
        return account

    def status(self) -> dict[str, object]:
        """Limits, and what each user has, as the control socket shows them."""
        limits = {one.name: getattr(self.limits, one.name) for one in fields(self.limits)}
        users = [account.status() for _, account in sorted(self._accounts.items())]
        return {"limits": limits, "users": users}

    def take_descriptors(self, account: Account, count: int) -> None:
        """Give descriptors to a user. Raises OSError EMFILE when they are reserved for others."""
        total = max(0, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _OWN_DESCRIPTORS)
        modest = account.descriptors + count <= GUARANTEED
        reserve = 0 if modest else total * self.limits.reserve_percent // 100
        if self._used + count > total - reserve:
            kept = f", {reserve} of them kept for users with fewer than {GUARANTEED}"
            raise OSError(
                errno.EMFILE,
                f"clients have {self._used} of the service's descriptors, and {total} are for them"
                f"{kept if reserve else ''}; close something, or raise its LimitNOFILE "
                "(limits.reserve_percent in its configuration)",
            )
        self._used += count
        account.descriptors += count

    def give_descriptors(self, account: Account, count: int) -> None:
        """Take descriptors back."""
        self._used -= count
        account.descriptors -= count

    def discard(self, account: Account) -> None:
        """Forget a user who has nothing."""
        self._accounts.pop(account.uid, None)


class Account:
    """What one user id has.

    Attributes:
        uid: of the user.
        descriptors: of the service that serve this user.
        relieve: called to count again what may have become less by itself.
    """

    def __init__(self, budgets: Budgets, uid: int) -> None:
        self.uid = uid
        self.descriptors = 0
        self.relieve: set[Callable[[], None]] = set()
        self._budgets = budgets
        self._used: Counter[str] = Counter()

    def status(self) -> dict[str, int]:
        """What the user has, as the control socket shows it."""
        return {
            "uid": self.uid,
            **{what: self._used[what] for what in _BYTES if what != "memory"},
            "memory_kib": -(-self._used["memory"] // 1024),
        }

    def take(self, **wanted: int) -> Grant:
        """Take all that is wanted, or nothing.

        Args:
            wanted: how many ``connections``, ``handles``, ``requests``, ``lines``, and
                bytes of ``memory`` beside what these take by themselves.

        Raises:
            OSError: EMFILE, or ENOBUFS for memory; the sentence names the limit.
        """
        wanted["memory"] = sum(_BYTES[what] * count for what, count in wanted.items())
        descriptors = sum(_DESCRIPTORS.get(what, 0) * count for what, count in wanted.items())
        try:
            for what, count in wanted.items():
                self._check(what, count)
            self._budgets.take_descriptors(self, descriptors)
        except OSError:
            self._forget_if_empty()
            raise
        self._used.update(wanted)
        return Grant(self, wanted, descriptors)

    def move_memory(self, by: int) -> None:
        """Count `by` bytes more (or less). Raises OSError ENOBUFS, as `take`."""
        if by > 0:
            self._check("memory", by)
        self._used["memory"] += by
        self._forget_if_empty()

    def _check(self, what: str, count: int) -> None:
        limit = self._budgets.limits.of(what)
        if self._used[what] + count <= limit:
            return
        for count_again in tuple(self.relieve) if what == "memory" else ():
            count_again()
        if self._used[what] + count <= limit:
            return
        raise OSError(errno.ENOBUFS if what == "memory" else errno.EMFILE, self._over(what))

    def _over(self, what: str) -> str:
        limits = self._budgets.limits
        if what == "memory":
            return (
                f"the clients of user id {self.uid} take all of the {limits.memory_mib} MiB that "
                "one user may take of the service (limits.memory_mib in its configuration)"
            )
        called = {"handles": "open chips", "requests": "line requests", "lines": "held lines"}
        return (
            f"user id {self.uid} has {self._used[what]} {called.get(what, what)}, and one user "
            f"may have {limits.of(what)} (limits.{what} in the service's configuration)"
        )

    def give(self, grant: Mapping[str, int], descriptors: int) -> None:
        """Take back what a `Grant` had."""
        self._used.subtract(grant)
        self._budgets.give_descriptors(self, descriptors)
        self._forget_if_empty()

    def _forget_if_empty(self) -> None:
        """Forget an account that has nothing: nobody refers to it then."""
        if not any(self._used.values()):
            self._budgets.discard(self)


class Grant:
    """A share of an account, until it ends."""

    def __init__(self, account: Account, taken: Mapping[str, int], descriptors: int) -> None:
        self._account: Account | None = account
        self._taken = taken
        self._descriptors = descriptors

    def end(self) -> None:
        """Give it back. May be repeated."""
        account, self._account = self._account, None
        if account is not None:
            account.give(self._taken, self._descriptors)
