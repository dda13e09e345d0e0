"""What marks accounts and databases on ClickHouse: texts that name the roster and the object itself.

An account carries its marker as the setting `log_comment`, which it can't change for itself, a database as its comment.
Both are written by the statement that creates the object. A renamed or copied object keeps the text, which then names
another one. Names of rosters and users have no spaces.
"""

from typing import NamedTuple, Self

from dbroster.engines.clickhouse.session import ROLE_PREFIX, Session, identifier, literal

VERSION = "dbroster/2"
_LOCKED = " locked"
_ADDS = (25, 8)
"""The first version that can change one setting of an account and leave the others (some before may, too)."""

# The accounts that carry our marker: those whose setting names them, and those that have the role, unless their
# setting names somebody else.
OURS = f"""
    SELECT assumeNotNull(user_name) FROM system.settings_profile_elements
    WHERE user_name IS NOT NULL AND setting_name = 'log_comment'
        AND replaceRegexpOne(value, ' locked$', '') = concat('{VERSION} ', {{roster}}, ' ', user_name)
    UNION ALL SELECT assumeNotNull(user_name) FROM system.role_grants
    WHERE user_name IS NOT NULL AND granted_role_name = concat('{ROLE_PREFIX}', {{roster}}) AND NOT with_admin_option
        AND user_name NOT IN (
            SELECT assumeNotNull(user_name) FROM system.settings_profile_elements
            WHERE user_name IS NOT NULL AND setting_name = 'log_comment' AND startsWith(value, '{VERSION} '))"""  # noqa: S608 - a constant

_SETTINGS = """
    SELECT setting_name, value, min, max, toString(writability), inherit_profile
    FROM system.settings_profile_elements WHERE user_name = {user} ORDER BY index"""


class Marker(NamedTuple):
    """Whose an account (`database` is empty) or a database is, and by which roster."""

    roster: str
    user: str
    database: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (VERSION, self.roster, self.user, self.database)))

    @classmethod
    def of_account(cls, text: str) -> Self | None:
        """Read a setting, whether it notes a lock or not; None for anything that dbroster has not written."""
        match text.removesuffix(_LOCKED).split(" "):
            case [version, roster, user] if version == VERSION and roster and user:
                return cls(roster, user)
        return None

    @classmethod
    def of_database(cls, text: str) -> Self | None:
        """Read a comment; None for anything that dbroster has not written."""
        match text.split(" "):
            case [version, roster, user, database] if version == VERSION and roster and user and database:
                return cls(roster, user, database)
        return None


def clause(roster: str, user: str, *, locked: bool = False) -> str:
    """The part of CREATE USER that marks the account."""
    return f"SETTINGS {_own(roster, user, locked=locked)}"


def _own(roster: str, user: str, *, locked: bool) -> str:
    return f"log_comment = {literal(f'{Marker(roster, user)}{_LOCKED * locked}')}"


def notes_lock(text: str) -> bool:
    """Whether a setting says that dbroster has locked the account; the user can't change it, but may change roles."""
    return Marker.of_account(text) is not None and text.endswith(_LOCKED)


def changed(session: Session, user: str, *, locked: bool = False) -> str:
    """The part of ALTER USER that marks an account anew; other settings stay. Raises ConnectError, OperationError."""
    own = _own(session.roster, user, locked=locked)
    if session.release >= _ADDS:
        return f"ADD SETTINGS {own}"
    others = [_element(*row) for row in session.rows(_SETTINGS, user=user) if row[0] != "log_comment"]
    return f"SETTINGS {', '.join([own, *others])}"


def _element(
    name: str | None, value: str | None, low: str | None, high: str | None, may: str | None, profile: str
) -> str:
    if name is None:
        return f"PROFILE {identifier(profile)}"
    parts = [identifier(name), *([f"= {literal(value)}"] if value is not None else [])]
    parts += [f"{word} {literal(limit)}" for word, limit in (("MIN", low), ("MAX", high)) if limit is not None]
    return " ".join([*parts, *([may] if may else [])])
