"""What a restore works out anew: values of generated columns, and whether a check takes a row.

It does so in UTC, as a dump is written, and with the server's own settings; whoever has written the rows may have had
others. Generated columns and checks call no functions of users.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from dbroster.engines.mysql.archive.contents import Contents, only_reading
from dbroster.engines.mysql.session import Session, identifier
from dbroster.errors import ConnectError, OperationError

_READ_WRONG = "COALESCE(CONVERT(CAST(CONVERT({0} USING latin1) AS BINARY) USING utf8mb4), {0})"
"""MySQL shows the UTF-8 of an expression as if it were latin1."""

_GENERATED = """
    SELECT TABLE_NAME AS name, COLUMN_NAME AS col, DATA_TYPE AS type, COLUMN_TYPE AS spelled,
        {made} AS made, CHARACTER_SET_NAME AS charset
    FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s {of_table} AND EXTRA LIKE '%%STORED GENERATED%%'
        AND DATA_TYPE <> 'float' AND GENERATION_EXPRESSION NOT IN ('ROW START', 'ROW END')
    ORDER BY TABLE_NAME, ORDINAL_POSITION"""
_CHECKS = """
    SELECT TABLE_NAME AS name, c.CONSTRAINT_NAME AS rule, {made} AS made
    FROM information_schema.CHECK_CONSTRAINTS c JOIN information_schema.TABLE_CONSTRAINTS t
        ON t.CONSTRAINT_SCHEMA = c.CONSTRAINT_SCHEMA AND t.CONSTRAINT_NAME = c.CONSTRAINT_NAME
    WHERE TABLE_SCHEMA = %s AND CONSTRAINT_TYPE = 'CHECK' AND ENFORCED = 'YES' ORDER BY 1, 2"""
_BEFORE = "SET @dbroster_zone = @@SESSION.time_zone, @dbroster_mode = @@SESSION.sql_mode"
_RESTORING = "SET SESSION time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'"
_AFTER = "SET SESSION time_zone = @dbroster_zone, sql_mode = @dbroster_mode"
_INTEGERS = ("tinyint", "smallint", "mediumint", "int", "bigint")
_TIMES = ("date", "datetime", "timestamp", "time")
_PATIENCE = 5.0  # seconds for all of a database, in whole seconds for each question; an expression may be slow
_QUICK = """
    abs and as avg between binary bit_length case cast ceiling char char_length coalesce collate concat concat_ws
    conv convert curdate date date_add date_format date_sub datediff datetime day dayname dayofmonth dayofweek
    dayofyear decimal decimal div double else elt extract field float floor format from_days from_unixtime
    greatest hex hour if ifnull in interval is isnull json_extract json_length json_type json_unquote json_valid
    json_value last_day lcase least left length lower ltrim makedate maketime md5 microsecond minute mod month
    monthname nchar not now nullif octet_length or ord period_add quarter regexp regexp_like regexp_replace
    regexp_substr right rlike round rtrim sec_to_time second sha sha1 sha2 sign signed substr substring sysdate
    then time time_format time_to_sec timediff timestamp timestampadd timestampdiff to_days to_seconds trim
    truncate ucase unhex unix_timestamp unsigned upper using utc_date varchar week weekday weekofyear when xor
    year yearweek"""
"""What takes no longer than its arguments are long, with the words that may stand before a parenthesis."""

_EASY_LIKE = re.compile(r"\blike\s+(?:_\w+)?'%?[^'%\\]*%?'")
_TEXT = re.compile(r"'(?:[^'\\]|\\.|'')*'|`[^`]*`")
_CALLED = re.compile(r"[a-z_0-9]+(?=\s*\()|\blike\b")
_ESCAPED = {"n": "\n", "r": "\r", "0": "\0"}


def recomputed(session: Session, state: Contents) -> Iterator[str]:
    """Name what a restore would not bring back as it is; nothing is written meanwhile."""
    with only_reading(session):
        found = list(_recomputed(session, state))
    yield from found


def _generated(session: Session, state: Contents) -> list[dict[str, Any]]:
    """Find such columns; MariaDB opens what it is asked about, so it is asked about no view."""
    if not session.is_mariadb:
        asked = _GENERATED.format(made=_READ_WRONG.format("GENERATION_EXPRESSION"), of_table="")
        return session.rows(asked, state.database)
    asked = _GENERATED.format(made="GENERATION_EXPRESSION", of_table="AND TABLE_NAME = %s")
    tables = (name for name in state.tables if name not in state.broken)
    return [row for name in tables for row in session.rows(asked, state.database, name)]


def _recomputed(session: Session, state: Contents) -> Iterator[str]:
    database = state.database
    columns = _generated(session, state)
    checks = []
    if not session.is_mariadb:  # there a restore checks nothing
        checks = session.rows(_CHECKS.format(made=_READ_WRONG.format("CHECK_CLAUSE")), database)
    if not columns and not checks:
        return

    def place(row: Mapping[str, Any]) -> str:
        return f"{identifier(database)}.{identifier(row['name'])}"

    end = time.monotonic() + _PATIENCE
    with _as_a_restore(session):
        for row in columns:
            stored, anew = _alike(row, _expression(row["made"], session))
            if (found := _differs(session, place(row), end, f"{stored} <=> {anew}")) is not None:
                yield (
                    f"the values of the generated column {row['name']}.{row['col']}, which a restore works out anew, "
                    f"in UTC and with the server's own settings{found}"
                )
        for row in checks:
            clause = _expression(row["made"], session)
            if (found := _differs(session, place(row), end, f"({clause}) IS NOT FALSE")) is not None:
                yield (
                    f"rows of {row['name']} so that its check {row['rule']} takes them in a restore, which works in "
                    f"UTC and with the server's own settings{found}"
                )


@contextmanager
def _as_a_restore(session: Session) -> Iterator[None]:
    session.rows(_BEFORE)
    session.rows(_RESTORING)
    try:
        yield
    finally:
        with suppress(ConnectError):
            session.rows(_AFTER)


def _differs(session: Session, table: str, end: float, alike: str) -> str | None:
    """None if all rows are alike; else what the server says if it can't tell in time."""
    if slow := _may_be_slow(alike):
        return f": dbroster does not try {slow}, which may take for ever"
    left = max(1, round(end - time.monotonic()))
    bound, hint = f"SET STATEMENT max_statement_time = {left} FOR ", f"/*+ MAX_EXECUTION_TIME({left * 1000}) */ "
    bound, hint = (bound, "") if session.is_mariadb else ("", hint)
    try:
        found = session.rows(f"{bound}SELECT {hint}1 FROM {table} WHERE NOT ({alike}) LIMIT 1")  # noqa: S608
    except OperationError as error:
        return f": {error}"
    return "" if found else None


