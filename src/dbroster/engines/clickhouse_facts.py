"""What dbroster must know of a ClickHouse server before it works on it, and what its DBA should know."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dbroster.config import Connection
from dbroster.engines.clickhouse_dates import NEEDED
from dbroster.engines.clickhouse_markers import role_of
from dbroster.engines.clickhouse_powers import Powers
from dbroster.engines.clickhouse_privileges import FOR_ADMIN, Holdings, Tree, missing_grants
from dbroster.engines.clickhouse_reach import only_engines
from dbroster.engines.clickhouse_session import DENIED, Session, identifier
from dbroster.engines.clickhouse_state import READ_ONLY_STORAGES
from dbroster.errors import OperationError, UnsupportedServer

OLDEST = (24, 8)

_HELD = """
    SELECT toString(access_type), grant_option FROM system.grants
    WHERE database IS NULL AND NOT is_partial_revoke
        AND (user_name = currentUser() OR role_name IN (SELECT role_name FROM system.enabled_roles))"""

_MAY_MARK = """
    SELECT 1 FROM system.role_grants WHERE with_admin_option AND granted_role_name = {role}
        AND (user_name = currentUser() OR role_name IN (SELECT role_name FROM system.enabled_roles))"""


class Facts:
    """The server's privileges, where statements have to run, and what the admin may do.

    `databases_on`, `accounts_on`: the ON CLUSTER clauses, or nothing. `wanted`: the privileges of every user.
    """

    def __init__(self, session: Session, connection: Connection) -> None:
        """Look at the server. Raises ConnectError, OperationError, or UnsupportedServer (too old, read-only)."""
        self._session = session
        self._connection = connection
        self._holdings: Holdings | None = None
        self._refuse_unsupported()
        self.role = role_of(connection.roster)
        self.tree = Tree.of(session.rows("SELECT privilege, parent_group FROM system.privileges"))
        self.wanted = self.tree.known(connection.options["privileges"])
        self.databases_on = self.accounts_on = ""
        if connection.options["cluster"]:
            self._choose_cluster(connection.options["cluster"])

    def _refuse_unsupported(self) -> None:
        version = self._session.version
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise UnsupportedServer(f"ClickHouse {version} is too old; {oldest} or newer is needed")
        ((read_only,),) = self._session.rows("SELECT toUInt8(getSetting('readonly'))")
        if read_only:
            raise UnsupportedServer("the admin's settings profile has readonly on: give it one that may change things")

    def _choose_cluster(self, cluster: str) -> None:
        """Accounts that the server replicates by itself must not be created on every node once more."""
        self.databases_on = self.accounts_on = f" ON CLUSTER {identifier(cluster)}"
        try:
            directories = self._session.rows(
                "SELECT type, JSONExtractBool(params, 'readonly') FROM system.user_directories ORDER BY precedence"
            )
        except OperationError as error:
            if error.code != DENIED:  # who lacks this lacks more, and `missing_privileges` says what
                raise
            return
        if replicates_accounts(directories):
            self.accounts_on = ""

    def role_exists(self) -> bool:
        """Whether the role that marks accounts is there."""
        return bool(self._session.rows("SELECT 1 FROM system.roles WHERE name = {role}", role=self.role))

    # --- the admin's privileges -------------------------------------------------------------------------------------

    def missing_privileges(self) -> list[str]:
        """GRANT statements for what the admin lacks."""
        held = self._holdings = self._held()
        needed = (*FOR_ADMIN, *(["CLUSTER"] if self.databases_on else []))
        known = held or Holdings(frozenset(), frozenset())
        statements = missing_grants(self.tree, known, self._connection.username, needed, self.wanted)
        if held is None and "SELECT" not in self.wanted:
            statements.append(f"GRANT SELECT ON system.* TO {identifier(self._connection.username)};")
        return statements + self._missing_role(known)

    def _known_holdings(self) -> Holdings | None:
        """What the admin has; a sync has read it a moment ago."""
        self._holdings = self._holdings or self._held()
        return self._holdings

    def _held(self) -> Holdings | None:
        """What the admin has; None when it may not look at it."""
        try:
            return Holdings.of(self._session.rows(_HELD))
        except OperationError as error:
            if error.code != DENIED:
                raise
            return None

    def _missing_role(self, held: Holdings) -> list[str]:
        """The marker role can be given by who has it with admin option, or may give any."""
        if self._connection.removals.grace_days and self.tree.lacking(NEEDED, held.plain):
            return [f"GRANT {', '.join(NEEDED)} ON *.* TO {identifier(self._connection.username)};"]
        may_give = not self.tree.lacking(["ROLE ADMIN"], held.plain)
        if may_give and (self.role_exists() or not self.tree.lacking(["CREATE ROLE"], held.plain)):
            return []
        role, admin = identifier(self.role), identifier(self._connection.username)
        if not self.tree.lacking(["SHOW ROLES"], held.plain) and self._session.rows(_MAY_MARK, role=self.role):
            return []
        return [
            f"CREATE ROLE IF NOT EXISTS {role}{self.accounts_on};",
            f"GRANT{self.accounts_on} {role} TO {admin} WITH ADMIN OPTION;",
        ]

    def revoke(self, user: str, database: str | None = None) -> None:
        """Take all privileges on a database, or on everything; those that the admin can't take away stay.

        Raises ConnectError, OperationError.
        """
        place = f"ON {f'{identifier(database)}.*' if database else '*.*'} FROM {identifier(user)}"
        try:
            self._session.run(f"REVOKE{self.accounts_on} ALL {place}")
        except OperationError as error:
            if error.code != DENIED:
                raise
            held = self._known_holdings()
            names = sorted(held.passable) if held and held.passable else self.wanted
            self._session.run(f"REVOKE{self.accounts_on} {', '.join(names)} {place}")

    def may(self, privilege: str) -> bool:
        """Whether the admin has a privilege on the whole server; unless it may not even look, which is told before."""
        held = self._known_holdings()
        return held is None or not self.tree.lacking([privilege], held.plain)

    def beyond_the_admin(self, privileges: Iterable[str]) -> frozenset[str]:
        """Those of the privileges that the admin can't take away from anybody, since it can't give them either."""
        held = self._known_holdings()
        return self.tree.leaves(privileges) - self.tree.leaves(held.passable) if held else frozenset()

    def missing_to_end_queries(self) -> list[str]:
        """What the admin lacks to end queries of users; a sync does without."""
        held = self._known_holdings()
        if held is None or self.tree.lacking(["KILL QUERY"], held.plain):
            return [f"GRANT KILL QUERY ON *.* TO {identifier(self._connection.username)};"]
        return []

    # --- what the DBA should know -----------------------------------------------------------------------------------

    def warnings(self, powers: Powers) -> Iterator[str]:
        """A marker role that gives privileges, queries that can't be ended."""
        if not only_engines(powers.of_roles.get(self.role, ())):
            yield f"the role {self.role} only marks accounts, but has privileges, and so have all its users"
        for grant in self.missing_to_end_queries():
            yield f"running queries of removed users can't be ended; to allow it: {grant}"


def replicates_accounts(directories: Iterable[Sequence[Any]]) -> bool:
    """Whether new accounts go into a replicated directory, given (type, read-only) of all in their order."""
    writable = [kind for kind, read_only in directories if kind not in READ_ONLY_STORAGES and not read_only]
    return writable[:1] == ["replicated"]
