"""What comes through an archive of PostgreSQL, and whose code never runs on the way."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

import servers
from dbroster.config import Connection
from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.errors import OperationError
from dbroster.model import User
from dbroster.secret import Secret
from tests.archiving import archive, archiving, there_and_back

ADMINS = ("superuser", "reader", "weak")
HOSTILE = "pw:with\\all' \"of:it"
LogIn = Callable[[str, str, str], psycopg.Connection]

CONTENT = """
    CREATE SCHEMA "Größe";
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE SEQUENCE counter START 41;
    CREATE TABLE "Größe"."täble 語" (id int PRIMARY KEY DEFAULT nextval('counter'), text text, feeling mood,
        double int GENERATED ALWAYS AS (id * 2) STORED, data bytea, CHECK (id > 0));
    CREATE INDEX "an ïndex" ON "Größe"."täble 語" (lower(text)) WHERE id > 3;
    CREATE FUNCTION twice(x int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN x * 2; END $$;
    CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.text := upper(NEW.text); RETURN NEW; END $$;
    CREATE TRIGGER loud BEFORE INSERT ON "Größe"."täble 語" FOR EACH ROW EXECUTE FUNCTION shout();
    CREATE VIEW seen AS SELECT id, twice(double) FROM "Größe"."täble 語";
    CREATE MATERIALIZED VIEW kept AS SELECT count(*) FROM "Größe"."täble 語";
    INSERT INTO "Größe"."täble 語" (text, feeling) SELECT 'zeile ' || n || E'\\n\\\\ \\'', 'bad'
        FROM generate_series(1, 1000) n;
    COMMENT ON TABLE "Größe"."täble 語" IS 'a comment';
"""

READ = (
    'SELECT t.* FROM "Größe"."täble 語" t ORDER BY id',
    "SELECT * FROM seen ORDER BY id",
    "SELECT last_value FROM counter",
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'Größe' ORDER BY 1",
    "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
    "SELECT pg_get_functiondef('twice'::regproc)",
    'SELECT obj_description(\'"Größe"."täble 語"\'::regclass)',
    "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
    " WHERE nspname IN ('public', 'Größe')",
    "SELECT lo_get(oid) FROM pg_largeobject_metadata",
)


@pytest.fixture(autouse=True)
def _own_programs(server: servers.PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the programs of the server's own major."""
    monkeypatch.setenv("PATH", f"{server.bindir}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture(params=ADMINS)
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
    database = make(archiver, user)
    large = os.urandom(10_000_000)
    with log_in(user, HOSTILE, database) as raw:
        raw.execute(CONTENT)
        raw.execute('INSERT INTO "Größe"."täble 語" (text, data) VALUES (%s, %s)', ("large", large))
        raw.execute("SELECT lo_from_bytea(0, 'large object')")
        before = [raw.execute(query).fetchall() for query in READ]
    made = there_and_back(archiver, user, HOSTILE, database)
    with log_in(user, HOSTILE, database) as raw:
        assert [raw.execute(query).fetchall() for query in READ] == before
        assert raw.execute('INSERT INTO "Größe"."täble 語" (text) VALUES (\'x\') RETURNING text').fetchall() == [("X",)]
    assert made.manifest.counts["entries"] > 10


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
    """An archive without it would not be whole."""
    with connect(archiving(describe(), tmp_path)) as handler:
        database = make(handler, user)
        with log_in(handler.connection.username, _admin_password(handler), database) as raw:
            raw.execute("CREATE TABLE of_the_dba (x int)")
        with pytest.raises(OperationError, match="permission denied"):
            handler.archive_database(user, database)
    assert database in superuser.get_existing_databases()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_database_that_its_owner_has_shut_is_archived(archiver: Handler, user: str, log_in: LogIn) -> None:
    database = make(archiver, user)
    with log_in(user, HOSTILE, "postgres") as raw:
        raw.execute(f'ALTER DATABASE "{database}" WITH CONNECTION LIMIT 0 ALLOW_CONNECTIONS false')
    archive(archiver, user, database)


def test_programs_that_are_missing_or_old_are_named(archiver: Handler, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    assert archiver.archiver().missing() == []
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    assert [text.split()[0] for text in archiver.archiver().missing()] == ["pg_dump", "pg_restore"]
    for name in ("pg_dump", "pg_restore"):
        (programs / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) 9.6.24'\n")
        (programs / name).chmod(0o755)
    assert all("older than the server" in text for text in archiver.archiver().missing())


def test_a_kill_leaves_a_closed_database_that_is_still_the_users(archiver: Handler, user: str, log_in: LogIn) -> None:
    database = make(archiver, user)
    archiver.archiver().close(user, database)
    with pytest.raises(psycopg.OperationalError):
        log_in(user, HOSTILE, database)
    existing = archiver.get_existing_databases()[database]
    assert (existing.owner, existing.granted) == (user, False)
    archiver.grant_privileges(user, database)
    log_in(user, HOSTILE, database).close()
