"""Views that an INSERT of somebody else sets going: it would fail once their user has no privileges on them any more.

A materialized view with DEFINER runs with its user's rights, within every INSERT into the table that it reads.
"""

from dbroster.engines.clickhouse.markers import Marker
from dbroster.engines.clickhouse.session import Session, from_hex, identifier, qualified
from dbroster.errors import OperationError

_OWN = """
    SELECT name FROM system.databases WHERE startsWith(comment, {marker}) AND ({database} = '' OR name = {database})"""
_VIEWS = f"""
    SELECT database, hex(name), database IN (SELECT name FROM system.databases WHERE engine = 'Replicated') AS itself
    FROM system.tables
    WHERE database IN ({_OWN}) AND database NOT IN ({{broken}}) AND engine = 'MaterializedView'
        AND position(create_table_query, ' SQL SECURITY DEFINER') > 0 AND (database, name) IN (
            SELECT source.1, source.2 FROM system.tables
            ARRAY JOIN arrayZip(dependencies_database, dependencies_table) AS source
            WHERE database NOT IN ({_OWN}) AND database NOT IN ({{broken}}) AND ({{of}} = '' OR database = {{of}}))
    ORDER BY database, name"""  # noqa: S608 - constants


def put_away(session: Session, user: str, database: str = "", *, of: str = "") -> str | None:
    """Detach a user's views on tables of others, and return what has to be known. Raises ConnectError, OperationError.

    With a database: the views in that one on tables elsewhere; `of` one: those on tables there. A view that can't be
    detached is told, and keeps nobody in.
    """
    told = []
    found = session.union(_VIEWS, marker=f"{Marker(session.roster, user)} ", database=database, of=of)
    for place, name, itself in found:
        table = qualified(place, from_hex(name))
        view = identifier(from_hex(name))[1:-1]  # bytes that are no UTF-8 as numbers
        on, output = ("", {"distributed_ddl_output_mode": "none"}) if itself else (session.databases_on, {})
        statement = f"DETACH TABLE IF EXISTS {table}{on} PERMANENTLY"
        why = (
            "would stop every INSERT into the table of others that it reads, since its user has no privileges any more"
        )
        try:
            session.run(statement, check_table_dependencies="0", **output)
        except OperationError as error:
            told.append(f"the view {place}.{view} {why}; dbroster can't detach it ({error}): {statement};")
        else:
            told.append(
                f"the view {place}.{view} is detached, or it {why}; if he gets them back: ATTACH TABLE {table}{on};"
            )
    return " ".join(told) or None
