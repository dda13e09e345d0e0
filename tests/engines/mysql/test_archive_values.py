"""Values that the dump programs, or the way back, would change: archives of MySQL and MariaDB hold them as they are."""

from contextlib import closing
from pathlib import Path

from dbroster.engines.mysql.family import MySQLFamily
from tests.engines.mysql.conftest import PASSWORD, Site
from tests.engines.mysql.test_archive import fill, is_mariadb, least, loses_history
from tests.support.archiving import there_and_back

FLOATS = (
    "CREATE TABLE plain (f FLOAT PRIMARY KEY, g FLOAT(20, 10), h FLOAT(7, 2), d DOUBLE)",
    "INSERT INTO plain VALUES (1234567, 0.1, 12345.67, 0.1), (1234568, 1e9, 0.01, 5e-324),"
    " (16777215, NULL, NULL, 1e308), (3.4028234e38, 1, 1, 1), (-1e-40, 1, 1, 1), (0.33333334, 1, 1, 1)",
    "CREATE TABLE kinds (id INT PRIMARY KEY AUTO_INCREMENT, f FLOAT DEFAULT 0.1, b BIT(9), y YEAR, t TIME(6),"
    " at TIMESTAMP(6) NULL, e ENUM('a', 'ü'), s SET('x', 'y'), n DECIMAL(30, 10) ZEROFILL, p POINT, bin BINARY(4),"
    " vb VARBINARY(9), data LONGBLOB, c CHAR(9), text TEXT CHARACTER SET latin1, j JSON,"
    " twice FLOAT GENERATED ALWAYS AS (f * 2) STORED, i FLOAT INVISIBLE DEFAULT 1234567)",
    "INSERT INTO kinds (f, b, y, t, at, e, s, n, p, bin, vb, data, c, text, j) VALUES (16777213, b'101000101', 1999,"
    " '-800:00:00.000001', '2024-02-29 12:00:00.000001', 'ü', 'x,y', 1.5, ST_GeomFromText('POINT(1.5 2.5)'),"
    " x'00ff0a27', x'5c', x'00ff27225c0a1a', ' x', 'é\\\\''', '{\"a\": [1, \"ü\"]}'), (NULL, NULL, NULL, NULL, NULL,"
    " NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    "CREATE TRIGGER noted BEFORE INSERT ON kinds FOR EACH ROW SET NEW.c = 'new'",
    "CREATE TABLE `o``dd\n-- ;` (`f\n-- ``;` FLOAT, `WHERE` VARCHAR(9) CHARACTER SET gbk)",
    "INSERT INTO `o``dd\n-- ;` VALUES (1234567, X'FEFE')",
    "CREATE TABLE texts_and_json (j JSON, t VARCHAR(9) CHARACTER SET gbk, e ENUM('ž', 'x') CHARACTER SET cp1250,"
    " u VARCHAR(9) CHARACTER SET utf16, c CHAR(9) CHARACTER SET cp1250, l LONGTEXT CHARACTER SET ascii)",
    "INSERT INTO texts_and_json VALUES ('{\"ü\": [1, \"\\u005c\"]}', X'FEFE', 'ž', '😀', X'81', 'x'),"
    " (NULL, '\"', 'x', '', '', ''), (NULL, NULL, NULL, NULL, NULL, NULL)",
)
ONLY_MYSQL = (
    "CREATE TABLE vectors (f FLOAT, v VECTOR(2))",
    "INSERT INTO vectors VALUES (1234567, TO_VECTOR('[1.1, 1234567]'))",
)
ONLY_MARIADB = (
    "CREATE SEQUENCE counter START 5",
    "CREATE TABLE counted (f FLOAT, id INT DEFAULT NEXTVAL(counter))",
    "CREATE TABLE texts (t VARCHAR(9) CHARACTER SET gbk, id INT DEFAULT NEXTVAL(counter))",
    "INSERT INTO counted (f) VALUES (1234567)",
    "INSERT INTO texts (t) VALUES ('x')",
    "CREATE TABLE versioned (f FLOAT) WITH SYSTEM VERSIONING",
    "CREATE TABLE explicit (f FLOAT, s TIMESTAMP(6) GENERATED ALWAYS AS ROW START INVISIBLE,"
    " e TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING",
    "CREATE TABLE numbered (f FLOAT, s BIGINT UNSIGNED GENERATED ALWAYS AS ROW START,"
    " e BIGINT UNSIGNED GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING",
    "INSERT INTO versioned VALUES (1234567)",
    "INSERT INTO explicit (f) VALUES (1234567)",
    "INSERT INTO numbered (f) VALUES (1234567)",
    "UPDATE versioned SET f = 7654321",
    "UPDATE explicit SET f = 7654321",
)


