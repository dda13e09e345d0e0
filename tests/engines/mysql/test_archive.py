"""What comes through an archive of MySQL and MariaDB."""

import io
import os
import re
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from dbroster.engines.mysql.archive import archiver
from dbroster.engines.mysql.archive.contents import longest_statement
from dbroster.engines.mysql.family import MySQLFamily
from dbroster.errors import OperationError, Stalled
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Status
from dbroster.model.roster import User
from dbroster.passwords.secret import Secret
from tests.engines.mysql.conftest import PASSWORD, Site, give
from tests.engines.mysql.content import BOTH, ONLY_MYSQL, only_mariadb, state
from tests.support.archiving import archive, archiving, there_and_back

HOSTILE = "p\\w:'w\"i#th all"


def least(site: Site) -> tuple[str, str]:
    """An admin with the least privileges, and what `missing` asks for besides."""
    login = site.least()
    handler = site.open(login)
    site.dba.run(*handler.archiver().missing())
    assert handler.archiver().missing() == []
    return login


def fill(
    site: Site, user: str, password: str, database: str, *statements: str, history: bool = True
) -> dict[str, object]:
    """Run statements as the user, and return all that can be read afterwards."""
    with closing(site.dba.login(user, password, database, charset="utf8mb4")) as raw, raw.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return state(cursor, history=history)


def is_mariadb(handler: MySQLFamily) -> bool:
    return "MariaDB" in handler.server().product


def loses_history(handler: MySQLFamily) -> bool:
    """Before 10.11 no program writes the history of MariaDB's system-versioned tables."""
    return is_mariadb(handler) and handler._facts.version < (10, 11)


def history_of(*tables: str) -> list[str]:
    return [f"the history of the system-versioned table {name}" for name in tables]


def test_everything_comes_back_as_it_was(site: Site, tmp_path: Path) -> None:
    """A8: as the least privileged admin; functions and triggers are allowed to users for as long as it takes.

    History of system-versioned tables, sequences and AUTO_INCREMENT positions, invisible columns and keys, histograms,
    partitions, events, triggers and their order, packages, and the character set of the database.
    """
    login, user, large = least(site), site.name(), os.urandom(10_000_000)
    with ExitStack() as settings:
        settings.enter_context(site.setting("log_bin_trust_function_creators", "1", "0"))
        handler = site.open(login)
        if not is_mariadb(handler):
            settings.enter_context(site.setting("sql_generate_invisible_primary_key", "1", "0"))
        handler.connection = archiving(handler.connection, tmp_path)
        handler.create_user(user, Secret(HOSTILE))
        database = give(handler, user)
        own = only_mariadb(handler._facts.version) if is_mariadb(handler) else ONLY_MYSQL
        fill(site, user, HOSTILE, database, *BOTH, *own)
        with closing(site.dba.login(user, HOSTILE, database, charset="utf8mb4")) as raw, raw.cursor() as cursor:
            cursor.execute("INSERT INTO `täble 語` (text, data) VALUES ('large', '')")
            for part in range(0, len(large), 2_500_000):  # the driver sends more bytes than there are
                added = large[part : part + 2_500_000]
                cursor.execute("UPDATE `täble 語` SET data = CONCAT(data, %s) WHERE text = 'large'", (added,))
        change = f"ALTER DATABASE `{database}` CHARACTER SET latin1 COLLATE latin1_german1_ci"
        lost = history_of("explicit", "versioned", "versioned_parts") if loses_history(handler) else []
        before = fill(site, user, HOSTILE, database, change, history=not lost)
        assert sorted(handler.archiver().losses(database)) == lost
        there_and_back(handler, user, HOSTILE, database)
        after = fill(site, user, HOSTILE, database, history=not lost)
        assert before.keys() == after.keys()
        for title, was in before.items():
            assert after[title] == was, title


BROKEN = (
    "CREATE TABLE t (a INT)",
    "CREATE VIEW `v iew` AS SELECT a FROM t",
    "CREATE VIEW on_it AS SELECT * FROM `v iew`",
    "CREATE TABLE m1 (a INT) ENGINE = MyISAM",
    "CREATE TABLE m (a INT) ENGINE = MERGE UNION = (m1)",
    "DROP TABLE t, m1",
    "CREATE TABLE d (a INT)",
    "ALTER TABLE d DISCARD TABLESPACE",
    "CREATE TABLE zlast AS SELECT 1 AS a",
    "CREATE VIEW good AS SELECT * FROM zlast",
)


