"""New names for a role and its databases: one transaction, so that there is no state in between."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import ClassVar, LiteralString

from psycopg import sql

from dbroster.engines.postgresql import statements
from dbroster.engines.postgresql.access.markers import Claim, Marker
from dbroster.engines.postgresql.options import PostgreSQLOptions
from dbroster.engines.postgresql.removal import eviction
from dbroster.engines.postgresql.session import Session, stated
from dbroster.engines.postgresql.state import DatabaseState
from dbroster.engines.renamer import Archiving, Renamer
from dbroster.passwords.secret import Secret
from dbroster.passwords.verifiers.scram import scram_sha_256

_PREPARED: LiteralString = """
    SELECT database, gid, owner FROM pg_prepared_xacts WHERE owner = %s OR database = ANY(%s) ORDER BY 1, 2"""


class PostgreSQLRenamer(Renamer):
    """Renames; what is in databases, and what was granted, is not touched."""

    renames: ClassVar[bool] = True

    def __init__(
        self, handler: Archiving, session: Session, marker_role: str, own: Callable[[str], dict[str, DatabaseState]]
    ) -> None:
        """With `own`: it proves that a user is ours, and returns the databases."""
        super().__init__(handler)
        self._session, self._connection = session, handler.connection
        self._marker_role, self._own = marker_role, own

    def obstacles(self, user: str, databases: Sequence[str]) -> Iterator[str]:
        """Say which transactions are prepared there: what becomes of them is not dbroster's to decide."""
        for database, gid, owner in self._session.rows(_PREPARED, [user, list(databases)]):
            name = self._session.text(sql.Literal(gid))
            yield f"{owner} has prepared a transaction in {database}; end it there: COMMIT PREPARED {name}; or ROLLBACK"

    def rename(self, user: str, new: str, password: Secret) -> None:
        """Rename role and databases in one transaction, once nobody is in any of them."""
        own = self._own(user)
        self.keep_out(user, own)
        verifier = scram_sha_256(password.reveal(), iterations=self._session.iterations)
        self._session.run_unlogged(self._renaming(user, new, verifier, own), [password.reveal(), verifier])

    def keep_out(self, user: str, databases: Iterable[str]) -> None:
        """Lock the role, close its databases, and end all sessions: the server renames no database that is in use.

        What others have of these databases stays as it is. Both is known as dbroster's: a sync opens it again.
        """
        session, connection = self._session, self._connection
        eviction.shut(session, connection, [user], statements.let_log_in(Marker(connection.roster, user, locked=True)))
        for name in databases:
            closing = [stated("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false", name)]
            eviction.past_holders(session, connection, [user], name, partial(session.run, closing))
            eviction.end_sessions_in(session, name)

    def _renaming(
        self, old: str, new: str, verifier: str, databases: Mapping[str, DatabaseState]
    ) -> Iterator[sql.Composable]:
        """Rename all, mark it by the new names, and open it. An MD5 verifier would not survive: the name is in it."""
        limit = PostgreSQLOptions.of(self._connection).connection_limit
        yield stated("ALTER ROLE {} RENAME TO {}", old, new)
        yield statements.set_password(new, verifier)
        yield from statements.let_log_in(Marker(self._connection.roster, new))
        for name, state in databases.items():
            claim = Claim(self._connection.roster, new, new + name.removeprefix(old))
            yield stated("ALTER DATABASE {} RENAME TO {}", name, claim.database)
            yield from statements.finish_database(self._marker_role, claim, state, limit, self._session.version)
