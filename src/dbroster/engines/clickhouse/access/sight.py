"""Whether the admin sees all rows of the system tables, or row policies hide some.

What a policy hides would be a leaver who is not removed, or a table that is not in the archive. Policies may hide
themselves, too; how the server would read a table shows it all the same.
"""

from dbroster.engines.clickhouse.access.row_policies import cures, hiding, read_policies
from dbroster.engines.clickhouse.session import Session, all_rows, identifier
from dbroster.errors import ServerError

TABLES = (
    "clusters", "columns", "databases", "detached_parts", "detached_tables", "enabled_roles", "grants", "merges",
    "mutations", "parts", "privileges", "processes", "replicas", "role_grants", "roles", "row_policies",
    "server_settings", "settings", "settings_profile_elements", "tables", "user_directories", "users",
    "view_refreshes",
)  # fmt: skip
"""All that dbroster reads, but what exists only with ZooKeeper."""

_READS = " UNION ALL ".join(f"SELECT 1 FROM system.{table}" for table in TABLES)  # noqa: S608 - constants
_FILTERED = "WHERE explain LIKE '%Filter%'"
HIDDEN = f"SELECT '' AS what, 0 AS grant_option FROM (EXPLAIN {_READS}) {_FILTERED}"  # noqa: S608 - constants
"""A query that finds a row if there is a policy that hides rows of any of the tables."""
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