def test_what_its_owner_has_broken_stops_no_archive_and_is_said(site: Site, tmp_path: Path) -> None:
    """A8, B4: a view whose table is gone, and tables that can't be opened, stop the dump programs."""
    handler = site.archiving(tmp_path, least(site))
    user, database = site.user(handler, "web")
    with closing(site.dba.login(user, PASSWORD, database)) as raw, raw.cursor() as cursor:
        for statement in BROKEN:
            cursor.execute(statement)
    said = handler.archiver().losses(database)
    assert sorted(text.partition(",")[0] for text in said) == ["d", "m", "on_it", "v iew"]
    made = there_and_back(handler, user, PASSWORD, database)
    assert set(made.manifest.settings["broken"]) == {"d", "m", "on_it", "v iew"}
    assert "select" in made.manifest.settings["broken"]["v iew"].lower()
    assert [row[0] for row in site.dba.run(f"SELECT a FROM `{database}`.good")] == [1]
    tables = {name for (name,) in site.dba.run(f"SHOW TABLES FROM `{database}`")}
    assert tables == {"zlast", "good"}


def test_a_table_that_is_damaged_stops_the_archive_and_is_said_before(site: Site, tmp_path: Path) -> None:
    """A8: what might be repaired is not taken for lost: no archive, and so no drop."""
    handler = site.archiving(tmp_path)
    user, database, other = site.user(handler, "web", "tools")
    site.dba.run(f"CREATE TABLE `{database}`.t (a INT) ENGINE = MyISAM", f"INSERT INTO `{database}`.t VALUES (1)")
    site.dba.run("FLUSH TABLES", f"CREATE VIEW `{other}`.v AS SELECT 1 AS x")
    ((directory,),) = site.dba.run("SELECT @@datadir")
    (Path(directory) / database / "t.MYI").write_bytes(b"\0" * 1024)
    with pytest.raises(OperationError):
        list(handler.archiver().losses(database))
    assert "the view v" in next(iter(handler.archiver().losses(other)))
    with pytest.raises(OperationError):
        handler.archive_database(user, database)
    assert database in site.dba.databases(user)


def test_a_limit_of_rows_for_everybody_cuts_no_archive(site: Site, tmp_path: Path) -> None:
    """S2: the dump programs would obey sql_select_limit, which a DBA has set for all sessions."""
    handler = site.archiving(tmp_path)
    user, database = site.user(handler, "web")
    site.dba.run(f"CREATE TABLE `{database}`.t AS SELECT 1 AS a UNION SELECT 2")
    cure = "SET GLOBAL sql_select_limit = DEFAULT"
    with site.setting("sql_select_limit", "1", "DEFAULT"):
        with pytest.raises(OperationError, match=cure):
            handler.archive_database(user, database)
        assert [text for text in handler.archiver().missing() if cure in text]
    assert site.dba.databases(user) == {database}


@pytest.mark.parametrize(
    ("setting", "value", "normal", "cure"),
    [
        ("system_versioning_asof", "'2000-01-01 00:00:00'", "DEFAULT", "SET GLOBAL system_versioning_asof = DEFAULT;"),
        ("init_connect", "'SET SQL_SELECT_LIMIT = 1'", "''", "take sql_select_limit out of init_connect"),
    ],
)
def test_what_mariadbs_sessions_begin_with_cuts_no_archive(
    mariadb: Site, tmp_path: Path, setting: str, value: str, normal: str, cure: str
) -> None:
    """S13: a moment of the past for versioned tables, and statements that run for who reads for an archive."""
    handler = mariadb.archiving(tmp_path)
    user, database = mariadb.user(handler, "web")
    with mariadb.setting(setting, value, normal), pytest.raises(OperationError, match=cure):
        handler.archive_database(user, database)
    handler.archive_database(user, database)


