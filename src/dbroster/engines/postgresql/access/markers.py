"""What marks roles and databases of PostgreSQL as ours, and names them, so that a renamed or copied one is foreign.

An account: its comment, `dbroster/2 ROSTER USER`, with ` locked` behind it while dbroster has locked it, and with the
time behind that when its days of grace began. A role can't comment on itself.

A finished database: `dbroster/2 ROSTER USER DATABASE`, as its comment and as a setting of the marker role
`dbroster:ROSTER` in it. The owner can edit the comment, but reaches neither that role nor its settings: the setting
decides, and the comment counts only where there is none. An unfinished database: a connection limit that nobody types,
made of the same text, in CREATE DATABASE itself.
"""

import re
from datetime import datetime
from typing import NamedTuple

from dbroster.model.names import tag31
from dbroster.plan.grace_period import read_stamp, stamp

ROLE_PREFIX = "dbroster:"
"""How the names of marker roles begin; they are no accounts."""

FORM = "dbroster/2 "
"""How every marker begins."""

SETTING = "application_name"
"""The setting that holds a database's marker: others than superusers may set no parameter of their own invention."""

_ACCOUNT = re.compile(r"dbroster/2 (?P<roster>[^ ]+) (?P<user>[^ ]+)(?P<locked> locked(?: (?P<since>[^ ]+))?)?")
_DATABASE = re.compile(r"dbroster/2 (?P<roster>[^ ]+) (?P<user>[^ ]+) (?P<database>[^ ]+)")


class Marker(NamedTuple):
    """The comment that says whose a role is."""

    roster: str
    user: str
    locked: bool = False
    since: datetime | None = None

    @classmethod
    def parse(cls, comment: str | None) -> "Marker | None":
        """Read a comment; None when it is no marker of ours, or has been edited."""
        found = _ACCOUNT.fullmatch(comment or "")
        if not found:
            return None
        return cls(found["roster"], found["user"], found["locked"] is not None, read_stamp(found["since"]))

    def __str__(self) -> str:
        since = f" {stamp(self.since)}" if self.since else ""
        return f"{FORM}{self.roster} {self.user}{f' locked{since}' if self.locked else ''}"


class Claim(NamedTuple):
    """What says whose a database is, and which one it is."""

    roster: str
    user: str
    database: str

    @classmethod
    def parse(cls, text: str | None) -> "Claim | None":
        """Read a comment or a setting; None when it is no claim of ours, or has been edited."""
        found = _DATABASE.fullmatch(text or "")
        return cls(found["roster"], found["user"], found["database"]) if found else None

    def __str__(self) -> str:
        return f"{FORM}{self.roster} {self.user} {self.database}"

    @property
    def limit(self) -> int:
        """The connection limit of a database that is not finished."""
        return tag31(str(self))


def marker_role(roster: str) -> str:
    """Return the name of the role whose settings mark a roster's databases."""
    return f"{ROLE_PREFIX}{roster}"
