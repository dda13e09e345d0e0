"""The texts that mark accounts and databases as dbroster's; each names its own object. Pure functions.

MySQL keeps them in the account's ATTRIBUTE: `{"dbroster": {"v": 2, "roster": "default", "account": "bob@%",
"templates": {"web": "made"}}}`. MariaDB has no place for a text on an account, so a number that fits the name of one
account only stands in one of its resource limits; names of roles say the roster and the templates, and the comment of
a database names the database.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from dbroster.engines.mysql.access.accounts import Key
from dbroster.model.names import tag31

VERSION = 2
NEW, MADE = "new", "made"
"""What an account's claim on a database says: it is to be created, or it was."""

_TAGS = 1 << 30
_PREFIX = f"dbroster/{VERSION}"
ROLE_PREFIX = "dbroster:"


# --- MySQL: ATTRIBUTE -------------------------------------------------------------------------------------------------


class Mark(NamedTuple):
    """What the ATTRIBUTE of an account says; `account` is the name in it, None where it names nobody."""

    roster: str | None = None
    account: str | None = None
    claims: Mapping[str, bool] = {}
    locked: object = None
    roles: tuple[str, ...] = ()


def marker(roster: str, key: Key) -> dict[str, object]:
    """Entries that mark an account."""
    return {"v": VERSION, "roster": roster, "account": named(key)}


def named(key: Key) -> str:
    """Write an account's name with its host."""
    return f"{key[0]}@{key[1].lower()}"


def attribute(**entries: object) -> str:
    """Write entries for ATTRIBUTE, which merges them into those that are there; None takes one away."""
    return json.dumps({"dbroster": entries})


def read_attribute(metadata: Mapping[str, Any]) -> Mark:
    """Read what stands in an ATTRIBUTE; anything that dbroster does not write so counts as nothing."""
    found = metadata.get("dbroster")
    if not isinstance(found, dict) or found.get("v") != VERSION or not isinstance(found.get("account"), str):
        return Mark(claims={})
    templates, roles = found.get("templates"), found.get("roles")
    claims = templates if isinstance(templates, dict) else {}
    return Mark(
        roster=found.get("roster") if isinstance(found.get("roster"), str) else None,
        account=found["account"],
        claims={name: state == MADE for name, state in claims.items() if state in (NEW, MADE)},
        locked=found.get("locked"),
        roles=tuple(role for role in roles if isinstance(role, str)) if isinstance(roles, list) else (),
    )


# --- MariaDB: numbers, roles, comments --------------------------------------------------------------------------------


def tag(roster: str, key: Key) -> int:
    """Return the number that marks an account: one that nobody types, and that no limit ever reaches."""
    return tag31(f"{_PREFIX} {roster} {key[0]} {key[1].lower()}")


def is_tag(number: int) -> bool:
    """Whether a resource limit is so high that it must be a mark."""
    return _TAGS <= number < 2 * _TAGS


def roster_role(roster: str) -> str:
    """Name the role that says whose account it is."""
    return f"{ROLE_PREFIX}{roster}"


def claim_role(roster: str, template: str) -> str:
    """Name the role that says that the database of a template is the account's."""
    return f"{ROLE_PREFIX}{roster}:has:{template}"


def claimed(roster: str, roles: Iterable[str]) -> dict[str, bool]:
    """Find the templates in the names of an account's roles."""
    prefix = claim_role(roster, "")
    return {role.removeprefix(prefix): True for role in roles if role.startswith(prefix)}


class Comment(NamedTuple):
    """What the comment of a database says."""

    roster: str
    user: str
    database: str


def comment(roster: str, user: str, database: str) -> str:
    """Word the comment of a database."""
    return f"{_PREFIX} {roster} {user} {database}"


def read_comment(text: str) -> Comment | None:
    """Read the comment of a database; None for any other text."""
    match text.split(" "):
        case [prefix, str(roster), str(user), str(database)] if prefix == _PREFIX:
            return Comment(roster, user, database)
    return None