def test_a_dump_without_a_tables_rows_is_no_archive(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S7: the programs leave out rows of CONNECT and S3, among others; here, what they are told to."""
    handler, user = site.open(), site.name()
    handler.connection = archiving(handler.connection, tmp_path)
    handler.create_user(user, Secret(PASSWORD))
    database = give(handler, user)
    site.dba.run(
        f"CREATE TABLE `{database}`.empty (a INT)", f"CREATE TABLE `{database}`.`of\ntwo ``lines` AS SELECT 1 AS a"
    )
    handler.archive_database(user, database)
    site.dba.run(f"INSERT INTO `{database}`.empty VALUES (1)")
    monkeypatch.setattr(archiver, "_DUMP", (*archiver._DUMP, "--where=0"))
    with pytest.raises(OperationError, match="the rows of empty, whose engine is InnoDB"):
        handler.archive_database(user, database)
    assert site.dba.databases(user) == {database}


def test_what_others_have_defined_is_said_and_keeps_nothing_else_away(site: Site, tmp_path: Path) -> None:
    """A8: a view of the DBA's can't be made again by the user; the tables behind it come back all the same."""
    handler = site.archiving(tmp_path, least(site))
    user, database = site.user(handler, "web")
    site.dba.run(
        f"CREATE TABLE `{database}`.a (x INT)",
        f"CREATE TRIGGER `{database}`.of_the_dba BEFORE INSERT ON `{database}`.a FOR EACH ROW SET NEW.x = 1",
        f"CREATE TABLE `{database}`.b AS SELECT 7 AS x",
    )
    (said,) = handler.archiver().losses(database)
    assert said.startswith("the trigger of_the_dba in a form that its user can make again, since ")
    with (
        site.setting("log_bin_trust_function_creators", "1", "0"),
        pytest.raises(OperationError, match=r"not all triggers .*: ERROR 1227"),
    ):
        there_and_back(handler, user, PASSWORD, database)
    assert [row[0] for row in site.dba.run(f"SELECT x FROM `{database}`.b")] == [7]


def test_a_history_that_can_not_be_written_is_said(mariadb: Site, tmp_path: Path) -> None:
    """A8: where versions are transactions; the dump program would refuse the whole archive."""
    handler = mariadb.archiving(tmp_path, least(mariadb))
    user, database = mariadb.user(handler, "web")
    fill(
        mariadb, user, PASSWORD, database,
        "CREATE TABLE t (a INT, s BIGINT UNSIGNED GENERATED ALWAYS AS ROW START, e BIGINT UNSIGNED GENERATED ALWAYS AS"
        " ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING",
        "INSERT INTO t (a) VALUES (1)", "UPDATE t SET a = 2",
        "CREATE TABLE v (a INT) WITH SYSTEM VERSIONING", "INSERT INTO v VALUES (1)", "UPDATE v SET a = 2",
        "CREATE VIEW seen AS SELECT t.a FROM t JOIN v",
    )  # fmt: skip
    lost = "tv" if loses_history(handler) else "t"
    assert sorted(handler.archiver().losses(database)) == history_of(*lost)
    there_and_back(handler, user, PASSWORD, database)
    count = f"SELECT COUNT(*) FROM `{database}`.{{}} FOR SYSTEM_TIME ALL"
    kept = {name: mariadb.dba.run(count.format(name))[0][0] for name in "tv"}
    assert kept == {name: 1 if name in lost else 2 for name in "tv"}
    assert [row[0] for row in mariadb.dba.run(f"SELECT a FROM `{database}`.seen")] == [2]


def test_a_table_that_is_called_as_an_option_is_none(mariadb: Site, tmp_path: Path) -> None:
    """A8, B4: an owner's names reach the dump program as names: it would write files where such a table says."""
    handler = mariadb.archiving(tmp_path, least(mariadb))
    user, database = mariadb.user(handler, "web")
    names = [f"--result-file={tmp_path}/hit"[-64:], "--databases", "--no-data", "-w0", "--", "--help"]
    made = [
        f"CREATE TABLE `{name}` (a INT, s BIGINT UNSIGNED GENERATED ALWAYS AS ROW START, e BIGINT UNSIGNED GENERATED"
        " ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING"
        for name in names
    ]  # fmt: skip
    fill(mariadb, user, PASSWORD, database, *made, *(f"INSERT INTO `{name}` (a) VALUES (7)" for name in names))
    there_and_back(handler, user, PASSWORD, database)
    assert not (tmp_path / "hit").exists()
    assert [row[0] for name in names for row in mariadb.dba.run(f"SELECT a FROM `{database}`.`{name}`")] == [7] * 6


ENDLESS = (
    "CREATE EVENT plain ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1",
    "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES', time_zone = '+05:00'",
    "CREATE EVENT ends ON SCHEDULE EVERY 1 DAY STARTS '2035-01-01 00:00:00' DISABLE COMMENT 'it''s ;;$$ ü'"
    " DO SELECT '\\', \"x\" FROM (SELECT ';;' AS \"x\", '語') \"of $\"",
)


def test_an_event_in_which_the_dump_program_finds_no_delimiter_comes_back(site: Site, tmp_path: Path) -> None:
    """A8, B4: with `;;` in an event both products' programs loop for ever, and no removal was ever finished."""
    handler = site.archiving(tmp_path, least(site))
    handler.connection = handler.connection._replace(timeout=20)
    user, database = site.user(handler, "web")
    fill(site, user, PASSWORD, database, *ENDLESS, "CREATE TABLE t (a INT)")

    def events() -> list[object]:
        names = ("plain", "ends")
        shown = [site.dba.run(f"SHOW CREATE EVENT `{database}`.{name}")[0][:4] for name in names]
        columns = "EVENT_NAME, STATUS, STARTS, TIME_ZONE, SQL_MODE, EVENT_COMMENT, COLLATION_CONNECTION"
        asked = f"SELECT {columns} FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '{database}' ORDER BY 1"
        return [*shown, *site.dba.run(asked)]

    before = events()
    there_and_back(handler, user, PASSWORD, database)
    assert events() == before


SOMETHING = {
    "CREATE TABLE t (a INT)": "DROP TABLE t",
    "CREATE VIEW v AS SELECT 1": "DROP VIEW v",
    "CREATE PROCEDURE p() SELECT 1": "DROP PROCEDURE p",
    "CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1": "DROP FUNCTION f",
    "CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DISABLE DO SELECT 1": "DROP EVENT e",
}


def test_nothing_is_restored_into_a_database_that_holds_anything(site: Site) -> None:
    """E1: views, routines and events count, and so do MariaDB's sequences and packages."""
    handler, user = site.open(), site.name()
    handler.create_user(user, Secret(PASSWORD))
    database, receiver = give(handler, user), User(user, Secret(PASSWORD), 1)
    something = dict(SOMETHING)
    if is_mariadb(handler):
        something |= {"CREATE SEQUENCE s": "DROP SEQUENCE s"}
    with site.setting("log_bin_trust_function_creators", "1", "0"):
        assert handler.archiver().is_empty(receiver, database)
        for create, drop in something.items():
            fill(site, user, PASSWORD, database, create)
            assert not handler.archiver().is_empty(receiver, database), create
            fill(site, user, PASSWORD, database, drop)


def test_an_empty_database_comes_back(site: Site, tmp_path: Path) -> None:
    handler = site.archiving(tmp_path)
    user = site.name()
    handler.create_user(user, Secret(PASSWORD))
    there_and_back(handler, user, PASSWORD, give(handler, user))


def test_the_clients_own_commands_in_an_archive_do_nothing(site: Site, tmp_path: Path) -> None:
    """An archive holds what its user wrote; nothing of it may reach this machine's shell."""
    handler = site.archiving(tmp_path)
    user, database = site.user(handler, "web")
    made = archive(handler, user, database)
    handler.grant_privileges(user, database)
    with made.path.open("a") as file:
        file.write(f"\nsystem touch {tmp_path}/hit\n\\! touch {tmp_path}/hit\nSELECT 1;\n")
    with pytest.raises(OperationError):
        handler.archiver().restore(made, User(user, Secret(PASSWORD), 1), database)
    assert not (tmp_path / "hit").exists()


def test_a_dump_that_ends_early_is_no_archive(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = site.archiving(tmp_path)
    user, database = site.user(handler, "web")
    product = "MariaDB" if "MariaDB" in handler.server().product else "MySQL"
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("mysqldump", "mariadb-dump"):
        (programs / name).write_text(f"#!/bin/sh\necho 'of {product}: -- half a dump'\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(OperationError, match="closing line"):
        handler.archive_database(user, database)
    assert not [path for path in tmp_path.rglob("*.sql*") if path.is_file()]


def test_a_program_that_stands_still_is_that_database_s_failure(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B4, C1: the error says which one it is, so that the run goes on with all others while the server answers."""
    handler = site.archiving(tmp_path)
    handler.connection = handler.connection._replace(timeout=2)
    user, database = site.user(handler, "web")
    product = "MariaDB" if is_mariadb(handler) else "MySQL"
    for name in ("mysqldump", "mariadb-dump"):
        (tmp_path / name).write_text(f'#!/bin/sh\n[ "$1" = --version ] && exec echo {product}\nexec sleep 600\n')
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    action = Action(Verb.ARCHIVE_DATABASE, user, database)
    with pytest.raises(Stalled, match="made no progress") as stalled:
        handler.perform_all([action])
    assert stalled.value.action is action
    assert database in site.dba.databases(user)


def test_programs_of_the_other_product_are_not_taken(site: Site, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    handler = site.open()
    assert handler.archiver().missing() == []
    other = "MySQL" if "MariaDB" in handler.server().product else "MariaDB"
    for name in ("mysqldump", "mariadb-dump", "mysql", "mariadb"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{name} of {other}'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert len(handler.archiver().missing()) == 2


def test_a_row_that_the_server_would_not_take_back_is_said_and_refused_in_time(site: Site, tmp_path: Path) -> None:
    """A8: zeros take twice the room in a statement, so a row that came in can be too long to go back."""
    handler = site.archiving(tmp_path, least(site))
    user, database = site.user(handler, "web")
    ((normal,),) = site.dba.run("SELECT @@GLOBAL.max_allowed_packet")
    with site.setting("max_allowed_packet", "4194304", normal):
        fill(
            site, user, PASSWORD, database, "CREATE TABLE t (a LONGBLOB)", "CREATE TABLE z (a INT)",
            "INSERT INTO t VALUES (REPEAT('\\0', 3000000)), ('small')", "INSERT INTO z VALUES (1)",
        )  # fmt: skip
        (outcome,) = handler.perform_all([Action(Verb.ARCHIVE_DATABASE, user, database)])
        assert outcome.status is Status.DONE
        cure = re.search(r"SET GLOBAL max_allowed_packet = (\d+);", outcome.note or "")
        assert cure, outcome
        made = archive(handler, user, database)
        assert handler.archiver().obstacle(made.manifest.settings)
        with site.setting("max_allowed_packet", cure[1], normal):
            assert handler.archiver().obstacle(made.manifest.settings) is None
            there_and_back(handler, user, PASSWORD, database)
        assert sorted(row[0] for row in site.dba.run(f"SELECT LENGTH(a) FROM `{database}`.t")) == [5, 3_000_000]


def test_many_rows_are_no_long_statement(site: Site, tmp_path: Path) -> None:
    """A8: on a server that takes little at once, rows are put together in statements that it takes back."""
    handler = site.archiving(tmp_path, least(site))
    user, database = site.user(handler, "web")
    ((normal,),) = site.dba.run("SELECT @@GLOBAL.max_allowed_packet")
    fill(
        site, user, PASSWORD, database, "CREATE TABLE t (a VARCHAR(1000))",
        "INSERT INTO t VALUES (REPEAT('x', 1000))", *["INSERT INTO t SELECT * FROM t"] * 10,
    )  # fmt: skip
    with site.setting("max_allowed_packet", "65536", normal):
        (outcome,) = handler.perform_all([Action(Verb.ARCHIVE_DATABASE, user, database)])
        assert (outcome.status, outcome.note) == (Status.DONE, None)
        there_and_back(handler, user, PASSWORD, database)
    assert site.dba.run(f"SELECT COUNT(*) FROM `{database}`.t") == [(1024,)]


def test_what_does_not_change_is_archived_once(site: Site, tmp_path: Path) -> None:
    """B4: a drop that fails in each run does not fill the disk with the same archive."""
    handler = site.archiving(tmp_path, least(site))
    user, database = site.user(handler, "web")
    fill(site, user, PASSWORD, database, "CREATE TABLE t (a INT)", "INSERT INTO t VALUES (1)")
    first = archive(handler, user, database)
    site.dba.run("DO SLEEP(1.1)")
    assert archive(handler, user, database) == first
    site.dba.run(f"INSERT INTO `{database}`.t VALUES (2)")
    assert archive(handler, user, database).path != first.path


def test_the_longest_statement_is_found_across_pieces() -> None:
    """A8: whatever stands at the border of what is read at once."""
    piece = 1024 * 1024
    for before in (piece - 2, piece - 1, piece, piece + 1):
        dump = b"x" * before + b";\n" + b"y" * 10 + b";\n-- Dump completed\n"
        assert longest_statement(io.BytesIO(dump)) == before
        assert longest_statement(io.BytesIO(b"y;\n" + dump)) == before
