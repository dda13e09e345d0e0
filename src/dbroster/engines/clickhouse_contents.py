"""What is in a ClickHouse database: tables and views, and what of them an archive can't hold."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from dbroster.engines.clickhouse_http import from_hex, top_level
from dbroster.engines.clickhouse_session import Session
from dbroster.errors import OperationError

_IN_MEMORY = ("Memory",)
"""Engines that hold rows of their own, but none on the disk."""

_UNREADABLE = ("Set",)
"""Engines whose rows no query can read."""

_HIDDEN = "[HIDDEN]"
"""What the server shows instead of a password."""

_DESCRIBED = """
    SELECT hex(name), engine, hex(create_table_query), toUInt8(has_own_data), concat('.inner_id.', toString(uuid))
    FROM system.tables WHERE database = {database} AND NOT is_temporary ORDER BY name"""
_COLUMNS = """
    SELECT hex(table), hex(name) FROM system.columns
    WHERE database = {database} AND default_kind IN ('', 'DEFAULT', 'MATERIALIZED') ORDER BY table, position"""
_DETACHED = "SELECT hex(table), is_permanently FROM system.detached_tables WHERE database = {database} ORDER BY 1"
_DETACHED_PARTS = """
    SELECT hex(table), count() FROM system.detached_parts WHERE database = {database} GROUP BY table ORDER BY table"""
_POLICIES = "SELECT short_name, table FROM system.row_policies WHERE database = {database} ORDER BY table, short_name"
_PARTS = """
    SELECT hex(table), sum(rows), max(has_lightweight_delete) FROM system.parts
    WHERE active AND database = {database} GROUP BY table"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view: how it is made, and which columns of it are archived; none if it holds no rows of its own."""

    name: str
    engine: str
    statement: str
    is_view: bool
    columns: tuple[str, ...] = ()


def read_tables(session: Session, database: str) -> list[Table]:
    """Tables and views; a view's inner table is left out, since the view shows its rows and makes it again."""
    columns: dict[str, list[str]] = {}
    for table, column in session.rows(_COLUMNS, database=database):
        columns.setdefault(from_hex(table), []).append(from_hex(column))
    found = [
        (from_hex(name), engine, from_hex(made), bool(own) or engine in _IN_MEMORY, by_uuid)
        for name, engine, made, own, by_uuid in session.rows(_DESCRIBED, database=database)
    ]
    names = {name for name, *_ in found}
    inner = {
        name: _inner(name, by_uuid, names) & names if engine == "MaterializedView" else set()
        for name, engine, _, _, by_uuid in found
        if engine.endswith("View")
    }
    omitted = set().union(*inner.values())
    return [
        Table(
            name,
            engine,
            statement,
            is_view=name in inner,
            columns=tuple(columns.get(name, ())) if (own_rows and engine not in _UNREADABLE) or inner.get(name) else (),
        )
        for name, engine, statement, own_rows, _ in found
        if name not in omitted
    ]


def _inner(view: str, by_uuid: str, names: Collection[str]) -> set[str]:
    """The table with a materialized view's own rows; its name depends on the database's engine.

    Other views are never read, whatever stands beside them: their queries would run with the admin's power.
    """
    return {by_uuid if by_uuid in names else f".inner.{view}"}


def read_detached(session: Session, database: str) -> list[tuple[str, bool]]:
    """Tables and views that are detached, and whether they stay so when the server starts again."""
    return [(from_hex(name), bool(lasting)) for name, lasting in session.rows(_DETACHED, database=database)]


def left_out(session: Session, database: str) -> Iterator[str]:
    """What an archive of a database would not hold."""
    for table in read_tables(session, database):
        if table.engine in _UNREADABLE:
            yield f"the rows of {table.name}, since those of the engine {table.engine} can't be read"
        if not table.statement:  # of a table by loop(), which has no rows of its own
            yield f"the table {table.name}, since the server does not show how it is made"
        if _HIDDEN in table.statement:
            yield f"the password in the definition of {table.name}, which the server hides"
    for name, number in session.rows(_DETACHED_PARTS, database=database):
        yield f"{number} detached parts of the table {from_hex(name)}"
    for policy, table in session.rows(_POLICIES, database=database):
        yield f"the row policy {policy} of {table}"


def refuse_hidden_rows(session: Session, database: str, counts: Mapping[str, int]) -> None:
    """Refuse an archive from which a row policy has kept rows away. Raises OperationError.

    Tables with rows that are deleted, but still there, are not compared.
    """
    for name, number, deleted in session.rows(_PARTS, database=database) if counts else ():
        table = from_hex(name)
        if table in counts and not deleted and counts[table] < int(number) and _policies(session, database, table):
            names = ", ".join(_policies(session, database, table))
            raise OperationError(
                f"the admin has seen {counts[table]} of {number} rows of {database}.{table}, since a row policy hides "
                f"the others ({names}): let it not apply to the admin (ALTER ROW POLICY ... TO ... EXCEPT)"
            )


def _policies(session: Session, database: str, table: str) -> list[str]:
    return [policy for policy, of in session.rows(_POLICIES, database=database) if of in (table, "")]


def without_refresh(table: Table) -> str:
    """The statement that makes a table; a refreshable view must not fill itself before its rows are back."""
    if table.engine == "MaterializedView":
        words = {word: place for place, word in reversed(list(top_level(table.statement)))}
        if "REFRESH" in words and "EMPTY" not in words:
            place = min(words[word] for word in ("DEFINER", "SQL", "AS") if word in words)
            return f"{table.statement[:place]}EMPTY {table.statement[place:]}"
    return table.statement
