"""What comes through an archive of MySQL and MariaDB."""

import os
from contextlib import closing
from pathlib import Path

import pytest

from dbroster.errors import OperationError
from dbroster.model import User
from dbroster.secret import Secret
from tests.archiving import archive, archiving, there_and_back
from tests.engines.mysql.conftest import PASSWORD, Site, give

HOSTILE = "p\\w:'w\"i#th all"
CONTENT = (
    "CREATE TABLE `täble 語` (id INT PRIMARY KEY AUTO_INCREMENT, text VARCHAR(200), emoji TEXT, data LONGBLOB,"
    " n INT DEFAULT 7, twice INT GENERATED ALWAYS AS (n * 2) STORED, thrice INT AS (n * 3) VIRTUAL, at TIMESTAMP NULL,"
    " INDEX `an ïndex` (text(20))) CHARACTER SET utf8mb4",
    "CREATE TABLE child (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES `täble 語` (id))",
    "CREATE TABLE log (line VARCHAR(300))",
    "CREATE FUNCTION doubled(x INT) RETURNS INT DETERMINISTIC BEGIN /* ; */ RETURN x * 2; END",
    "CREATE PROCEDURE fill(n INT) BEGIN INSERT INTO log VALUES (n); END",
    "CREATE TRIGGER noted BEFORE INSERT ON `täble 語` FOR EACH ROW INSERT INTO log VALUES (CONCAT('new ', NEW.text))",
    "CREATE VIEW a_view AS SELECT id, doubled(twice) AS four FROM `täble 語`",
    "CREATE EVENT yearly ON SCHEDULE EVERY 1 YEAR DO DELETE FROM log",
    "INSERT INTO `täble 語` (text, emoji, data) VALUES ('it''s \\\\ \"x\"\\n\\r\\0\\Z', '😀 ünï', x'00ff27225c0a1a')",
    "INSERT INTO `täble 語` (text, at) VALUES ('second', '2024-02-29 12:00:00'), (NULL, NULL)",
    "INSERT INTO child VALUES (1, 1), (2, NULL)",
)
READ = (
    "SELECT * FROM `täble 語` ORDER BY id",
    "SELECT * FROM child ORDER BY id",
    "SELECT * FROM log",
    "SELECT * FROM a_view ORDER BY id",
    "SHOW CREATE TABLE `täble 語`",
    "SHOW CREATE TABLE child",
    "SHOW CREATE VIEW a_view",
    "SELECT ROUTINE_NAME, ROUTINE_TYPE, ROUTINE_DEFINITION, DEFINER FROM information_schema.ROUTINES"
    " WHERE ROUTINE_SCHEMA = DATABASE() ORDER BY 1",
    "SELECT TRIGGER_NAME, ACTION_STATEMENT, DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()",
    "SELECT EVENT_NAME, EVENT_DEFINITION, INTERVAL_FIELD, STATUS FROM information_schema.EVENTS"
    " WHERE EVENT_SCHEMA = DATABASE()",
)


def least(site: Site) -> tuple[str, str]:
    """An admin with the least privileges, and what `missing` asks for besides."""
    login = site.least()
    handler = site.open(login)
    site.dba.run(*handler.archiver().missing())
    assert handler.archiver().missing() == []
    return login


def test_everything_comes_back_as_it_was(site: Site, tmp_path: Path) -> None:
    """As the least privileged admin; functions and triggers are allowed to users for as long as it takes."""
    login, user, large = least(site), site.name(), os.urandom(10_000_000)
    with site.setting("log_bin_trust_function_creators", "1", "0"):
        handler = site.open(login)
        handler.connection = archiving(handler.connection, tmp_path)
        handler.create_user(user, Secret(HOSTILE))
        database = give(handler, user)
        with closing(site.dba.login(user, HOSTILE, database, charset="utf8mb4")) as raw, raw.cursor() as cursor:
            for statement in CONTENT:
                cursor.execute(statement)
            cursor.execute("INSERT INTO `täble 語` (text, data) VALUES ('large', '')")
            for part in range(0, len(large), 2_500_000):  # the driver sends more bytes than there are
                added = large[part : part + 2_500_000]
                cursor.execute("UPDATE `täble 語` SET data = CONCAT(data, %s) WHERE text = 'large'", (added,))
            before = [rows(cursor, query) for query in READ]
        there_and_back(handler, user, HOSTILE, database)
        with closing(site.dba.login(user, HOSTILE, database, charset="utf8mb4")) as raw, raw.cursor() as cursor:
            assert [rows(cursor, query) for query in READ] == before


def rows(cursor: object, query: str) -> object:
    cursor.execute(query)  # type: ignore[attr-defined]
    return cursor.fetchall()  # type: ignore[attr-defined]


def test_an_empty_database_comes_back(site: Site, tmp_path: Path) -> None:
    handler = site.open()
    handler.connection = archiving(handler.connection, tmp_path)
    user = site.name()
    handler.create_user(user, Secret(PASSWORD))
    there_and_back(handler, user, PASSWORD, give(handler, user))


def test_the_clients_own_commands_in_an_archive_do_nothing(site: Site, tmp_path: Path) -> None:
    """An archive holds what its user wrote; nothing of it may reach this machine's shell."""
    handler = site.open()
    handler.connection = archiving(handler.connection, tmp_path)
    user = site.name()
    handler.create_user(user, Secret(PASSWORD))
    database = give(handler, user)
    made = archive(handler, user, database)
    with made.path.open("a") as file:
        file.write(f"\nsystem touch {tmp_path}/hit\n\\! touch {tmp_path}/hit\nSELECT 1;\n")
    with pytest.raises(OperationError):
        handler.archiver().restore(made, User(user, Secret(PASSWORD), 1), database)
    assert not (tmp_path / "hit").exists()


def test_a_dump_that_ends_early_is_no_archive(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = site.open()
    handler.connection = archiving(handler.connection, tmp_path)
    user = site.name()
    handler.create_user(user, Secret(PASSWORD))
    database = give(handler, user)
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
