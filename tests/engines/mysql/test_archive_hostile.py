"""Archives of MySQL and MariaDB databases whose users want more than that: power, files, or that something is lost."""

import socket
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from dbroster.engines import connect
from dbroster.engines.mysql.archive.reading_account import READER, prefix_of, reader
from dbroster.engines.mysql.session import Session, logged_in
from dbroster.errors import OperationError
from dbroster.model.plan import Action
from dbroster.model.roster import User
from dbroster.passwords.secret import Secret
from tests.engines.mysql.conftest import PASSWORD, TEMPLATES, Site, give
from tests.engines.mysql.test_archive import fill, is_mariadb, least
from tests.support.archiving import archive, archiving, there_and_back

WITH_POWER = {
    "escape": "SELECT c LIKE 'b' ESCAPE fs() AS x FROM t",
    "where": "SELECT 1 AS x FROM t WHERE c LIKE 'b' ESCAPE fs()",
    "substring": "SELECT SUBSTR(c, fi()) AS x FROM t",
    "rounded": "SELECT ROUND(1.2345, fi()) AS x",
    "path": "SELECT EXTRACTVALUE('<a>1</a>', fx()) AS x",
}
"""Views whose constants MariaDB works out when it opens them."""

WITNESS = (
    "CREATE FUNCTION {} RETURNS {} DETERMINISTIC MODIFIES SQL DATA SQL SECURITY INVOKER BEGIN INSERT INTO witness"
    " VALUES (CURRENT_USER()); RETURN {}; END"
)


def test_no_function_of_a_users_runs_with_the_rights_of_the_admin(site: Site, tmp_path: Path) -> None:
    """A8: not when it is looked what an archive would lose, as a dry run does, nor by the dump program."""
    handler = site.archiving(tmp_path)
    user, database, tools = site.user(handler, "web", "tools")
    with site.setting("log_bin_trust_function_creators", "1", "0"):
        fill(
            site, user, PASSWORD, database, "CREATE TABLE witness (who TEXT) ENGINE = MyISAM",
            "CREATE TABLE t (c VARCHAR(20))", "INSERT INTO t VALUES ('b')",
            WITNESS.format("fs()", "CHAR(1)", "'|'"), WITNESS.format("fi()", "INT", "2"),
            WITNESS.format("fx()", "VARCHAR(9)", "'/a'"),
            *[f"CREATE SQL SECURITY INVOKER VIEW `{name}` AS {view}" for name, view in WITH_POWER.items()],
            "CREATE FUNCTION readonly() RETURNS CHAR(1) DETERMINISTIC SQL SECURITY INVOKER RETURN '|'",
            f"CREATE TABLE `{tools}`.there (c VARCHAR(20))", f"INSERT INTO `{tools}`.there VALUES ('c')",
            "CREATE SQL SECURITY INVOKER VIEW harmless AS"
            f" SELECT c, c LIKE 'b' ESCAPE readonly() AS x FROM `{tools}`.there",
            "TRUNCATE witness",
        )  # fmt: skip

        def strangers() -> set[str]:
            return {who for (who,) in site.dba.run(f"SELECT who FROM `{database}`.witness")} - {f"{user}@%"}

        said = list(handler.archiver().losses(database))
        assert strangers() == set()
        assert any("SQL SECURITY INVOKER" in text for text in said) is is_mariadb(handler)
        made = archive(handler, user, database)
        assert strangers() == set()
        assert not site.dba.run("SELECT User FROM mysql.user WHERE User LIKE 'dbroster-archive%'")
        handler.drop_database(user, database)
        for verb in handler.creation_order:
            handler.perform(Action(verb, user, database))
        handler.archiver().restore(made, User(user, Secret(PASSWORD), 1), database)
        assert site.dba.run_as(user, PASSWORD, f"SELECT c FROM `{database}`.harmless") == [("c",)]


