"""What accounts may do beyond their own databases: by themselves, through roles, and through roles of roles."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, Self

from dbroster.engines.clickhouse.access.admin_privileges import POWERS, Tree
from dbroster.engines.clickhouse.session import Session, identifier

# Everything that roles have, and what users have on the whole server; then which roles users and roles have.
_QUERY = """
    SELECT ifNull(user_name, '') AS user, ifNull(role_name, '') AS role, '' AS granted,
        toString(access_type) AS privilege, ifNull(database, '') AS place
    FROM system.grants WHERE NOT is_partial_revoke AND (role_name IS NOT NULL OR database IS NULL)
    UNION ALL SELECT ifNull(user_name, ''), ifNull(role_name, ''), granted_role_name, '', ''
    FROM system.role_grants WHERE NOT startsWith(granted_role_name, 'dbroster:')"""

_DATA = ("SELECT", "INSERT", "ALTER", "DROP", "TRUNCATE", "BACKUP")
"""Who has one of these on a database can read, change or destroy what is in it."""


class Powers(NamedTuple):
    """Privileges of users and of roles as (privilege, database), and their roles; a database '' means all."""

    of_users: Mapping[str, Collection[tuple[str, str]]]
    of_roles: Mapping[str, Collection[tuple[str, str]]]
    roles_of_users: Mapping[str, Collection[str]]
    roles_of_roles: Mapping[str, Collection[str]]

    @classmethod
    def read(cls, session: Session) -> Self:
        """Read them, in one query; what holds on any node holds. Raises ConnectError, OperationError."""
        privileges: list[defaultdict[str, set[tuple[str, str]]]] = [defaultdict(set), defaultdict(set)]
        roles: list[defaultdict[str, set[str]]] = [defaultdict(set), defaultdict(set)]
        for user, role, granted, privilege, database in session.union(_QUERY):
            if granted:
                roles[not user][user or role].add(granted)
            else:
                privileges[not user][user or role].add((privilege, database))
        return cls(privileges[0], privileges[1], roles[0], roles[1])

    def roles(self, user: str) -> Iterator[tuple[str, str]]:
        """All roles of a user, each with the one by which the user has it."""
        for first in sorted(self.roles_of_users.get(user, ())):
            seen, todo = {first}, [first]
            while todo:
                role = todo.pop()
                yield role, first
                new = set(self.roles_of_roles.get(role, ())) - seen
                seen |= new
                todo += sorted(new)

    def manages_accounts(self, user: str) -> str | None:
        """How a user comes to manage accounts; None for who does not."""
        if _manages(self.of_users.get(user, ())):
            return "it may manage accounts"
        for role, first in self.roles(user):
            if _manages(self.of_roles.get(role, ())):
                return f"it may manage accounts through the role {first}"
        return None

    def intrusions(self, tree: Tree, user: str, databases: Mapping[str, str | None]) -> Iterator[str]:
        """Say how a user gets at databases of others of the roster, by grants on everything and through roles.

        `databases` are all that there are, with their owners.
        """
        data = tree.leaves(_DATA)
        if everything := _named(tree, data, self.of_users.get(user, ()), ""):
            yield (
                f"{user} has {everything} on every database, those of other users included; "
                f"to end that: REVOKE {everything} ON *.* FROM {identifier(user)};"
            )
        for role, first in self.roles(user):
            held = self.of_roles.get(role, ())
            through = f"through the role {first}; to end that: REVOKE {identifier(first)} FROM {identifier(user)};"
            if everything := _named(tree, data, held, ""):
                yield f"{user} has {everything} on every database, those of other users included, {through}"
            for name, owner in databases.items():
                named = owner not in (None, user) and _named(tree, data, held, name, databases)
                if named:
                    yield f"{user} has {named} on {owner}'s database {name} {through}"


def _manages(held: Collection[tuple[str, str]]) -> bool:
    return any(privilege in POWERS and not database for privilege, database in held)


def _named(
    tree: Tree,
    data: Collection[str],
    held: Collection[tuple[str, str]],
    wanted: str,
    databases: Collection[str] = (),
) -> str:
    """Name the privileges on a database; one on a name that no database has may be on a pattern (ann_*)."""

    def covers(database: str) -> bool:
        pattern = database and database not in databases and wanted.startswith(database)
        return database == wanted or bool(pattern)

    return ", ".join(sorted(name for name, database in held if covers(database) and tree.leaves([name]) & set(data)))


def powerful(session: Session, users: Sequence[str]) -> set[str]:
    """Those of the users who manage accounts."""
    powers = Powers.read(session)
    return {user for user in users if powers.manages_accounts(user)}
