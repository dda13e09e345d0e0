"""Whether the admin sees all rows of the system tables, or row policies hide some.

What a policy hides would be a leaver who is not removed, or a table that is not in the archive. Policies may hide
themselves, too; how the server would read a table shows it all the same.
"""

from collections.abc import Iterable

from dbroster.engines.clickhouse.access.row_policies import cures, hiding, read_policies
from dbroster.engines.clickhouse.session import Session, all_rows, identifier
from dbroster.errors import ServerError

TABLES = (
    "asynchronous_loader", "clusters", "columns", "databases", "detached_parts", "detached_tables",
    "enabled_roles", "grants", "merges", "mutations", "parts", "privileges", "processes", "replicas",
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


def blinded(session: Session, admin: str, cluster: str) -> ServerError:
    """Tell which tables have hidden rows, and what ends that. Raises ConnectError, OperationError."""
    tables = sorted({name for (name,) in session.union(_WHICH)})
    known = read_policies(session, "system")
    cure = cures([policy for table in tables for policy in hiding(known, table)], cluster)
    if "row_policies" in tables or not cure:
        cure = (
            f"{all_rows(admin, cluster)} if that is not enough, for each restrictive one that SHOW CREATE ROW "
            f"POLICIES shows: ALTER ROW POLICY ... ON system.... TO ALL EXCEPT {identifier(admin)};"
        )
    places = ", ".join(f"system.{table}" for table in tables)
    return ServerError(
        f"row policies hide rows of {places} from the admin account, so dbroster would not see who and what has to "
        f"go, nor all that an archive has to hold. To let it see all rows, as another administrator: {cure}"
    )