def has_vectors(handler: MySQLFamily) -> bool:
    return not is_mariadb(handler) and handler._facts.version >= (9,)


def values(site: Site, user: str, database: str, *, history: bool) -> dict[str, list[str]]:
    """All rows, with all the digits of numbers."""
    found = {}
    with closing(site.dba.login(user, PASSWORD, database, charset="utf8mb4")) as raw, raw.cursor() as cursor:
        cursor.execute("SHOW FULL TABLES")
        for name, kind in cursor.fetchall():
            table = f"`{name.replace('`', '``')}`"
            cursor.execute(f"SHOW COLUMNS FROM {table}")
            columns = [
                f"{column} + 0e0"
                if kind_of == "float"
                else f"HEX({column})"
                if "(" in kind_of or kind_of == "longtext"
                else column
                for column, kind_of in ((f"`{row[0].replace('`', '``')}`", row[1]) for row in cursor.fetchall())
            ]
            if versioned := history and kind == "SYSTEM VERSIONED" and name != "numbered":
                columns += ["ROW_START", "ROW_END"] if name == "versioned" else []
            if name == "numbered" or (name == "explicit" and not history):
                columns = columns[:1]
            cursor.execute(f"SELECT {', '.join(columns)} FROM {table}{' FOR SYSTEM_TIME ALL' * versioned}")
            found[name] = sorted(map(repr, cursor.fetchall()))
    return found


def test_floats_come_back_with_all_their_digits(site: Site, tmp_path: Path) -> None:
    """A8, K4, K11, K13: the dump programs write them as the server shows them, six digits; whatever else is there."""
    handler = site.archiving(tmp_path, least(site))
    user, database = site.user(handler, "web")
    own = ONLY_MARIADB if is_mariadb(handler) else ONLY_MYSQL if has_vectors(handler) else ()
    history = not loses_history(handler)
    with (
        site.setting("log_bin_trust_function_creators", "1", "0"),
        closing(site.dba.login(user, PASSWORD, database, charset="utf8mb4")) as raw,
        raw.cursor() as cursor,
    ):
        for statement in (*FLOATS, *own):
            cursor.execute(statement)
        before = values(site, user, database, history=history)
        there_and_back(handler, user, PASSWORD, database)
    assert values(site, user, database, history=history) == before
    assert "1234567.0" in str(before["plain"])


def test_dates_that_no_calendar_has_come_back(site: Site, tmp_path: Path) -> None:
    """A8, K6: the server has taken them (ALLOW_INVALID_DATES), so it takes them again."""
    handler = site.archiving(tmp_path, least(site))
    user, database = site.user(handler, "web")
    with closing(site.dba.login(user, PASSWORD, database)) as raw, raw.cursor() as cursor:
        cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES'")
        cursor.execute("CREATE TABLE days (a DATE DEFAULT '2023-02-31', b DATETIME, c VARCHAR(9) CHARACTER SET gbk)")
        cursor.execute("INSERT INTO days (b) VALUES ('2023-02-31 12:00:00'), ('2023-00-00'), ('0000-00-00')")
    rows = f"SELECT CONCAT(a), CONCAT(b) FROM `{database}`.days ORDER BY 2"
    before = site.dba.run(rows)
    there_and_back(handler, user, PASSWORD, database)
    assert site.dba.run(rows) == before
    assert before[-1] == ("2023-02-31", "2023-02-31 12:00:00")