def test_what_reads_for_an_archive_is_gone_after_the_next_one(mariadb: Site, tmp_path: Path) -> None:
    """A8: an account of a run that was killed; what another roster's sync is reading with stays."""
    handler = mariadb.archiving(tmp_path, least(mariadb))
    user, database = mariadb.user(handler, "web")
    left, others = f"{prefix_of(handler.connection.roster)}0123", f"{prefix_of('another')}0123"
    for name in (left, others):
        mariadb.dba.run(f"CREATE USER '{name}'@'%'")
    archive(handler, user, database)
    assert mariadb.dba.run("SELECT User FROM mysql.user WHERE User LIKE 'dbroster-archive%'") == [(others,)]
    mariadb.dba.run(f"DROP USER '{others}'@'%'")


def test_databases_are_archived_at_once(mariadb: Site, tmp_path: Path) -> None:
    """A8: none takes away the account that reads for another."""
    connection = archiving(mariadb.open(least(mariadb)).connection, tmp_path)
    with ExitStack() as stack:
        sessions = [stack.enter_context(closing(Session(mariadb.open(least(mariadb)).connection))) for _ in "ab"]
        readers = [stack.enter_context(reader(session, connection, [])) for session in sessions]
        for each in readers:
            with logged_in(each, READER) as session:
                assert session.rows("SELECT 1 AS one") == [{"one": 1}]


ONE = "\N{CJK UNIFIED IDEOGRAPH-7E17}"
"""A character whose last byte in gbk is a backslash."""


def test_what_was_made_in_a_character_set_that_programs_misread_comes_back(site: Site, tmp_path: Path) -> None:
    """A8: in gbk and others a byte of a character may be a backslash; then the client takes texts for statements."""
    handler = site.archiving(tmp_path, least(site))
    user = site.name()
    handler.create_user(user, Secret(PASSWORD))
    database, secret = give(handler, user), tmp_path / "secret"
    secret.write_text("of dbroster\n")
    assert ONE.encode("gbk").endswith(b"\\")
    texts = f"'{ONE}', ';;\nLOAD DATA LOCAL INFILE \"{secret}\" INTO TABLE loot ;;\n'"
    with site.setting("log_bin_trust_function_creators", "1", "0"), site.setting("local_infile", "1", "DEFAULT"):
        fill(site, user, PASSWORD, database, "CREATE TABLE loot (x TEXT)", "CREATE TABLE t (x TEXT)")
        with closing(site.dba.login(user, PASSWORD, database, charset="gbk")) as raw, raw.cursor() as cursor:
            for statement in (
                f"CREATE PROCEDURE p() SELECT {texts}", f"CREATE FUNCTION f() RETURNS TEXT RETURN '{ONE}'",
                f"CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET NEW.x = CONCAT(NEW.x, '{ONE}')",
                f"CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT {texts}",
                "INSERT INTO t VALUES ('x')", f"CREATE VIEW v AS SELECT '{ONE}' AS x",
            ):  # fmt: skip
                cursor.execute(statement)
        assert [text.partition(",")[0] for text in handler.archiver().losses(database)] == ["v"]
        there_and_back(handler, user, PASSWORD, database)
        assert not site.dba.run(f"SELECT x FROM `{database}`.loot")
        with closing(site.dba.login(user, PASSWORD, database, charset="utf8mb4")) as raw, raw.cursor() as cursor:
            cursor.execute("INSERT INTO t VALUES ('y')")
            cursor.execute("SELECT x FROM t UNION ALL SELECT f()")
            assert [text for (text,) in cursor.fetchall()] == [f"x{ONE}", f"y{ONE}", ONE]
            cursor.execute("CALL p()")
            assert cursor.fetchall()[0][0] == ONE
        events = f"SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '{database}'"
        assert site.dba.run(events) == [("e",)]


