"""What dbroster must know of a ClickHouse server before it works on it, and what its DBA should know."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from dbroster.engines.clickhouse.access.admin_privileges import (
    ENDING,
    FOR_ADMIN,
    FOR_CLUSTER,
    FOR_DATES,
    Holdings,
    Tree,
    dating_grant,
    marking_grants,
    missing_grants,
)
from dbroster.engines.clickhouse.access.powers import Powers
from dbroster.engines.clickhouse.access.row_policies import HIDDEN, HIDDEN_IF_BROKEN, blinded
from dbroster.engines.clickhouse.access.shared_tables import only_engines
from dbroster.engines.clickhouse.beforehand.cluster_checks import join
from dbroster.engines.clickhouse.options import ClickHouseOptions
from dbroster.engines.clickhouse.removal.outside_views import put_away
from dbroster.engines.clickhouse.session import DENIED, IF_BROKEN, Session, identifier
from dbroster.errors import OperationError, UnsupportedServer

if TYPE_CHECKING:
    from dbroster.model.admin_script import AdminScript

OLDEST = (24, 8)

_GRANTED = """
    SELECT WHAT, grant_option FROM system.grants
    WHERE database IS NULL AND NOT is_partial_revoke
        AND (user_name = currentUser() OR role_name IN (SELECT role_name FROM system.enabled_roles)) UNION ALL """
_HELD = f"{_GRANTED}{HIDDEN}{IF_BROKEN}{_GRANTED}{HIDDEN_IF_BROKEN}"

_PRIVILEGES = "SELECT privilege, parent_group, toUInt8(getSetting('readonly')) AS read_only FROM system.privileges"

# Newer servers show REMOTE as READ and WRITE on it.
_SOURCES = "if(access_type = 'READ' AND access_object != '', access_object, toString(access_type)) AS what"

_MAY_MARK = """
    SELECT 1 FROM system.role_grants WHERE with_admin_option AND granted_role_name = {role}
        AND (user_name = currentUser() OR role_name IN (SELECT role_name FROM system.enabled_roles))"""


class ServerRules:
    """The server's privileges, and what the admin may do. `wanted`: the privileges of every user."""

    def __init__(self, session: Session) -> None:
        """Look at the server. Raises ConnectError, OperationError, or UnsupportedServer (too old, read-only)."""
        self._session = session
        self._holdings: Holdings | None = None
        if session.release < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise UnsupportedServer(f"ClickHouse {session.version} is too old; {oldest} or newer is needed")
        rows = session.rows(_PRIVILEGES)
        if any(read_only for *_, read_only in rows):
            raise UnsupportedServer("the admin's settings profile has readonly on: give it one that may change things")
        self.tree = Tree.of([(privilege, parent) for privilege, parent, _ in rows])
        options = ClickHouseOptions.of(session.connection)
        self.wanted = self.tree.known(options.privileges)
        self._admin = identifier(session.connection.username)
        if options.cluster:
            session.databases_on = f" ON CLUSTER {identifier(options.cluster)}"
            # accounts that the server replicates by itself must not be created on every node once more
            session.accounts_on = "" if join(session) else session.databases_on

    def role_exists(self) -> bool:
        """Whether the role that marks accounts is there, on every node."""
        return all(self._session.everywhere("SELECT 1 FROM system.roles WHERE name = {role}", role=self._session.role))

    # --- the admin's privileges -------------------------------------------------------------------------------------

    def missing_privileges(self) -> list[str]:
        """GRANT statements for what the admin lacks. Raises ServerError if row policies blind it."""
        nodes = self._held()
        held = self._holdings = nodes[self._session.here] if nodes else None
        needed = (*FOR_ADMIN, *(FOR_CLUSTER if self._session.databases_on else ()))
        statements: list[str] = []
        for known in nodes or [Holdings(frozenset(), frozenset())]:
            statements += missing_grants(self.tree, known, self._admin, needed, self.wanted, self._session.accounts_on)
        if held is None and "SELECT" not in self.wanted:
            statements.append(f"GRANT{self._session.accounts_on} SELECT ON system.* TO {self._admin};")
        known = held or Holdings(frozenset(), frozenset())
        return list(dict.fromkeys(statements)) + self._missing_role(known)

    def admin_script(self, password: str) -> "AdminScript":
        """What makes the admin, with the privileges that this server has."""
        from dbroster.engines.clickhouse.admin_script import script

        session = self._session
        product = f"ClickHouse {session.version}"
        return script(session.connection, password, product, self.tree, self.wanted, session.accounts_on)

    def _known_holdings(self) -> Holdings | None:
        """What the admin has; a sync has read it a moment ago."""
        if self._holdings is None and (nodes := self._held()):
            self._holdings = nodes[self._session.here]
        return self._holdings

    def _held(self) -> list[Holdings] | None:
        """What the admin has on each node; None when it may not look at it. Raises ServerError if rows are hidden."""
        try:
            what = _SOURCES if self.tree.known(["READ"]) else "toString(access_type) AS what"
            nodes = self._session.everywhere(_HELD.replace("WHAT", what))
        except OperationError as error:
            if error.code != DENIED:
                raise
            return None
        if any(not privilege for rows in nodes for privilege, _ in rows):
            raise blinded(self._session)
        return [Holdings.of(rows) for rows in nodes]

    def _missing_role(self, held: Holdings) -> list[str]:
        """The marker role can be given by who has it with admin option, or may give any."""
        if self._session.connection.removals.grace_days and self.tree.lacking(FOR_DATES, held.plain):
            return [dating_grant(self._admin, self._session.accounts_on)]
        may_give = not self.tree.lacking(["ROLE ADMIN"], held.plain)
        if may_give and (self.role_exists() or not self.tree.lacking(["CREATE ROLE"], held.plain)):
            return []
        if not self.tree.lacking(["SHOW ROLES"], held.plain) and all(
            self._session.everywhere(_MAY_MARK, role=self._session.role)
        ):
            return []
        return marking_grants(identifier(self._session.role), self._admin, self._session.accounts_on)

    def revoke(self, user: str, database: str | None = None) -> str | None:
        """Take all privileges on a database, or on everything; those that the admin can't take away stay.

        Views of this user's on what is another's are put away first; return what has to be known of that. Raises
        ConnectError, OperationError.
        """
        away = put_away(self._session, user, of=database) if database else None
        place = f"ON {f'{identifier(database)}.*' if database else '*.*'} FROM {identifier(user)}"
        try:
            self._session.run(f"REVOKE{self._session.accounts_on} ALL {place}")
        except OperationError as error:
            if error.code != DENIED:
                raise
            held = self._known_holdings()
            names = sorted(held.passable) if held and held.passable else self.wanted
            self._session.run(f"REVOKE{self._session.accounts_on} {', '.join(names)} {place}")
        return away

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
        known = Holdings(held.plain if held else frozenset(), frozenset())
        return missing_grants(self.tree, known, self._admin, ENDING, (), self._session.accounts_on)

    # --- what the DBA should know -----------------------------------------------------------------------------------

    def warnings(self, powers: Powers) -> Iterator[str]:
        """A marker role that gives privileges, queries that can't be ended."""
        if not only_engines(powers.of_roles.get(self._session.role, ())):
            yield f"the role {self._session.role} only marks accounts, but has privileges, and so have all its users"
        for grant in self.missing_to_end_queries():
            yield f"running queries of removed users can't be ended; to allow it: {grant}"
