"""What SHOW CREATE USERS tells of an account: the hash, where the server shows it, and until when a login is valid.

The statement takes no FORMAT and no SETTINGS: both would be read as names of users. No system table has VALID UNTIL.
Source: ClickHouse documentation, display_secrets_in_show_and_select.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from dbroster.engines.clickhouse.session import DENIED, FIXED_SETTING, Session, bare, identifier
from dbroster.errors import OperationError
from dbroster.passwords.secret import Secret

SHOW = "SHOW CREATE USERS"
_TOKEN = re.compile(r"'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|[^\s'`,]+|,")
# Only what dbroster itself writes: one method, no end of validity, a name that needs no escapes.
_HASH = re.compile(
    r"CREATE USER (`?)([\w.-]+)\1 IDENTIFIED WITH (sha256_hash BY '\w+'(?: SALT '\w*')?)"
    r"(?= (?!SALT )[A-Z]|$)(?!.* VALID UNTIL )",
    re.ASCII,
)


class Shown(NamedTuple):
    """An account as the server shows it: `until` are the ends of validity, in the server's own time."""

    until: tuple[str, ...] = ()
    hash: Secret | None = None


def show(session: Session, user: str | None = None) -> dict[str, Shown]:
    """Ask for all accounts, or for one. Raises ConnectError, OperationError."""
    statement = SHOW if user is None else f"SHOW CREATE USER {identifier(user)}"
    try:
        lines = session.lines(statement, format_display_secrets_in_show_and_select="1")
    except OperationError as error:
        if error.code not in (DENIED, FIXED_SETTING):
            session.notes.append(f"passwords are checked by logins, since the server does not show accounts: {error}")
        return {}
    return read(lines)


def read(lines: Iterable[str]) -> dict[str, Shown]:
    """Read what the server has shown, one account on each line."""
    found = {}
    for line in lines:
        tokens = _TOKEN.findall(line)
        if tokens[:2] == ["CREATE", "USER"] and len(tokens) > 2:
            hashed = _HASH.match(line)
            found[bare(tokens[2])] = Shown(_until(tokens), Secret(hashed[3]) if hashed else None)
    return found


def _until(tokens: list[str]) -> tuple[str, ...]:
    return tuple(
        bare(end)
        for one, two, end in zip(tokens, tokens[1:], tokens[2:], strict=False)
        if (one, two) == ("VALID", "UNTIL")
    )
