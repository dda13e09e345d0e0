"""Row policies on a ClickHouse server: which of them may hide rows from the admin, and what mends that.

What a policy hides in system tables would be a leaver who is not removed, or a table that is not in the archive.
Policies may hide themselves, too; how the server would read a table shows it all the same.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from dbroster.engines.clickhouse.session import Session, all_rows, identifier
from dbroster.errors import ServerError

_POLICIES = """
    SELECT short_name, table, is_restrictive, select_filter, apply_to_all, apply_to_list, apply_to_except,
        arrayConcat([currentUser()], enabledRoles())
    FROM system.row_policies WHERE database = {database} ORDER BY table, short_name"""


@dataclass(frozen=True, slots=True)
class Policy:
    """One row policy; `table` is empty for one on all tables of the database. `mine`: the admin, and then its roles.

    `cluster`: the ON CLUSTER clause of what changes it.
    """

    database: str
    cluster: str
    name: str
    table: str
    restrictive: bool
    condition: str
    to_all: bool
    to: tuple[str, ...]
    excepted: tuple[str, ...]
    mine: tuple[str, ...]

    def applies(self) -> bool:
        """Whether it is one for the admin."""
        return not set(self.mine) & set(self.excepted) if self.to_all else bool(set(self.mine) & set(self.to))

    def shows_all(self) -> bool:
        """Whether it lets the admin see all rows, whatever other policies that are not restrictive say."""
        return not self.restrictive and self.condition == "1" and self.applies()

    def cure(self) -> str:
        """Statements after which it hides nothing from the admin."""
        admin, *roles = self.mine
        place = f"{identifier(self.database)}.{identifier(self.table) if self.table else '*'}"
        if not self.restrictive:
            name, everywhere = identifier(f"all rows for {admin}"), f"{identifier(self.database)}.*"
            return f"CREATE ROW POLICY {name}{self.cluster} ON {everywhere} USING 1 TO {identifier(admin)};"
        if by := [identifier(role) for role in roles if role in self.to]:
            return f"REVOKE{self.cluster} {', '.join(by)} FROM {identifier(admin)};"
        spared = ", ".join(map(identifier, (*self.excepted, admin)))
        others = ", ".join(identifier(name) for name in self.to if name != admin)
        to = f"ALL EXCEPT {spared}" if self.to_all else others or "NONE"
        return f"ALTER ROW POLICY {identifier(self.name)}{self.cluster} ON {place} TO {to};"


def read_policies(session: Session, database: str) -> list[Policy]:
    """Row policies on the tables of a database, of every node."""
    cluster = session.accounts_on
    return [
        Policy(database, cluster, name, table, bool(strict), condition or "", bool(to_all), *map(tuple, who))
        for rows in session.everywhere(_POLICIES, database=database)
        for name, table, strict, condition, to_all, *who in rows
    ]


def hiding(policies: Collection[Policy], table: str) -> list[Policy]:
    """Those that may hide rows of a table from the admin.

    One that is for others may do so, too: `users_without_row_policies_can_read_rows` in the server's configuration.
    """
    there = [policy for policy in policies if policy.table in (table, "")]
    opened = any(policy.shows_all() for policy in there)
    spared = [policy for policy in there if policy.to_all and not policy.applies()]
    return [
        policy for policy in there if policy not in spared and (policy.applies() if policy.restrictive else not opened)
    ]


def cures(policies: Collection[Policy]) -> str:
    """What mends them all, each statement once."""
    return " ".join(dict.fromkeys(policy.cure() for policy in policies))


# --- policies on the system tables -----------------------------------------------------------------------------------

TABLES = (
    "asynchronous_inserts", "asynchronous_loader", "clusters", "columns", "databases", "detached_parts",
    "detached_tables", "enabled_roles", "grants", "merges", "mutations", "parts", "privileges", "processes", "replicas",
    "role_grants", "roles", "row_policies", "server_settings", "settings", "settings_profile_elements",
    "tables", "user_directories", "users", "view_refreshes",
)  # fmt: skip
"""All that dbroster reads, but what exists only with ZooKeeper."""

_FILTERED = "WHERE explain LIKE '%Filter%'"


def _hidden(tables: Iterable[str], filtered: str = _FILTERED) -> str:
    reads = " UNION ALL ".join(f"SELECT 1 FROM system.{table}" for table in tables)  # noqa: S608 - constants
    return f"SELECT '' AS what, 0 AS grant_option FROM (EXPLAIN {reads}) {filtered}"  # noqa: S608 - constants


HIDDEN = _hidden(TABLES)
"""A query that finds a row if there is a policy that hides rows of any of the tables."""

HIDDEN_IF_BROKEN = _hidden(
    ["tables WHERE database NOT IN ({broken})", *(table for table in TABLES if table not in ("tables", "replicas"))],
    f"{_FILTERED} AND explain NOT LIKE '%Filter ((WHERE + Change column names to column identifiers))'",
)
"""The same for a server with tables that it could not load: it refuses to look at all tables, or any replica."""
_WHICH = " UNION ALL ".join(
    f"SELECT '{table}' AS name FROM (EXPLAIN SELECT 1 FROM system.{table}) {_FILTERED}"  # noqa: S608 - constants
    for table in TABLES
)


def blinded(session: Session) -> ServerError:
    """Tell which tables have hidden rows, and what ends that. Raises ConnectError, OperationError."""
    tables = sorted({name for (name,) in session.union(_WHICH)})
    known, admin = read_policies(session, "system"), session.connection.username
    cure = cures([policy for table in tables for policy in hiding(known, table)])
    if "row_policies" in tables or not cure:
        cure = (
            f"{all_rows(admin, session.accounts_on)} if that is not enough, for each restrictive one that SHOW CREATE "
            f"ROW POLICIES shows: ALTER ROW POLICY ... ON system.... TO ALL EXCEPT {identifier(admin)};"
        )
    places = ", ".join(f"system.{table}" for table in tables)
    return ServerError(
        f"row policies hide rows of {places} from the admin account, so dbroster would not see who and what has to "
        f"go, nor all that an archive has to hold. To let it see all rows, as another administrator: {cure}"
    )
