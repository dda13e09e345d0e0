"""Views of a leaver that an INSERT of somebody else sets going: it would fail once they have no privileges any more.

A materialized view with DEFINER runs with its user's rights, within every INSERT into the table that it reads.
"""

from dbroster.engines.clickhouse.markers import Marker
from dbroster.engines.clickhouse.session import Session, from_hex, identifier, qualified
from dbroster.errors import OperationError

_OWN = "SELECT name FROM system.databases WHERE startsWith(comment, {marker})"
_VIEWS = f"""
    SELECT database, hex(name) FROM system.tables
    WHERE database IN ({_OWN}) AND database NOT IN ({{broken}}) AND engine = 'MaterializedView'
        AND position(create_table_query, ' SQL SECURITY DEFINER') > 0 AND (database, name) IN (
            SELECT source.1, source.2 FROM system.tables
            ARRAY JOIN arrayZip(dependencies_database, dependencies_table) AS source
            WHERE database NOT IN ({_OWN}) AND database NOT IN ({{broken}}))
    ORDER BY database, name"""  # noqa: S608 - constants


def put_away(session: Session, user: str) -> str | None:
    """Detach a user's views on tables of others, and return what has to be known. Raises ConnectError, OperationError.

    A view that can't be detached is told, and keeps nobody in.
    """
    told = []
    for database, name in session.union(_VIEWS, marker=f"{Marker(session.roster, user)} "):
        place = qualified(database, from_hex(name))
        view = identifier(from_hex(name))[1:-1]  # bytes that are no UTF-8 as numbers
        statement = f"DETACH TABLE IF EXISTS {place}{session.databases_on} PERMANENTLY"
        why = (
            "would stop every INSERT into the table of others that it reads, since its user has no privileges any more"
        )
        try:
            session.run(statement, check_table_dependencies="0")
        except OperationError as error:
            told.append(f"the view {database}.{view} {why}; dbroster can't detach it ({error}): {statement};")
        else:
            told.append(f"the view {database}.{view} is detached, or it {why}; if he comes back: ATTACH TABLE {place};")
    return " ".join(told) or None
