"""Bringing back all of a PostgreSQL archive that its user can make, and naming what did not come back.

pg_restore loads rows under an empty search_path, and one table after the other. Functions that read tables by names
without a schema, in checks, indexes, generated columns and materialized views, fail there. So they get their owner's
search_path until everything is back. Rows that a check refuses all the same are loaded without it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, LiteralString

import psycopg

Raw = psycopg.Connection[tuple[Any, ...]]
Enter = Callable[[], AbstractContextManager[Raw]]
Run = Callable[[Sequence[str], Sequence[str]], str]
"""Runs pg_restore with options, for these lines of its list; returns what it has said."""

WENT_ON = re.compile(r"^pg_restore: warning: errors ignored on restore: \d+\n\Z", re.MULTILINE)
"""The last line of a pg_restore that went on after errors."""

_SHOWN = 50  # objects that did not come back
_WORDS = 300  # characters of what the server says of one
_SAID = re.compile(r"^pg_restore: from TOC entry (\d+);|^pg_restore: error: (.*)", re.MULTILINE)
_ENTRY = re.compile(r"(\d+); \d+ \d+ (.*)")
_ROWS = "TABLE DATA "
_VIEWS = "MATERIALIZED VIEW DATA "

_FUNCTIONS: LiteralString = """
    SELECT oid::regprocedure::text FROM pg_proc
    WHERE proowner = (SELECT oid FROM pg_roles WHERE rolname = current_user) AND prokind IN ('f', 'w')
        AND NOT EXISTS (SELECT 1 FROM unnest(proconfig) c WHERE c LIKE 'search_path=%')"""

_SCHEMAS: LiteralString = """
    SELECT string_agg(quote_ident(nspname), ', ' ORDER BY nspname) FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"""

# checks of the tables without rows and of their parents, and those of domains; an inherited one goes with its parent's
_CHECKS: LiteralString = """
    WITH RECURSIVE involved AS (
        SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE relkind = 'r' AND nspname || ' ' || relname = ANY(%s)
        UNION SELECT inhparent FROM pg_inherits JOIN involved ON oid = inhrelid
    ), checks AS (
        SELECT c.oid, conname, obj_description(c.oid, 'pg_constraint') AS said, contypid <> 0 AS of_domain,
            CASE contypid WHEN 0 THEN conrelid::regclass::text ELSE contypid::regtype::text END AS name
        FROM pg_constraint c WHERE contype = 'c' AND (conrelid IN (SELECT oid FROM involved) AND coninhcount = 0
            OR contypid <> 0 AND connamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace))
    ), worded AS (
        SELECT oid, name, said, conname, CASE WHEN of_domain THEN 'DOMAIN ' ELSE 'TABLE ' END AS kind,
            CASE WHEN of_domain THEN 'DOMAIN ' ELSE '' END AS of FROM checks
    )
    SELECT format('ALTER %%s%%s DROP CONSTRAINT %%I', kind, name, conname),
        format('ALTER %%s%%s ADD CONSTRAINT %%I %%s', kind, name, conname, pg_get_constraintdef(oid)),
        coalesce(format('COMMENT ON CONSTRAINT %%I ON %%s%%s IS %%L', conname, of, name, said), ''),
        name, conname, format('ALTER %%s%%s VALIDATE CONSTRAINT %%I', kind, name, conname)
    FROM worded ORDER BY oid"""

# columns whose values name other objects, or that nothing can be read into
_NAMING: LiteralString = """
    SELECT format('ALTER TABLE %%s ALTER %%I TYPE text%%s', attrelid::regclass, attname, brackets),
        format('ALTER TABLE %%1$s ALTER %%2$I TYPE %%3$s USING %%2$I::%%3$s', attrelid::regclass, attname, type),
        format('%%s.%%I', attrelid::regclass, attname), type
    FROM pg_attribute, pg_type t, format_type(atttypid, NULL) type,
        LATERAL (SELECT CASE WHEN typelem = 0 THEN '' ELSE '[]' END AS brackets) b
    WHERE attrelid IN (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
            WHERE relkind = 'r' AND nspname || ' ' || relname = ANY(%s))
        AND attnum > 0 AND NOT attisdropped AND t.oid = atttypid AND typnamespace = 'pg_catalog'::regnamespace
        AND typname ~ '^_?(reg|aclitem$|pg_(node_tree|ndistinct|dependencies|mcv_list|brin_)).*'"""

_TABLES: LiteralString = """
    SELECT nspname || ' ' || relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r'
        AND nspname !~ '^pg_' AND nspname <> 'information_schema'"""

_UNFILLED: LiteralString = """
    SELECT nspname || ' ' || relname, format('REFRESH MATERIALIZED VIEW %I.%I', nspname, relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'm' AND NOT relispopulated"""


class Returning:
    """One archive on its way back; what fails is kept by its number in the archive's list."""

    def __init__(self, run: Run, enter: Enter, entries: Sequence[str], path: str | None) -> None:
        self._run = run
        self._enter = enter
        self._lines = entries
        self._path = path
        self._entries = {found[1]: found[2] for entry in entries if (found := _ENTRY.match(entry))}
        self._failed: dict[str, str] = {}
        self._worse: list[str] = []
        self._named: list[tuple[str, ...]] = []

    def bring_back(self) -> list[str]:
        """Bring everything back that the user can make; return what is missing, in words."""
        self._restore(self._lines, "--section=pre-data")
        with self._pathed():
            self._persist()  # some functions run as soon as a table is made
            with self._pathed():  # functions that are new since then
                self._restore(self._lines, "--section=data")
                self._load_again()
                self._restore(self._lines, "--section=post-data")
                self._name_again()
        with self._enter() as raw:
            refreshing = {_one_line(name): statement for name, statement in raw.execute(_UNFILLED).fetchall()}
        missing = [self._told(number, reason, refreshing) for number, reason in self._failed.items()]
        return [*missing, *self._worse]

    def _restore(self, lines: Sequence[str], *options: str) -> None:
        said = self._run(options, lines)
        if WENT_ON.search(said):
            for number, reason in list(_failures(said)) or [("", "pg_restore failed")]:
                self._failed.setdefault(number, reason)

    def _again(self, numbers: Iterable[str]) -> None:
        """Restore entries once more; they are as they were, since each fails as a whole."""
        tried = set(numbers)
        for number in tried:
            del self._failed[number]
        self._restore([line for line in self._lines if line.partition(";")[0] in tried])

    @contextmanager
    def _pathed(self) -> Iterator[None]:
        """Give the user's functions that have none a search_path, as long as that is needed."""
        with self._enter() as raw:
            functions = [name for (name,) in raw.execute(_FUNCTIONS).fetchall()]
            ((schemas,),) = raw.execute(_SCHEMAS).fetchall()
            chosen = ", ".join(filter(None, [self._path or '"$user", public', schemas]))
            raw.execute("SELECT set_config('search_path', %s, false)", [chosen])
            _alter(raw, functions, "SET search_path FROM CURRENT")
        try:
            yield
        finally:
            with self._enter() as raw:
                _alter(raw, functions, "RESET search_path")

    def _persist(self, kind: str = "") -> list[str]:
        """Try again what failed, as long as that brings anything back; return what still fails."""
        of_kind = [number for number, entry in self._entries.items() if entry.startswith(kind)]
        before = len(of_kind) + 1
        while 0 < len(failed := [number for number in of_kind if number in self._failed]) < before:
            before = len(failed)
            self._again(failed)
        return failed

    # --- rows that did not come ---------------------------------------------------------------------------------------

    def _load_again(self) -> None:
        """Load what was refused once more, now that all other rows are there; if that is of no use, without checks."""
        if not (again := self._persist(_ROWS)):
            return
        names = [self._entries[number].removeprefix(_ROWS) for number in again]
        with self._enter() as raw:
            found = [table for (table,) in raw.execute(_TABLES).fetchall()]
            tables = [table for table in found if any(name.startswith(f"{_one_line(table)} ") for name in names)]
            with raw.transaction():
                lifted = list(_lift(raw, tables))
            self._named = list(_as_text(raw, tables))
        try:
            self._again(again)
        finally:
            with self._enter() as raw:
                self._worse += _hold(raw, lifted)

    def _name_again(self) -> None:
        """Give columns their types back, now that all that they name is there."""
        with self._enter() as raw:
            for alter, column, kind in self._named:
                try:
                    raw.execute(alter.encode())
                except psycopg.Error as error:
                    reason = (error.diag.message_primary or "")[:_WORDS]
                    self._worse.append(f"the column {column} is text now, its rows are no {kind} any more: {reason}")

    # --- words --------------------------------------------------------------------------------------------------------

    def _told(self, number: str, reason: str, refreshing: dict[str, str]) -> str:
        entry = self._entries.get(number, f"entry {number}")
        name = entry.rpartition(" ")[0]
        cure = refreshing.get(name.removeprefix(_VIEWS)) if name.startswith(_VIEWS) else None
        return f"{name}: {reason}{f'; when that is mended, let its owner run {cure}' if cure else ''}"


def summary(missing: Sequence[str], database: str, archive: str) -> str:
    """Say what did not come back, and where its statements stand."""
    more = [f"and {len(missing) - _SHOWN} more"] if len(missing) > _SHOWN else []
    return (
        f"not all came back to {database}, the rest is there; missing: {'; '.join([*missing[:_SHOWN], *more])}. "
        f"What each of them is made with: pg_restore --file=- {archive}"
    )


def _failures(said: str) -> Iterator[tuple[str, str]]:
    """Yield the number of each entry that failed, with the server's first words on it: no row, no statement."""
    number = ""
    for found in _SAID.finditer(said):
        if found[1] is not None:
            number = found[1]
        else:
            yield number, found[2].rpartition("ERROR: ")[2].strip()[:_WORDS]


def _one_line(name: str) -> str:
    """A name as pg_restore lists it."""
    return name.replace("\n", " ").replace("\r", " ")


def _alter(raw: Raw, functions: Iterable[str], how: str) -> None:
    raw.execute("; ".join(f"ALTER FUNCTION {name} {how}" for name in functions).encode())


def _lift(raw: Raw, tables: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Drop checks, until a parent's have taken their children's with them; yield what brings them back."""
    while found := raw.execute(_CHECKS, [list(tables)]).fetchall():
        for drop, *rest in found:
            raw.execute(drop.encode())
            yield tuple(rest)


def _as_text(raw: Raw, tables: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Let columns take any value; yield what undoes that. Columns that views need stay as they are."""
    for alter, *rest in raw.execute(_NAMING, [list(tables)]).fetchall():
        with suppress(psycopg.Error):
            raw.execute(alter.encode())
            yield tuple(rest)


def _hold(raw: Raw, lifted: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Bring checks back, children's first; one that rows break holds for new rows alone, and that is said."""
    for add, comment, name, check, validate in reversed(lifted):
        try:
            raw.execute(add.encode())
        except psycopg.Error as error:
            raw.execute(f"{add.removesuffix(' NOT VALID')} NOT VALID".encode())
            reason = (error.diag.message_primary or "")[:_WORDS]
            mend = f"when that is mended, let its owner run {validate}"  # not a DBA: they are its functions
            yield f"the check {check} of {name} is NOT VALID now: {reason}; {mend}"
        if comment:
            raw.execute(comment.encode())