def test_the_client_reads_no_files_for_an_archive(site: Site, tmp_path: Path) -> None:
    """A8: whatever statements an archive holds, or a server asks for."""
    handler = site.archiving(tmp_path)
    user = site.name()
    handler.create_user(user, Secret(PASSWORD))
    database, secret = give(handler, user), tmp_path / "secret"
    secret.write_text("of dbroster\n")
    made = archive(handler, user, database)
    handler.grant_privileges(user, database)
    reads = f"LOAD DATA LOCAL INFILE '{secret}' INTO TABLE loot;"
    with made.path.open("a") as file:
        file.write(f"CREATE TABLE loot (x TEXT);\n{reads}\n-- Dump completed\n")
    with site.setting("local_infile", "1", "DEFAULT"), pytest.raises(OperationError, match="ERROR"):
        handler.archiver().restore(made, User(user, Secret(PASSWORD), 1), database)
    assert not site.dba.run(f"SELECT x FROM `{database}`.loot")


BYTES = {"cp1250": "81", "hebrew": "A1", "greek": "A4", "swe7": "7F", "gbk": "A140", "sjis": "8240", "ucs2": "D800"}


def test_texts_that_unicode_does_not_know_come_back_byte_by_byte(site: Site, tmp_path: Path) -> None:
    """A8: on the way through UTF-8 each would be a question mark; with a trigger, a view and a default of that kind."""
    handler = site.archiving(tmp_path, least(site))
    user, database = site.user(handler, "web")

    def asked(*statements: str) -> list[tuple[object, ...]]:
        with closing(site.dba.login(user, PASSWORD, database, charset="utf8mb4")) as raw, raw.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    texts = " UNION ALL ".join(f"SELECT '{name}', id, HEX(x) FROM `tä {name}`" for name in BYTES)
    columns = "SELECT id, HEX(y), HEX(z), HEX(e) FROM `tä cp1250`"
    with site.setting("log_bin_trust_function_creators", "1", "0"):
        asked(
            *[f"CREATE TABLE `tä {name}` (id INT, x VARCHAR(9) CHARACTER SET {name})" for name in BYTES],
            *[f"INSERT INTO `tä {name}` VALUES (1, X'{text}')" for name, text in BYTES.items()],
            "ALTER TABLE `tä cp1250` ADD y VARCHAR(9) CHARACTER SET cp1250 DEFAULT 'ž', ADD z BLOB,"
            " ADD e ENUM('ž', 'x') CHARACTER SET cp1250 DEFAULT 'ž'", "UPDATE `tä cp1250` SET z = X'00FF5C27'",
            "CREATE TRIGGER r BEFORE INSERT ON `tä cp1250` FOR EACH ROW SET NEW.id = NEW.id + 1",
            "CREATE VIEW v AS SELECT id FROM `tä cp1250`",
        )  # fmt: skip
        before = asked(texts)
        assert asked(columns) == [(1, "9E", "00FF5C27", "9E")]
        there_and_back(handler, user, PASSWORD, database)
        assert asked(texts) == before
        assert asked("INSERT INTO `tä cp1250` (id) VALUES (1)", f"{columns} ORDER BY id") == [
            (1, "9E", "00FF5C27", "9E"), (2, "9E", None, "9E"),
        ]  # fmt: skip
        assert sorted(asked("SELECT id FROM v")) == [(1,), (2,)]