def _may_be_slow(expression: str) -> str | None:
    """Name what may work on a long text for ever, since neither a KILL nor a limit of time ends it."""
    bare = _TEXT.sub("''", _EASY_LIKE.sub("", expression.lower()))
    return next((word for word in _CALLED.findall(bare) if word not in _QUICK.split()), None)


def _expression(text: str, session: Session) -> str:
    """Return what MySQL has escaped as it was written."""
    return (
        text
        if session.is_mariadb
        else re.sub(r"\\(.)", lambda found: _ESCAPED.get(found[1], found[1]), text, flags=re.DOTALL)
    )


def _alike(row: Mapping[str, Any], made: str) -> tuple[str, str]:
    """Return a column and what makes it, as values of one kind."""
    column, kind, spelled = identifier(row["col"]), row["type"], row["spelled"]
    if row["charset"]:
        return _text(column), _text(made)
    if kind in _INTEGERS:
        return column, f"CAST({made} AS {'UNSIGNED' if 'unsigned' in spelled else 'SIGNED'})"
    if kind == "decimal":
        return column, f"CAST({made} AS {spelled.split(')')[0]}))"
    if kind in _TIMES:
        return column, f"CAST({made} AS {spelled.replace('timestamp', 'datetime')})"
    return column, f"({made})"


def _text(value: str) -> str:
    return f"CONVERT({value} USING utf8mb4) COLLATE utf8mb4_bin"
