"""An account of a ClickHouse server, with what dbroster must know of it."""

import re
from typing import NamedTuple

from dbroster.model.state import ExistingUser

_WORD = re.compile(r"\w+")


class Account(NamedTuple):
    """An account, and what dbroster does not manage of it.

    `claimed`: its setting names it and our roster. `has_role`: it has the role of our roster. `notes_lock`: its setting
    says that we have locked it. `unrestricted`: it may log in from everywhere. `authentication`: the methods, as the
    server spells them. `default_roles`: None for all that it has. `dates`: roles that say since when it is locked.
    `shut_somewhere`: dbroster has shut it, on one node of a cluster at least. `missing`: nodes that don't have it.
    `given`: roles that are not dbroster's.
    """

    existing: ExistingUser
    claimed: bool
    has_role: bool
    notes_lock: bool
    unrestricted: bool
    authentication: str
    default_roles: tuple[str, ...] | None
    dates: tuple[str, ...] = ()
    now: str = ""
    shut_somewhere: bool = False
    missing: tuple[str, ...] = ()
    given: tuple[str, ...] = ()

    @property
    def by_password(self) -> bool:
        """Whether the server itself checks a password, or none; LDAP, Kerberos, certificates and the like are not."""
        return "_password" in self.authentication

    @property
    def methods(self) -> list[str]:
        """The ways in which it may log in; newer servers allow several."""
        return _WORD.findall(self.authentication)
