"""What a restore brings back although a plain pg_restore can't, and how it tells what did not come back."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

import servers
from dbroster.archive import Archive
from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.errors import OperationError
from dbroster.model.connection import Connection
from dbroster.model.plan import Action
from dbroster.model.roster import User
from dbroster.passwords.secret import Secret
from tests.support.archiving import archive, archiving, there_and_back

PASSWORD = "pw:with\\all' \"of:it"
LogIn = Callable[[str, str, str], psycopg.Connection]


@pytest.fixture(autouse=True)
def _own_programs(server: servers.PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the programs of the server's own major."""
    monkeypatch.setenv("PATH", f"{server.bindir}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def archiver(describe: Callable[..., Connection], tmp_path: Path) -> Iterator[Handler]:
    with connect(archiving(describe("weak"), tmp_path)) as handler:
        yield handler


def make(handler: Handler, user: str) -> str:
    database = f"{user}_web"
    handler.create_user(user, Secret(PASSWORD))
    handler.create_database(user, database)
    handler.grant_privileges(user, database)
    return database


def gone(handler: Handler, user: str, database: str) -> tuple[Archive, User]:
    """Archive a database, and put an empty one into its place."""
    made = archive(handler, user, database)
    handler.drop_database(user, database)
    for verb in handler.creation_order:
        handler.perform(Action(verb, user, database))
    return made, User(user, Secret(PASSWORD), 1)


KEPT = "SELECT exists(SELECT 1 FROM kept WHERE x = $1)"
FUNCTION = f"CREATE FUNCTION f(int) RETURNS bool LANGUAGE sql IMMUTABLE AS '{KEPT}'"
ROWS = "CREATE TABLE kept (x int); INSERT INTO kept VALUES (1), (2)"
LATER = "CREATE TABLE zlast (x int); INSERT INTO zlast VALUES (1)"
OF_ZLAST = (
    "CREATE FUNCTION g(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT exists(SELECT 1 FROM zlast WHERE x = $1)'"
)

UNQUALIFIED = {
    "check": ([ROWS, FUNCTION, "CREATE TABLE t (x int CHECK (f(x)))", "INSERT INTO t VALUES (1)"], "TABLE t"),
    "domain": ([ROWS, FUNCTION, "CREATE DOMAIN d AS int CHECK (f(VALUE))", "CREATE TABLE t (x d)",
                "INSERT INTO t VALUES (2)"], "TABLE t"),
    "index": ([ROWS, FUNCTION.replace("exists", "$1 > 0 OR exists"), "CREATE TABLE t AS SELECT 1 AS x",
               "CREATE FUNCTION q(int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN true; END'",
               "CREATE INDEX ix ON t (q(x))",
               "CREATE OR REPLACE FUNCTION q(int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS"
               " 'BEGIN RETURN f($1); END'"], "SELECT indexdef FROM pg_indexes WHERE tablename = 't'"),
    "generated": ([ROWS, FUNCTION, "CREATE TABLE t (x int, y bool GENERATED ALWAYS AS (f(x)) STORED)",
                   "INSERT INTO t VALUES (1), (3)"], "SELECT * FROM t ORDER BY x"),
    "view": ([ROWS, FUNCTION, "CREATE MATERIALIZED VIEW m AS SELECT 1 AS a",
              "CREATE FUNCTION p() RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN true; END'",
              "CREATE MATERIALIZED VIEW m2 AS SELECT p() AS b",
              "CREATE OR REPLACE FUNCTION p() RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN f(1); END'"], "TABLE m2"),
    "schema": (['CREATE SCHEMA "od d"', 'CREATE TABLE "od d".kept (x int)', 'INSERT INTO "od d".kept VALUES (1)',
                'SET search_path = "od d", public', FUNCTION.replace(" f(", " public.f("),
                "ALTER FUNCTION f(int) SET work_mem = '5MB'",
                "CREATE TABLE public.t (x int CHECK (f(x)))", "INSERT INTO t VALUES (1)"], "TABLE t"),
    "order": ([LATER, OF_ZLAST, "CREATE TABLE a (x int, CONSTRAINT held CHECK (g(x)))", "INSERT INTO a VALUES (1)",
               "COMMENT ON CONSTRAINT held ON a IS 'a ''comment'"],
              "SELECT x, convalidated, obj_description(c.oid) FROM a, pg_constraint c WHERE conname = 'held'"),
    "order of domains": ([LATER, OF_ZLAST, "CREATE DOMAIN d AS int CONSTRAINT held CHECK (g(VALUE))",
                          "CREATE TABLE a (x d)", "INSERT INTO a VALUES (1)",
                          "COMMENT ON CONSTRAINT held ON DOMAIN d IS 'it'"],
                         "SELECT x, convalidated, obj_description(c.oid) FROM a, pg_constraint c"
                         " WHERE conname = 'held'"),
    "order of parts": ([LATER, OF_ZLAST, "CREATE TABLE a (x int CHECK (g(x))) PARTITION BY LIST (x)",
                        "CREATE TABLE a1 PARTITION OF a (CONSTRAINT own CHECK (g(x))) FOR VALUES IN (1)",
                        "INSERT INTO a VALUES (1)"],
                       "SELECT x, conname, conislocal, coninhcount, convalidated FROM a, pg_constraint"
                       " WHERE contype = 'c' AND conrelid IN ('a'::regclass, 'a1'::regclass) ORDER BY 2, 3"),
    "order of composites": ([LATER, OF_ZLAST, "CREATE DOMAIN d AS int CHECK (g(VALUE))",
                             "CREATE TYPE c AS (a d, b int)", "CREATE TABLE a (x c, y d[])",
                             "INSERT INTO a VALUES (ROW(1, 1), ARRAY[1]::d[])"],
                            "SELECT x::text, y::text, convalidated FROM a, pg_constraint WHERE conname = 'd_check'"),
    "order of generated": ([LATER, OF_ZLAST, "CREATE TABLE a (x int, y int GENERATED ALWAYS AS (1 / g(x)::int) STORED)",
                            "INSERT INTO a VALUES (1)"], "TABLE a"),
}  # fmt: skip
"""Usual code of users, none of which runs with the empty search_path, or the order of tables, of a plain restore."""


@pytest.mark.parametrize("content", UNQUALIFIED.values(), ids=UNQUALIFIED.keys())
def test_functions_that_read_tables_spoil_no_restore(
    archiver: Handler, user: str, log_in: LogIn, content: tuple[list[str], str]
) -> None:
    """A8: H8, functions with names that are not qualified run in checks, indexes, generated columns and views."""
    database = make(archiver, user)
    statements, read = content
    functions = "SELECT proname, proconfig FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1"
    with log_in(user, PASSWORD, database) as raw:
        for statement in statements:
            raw.execute(statement)
        raw.execute("RESET search_path")
        before = raw.execute(read).fetchall(), raw.execute(functions).fetchall()
        if "MATERIALIZED" in str(statements):
            before = [(True,)], before[1]
    there_and_back(archiver, user, PASSWORD, database)
    with log_in(user, PASSWORD, database) as raw:
        assert (raw.execute(read).fetchall(), raw.execute(functions).fetchall()) == before


def test_rows_that_a_check_would_not_take_any_more_come_back(archiver: Handler, user: str, log_in: LogIn) -> None:
    """A8, Q12: H8, a check that no longer holds costs no row; it is NOT VALID, and how that ends is said."""
    database = make(archiver, user)
    with log_in(user, PASSWORD, database) as raw:
        raw.execute('CREATE TABLE "o\'ld" (x int CONSTRAINT small CHECK (x < 5)); INSERT INTO "o\'ld" VALUES (1), (2)')
        raw.execute("CREATE FUNCTION low(int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN true; END'")
        raw.execute("CREATE TABLE t (x int CONSTRAINT low CHECK (low(x))); INSERT INTO t VALUES (7), (8)")
        raw.execute("COMMENT ON CONSTRAINT low ON t IS 'it''s low'")
        raw.execute("CREATE OR REPLACE FUNCTION low(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 < 5'")
    made, receiver = gone(archiver, user, database)
    cure = "ALTER TABLE public.t VALIDATE CONSTRAINT low"
    with pytest.raises(OperationError, match=f"the check low of public.t is NOT VALID now: .*let its owner run {cure}"):
        archiver.archiver().restore(made, receiver, database)
    with log_in(user, PASSWORD, database) as raw:
        assert raw.execute("SELECT x FROM t ORDER BY x").fetchall() == [(7,), (8,)]
        assert raw.execute('SELECT count(*) FROM "o\'ld"').fetchall() == [(2,)]
        with pytest.raises(psycopg.errors.CheckViolation):
            raw.execute("INSERT INTO t VALUES (9)")
        raw.execute(f"UPDATE t SET x = 1; {cure}")


def test_rows_that_name_what_is_not_there_yet_or_any_more_come_back(
    archiver: Handler, user: str, server: servers.PostgreSQL, log_in: LogIn
) -> None:
    """A8: an index is there after the rows that name it; a role may be gone; a pg_node_tree can only be written."""
    database = make(archiver, user)
    with log_in(server.admin_user, server.admin_password, database) as raw:
        raw.execute(f"CREATE ROLE gone_{user}")
    with log_in(user, PASSWORD, database) as raw:
        raw.execute("""
            CREATE TABLE "T t" (x int PRIMARY KEY); CREATE TABLE i AS SELECT '"T t_pkey"'::regclass AS x;
            CREATE TABLE p (x int) PARTITION BY LIST (x); CREATE TABLE p1 PARTITION OF p DEFAULT;
            CREATE TABLE n AS SELECT relpartbound AS x FROM pg_class WHERE relname = 'p1'""")
        raw.execute(f"CREATE TABLE r AS SELECT ARRAY['gone_{user}']::regrole[] AS x")
        before = raw.execute("SELECT i.x::text, pg_typeof(i.x)::text, n.x::text, r.x::text FROM i, n, r").fetchall()
    made, receiver = gone(archiver, user, database)
    with log_in(server.admin_user, server.admin_password, "postgres") as raw:
        raw.execute(f"DROP ROLE gone_{user}")
    with pytest.raises(OperationError) as failed:
        archiver.archiver().restore(made, receiver, database)
    for said in (
        "the column public.n.x is text now, its rows are no pg_node_tree",
        "the column public.r.x is text now",
    ):
        assert said in str(failed.value)
    assert "TABLE DATA" not in str(failed.value)
    assert "public.i.x" not in str(failed.value)
    with log_in(user, PASSWORD, database) as raw:
        read = "SELECT i.x::text, pg_typeof(i.x)::text, n.x::text, r.x::text FROM i, n, r"
        assert raw.execute(read).fetchall() == before


def test_what_did_not_come_back_is_named_and_the_rest_is_there(archiver: Handler, user: str, log_in: LogIn) -> None:
    """A8: H8, one object that fails keeps nothing else away; no row stands in what is said."""
    database = make(archiver, user)
    with log_in(user, PASSWORD, database) as raw:
        raw.execute("""
            CREATE TABLE "a b" (x int); INSERT INTO "a b" VALUES (1);
            CREATE FUNCTION f(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 1; END';
            CREATE TABLE lost (x text, y int GENERATED ALWAYS AS (f(length(x))) STORED);
            INSERT INTO lost VALUES ('row-of-mine');
            CREATE MATERIALIZED VIEW "m v" AS SELECT f(x) FROM "a b"; CREATE INDEX ix ON "a b" (f(x));
            CREATE TABLE z AS SELECT 3 AS x; CREATE TABLE "l" (x int CHECK (f(x) > 0)); INSERT INTO "l" VALUES (1);
            CREATE TABLE never (x text, y int GENERATED ALWAYS AS (f(1)) STORED);
            ALTER TABLE never ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
            CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
                $$ BEGIN RAISE 'the sun is %', repeat('down ', 1000) USING DETAIL = 'row-of-mine'; END $$;
        """)
        raw.execute(f"ALTER DATABASE \"{database}\" SET work_mem = '7MB'")
    made, receiver = gone(archiver, user, database)
    with pytest.raises(OperationError) as failed:
        archiver.archiver().restore(made, receiver, database)
    for said in ("TABLE public never: the sun is down",
                 'ALTER TABLE "public"."never" FORCE ROW LEVEL SECURITY: relation',
                 "TABLE DATA public lost: the sun is down", "INDEX public ix: the sun is down",
                 'let its owner run REFRESH MATERIALIZED VIEW public."m v"', "pg_restore --file=-"):  # fmt: skip
        assert said in str(failed.value)
    assert "row-of-mine" not in str(failed.value)
    assert len(str(failed.value)) < 4000
    with log_in(user, PASSWORD, database) as raw:
        assert raw.execute('SELECT a.x, z.x FROM "a b" a, z').fetchall() == [(1, 3)]
        assert raw.execute("SELECT * FROM lost").fetchall() == []
        assert raw.execute("SHOW work_mem").fetchall() == [("7MB",)]


OF_SUPERUSERS = {
    "function public.cf(integer)": "CREATE FUNCTION cf(int) RETURNS int LANGUAGE internal AS 'int4inc'",
    "function public.tight(integer)":
        "CREATE FUNCTION tight(int) RETURNS int LANGUAGE sql LEAKPROOF AS 'SELECT 1'",
    "operator class public.oc USING btree":
        "CREATE OPERATOR CLASS oc FOR TYPE int4 USING btree AS OPERATOR 1 <, OPERATOR 3 =,"
        " FUNCTION 1 btint4cmp(int4, int4)",
    "operator family public.fam USING hash": "CREATE OPERATOR FAMILY fam USING hash",
    "type public.base":
        "CREATE TYPE base;"
        "CREATE FUNCTION base_in(cstring) RETURNS base LANGUAGE internal IMMUTABLE STRICT AS 'int4in';"
        "CREATE FUNCTION base_out(base) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';"
        "CREATE TYPE base (INPUT = base_in, OUTPUT = base_out, LIKE = int4)",
    "cast (public.base AS integer)": "CREATE CAST (base AS int) WITHOUT FUNCTION",
    "cast (integer AS json)": "CREATE FUNCTION j(int) RETURNS json LANGUAGE sql IMMUTABLE AS 'SELECT NULL::json';"
        "CREATE CAST (int AS json) WITH FUNCTION j(int)",
    "text search template public.tst": "CREATE TEXT SEARCH TEMPLATE tst (LEXIZE = dsimple_lexize)",
    "text search parser public.tsp": "CREATE TEXT SEARCH PARSER tsp (START = prsd_start, GETTOKEN = prsd_nexttoken,"
        " END = prsd_end, LEXTYPES = prsd_lextype)",
    "foreign-data wrapper fw": "CREATE FOREIGN DATA WRAPPER fw; GRANT USAGE ON FOREIGN DATA WRAPPER fw TO PUBLIC",
    "access method own": "CREATE ACCESS METHOD own TYPE INDEX HANDLER bthandler",
    "aggregate public.agg(bigint)":
        "CREATE AGGREGATE agg(bigint) (SFUNC = int8_avg_accum, STYPE = internal, FINALFUNC = numeric_poly_avg)",
}  # fmt: skip


def test_a_locale_provider_that_a_restore_would_not_choose_is_told_before(
    archiver: Handler, user: str, server: servers.PostgreSQL, log_in: LogIn
) -> None:
    """Q10, A8: an adopted database may sort by ICU, or by the server's own rules, where its version and build can."""
    database = f"{user}_web"
    with log_in(server.admin_user, server.admin_password, "postgres") as raw:
        built_in = "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'" if raw.info.server_version >= 170000 else ""
        has_icu = raw.execute("SELECT FROM pg_collation WHERE collname = 'de-x-icu'").rowcount  # not every build has
        icu = "LOCALE_PROVIDER icu ICU_LOCALE 'de-DE'" if raw.info.server_version >= 150000 and has_icu else ""
        provider = built_in or icu
        raw.execute(f'CREATE DATABASE "{database}" TEMPLATE template0 {provider}')
        archiver.create_user(user, Secret(PASSWORD))
        raw.execute(f'ALTER DATABASE "{database}" OWNER TO "{user}"')
    archiver.adopt_database(user, database)
    told = [text for text in archiver.archiver().losses(database) if "locale provider" in text]
    assert len(told) == bool(provider)
    assert all("C.UTF-8" in text or "de-DE" in text for text in told)


def test_an_encoding_that_a_restore_would_not_choose_is_told_before(
    archiver: Handler, user: str, server: servers.PostgreSQL, log_in: LogIn, describe: Callable[..., Connection],
    tmp_path: Path
) -> None:  # fmt: skip
    """A8: an adopted database may have an encoding and a locale of its own; the keys that are named bring all back."""
    database = f"{user}_web"
    with log_in(server.admin_user, server.admin_password, "postgres") as raw:
        raw.execute(f"CREATE DATABASE \"{database}\" TEMPLATE template0 ENCODING SQL_ASCII LOCALE 'C'")
    with connect(archiving(describe(), tmp_path)) as handler:
        handler.create_user(user, Secret(PASSWORD))
        handler.adopt_database(user, database)
        told = list(handler.archiver().losses(database))
        assert [text.partition(":")[0] for text in told] == ["its encoding SQL_ASCII", "its locale C"]
        assert "`encoding: SQL_ASCII` in connections.yaml" in told[0]
        with log_in(user, PASSWORD, database) as raw:
            raw.execute("CREATE TABLE t (x text); INSERT INTO t VALUES (E'\\xe4')")
        made = archive(handler, user, database)
        handler.drop_database(user, database)
    options = {"encoding": "SQL_ASCII", "locale": "C"}
    with connect(archiving(describe(options=options), tmp_path)) as handler:
        for verb in handler.creation_order:
            handler.perform(Action(verb, user, database))
        assert list(handler.archiver().losses(database)) == []
        handler.archiver().restore(made, User(user, Secret(PASSWORD), 1), database)
    with log_in(user, PASSWORD, database) as raw:
        assert raw.execute("SELECT x::bytea FROM t").fetchall() == [(b"\xe4",)]


def test_what_a_dba_has_made_there_is_told_before_and_the_rest_comes_back(
    archiver: Handler, user: str, server: servers.PostgreSQL, log_in: LogIn
) -> None:
    """A8: H7, what only superusers may make is in the warning of the archive and in the report of the restore."""
    database = make(archiver, user)
    with log_in(server.admin_user, server.admin_password, database) as raw:
        for statement in OF_SUPERUSERS.values():
            raw.execute(statement)
        raw.execute("CREATE FUNCTION usual(int) RETURNS int LANGUAGE sql AS 'SELECT 1'")
    with log_in(user, PASSWORD, database) as raw:
        raw.execute("CREATE TABLE t AS SELECT 1 AS x; CREATE INDEX ON t (x oc); CREATE TYPE pair AS (a int, b int);")
        raw.execute("CREATE SERVER sv FOREIGN DATA WRAPPER fw")
        raw.execute("CREATE USER MAPPING FOR CURRENT_USER SERVER sv OPTIONS (password 'fdw-Secret-77')")
        raw.execute("CREATE TYPE span AS RANGE (subtype = int)")
        raw.execute("CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int); CREATE CAST (pair AS text) WITH INOUT")
    told = list(archiver.archiver().losses(database))
    functions = {"function public.base_in(cstring)", "function public.base_out(public.base)"}
    families = {"operator family public.oc USING btree"}
    names = {text.removesuffix(", which only a superuser can make again").replace("pg_catalog.", "") for text in told}
    assert names == set(OF_SUPERUSERS) | functions | families
    made, receiver = gone(archiver, user, database)
    with pytest.raises(OperationError) as failed:
        archiver.archiver().restore(made, receiver, database)
    for said in ("FUNCTION public cf(integer): permission denied for language internal", "OPERATOR CLASS public oc",
                 "ACCESS METHOD - own", "USER MAPPING - "):  # fmt: skip
        assert said in str(failed.value)
    assert "fdw-Secret" not in str(failed.value)
    with log_in(user, PASSWORD, database) as raw:
        assert raw.execute("SELECT x, usual(x), (1, 2)::pair::text FROM t").fetchall() == [(1, 1, "(1,2)")]
        assert raw.execute("SELECT total(x) FROM t").fetchall() == [(1,)]