def test_what_users_may_not_do_has_to_be_read_all_the_same(site: Site, tmp_path: Path) -> None:
    """C7: with few `privileges` the admin lacks what an archive needs, which is said before a run has begun."""
    few = {"privileges": ("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "INDEX")}
    user, login = site.name(), (site.name(), PASSWORD)
    site.dba.run(f"CREATE USER '{login[0]}'@'%' IDENTIFIED BY '{PASSWORD}'")
    with connect(site.connection(login, options=few)) as handler:
        site.dba.run(*handler.missing_privileges(TEMPLATES))
    handler = site.archiving(tmp_path, login, options=few)
    handler.create_user(user, Secret(PASSWORD))
    database = give(handler, user)
    site.dba.run_as(user, PASSWORD, f"CREATE TABLE `{database}`.t AS SELECT 1 AS a")
    missing = handler.archiver().missing()
    assert any("EVENT" in text and "WITH GRANT OPTION" in text for text in missing)
    site.dba.run(*missing)
    handler = site.archiving(tmp_path, login, options=few)
    assert handler.archiver().missing() == []
    there_and_back(handler, user, PASSWORD, database)
    assert site.dba.run_as(user, PASSWORD, f"SELECT a FROM `{database}`.t") == [(1,)]


def test_what_is_slow_to_work_out_holds_no_run_up(site: Site, tmp_path: Path) -> None:
    """S4: an XPath in a generated column: neither KILL nor a limit of time ends it, and every run has waited for it."""
    handler = site.archiving(tmp_path)
    user, database = site.user(handler, "web")
    path = "EXTRACTVALUE(CONCAT('<a>', REPEAT('<b><c/></b>', n), '</a>'), 'count(//*[count(//*)>count(//*)])')"
    site.dba.run_as(
        user, PASSWORD, f"CREATE TABLE {database}.t (n INT, x INT AS ({path}) STORED)",
        f"INSERT INTO {database}.t (n) VALUES (100)",
    )  # fmt: skip
    (told,) = handler.archiver().losses(database)
    assert "t.x" in told
    assert "extractvalue, which may take for ever" in told
    there_and_back(handler, user, PASSWORD, database)


def test_a_look_that_the_server_does_not_finish_is_that_database_s_failure(site: Site, tmp_path: Path) -> None:
    """S4, S5: the session of the run is another one, which works on, and holds the lock of the sync."""
    handler, user = site.open(), site.name()
    handler.connection = archiving(handler.connection._replace(timeout=2), tmp_path)
    handler.create_user(user, Secret(PASSWORD))
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        handler.connection = handler.connection._replace(host="127.0.0.1", port=port, connect_timeout=1)
        with pytest.raises(OperationError, match="the login was not over"):
            list(handler.archiver().losses(give(handler, user)))
    assert handler.get_existing_users()[user].managed


def test_a_table_whose_rows_are_on_a_silent_server_is_not_read(mariadb: Site, tmp_path: Path) -> None:
    """S5: FEDERATED, where a DBA has loaded it; the look at such a table ended every run."""
    handler, user, other = mariadb.open(timeout=8), mariadb.name(), mariadb.name()
    handler.connection = archiving(handler.connection, tmp_path)
    handler.create_user(user, Secret(PASSWORD))
    database, run = give(handler, user), mariadb.dba.run
    run("INSTALL SONAME 'ha_federatedx'", f"CREATE DATABASE {other}", f"CREATE TABLE {other}.src (a INT)")
    run(f"CREATE USER {other}@'%' IDENTIFIED BY '{PASSWORD}'", f"GRANT ALL ON {other}.* TO {other}@'%'")
    remote = f"mysql://{other}:{PASSWORD}@127.0.0.1:{mariadb.server.port}/{other}/src"
    try:
        run(
            f"CREATE TABLE {database}.t AS SELECT 1 AS a",
            f"CREATE TABLE {database}.f (a INT) ENGINE = FEDERATED CONNECTION = '{remote}'", "FLUSH TABLES",
        )  # fmt: skip
        with closing(mariadb.dba.login(mariadb.server.admin_user, mariadb.server.admin_password)) as silent:
            silent.query(f"LOCK TABLES {other}.src WRITE")
            (told,) = handler.archiver().losses(database)
            assert told.startswith("f, which can't be read: its rows are elsewhere")
            there_and_back(handler, user, PASSWORD, database)
        assert run(f"SELECT a FROM {database}.t") == [(1,)]
    finally:
        run(f"DROP TABLE IF EXISTS {database}.f", "UNINSTALL SONAME 'ha_federatedx'")