def test_rows_that_break_a_check_come_back(mariadb: Site, tmp_path: Path) -> None:
    """K5: MariaDB takes them where check_constraint_checks is off."""
    handler = mariadb.archiving(tmp_path, least(mariadb))
    user, database = mariadb.user(handler, "web")
    with closing(mariadb.dba.login(user, PASSWORD, database)) as raw, raw.cursor() as cursor:
        for statement in (
            "SET check_constraint_checks = 0",
            "CREATE TABLE checked (a INT CHECK (a > 0), b INT, CHECK (b > a))",
            "INSERT INTO checked VALUES (-1, 1), (5, 7), (5, 3)",
        ):
            cursor.execute(statement)
    there_and_back(handler, user, PASSWORD, database)
    assert mariadb.dba.run(f"SELECT a, b FROM `{database}`.checked ORDER BY 1, 2") == [(-1, 1), (5, 3), (5, 7)]


def test_tables_with_longer_rows_than_the_server_likes_come_back(mariadb: Site, tmp_path: Path) -> None:
    """S6: MariaDB makes them for a user who has switched innodb_strict_mode off."""
    handler = mariadb.archiving(tmp_path, least(mariadb))
    user, database = mariadb.user(handler, "web")
    columns = ", ".join(f"c{number} CHAR(250) CHARACTER SET latin1" for number in range(40))
    with closing(mariadb.dba.login(user, PASSWORD, database)) as raw:
        raw.query("SET innodb_strict_mode = 0")
        raw.query(f"CREATE TABLE wide (a INT, {columns}) ENGINE = InnoDB ROW_FORMAT = COMPACT")
        raw.query("INSERT INTO wide (a) VALUES (7)")
    there_and_back(handler, user, PASSWORD, database)
    assert mariadb.dba.run(f"SELECT a FROM `{database}`.wide") == [(7,)]


COMMENTED = (
    "CREATE PROCEDURE p() SELECT 1 -- it''s",
    "CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1 # of one",
    "CREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW SET @x = '/*' -- */",
    "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT '*/' # ;",
    "CREATE PROCEDURE q()\nBEGIN\n-- in the middle\nSELECT 1;\nEND",
)


def test_code_with_a_comment_at_its_end_comes_back(site: Site, tmp_path: Path) -> None:
    """A8, K7: MySQL's program writes the delimiter behind it, where it is a part of the comment."""
    handler = site.archiving(tmp_path, least(site))
    user, database = site.user(handler, "web")
    with site.setting("log_bin_trust_function_creators", "1", "0"):
        before = fill(site, user, PASSWORD, database, "CREATE TABLE t (a INT)", *COMMENTED)
        there_and_back(handler, user, PASSWORD, database)
        assert fill(site, user, PASSWORD, database) == before


ALIKE = (
    "CREATE TABLE a (f FLOAT)",
    "INSERT INTO a VALUES (1234567)",
    "CREATE TABLE A (n INT)",
    "INSERT INTO A VALUES (1)",
    "CREATE TABLE t (x VARCHAR(9) CHARACTER SET cp1250)",
    "CREATE TABLE T (x VARCHAR(9) CHARACTER SET cp1250)",
    "INSERT INTO t VALUES (X'81')",
    "INSERT INTO T VALUES (X'81')",
    "CREATE TABLE v (n INT)",
    "INSERT INTO v VALUES (2)",
    "CREATE VIEW V AS SELECT n FROM v",
    "CREATE TABLE b (n INT)",
    "INSERT INTO b VALUES (3)",
    "CREATE TABLE gone (n INT)",
    "CREATE VIEW B AS SELECT n FROM gone",
    "DROP TABLE gone",
)


