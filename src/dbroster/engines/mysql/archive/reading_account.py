"""An account of the moment that reads one user's databases for an archive, with no more power than that user has.

MariaDB works out the constants of a view as soon as it is opened, be it by SHOW FIELDS, and so runs functions of its
user with the rights of whoever has opened it. The name of the account is none that a roster can hold.
"""

import hashlib
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from dbroster.engines.mysql.access.admin_privileges import READS
from dbroster.engines.mysql.session import Session, account, identifier, literal
from dbroster.model.connection import Connection
from dbroster.passwords.secret import Secret
from dbroster.passwords.verifiers.digests import mysql_native

"""What a database has to be readable by, as a whole."""

READER = "the account that reads for an archive"
_LEFT = "SELECT User AS name, Host AS host FROM mysql.global_priv WHERE User LIKE %s"
_at_work: set[str] = set()
"""Those of this process: it archives several databases at once."""


def prefix_of(roster: str) -> str:
    """How such an account's name begins; a roster's own name may be too long for it."""
    return f"dbroster-archive:{hashlib.sha256(roster.encode()).hexdigest()[:8]}:"


@contextmanager
def reader(session: Session, connection: Connection, patterns: Collection[str]) -> Iterator[Connection]:
    """Yield the connection of an account that may read the databases of these names, as grants spell them.

    What a killed run has left of the kind goes first: only one sync of a roster is at work on a server.
    """
    prefix = prefix_of(connection.roster)
    for row in session.rows(_LEFT, f"{prefix}%"):
        if row["name"] in _at_work:
            continue
        session.run(f"DROP USER IF EXISTS {account(row['name'], row['host'])}")
    (seen,) = session.rows("SELECT SUBSTRING_INDEX(USER(), '@', -1) AS host")
    name, password = f"{prefix}{secrets.token_hex(8)}", secrets.token_urlsafe(24)
    who, verifier = account(name, seen["host"]), mysql_native(password.encode())
    _at_work.add(name)
    session.run(f"CREATE USER {who} IDENTIFIED VIA mysql_native_password USING {literal(verifier)}", [verifier])
    try:
        for pattern in patterns:
            session.run(f"GRANT {', '.join(sorted(READS))} ON {identifier(pattern)}.* TO {who}")
        yield connection._replace(username=name, password=Secret(password))
    finally:
        session.run(f"DROP USER IF EXISTS {who}")
        _at_work.discard(name)
