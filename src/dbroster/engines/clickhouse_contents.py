"""What is in a ClickHouse database: tables and views, and what of them an archive can't hold."""

from collections.abc import Callable, Collection, Iterator, Mapping
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
_POLICIES = """
    SELECT short_name, table, has(apply_to_except, currentUser()) FROM system.row_policies
    WHERE database = {database} ORDER BY table, short_name"""
_KEPT = """
    SELECT hex(t.name), endsWith(t.engine, 'MergeTree') AS in_parts, if(in_parts, p.rows, t.total_rows), p.deleted
    FROM system.tables t LEFT JOIN (
        SELECT table, sum(rows) AS rows, max(has_lightweight_delete) AS deleted
        FROM system.parts WHERE active AND database = {database} GROUP BY table
    ) p ON p.table = t.name WHERE t.database = {database}"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view: how it is made, and which columns of it are archived; none if it holds no rows of its own.

    `rows_in`: the table of a materialized view's own rows.
    """

    name: str
    engine: str
    statement: str
    is_view: bool
    columns: tuple[str, ...] = ()
    rows_in: str = ""

    @property
    def source(self) -> str:
        """The table that its rows are read from: never a view, whose query would run with the admin's power."""
        return self.rows_in or self.name


def read_tables(session: Session, database: str) -> list[Table]:
    """Tables and views; a view's inner table is left out, since the view makes it again, and is given its rows."""
    columns: dict[str, list[str]] = {}
    for table, column in session.rows(_COLUMNS, database=database):
        columns.setdefault(from_hex(table), []).append(from_hex(column))
    found = [
        (from_hex(name), engine, from_hex(made), bool(own) or engine in _IN_MEMORY, by_uuid)
        for name, engine, made, own, by_uuid in session.rows(_DESCRIBED, database=database)
    ]
    holders = {name for name, engine, _, own_rows, _ in found if own_rows and engine not in _UNREADABLE}
    inner = {
        name: _inner(name, by_uuid, holders)
        for name, engine, made, _, by_uuid in found
        if engine == "MaterializedView" and not writes_elsewhere(made)
    }

    def archived(name: str) -> tuple[str, ...]:
        source = inner.get(name) or name
        there = set(columns.get(source, ()))
        return tuple(column for column in columns.get(name, ()) if column in there) if source in holders else ()

    return [
        Table(name, engine, made, engine.endswith("View"), archived(name), inner.get(name, ""))
        for name, engine, made, *_ in found
        if name not in inner.values()
    ]


def _inner(view: str, by_uuid: str, holders: Collection[str]) -> str:
    """The table with a materialized view's own rows, if there is one; its name depends on the database's engine."""
    return next((name for name in (by_uuid, f".inner.{view}") if name in holders), "")


def writes_elsewhere(statement: str) -> bool:
    """Whether a materialized view has no rows of its own: `TO` stands in it, and not in what an engine does by TTL."""
    words = [word for _, word in top_level(statement)]
    before = words[: words.index("ENGINE")] if "ENGINE" in words else words
    return "TO" in before


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
    for policy, table, _ in session.rows(_POLICIES, database=database):
        yield f"the row policy {policy} of {table}"


def refuse_cut(
    session: Session, database: str, tables: Collection[Table], counts: Mapping[str, int], count: Callable[[str], int]
) -> None:
    """Refuse an archive that lacks rows: a row policy or a limit has kept them away. Raises OperationError.

    `count` says how many rows of a table the admin sees, those that are deleted but still there among them.
    """
    kept = {from_hex(name): row for name, *row in session.rows(_KEPT, database=database)} if counts else {}
    for table in (table for table in tables if table.name in counts):
        in_parts, number, deleted = kept.get(table.source, (False, None, False))
        if number is None and not _policies(session, database, table.source):
            continue
        seen = count(table.source) if in_parts and deleted else counts[table.name]
        if number is None or seen < int(number):
            raise OperationError(_cut(session, database, table, seen, number))


def _cut(session: Session, database: str, table: Table, seen: int, number: int | None) -> str:
    text = f"the admin has seen {seen} of {'an unknown number of' if number is None else number} rows of {database}"
    names = ", ".join(_policies(session, database, table.source))
    if not names:
        return f"{text}.{table.name}: somebody writes into it, or a setting of the admin's leaves rows out"
    return (
        f"{text}.{table.name}, since a row policy hides "
        f"the others ({names}): let it not apply to the admin (ALTER ROW POLICY ... TO ... EXCEPT)"
    )


def _policies(session: Session, database: str, table: str) -> list[str]:
    """Row policies on a table that may keep rows from the admin."""
    found = session.rows(_POLICIES, database=database)
    return [policy for policy, of, spared in found if of in (table, "") and not spared]


def without_refresh(table: Table) -> str:
    """The statement that makes a table; a refreshable view must not fill itself before its rows are back."""
    if table.engine == "MaterializedView":
        words = {word: place for place, word in reversed(list(top_level(table.statement)))}
        if "REFRESH" in words and "EMPTY" not in words:
            place = min(words[word] for word in ("DEFINER", "SQL", "AS") if word in words)
            return f"{table.statement[:place]}EMPTY {table.statement[place:]}"
    return table.statement