def test_tables_whose_names_differ_only_in_case_come_back(site: Site, tmp_path: Path) -> None:
    """A8, N1: what a dump program is told to leave out takes along all that is called alike."""
    handler = site.archiving(tmp_path, least(site))
    user, database = site.user(handler, "web")
    with closing(site.dba.login(user, PASSWORD, database)) as raw, raw.cursor() as cursor:
        for statement in ALIKE:
            cursor.execute(statement)
    found = ", ".join(f"(SELECT HEX({column}) FROM `{database}`.{name})" for name, column in
                      (("a", "f"), ("A", "n"), ("t", "x"), ("T", "x"), ("v", "n"), ("V", "n"), ("b", "n")))  # fmt: skip
    before = site.dba.run(f"SELECT {found}")
    there_and_back(handler, user, PASSWORD, database)
    assert site.dba.run(f"SELECT {found}") == before


def test_foreign_keys_to_what_is_not_unique_come_back(mysql: Site, tmp_path: Path) -> None:
    """N4: MySQL before 8.4 made them without being asked, and a table of that time still has them."""
    handler = mysql.archiving(tmp_path, least(mysql))
    user, database = mysql.user(handler, "web")
    with closing(mysql.dba.login(user, PASSWORD, database)) as raw, raw.cursor() as cursor:
        for statement in (
            "SET SESSION restrict_fk_on_non_standard_key = 0",
            "CREATE TABLE parent (id INT, KEY (id))",
            "CREATE TABLE child (id INT, FOREIGN KEY (id) REFERENCES parent (id))",
            "INSERT INTO parent VALUES (1), (1)",
            "INSERT INTO child VALUES (1)",
        ):
            cursor.execute(statement)
    there_and_back(handler, user, PASSWORD, database)
    assert mysql.dba.run(f"SELECT id FROM `{database}`.child") == [(1,)]


COMPUTED = (
    "SET time_zone = '+05:00'",
    "CREATE TABLE same (i INT AS (ts IS NULL) STORED, ts TIMESTAMP NULL, n DECIMAL(9, 2) AS (a / 3) STORED, a INT,"
    " half INT AS (a / 2) STORED, t VARCHAR(9) AS (CONCAT(a, 'it''s\\\\ü')) STORED, d DOUBLE AS (a / 3e0) STORED,"
    " at DATETIME(3) AS (b) STORED, b DATETIME(3), CHECK (a > 0))",
    "INSERT INTO same (ts, a, b) VALUES ('2026-01-01 03:00:00', 7, '2026-01-01 03:00:00.567'), (NULL, NULL, NULL)",
    "CREATE TABLE days (ts TIMESTAMP NULL, d DATE AS (DATE(ts)) STORED, t VARCHAR(30) AS (CONCAT(ts)) STORED)",
    "INSERT INTO days (ts) VALUES ('2026-01-01 03:00:00')",
    "CREATE TABLE office (ts TIMESTAMP NULL, CONSTRAINT open_then CHECK (HOUR(ts) BETWEEN 2 AND 18))",
    "INSERT INTO office VALUES ('2026-01-01 03:00:00')",
)


def test_what_a_restore_would_work_out_in_another_way_is_told(site: Site) -> None:
    """N2, N3: it computes generated columns, and at MySQL checks, in UTC; their rows may come from another zone."""
    handler = site.open(least(site))
    user, database = site.user(handler, "web")
    with closing(site.dba.login(user, PASSWORD, database)) as raw, raw.cursor() as cursor:
        for statement in COMPUTED:
            cursor.execute(statement)
    before = handler._session.rows("SELECT @@SESSION.sql_mode, @@SESSION.time_zone")
    told = list(handler.archiver().losses(database))
    checked = [] if is_mariadb(handler) else ["rows of office so that its check open_then"]
    wanted = ["column days.d,", "column days.t,", *checked]
    assert [any(part in text for text in told) for part in wanted] == [True] * len(wanted), told
    assert len(told) == len(wanted), told
    assert handler._session.rows("SELECT @@SESSION.sql_mode, @@SESSION.time_zone") == before
