"""What comes through an archive of PostgreSQL, and whose code never runs on the way."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

import servers
from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.engines.postgresql import client_programs as postgresql_programs
from dbroster.engines.postgresql.archive.archiver import PostgreSQLArchiver
from dbroster.errors import OperationError
from dbroster.model.connection import Connection, Tls
from dbroster.model.roster import User
from dbroster.passwords.secret import Secret
from tests.engines.postgresql.conftest import UNLIKE
from tests.engines.postgresql.content import CONTENT, READ, settings
from tests.support.archiving import archive, archiving, there_and_back

HOSTILE = "pw:with\\all' \"of:it"
LogIn = Callable[[str, str, str], psycopg.Connection]


@pytest.fixture(autouse=True)
def _own_programs(server: servers.PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the programs of the server's own major."""
    monkeypatch.setenv("PATH", f"{server.bindir}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture(params=UNLIKE)
def archiver(request: pytest.FixtureRequest, describe: Callable[..., Connection], tmp_path: Path) -> Iterator[Handler]:
    with connect(archiving(describe(request.param), tmp_path)) as handler:
        yield handler


def make(handler: Handler, user: str) -> str:
    database = f"{user}_web"
    handler.create_user(user, Secret(HOSTILE))
    handler.create_database(user, database)
    handler.grant_privileges(user, database)
    return database


def test_everything_comes_back_as_it_was(archiver: Handler, user: str, log_in: LogIn) -> None:
    """A8: what an owner can make comes back, with the settings of the database."""
    database = make(archiver, user)
    large = os.urandom(10_000_000)
    with log_in(user, HOSTILE, database) as raw:
        raw.execute(CONTENT)
        raw.execute('INSERT INTO "Größe"."täble 語" (text, data) VALUES (%s, %s)', ("large", large))
        for statement in settings(user, database):
            raw.execute(statement)
        before = [raw.execute(query).fetchall() for query in READ]
    made = there_and_back(archiver, user, HOSTILE, database)
    with log_in(user, HOSTILE, database) as raw:
        assert [raw.execute(query).fetchall() for query in READ] == before
        assert raw.execute('INSERT INTO "Größe"."täble 語" (text) VALUES (\'x\') RETURNING text').fetchall() == [("X",)]
    assert made.manifest.counts["entries"] > 10


def test_an_archive_has_one_table_of_contents(describe: Callable[..., Connection], user: str, tmp_path: Path,
    log_in: LogIn) -> None:  # fmt: skip
    """A8: pg_dump 17 and newer appends to its standard output; a second table behind the data hides that it was cut."""
    with connect(archiving(describe(), tmp_path)) as handler:
        database = make(handler, user)
        with log_in(user, HOSTILE, database) as raw:
            raw.execute("CREATE TABLE once (a int)")
        assert archive(handler, user, database).path.read_bytes().count(b"COPY public.once") == 1


def test_an_empty_database_comes_back(archiver: Handler, user: str) -> None:
    there_and_back(archiver, user, HOSTILE, make(archiver, user))


def test_a_hostile_owners_code_never_runs_as_the_admin(archiver: Handler, user: str, log_in: LogIn) -> None:
    """The functions note who runs them, in a table; a dump must not call one, nor a restore as anybody but the user."""
    database = make(archiver, user)
    with log_in(user, HOSTILE, database) as raw:
        raw.execute("""
            CREATE TABLE witness (who name, login name);
            CREATE FUNCTION note() RETURNS int LANGUAGE plpgsql AS
                $$ BEGIN INSERT INTO public.witness VALUES (current_user, session_user); RETURN 1; END $$;
            CREATE FUNCTION equal(name, text) RETURNS bool LANGUAGE sql AS 'SELECT public.note() = 1';
            CREATE OPERATOR = (LEFTARG = name, RIGHTARG = text, FUNCTION = equal);
            CREATE TABLE pg_class (relname name);
            CREATE MATERIALIZED VIEW eager AS SELECT public.note() AS one;
            CREATE TABLE checked (x int CHECK (public.note() = 1));
            INSERT INTO checked VALUES (1);
            TRUNCATE witness;
        """)
        raw.execute(f'ALTER DATABASE "{database}" SET search_path = public, pg_catalog')
    made = archive(archiver, user, database)
    with log_in(archiver.connection.username, _admin_password(archiver), database) as raw:
        assert raw.execute("SELECT * FROM public.witness").fetchall() == []
    archiver.drop_database(user, database)
    archiver.create_database(user, database)
    archiver.grant_privileges(user, database)
    archiver.archiver().restore(made, User(user, Secret(HOSTILE), 1), database)
    with log_in(user, HOSTILE, database) as raw:
        assert raw.execute("SELECT DISTINCT who, login FROM witness").fetchall() in ([], [(user, user)])


def _admin_password(handler: Handler) -> str:
    password = handler.connection.password
    assert password
    return password.reveal()


def test_what_the_user_does_not_own_stops_the_archive(superuser: Handler, user: str, tmp_path: Path, log_in: LogIn,
    describe: Callable[..., Connection]) -> None:  # fmt: skip
    """B4: an archive without it would not be whole; another user let in could stop one, so cause and cure are named."""
    with connect(archiving(describe(), tmp_path)) as handler:
        database = make(handler, user)
        with log_in(handler.connection.username, _admin_password(handler), database) as raw:
            raw.execute("CREATE TABLE of_the_dba (x int)")
        cure = f'ALTER TABLE public.of_the_dba OWNER TO "{user}"'
        with pytest.raises(OperationError, match=f"permission denied.*of_the_dba belongs to .* run {cure}"):
            handler.archive_database(user, database)
        with log_in(handler.connection.username, _admin_password(handler), database) as raw:
            raw.execute("DROP TABLE of_the_dba")
            raw.execute("SELECT lo_create(4711)")
        cure = f'ALTER LARGE OBJECT 4711 OWNER TO "{user}"; or SELECT pg_catalog.lo_unlink\\(4711\\)'
        with pytest.raises(OperationError, match=f"permission denied.*LARGE OBJECT 4711 belongs to .* run {cure}"):
            handler.archive_database(user, database)
    assert database in superuser.get_existing_databases()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_a_dba_is_told_to_run_calls_no_function_of_a_users(
    superuser: Handler, user: str, tmp_path: Path, log_in: LogIn
) -> None:
    """Q11, C8: a function whose parameter fits better would be taken instead of the server's."""
    with connect(archiving(superuser.connection, tmp_path)) as handler:
        database = make(handler, user)
        with log_in(user, HOSTILE, database) as raw:
            raw.execute("CREATE FUNCTION lo_unlink(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RAISE ''mine''; END'")
        with log_in(handler.connection.username, _admin_password(handler), database) as raw:
            raw.execute("SELECT lo_create(4712)")
        with pytest.raises(OperationError) as refused:
            handler.archive_database(user, database)
        with log_in(handler.connection.username, _admin_password(handler), database) as raw:
            raw.execute(str(refused.value).rpartition(" or ")[2])
        handler.archive_database(user, database)


def test_rows_of_a_friends_table_that_its_owner_may_not_see_are_named(
    superuser: Handler, user: str, tmp_path: Path, log_in: LogIn
) -> None:
    """Q3, B4: row level security in a table of somebody whom the owner has let in; the cure makes it his."""
    with connect(archiving(superuser.connection, tmp_path)) as handler:
        database, friend = make(handler, user), f"{user}x"
        handler.create_user(friend, Secret(HOSTILE))
        with log_in(user, HOSTILE, database) as raw:
            raw.execute(f"GRANT CONNECT ON DATABASE {database} TO {friend}; GRANT ALL ON SCHEMA public TO {friend}")
        with log_in(friend, HOSTILE, database) as raw:
            raw.execute("CREATE TABLE r AS SELECT 7 AS x; ALTER TABLE r ENABLE ROW LEVEL SECURITY")
            raw.execute(f"GRANT SELECT ON r TO {user}")
        cure = f'ALTER TABLE public.r OWNER TO "{user}"'
        with pytest.raises(OperationError, match=f"row-level security.*r belongs to {friend}: .* run {cure}"):
            handler.archive_database(user, database)
        with log_in(handler.connection.username, _admin_password(handler), database) as raw:
            raw.execute(cure)
        assert there_and_back(handler, user, HOSTILE, database).manifest.counts["entries"] > 0


def test_values_that_a_restore_computes_by_a_users_function_are_told(
    archiver: Handler, user: str, log_in: LogIn
) -> None:
    """Q4, Q13, A8: it may say that it is immutable, and depend on the time zone of who has written the row."""
    database = make(archiver, user)
    with log_in(user, HOSTILE, database) as raw:
        raw.execute("CREATE TABLE plain (a int, b int GENERATED ALWAYS AS (a + 1) STORED)")
        assert list(archiver.archiver().losses(database)) == []
        raw.execute("CREATE FUNCTION day(timestamptz) RETURNS date IMMUTABLE LANGUAGE sql AS 'SELECT $1::date'")
        raw.execute("CREATE TABLE g (at timestamptz, day date GENERATED ALWAYS AS (day(at)) STORED)")
    (told,) = archiver.archiver().losses(database)
    function = "day(timestamp with time zone)"
    assert told == f"the values of public.g.day, which a restore computes anew by public.{function}"


def test_setting_of_any_length_keeps_no_database(archiver: Handler, user: str, log_in: LogIn) -> None:
    """X5, B4: an owner may give one a gigabyte, which neither this machine nor a manifest would hold."""
    database = make(archiver, user)
    with log_in(user, HOSTILE, database) as raw:
        raw.execute(
            "DO $$ BEGIN EXECUTE"
            " format('ALTER DATABASE %I SET search_path TO %L', current_database(), repeat('x', 20000000)); END $$"
        )
    assert "search_path of the database, which has more than" in "; ".join(archiver.archiver().losses(database))
    assert there_and_back(archiver, user, HOSTILE, database).manifest.settings["database"] == []


def test_names_that_look_like_ends_of_lines_come_back(archiver: Handler, user: str, log_in: LogIn) -> None:
    """A8: what an owner writes into a name is no line of the list that pg_restore is given."""
    database = make(archiver, user)
    names = [f"a{end}5; 0 0 EXTENSION - forged {user}" for end in "\u2028\u2029\x85\v\f\x1c\r\n"]
    with log_in(user, HOSTILE, database) as raw:
        for name in (sql.Identifier(name) for name in names):
            raw.execute(sql.SQL("CREATE SCHEMA {}").format(name))
            raw.execute(sql.SQL("CREATE TABLE {} AS SELECT 7 AS x").format(name))
            raw.execute(sql.SQL("CREATE TABLE {} AS SELECT 7 AS x").format(sql.SQL("{}.t").format(name)))
    there_and_back(archiver, user, HOSTILE, database)
    with log_in(user, HOSTILE, database) as raw:
        for name in map(sql.Identifier, names):
            found = raw.execute(sql.SQL("SELECT * FROM {} NATURAL JOIN {}.t").format(name, name)).fetchall()
            assert found == [(7,)]


def test_a_database_that_its_owner_has_shut_is_archived(archiver: Handler, user: str, log_in: LogIn) -> None:
    database = make(archiver, user)
    with log_in(user, HOSTILE, "postgres") as raw:
        raw.execute(f'ALTER DATABASE "{database}" WITH CONNECTION LIMIT 0 ALLOW_CONNECTIONS false')
    archive(archiver, user, database)


def test_a_superusers_session_in_the_database_is_named(
    archiver: Handler, user: str, server: servers.PostgreSQL, log_in: LogIn
) -> None:
    """C8, B4: who may not end a DBA's session says whose it is, its pid, and the statement; nothing is dropped."""
    database = make(archiver, user)
    archiver.lock_user(user)
    with log_in(server.admin_user, server.admin_password, database) as raw:
        if archiver.connection.username == server.admin_user:
            archiver.archive_database(user, database)
            return
        statement = rf"SELECT pg_catalog.pg_terminate_backend\({raw.info.backend_pid}\);"
        for act in (archiver.archive_database, archiver.drop_database):
            with pytest.raises(OperationError, match=f"a session of {server.admin_user} in {database}.*{statement}"):
                act(user, database)
        raw.execute("SELECT 1")
    archiver.archive_database(user, database)
    archiver.drop_database(user, database)
    assert database not in archiver.get_existing_databases()


def test_what_is_no_client_stops_no_archive(archiver: Handler, user: str, server: servers.PostgreSQL) -> None:
    """C8: only clients are ended; an autovacuum worker or a walsender disturbs no archive, and most may not."""
    database = make(archiver, user)
    archiver.lock_user(user)
    place = f"host={server.host} port={server.port} dbname={database} replication=database"
    with psycopg.connect(place, user=server.admin_user, password=server.admin_password, autocommit=True) as walsender:
        archiver.archive_database(user, database)
        assert walsender.pgconn.status == psycopg.pq.ConnStatus.OK


def test_programs_that_are_missing_are_named(archiver: Handler, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """A9: found at the start, not when the database has been dropped."""
    assert archiver.archiver().missing() == []
    monkeypatch.setattr(postgresql_programs, "_PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    (text,) = archiver.archiver().missing()
    assert "not installed" in text


@pytest.mark.parametrize("bindir", servers.wheel_bindirs(), ids=lambda path: str(path.parent.name))
def test_newer_programs_make_what_can_be_restored_or_are_refused(describe: Callable[..., Connection], user: str,
    log_in: LogIn, bindir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """A9: with the programs of another major alone. They are built without TLS."""
    monkeypatch.setattr(postgresql_programs, "_PLACES", ())
    monkeypatch.setenv("PATH", str(bindir))
    with connect(archiving(describe("weak", tls=Tls()), tmp_path)) as handler:
        refused = handler.archiver().missing()
        if refused:
            assert "install PostgreSQL's client programs of version" in refused[0]
            return
        database = make(handler, user)
        with log_in(user, HOSTILE, database) as raw:
            raw.execute(CONTENT)
            before = [raw.execute(query).fetchall() for query in READ]
        there_and_back(handler, user, HOSTILE, database)
    with log_in(user, HOSTILE, database) as raw:
        assert [raw.execute(query).fetchall() for query in READ] == before


OBSTACLES = {
    "local_preload_libraries": "nope", "statement_timeout": "1ms", "lock_timeout": "1ms", "role": "pg_monitor",
    "default_transaction_read_only": "on", "search_path": "nowhere", "row_security": "off",
    "default_transaction_isolation": "serializable", "lc_monetary": "nope", "idle_in_transaction_session_timeout": "1",
}  # fmt: skip


def test_an_owners_settings_stop_no_archive_and_come_back(archiver: Handler, user: str, log_in: LogIn) -> None:
    """A8, B4: of the database, and of the account in there."""
    database = make(archiver, user)
    with log_in(user, HOSTILE, database) as raw:
        raw.execute("CREATE TABLE t AS SELECT n, n::numeric::money AS money FROM generate_series(1, 50000) n")
        for name, value in OBSTACLES.items():
            with suppress(psycopg.errors.InvalidParameterValue):
                raw.execute(f"ALTER DATABASE \"{database}\" SET {name} = '{value}'")
            with suppress(psycopg.errors.InvalidParameterValue):
                raw.execute(f'ALTER ROLE "{user}" IN DATABASE "{database}" SET {name} = \'{value}\'')
        before = stored_settings(raw, database)
    there_and_back(archiver, user, HOSTILE, database)
    with log_in(user, HOSTILE, "postgres") as raw:
        assert stored_settings(raw, database) == before
    with connect(archiving(archiver.connection, Path("/nowhere"))) as handler:
        assert list(handler.archiver().losses(database)) == []


def test_no_setting_of_an_owners_decides_how_an_archive_is_made(archiver: Handler, user: str, log_in: LogIn) -> None:
    """B4, C1: without joins and indexes pg_dump works for hours; whatever he may set is as it is elsewhere."""
    database = make(archiver, user)
    query = "SELECT name, setting FROM pg_settings WHERE vartype = 'bool' OR name ~ 'cost|limit' ORDER BY 1"
    with log_in(user, HOSTILE, "postgres") as raw:
        changed = []
        for name, setting in raw.execute(query).fetchall():
            other = {"on": "off", "off": "on"}.get(setting, "2")
            with suppress(psycopg.Error):
                raw.execute(f"ALTER DATABASE \"{database}\" SET {name} = '{other}'")
                changed.append(name)
        assert {"enable_hashjoin", "random_page_cost", "join_collapse_limit"} <= set(changed)
        usual: dict[str, str] = dict(raw.execute(query).fetchall())
    own = archiver.archiver()
    assert isinstance(own, PostgreSQLArchiver)
    with own._enter(database) as raw:
        told = dict(raw.execute(query).fetchall())
        changed.remove("jit")  # dbroster's own sessions are without
        assert {name: told[name] for name in changed} == {name: usual[name] for name in changed}
    there_and_back(archiver, user, HOSTILE, database)


def stored_settings(raw: psycopg.Connection, database: str) -> list[tuple[object, ...]]:
    query = (
        "SELECT setrole::regrole::text, unnest(setconfig) FROM pg_db_role_setting JOIN pg_database d"
        " ON d.oid = setdatabase WHERE datname = %s AND setrole::regrole::text NOT LIKE '%%dbroster%%' ORDER BY 1, 2"
    )
    return raw.execute(query, [database]).fetchall()


def test_row_level_security_hides_nothing_from_an_archive(archiver: Handler, user: str, log_in: LogIn) -> None:
    """B4: FORCE ROW LEVEL SECURITY hides rows from the owner, and pg_dump refuses that."""
    database = make(archiver, user)
    with log_in(user, HOSTILE, database) as raw:
        raw.execute("""
            CREATE SCHEMA "od d";
            CREATE TABLE "od d"."ta.ble" (a int); INSERT INTO "od d"."ta.ble" VALUES (1), (2);
            ALTER TABLE "od d"."ta.ble" ENABLE ROW LEVEL SECURITY; ALTER TABLE "od d"."ta.ble" FORCE ROW LEVEL SECURITY;
            CREATE POLICY visible ON "od d"."ta.ble" USING (a = 1);
            CREATE TABLE parts (a int) PARTITION BY LIST (a); CREATE TABLE part PARTITION OF parts FOR VALUES IN (1);
            INSERT INTO parts VALUES (1);
            ALTER TABLE parts ENABLE ROW LEVEL SECURITY; ALTER TABLE parts FORCE ROW LEVEL SECURITY;
        """)
    made = there_and_back(archiver, user, HOSTILE, database)
    assert made.manifest.settings["force_row_security"] == [["od d", "ta.ble"], ["public", "parts"]]
    query = "SELECT relname FROM pg_class WHERE relforcerowsecurity ORDER BY 1"
    with log_in(user, HOSTILE, database) as raw:
        assert raw.execute(query).fetchall() == [("parts",), ("ta.ble",)]
        assert raw.execute('SELECT a FROM "od d"."ta.ble"').fetchall() == [(1,)]
        raw.execute('ALTER TABLE "od d"."ta.ble" NO FORCE ROW LEVEL SECURITY')
        assert raw.execute('SELECT count(*) FROM "od d"."ta.ble"').fetchall() == [(2,)]


def test_what_its_owner_has_no_rights_on_is_archived(archiver: Handler, user: str, log_in: LogIn) -> None:
    """B4: rights that an owner has taken from himself, also by the schema, keep nothing out of an archive."""
    database = make(archiver, user)
    with log_in(user, HOSTILE, database) as raw:
        raw.execute("""
            CREATE TABLE "T 1" (a int); INSERT INTO "T 1" VALUES (1); CREATE SEQUENCE s; SELECT nextval('s');
            CREATE VIEW v AS SELECT 1 AS a;
            CREATE SCHEMA "od d"; CREATE TABLE "od d".parts (a int) PARTITION BY LIST (a);
            CREATE TABLE "od d".part PARTITION OF "od d".parts FOR VALUES IN (2); INSERT INTO "od d".parts VALUES (2);
            SELECT lo_from_bytea(4711, 'large');
            REVOKE ALL ON ALL TABLES IN SCHEMA public, "od d" FROM PUBLIC, CURRENT_USER;
            REVOKE ALL ON SEQUENCE s FROM CURRENT_USER; REVOKE ALL ON LARGE OBJECT 4711 FROM CURRENT_USER;
            REVOKE ALL ON SCHEMA "od d" FROM CURRENT_USER;
        """)
        if raw.info.server_version >= 150000:
            raw.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC, pg_database_owner")
    there_and_back(archiver, user, HOSTILE, database)
    with log_in(user, HOSTILE, database) as raw:
        rows = raw.execute(
            'SELECT a FROM "T 1" UNION ALL SELECT a FROM "od d".parts UNION ALL SELECT a FROM v'
        ).fetchall()
        assert sorted(rows) == [(1,), (1,), (2,)]
        assert raw.execute("SELECT last_value, lo_get(4711) FROM s").fetchall() == [(1, b"large")]


def test_members_of_an_extension_that_are_the_users_own_are_archived(
    archiver: Handler, user: str, log_in: LogIn
) -> None:
    """A8, K8: pg_dump leaves an extension's members to the extension, which knows nothing of a user's own."""
    database = make(archiver, user)
    with log_in(user, HOSTILE, database) as raw:
        if not raw.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'hstore'").fetchall():
            raw.execute("CREATE TABLE member AS SELECT 7 AS a")  # programs without contrib
        else:
            raw.execute("""
                CREATE EXTENSION hstore; CREATE TABLE member AS SELECT 7 AS a; CREATE SEQUENCE "S q";
                CREATE FUNCTION own(int) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TYPE pair AS (a int, b int);
                ALTER EXTENSION hstore ADD TABLE member; ALTER EXTENSION hstore ADD SEQUENCE "S q";
                ALTER EXTENSION hstore ADD FUNCTION own(int); ALTER EXTENSION hstore ADD TYPE pair;
                CREATE CAST (pair AS text) WITH INOUT; ALTER EXTENSION hstore ADD CAST (pair AS text);
            """)
    there_and_back(archiver, user, HOSTILE, database)
    with log_in(user, HOSTILE, database) as raw:
        assert raw.execute("SELECT a FROM member").fetchall() == [(7,)]
        if raw.execute("SELECT 1 FROM pg_extension WHERE extname = 'hstore'").fetchall():
            assert raw.execute("SELECT own(1), (1, 2)::pair::text, 'a=>1'::hstore -> 'a' FROM \"S q\"").fetchall()
            assert raw.execute("SELECT castmethod FROM pg_cast WHERE castsource = 'pair'::regtype").fetchall()


def test_row_level_security_is_as_before_when_an_archive_fails(superuser: Handler, user: str, tmp_path: Path,
    log_in: LogIn, describe: Callable[..., Connection]) -> None:  # fmt: skip
    """B4: what was lifted for pg_dump is set again."""
    with connect(archiving(describe(), tmp_path)) as handler:
        database = make(handler, user)
        with log_in(user, HOSTILE, database) as raw:
            raw.execute("CREATE TABLE t (a int); ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        with log_in(handler.connection.username, _admin_password(handler), database) as raw:
            raw.execute("CREATE TABLE of_the_dba (x int)")
        with pytest.raises(OperationError, match="permission denied"):
            handler.archive_database(user, database)
        with log_in(handler.connection.username, _admin_password(handler), database) as raw:
            assert raw.execute("SELECT relforcerowsecurity FROM pg_class WHERE relname = 't'").fetchall() == [(True,)]


def test_what_only_a_superuser_can_make_is_said_and_stops_no_restore(superuser: Handler, user: str, tmp_path: Path,
    log_in: LogIn, describe: Callable[..., Connection]) -> None:  # fmt: skip
    """A8: named before the drop and by a restore, which brings the rest; an extension has to be there first."""
    with connect(archiving(describe(), tmp_path)) as handler:
        database = make(handler, user)
        dba = (handler.connection.username, _admin_password(handler), database)
        with log_in(*dba) as raw:
            raw.execute("CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'")
            raw.execute(f'ALTER FUNCTION note() OWNER TO "{user}"; CREATE PUBLICATION everything FOR ALL TABLES')
            raw.execute('CREATE EVENT TRIGGER "no ted" ON ddl_command_start EXECUTE FUNCTION note()')
            raw.execute("COMMENT ON EVENT TRIGGER \"no ted\" IS 'x'; CREATE FOREIGN DATA WRAPPER wrapped")
            raw.execute(f"ALTER DATABASE \"{database}\" SET log_statement = 'all'")
            ((extension,),) = raw.execute("SELECT coalesce(min(name), '') FROM pg_available_extensions"
                                          " WHERE name = 'pageinspect'").fetchall()  # fmt: skip
            if extension:
                raw.execute("CREATE EXTENSION pageinspect; COMMENT ON EXTENSION pageinspect IS 'x'")
        with log_in(user, HOSTILE, database) as raw:
            raw.execute("CREATE TABLE t AS SELECT 1 AS a; CREATE PUBLICATION own FOR TABLE t")
        said = "; ".join(handler.archiver().losses(database))
        for name in ('event trigger "no ted"', "publication everything", "wrapper wrapped", "log_statement", extension):
            assert name in said
        made = archive(handler, user, database)
        handler.drop_database(user, database)
        handler.create_database(user, database)
        handler.grant_privileges(user, database)
        receiver = User(user, Secret(HOSTILE), 1)
        if extension:
            with pytest.raises(OperationError, match='run CREATE EXTENSION "pageinspect"'):
                handler.archiver().restore(made, receiver, database)
            with log_in(*dba) as raw:
                raw.execute("CREATE EXTENSION pageinspect")
        assert handler.archiver().is_empty(receiver, database)
        missing = (
            "EVENT TRIGGER - no ted: .*PUBLICATION - everything: |PUBLICATION - everything: .*EVENT TRIGGER - no ted"
        )
        with pytest.raises(OperationError, match=missing):
            handler.archiver().restore(made, receiver, database)
        with log_in(user, HOSTILE, database) as raw:
            assert raw.execute("SELECT * FROM t").fetchall() == [(1,)]
            assert raw.execute("SELECT pubname FROM pg_publication").fetchall() == [("own",)]


SOMETHING = (
    "CREATE TABLE t (a int)", "CREATE VIEW v AS SELECT 1", "CREATE SEQUENCE s", "CREATE DOMAIN d AS int",
    "CREATE TYPE e AS ENUM ()", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "CREATE SCHEMA s",
    "SELECT lo_create(0)", "CREATE PUBLICATION p", "CREATE COLLATION c FROM \"C\"",
    "CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)",
    "CREATE TEXT SEARCH CONFIGURATION c (COPY = simple)",
    "CREATE AGGREGATE a (int) (SFUNC = int4pl, STYPE = int)",
)  # fmt: skip


def test_nothing_is_restored_into_a_database_that_holds_anything(handler: Handler, user: str, log_in: LogIn) -> None:
    """E1: whatever a user can make counts."""
    database = make(handler, user)
    receiver = User(user, Secret(HOSTILE), 1)
    assert handler.archiver().is_empty(receiver, database)
    with log_in(user, HOSTILE, database) as raw:
        for statement in SOMETHING:
            raw.execute("BEGIN")
            raw.execute(statement)
            raw.execute("COMMIT")
            assert not handler.archiver().is_empty(receiver, database), statement
            raw.execute("DROP OWNED BY CURRENT_USER")
            raw.execute("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")


def test_a_kill_leaves_a_closed_database_that_is_still_the_users(archiver: Handler, user: str, log_in: LogIn) -> None:
    database = make(archiver, user)
    archiver.archiver().close(user, database)
    with pytest.raises(psycopg.OperationalError):
        log_in(user, HOSTILE, database)
    existing = archiver.get_existing_databases()[database]
    assert (existing.owner, existing.granted) == (user, False)
    archiver.grant_privileges(user, database)
    log_in(user, HOSTILE, database).close()
