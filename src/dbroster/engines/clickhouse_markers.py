"""What marks accounts and databases on ClickHouse: texts that name the roster and the object itself.

An account carries its marker as the setting `log_comment`, which it can't change for itself, a database as its comment.
Both are written by the statement that creates the object. A renamed or copied object keeps the text, which then names
another one. Names of rosters and users have no spaces.
"""

from dataclasses import dataclass
from typing import Self

from dbroster.engines.clickhouse_session import SYNTAX_ERROR, Session, identifier, literal
from dbroster.errors import OperationError

VERSION = "dbroster/2"
ROLE_PREFIX = "dbroster:"

# The accounts that carry our marker: those whose setting names them, and those that have the role, unless their
# setting names somebody else.
OURS = f"""
    SELECT assumeNotNull(user_name) FROM system.settings_profile_elements
    WHERE user_name IS NOT NULL AND setting_name = 'log_comment'
        AND value = concat('{VERSION} ', {{roster}}, ' ', user_name)
    UNION ALL SELECT assumeNotNull(user_name) FROM system.role_grants
    WHERE user_name IS NOT NULL AND granted_role_name = concat('{ROLE_PREFIX}', {{roster}}) AND NOT with_admin_option
        AND user_name NOT IN (
            SELECT assumeNotNull(user_name) FROM system.settings_profile_elements
            WHERE user_name IS NOT NULL AND setting_name = 'log_comment' AND startsWith(value, '{VERSION} '))"""  # noqa: S608 - a constant

_SETTINGS = """
    SELECT setting_name, value, min, max, toString(writability), inherit_profile
    FROM system.settings_profile_elements WHERE user_name = {user} ORDER BY index"""


def role_of(roster: str) -> str:
    """The role of the accounts of a roster; whether it is a default role tells who has locked an account."""
    return ROLE_PREFIX + roster


@dataclass(frozen=True, slots=True)
class Marker:
    """Whose an account (`database` is empty) or a database is, and by which roster."""

    roster: str
    user: str
    database: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (VERSION, self.roster, self.user, self.database)))

    @classmethod
    def of_account(cls, text: str) -> Self | None:
        """Read a setting; None for anything that dbroster has not written."""
        match text.split(" "):
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


def clause(roster: str, user: str) -> str:
    """The part of CREATE USER that marks the account."""
    return f"SETTINGS log_comment = {literal(str(Marker(roster, user)))}"


def claim(session: Session, roster: str, user: str, cluster: str) -> None:
    """Mark an account that exists; its other settings stay. Raises ConnectError, OperationError."""
    start, own = f"ALTER USER {identifier(user)}{cluster}", clause(roster, user)
    try:
        session.run(f"{start} ADD {own}")
    except OperationError as error:
        if error.code != SYNTAX_ERROR:  # before 25: settings can only be set as a whole
            raise
        others = [_element(*row) for row in session.rows(_SETTINGS, user=user) if row[0] != "log_comment"]
        session.run(f"{start} {', '.join([own, *others])}")


def _element(
    name: str | None, value: str | None, low: str | None, high: str | None, may: str | None, profile: str
) -> str:
    if name is None:
        return f"PROFILE {identifier(profile)}"
    parts = [identifier(name), *([f"= {literal(value)}"] if value is not None else [])]
    parts += [f"{word} {literal(limit)}" for word, limit in (("MIN", low), ("MAX", high)) if limit is not None]
    return " ".join([*parts, *([may] if may else [])])
