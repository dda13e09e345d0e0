"""What is in a ClickHouse database: tables and views, and what of them an archive can't hold."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from dbroster.engines.clickhouse.access.row_policies import Policy, cures, hiding, read_policies
from dbroster.engines.clickhouse.archive.statements import top_level
from dbroster.engines.clickhouse.session import IF_BROKEN, Session, from_hex, literal, unescaped
from dbroster.errors import OperationError

_IN_MEMORY = "Memory"
"""The engine that holds rows of its own, but none on the disk."""

_READ = frozenset({"EmbeddedRocksDB", "File", "Join", "Log", _IN_MEMORY, "StripeLog", "TinyLog"})
"""Engines beside those of the MergeTree family that show what they hold themselves.

All others may show what their owner could not see: they are never read with the admin's power.
"""

_WITHOUT_ROWS = frozenset({
    "Buffer", "Dictionary", "FuzzQuery", "GenerateRandom", "LiveView", "Loop", "Merge", "Null", "View",
})  # fmt: skip
"""Engines that hold no rows which anybody could miss; a Buffer is emptied into its table."""

_HIDDEN = "[HIDDEN]"
"""What the server shows instead of a password."""

_DESCRIBED = """
    SELECT hex(name), engine, hex(create_table_query), toUInt8(has_own_data),
        hex(if(toUInt128(uuid) = 0, concat('.inner.', name), concat('.inner_id.', toString(uuid))))
    FROM system.tables WHERE database = {database} AND NOT is_temporary ORDER BY name"""
_COLUMNS = """
    SELECT hex(table), hex(name) FROM system.columns
    WHERE database = {database} AND default_kind IN ('', 'DEFAULT', 'MATERIALIZED') ORDER BY table, position"""
_DETACHED = "SELECT hex(table), is_permanently FROM system.detached_tables WHERE database = {database} ORDER BY 1"
_DETACHED_PARTS = f"""
    SELECT hex(table), count() FROM system.detached_parts WHERE database = {{database}} GROUP BY table ORDER BY table
    {IF_BROKEN} SELECT '', 0 WHERE '' IN ({{broken}}, '')"""  # noqa: S608 - a constant
_BUFFERS = """
    SELECT hex(name), hex(engine_full), total_rows FROM system.tables
    WHERE database = {database} AND engine = 'Buffer' AND total_rows > 0 ORDER BY name"""
_THERE = "SELECT 1 FROM system.tables WHERE database = {database} AND name = {table}"
_TARGET = re.compile(r"Buffer\('((?:[^'\\]|\\.)*)', '((?:[^'\\]|\\.)*)'")
_WAITING = """
    SELECT hex(table), toString(length(`entries.query_id`)) || ' INSERTs', 'asynchronous_inserts'
    FROM system.asynchronous_inserts WHERE database = {database}"""
_UNDONE = f"""
    SELECT hex(table), toString(count()) || ' changes', 'mutations' FROM system.mutations
    WHERE database = {{database}} AND NOT is_done GROUP BY table UNION ALL {_WAITING} ORDER BY 1, 2
    {IF_BROKEN} SELECT '', '', '' WHERE '' IN ({{broken}}, '') UNION ALL {_WAITING} ORDER BY 1, 2"""  # noqa: S608 - constants
_MARKED = """
    SELECT DISTINCT hex(table) FROM system.parts WHERE active AND has_lightweight_delete AND database = {database}"""
# a part whose name begins with patch- holds changes to rows of other parts (UPDATE since 25.7)
_KEPT = """
    SELECT hex(t.name), if(endsWith(t.engine, 'MergeTree'), p.rows, t.total_rows)
    FROM system.tables t LEFT JOIN (
        SELECT table, sum(rows) AS rows FROM system.parts
        WHERE active AND NOT startsWith(name, 'patch-') AND database = {database} GROUP BY table
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
    columns = _columns(session, database)
    found = [
        (from_hex(name), engine, from_hex(made), bool(own), from_hex(inner))
        for name, engine, made, own, inner in session.rows(_DESCRIBED, database=database)
    ]
    holders = {name for name, engine, _, own, _ in found if is_read(engine, own_data=own)}
    inner = {
        name: rows_in
        for name, engine, made, _, rows_in in found
        if rows_in in holders and engine == "MaterializedView" and not writes_elsewhere(made)
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


def _columns(session: Session, database: str) -> dict[str, list[str]]:
    """What holds values of its own in each table, in the order of the table."""
    columns: dict[str, list[str]] = {}
    for table, column in session.rows(_COLUMNS, database=database):
        columns.setdefault(from_hex(table), []).append(from_hex(column))
    return columns


def is_read(engine: str, *, own_data: bool) -> bool:
    """Whether rows of such a table are read: `own_data` is what the server says of it."""
    return engine == _IN_MEMORY or (own_data and (engine in _READ or engine.endswith("MergeTree")))


def writes_elsewhere(statement: str) -> bool:
    """Whether a materialized view has no rows of its own: `TO` stands in it, and not in what an engine does by TTL."""
    words = _words(statement)
    before = words[: words.index("ENGINE")] if "ENGINE" in words else words
    return "TO" in before


def _words(statement: str) -> list[str]:
    return [word for _, word in top_level(statement)]


def _lacks_rows(table: Table) -> bool:
    """Whether it may hold rows that the archive doesn't. What a table function has made (no ENGINE) holds none."""
    if table.columns or table.engine in _WITHOUT_ROWS:
        return False
    return "ENGINE" in _words(table.statement) and not (
        table.engine == "MaterializedView" and writes_elsewhere(table.statement)
    )


def read_detached(session: Session, database: str) -> list[tuple[str, bool]]:
    """Tables and views that are detached, and whether they stay so when the server starts again."""
    return [(from_hex(name), bool(lasting)) for name, lasting in session.rows(_DETACHED, database=database)]


def left_out(session: Session, database: str) -> Iterator[str]:
    """What an archive of a database would not hold."""
    columns = _columns(session, database)
    for table in read_tables(session, database):
        for column in columns.get(table.rows_in, ()):
            if column not in table.columns:
                yield f"the column {column}, which only the inner table of {table.name} has"
        if _lacks_rows(table):
            yield f"the rows of {table.name}: dbroster can't read those of this {table.engine}"
        if not table.statement:  # of a table by loop(), which has no rows of its own
            yield f"the table {table.name}, since the server does not show how it is made"
        if _HIDDEN in table.statement:
            yield f"the password in the definition of {table.name}, which the server hides"
    yield from _left_in_buffers(session, database)
    yield from undone(session, database)
    for name, number in session.rows(_DETACHED_PARTS, database=database):
        place = f"of the table {from_hex(name)}" if number else "of its tables: the server can't say whether it has any"
        yield f"{number or 'the'} detached parts {place}"
    policies = read_policies(session, database)
    for policy in policies:
        text = f"the row policy {policy.name} of {policy.table or 'all tables'}"
        hides = policy in hiding(policies, policy.table)
        yield f"{text}; if it hides rows from the admin, nothing is archived: {policy.cure()}" if hides else text


def undone(session: Session, database: str) -> Iterator[str]:
    """Changes by ALTER TABLE that the server still works on, or can't do, and rows that wait in its memory."""
    for name, what, source in session.rows(_UNDONE, database=database):
        shown = f"SELECT * FROM system.{source} WHERE database = {literal(database)};"  # noqa: S608 - quoted
        place = f"{what} of the table {from_hex(name)} that are not done yet: {shown}"
        yield place if source else "changes of its tables: the server can't say whether all are done"


def _left_in_buffers(session: Session, database: str) -> Iterator[str]:
    """Rows that a Buffer can't be emptied of: the server throws them away when there is no table for them."""
    for name, definition, number in session.rows(_BUFFERS, database=database):
        if found := _TARGET.match(from_hex(definition)):
            target, table = map(unescaped, found.groups())
            if not table:
                yield f"the {number} rows of the Buffer {from_hex(name)}, which has no table"
            elif not session.rows(_THERE, database=target, table=table):
                yield f"the {number} rows of the Buffer {from_hex(name)}, whose table {target}.{table} is not there"


def refuse_cut(
    session: Session, database: str, tables: Collection[Table], counts: Mapping[str, int], deleted: Callable[[str], int]
) -> None:
    """Refuse an archive that lacks rows: a row policy or a limit has kept them away. Raises OperationError.

    `deleted` says how many rows of a table are deleted, but still there. They are counted before all others, since
    merges take them away.
    """
    marked = {from_hex(name) for (name,) in session.rows(_MARKED, database=database)}
    archived = {table.source: table.name for table in tables if table.name in counts}
    seen = {source: counts[name] + (deleted(source) if source in marked else 0) for source, name in archived.items()}
    kept = {from_hex(name): number for name, number in session.rows(_KEPT, database=database)}
    policies = read_policies(session, database)
    for source, name in archived.items():
        number, hide = kept.get(source), hiding(policies, source)
        if hide if number is None else seen[source] < int(number):
            raise OperationError(_cut(f"{database}.{name}", seen[source], number, hide))


def _cut(place: str, seen: int, number: int | None, hide: list[Policy]) -> str:
    text = f"the admin has seen {seen} of {'an unknown number of' if number is None else number} rows of {place}"
    if not hide:
        return f"{text}: somebody writes into it, or a setting of the admin's leaves rows out"
    names = ", ".join(policy.name for policy in hide)
    return f"{text}, since a row policy hides the others ({names}): {cures(hide)}"


def without_refresh(table: Table) -> str:
    """The statement that makes a table; a refreshable view must not fill itself before its rows are back."""
    if table.engine == "MaterializedView":
        words = {word: place for place, word in reversed(list(top_level(table.statement)))}
        if "REFRESH" in words and "EMPTY" not in words:
            place = min(words[word] for word in ("DEFINER", "SQL", "AS") if word in words)
            return f"{table.statement[:place]}EMPTY {table.statement[place:]}"
    return table.statement
