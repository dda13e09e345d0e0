"""New names for a role and its databases: one transaction, so that there is no state in between."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import LiteralString

from psycopg import sql

from dbroster.engines.postgresql import statements
from dbroster.engines.postgresql.markers import Claim, Marker
from dbroster.engines.postgresql.options import PostgreSQLOptions
from dbroster.engines.postgresql.removal import eviction
from dbroster.engines.postgresql.session import Session, stated
from dbroster.engines.postgresql.state import DatabaseState
from dbroster.model.connection import Connection

_PREPARED: LiteralString = """
    SELECT database, gid, owner FROM pg_prepared_xacts WHERE owner = %s OR database = ANY(%s) ORDER BY 1, 2"""


def obstacles(session: Session, user: str, databases: Sequence[str]) -> Iterator[str]:
    """Say which transactions are prepared there: what becomes of them is not dbroster's to decide."""
    for database, gid, owner in session.rows(_PREPARED, [user, list(databases)]):
        name = session.text(sql.Literal(gid))
        yield f"{owner} has prepared a transaction in {database}; end it there: COMMIT PREPARED {name}; or ROLLBACK"


def keep_out(session: Session, connection: Connection, user: str, databases: Mapping[str, DatabaseState]) -> None:
    """Lock the role, close its databases, and end all sessions: the server renames no database that is in use.

    What others have of these databases stays as it is. Both is known as dbroster's: a sync opens it again.
    """
    locking = statements.let_log_in(Marker(connection.roster, user, locked=True))
    eviction.shut(session, connection, [user], locking)
    for name in databases:
        closing = [stated("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false", name)]
        eviction.past_holders(session, connection, [user], name, partial(session.run, closing))
        eviction.end_sessions_in(session, name)


def renaming(
    session: Session, connection: Connection, marker_role: str, databases: Mapping[str, DatabaseState],
    old: str, new: str, verifier: str,
) -> list[sql.Composable]:  # fmt: skip
    """Rename all, mark it by the new names, and open it. An MD5 verifier would not survive: it has the name in it."""
    limit = PostgreSQLOptions.of(connection).connection_limit
    parts = [
        stated("ALTER ROLE {} RENAME TO {}", old, new),
        statements.set_password(new, verifier),
        *statements.let_log_in(Marker(connection.roster, new)),
    ]
    for name, state in databases.items():
        claim = Claim(connection.roster, new, new + name.removeprefix(old))
        parts.append(stated("ALTER DATABASE {} RENAME TO {}", name, claim.database))
        parts += statements.finish_database(marker_role, claim, state, limit, session.version)
    return parts
