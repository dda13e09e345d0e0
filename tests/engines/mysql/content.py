"""What an owner can have in a MySQL or MariaDB database, and everything that can be read of it."""

from typing import Any

BOTH = (
    "CREATE TABLE `täble 語` (id INT PRIMARY KEY AUTO_INCREMENT, text VARCHAR(200), emoji TEXT, data LONGBLOB,"
    " n INT DEFAULT 7, twice INT GENERATED ALWAYS AS (n * 2) STORED, thrice INT AS (n * 3) VIRTUAL, at TIMESTAMP NULL,"
    " INDEX `an ïndex` (text(20))) CHARACTER SET utf8mb4 COMMENT 'it''s'",
    "CREATE TABLE child (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES `täble 語` (id))",
    "CREATE TABLE log (line VARCHAR(300))",
    "CREATE FUNCTION doubled(x INT) RETURNS INT DETERMINISTIC BEGIN /* ; */ RETURN x * 2; END",
    "CREATE PROCEDURE fill(n INT) COMMENT 'says' BEGIN INSERT INTO log VALUES (n); END",
    "CREATE TRIGGER noted BEFORE INSERT ON `täble 語` FOR EACH ROW INSERT INTO log VALUES (CONCAT('new ', NEW.text))",
    "CREATE TRIGGER a_second BEFORE INSERT ON `täble 語` FOR EACH ROW FOLLOWS noted SET NEW.n = NEW.n + 1",
    "CREATE VIEW z_view AS SELECT id, doubled(twice) AS four FROM `täble 語`",
    "CREATE SQL SECURITY INVOKER VIEW a_view AS SELECT COUNT(*) AS n FROM z_view",
    "CREATE EVENT yearly ON SCHEDULE EVERY 1 YEAR DO DELETE FROM log WHERE line = 'never'",
    "CREATE EVENT off ON SCHEDULE EVERY 1 DAY STARTS '2035-01-01 00:00:00' ENDS '2037-01-01 00:00:00' DISABLE"
    " COMMENT 'off' DO DELETE FROM log WHERE line = ';'",
    "INSERT INTO `täble 語` (text, emoji, data) VALUES ('it''s \\\\ \"x\"\\n\\r\\0\\Z', '😀 ünï', x'00ff27225c0a1a')",
    "INSERT INTO `täble 語` (text, at) VALUES ('second', '2024-02-29 12:00:00'), (NULL, NULL)",
    "INSERT INTO child VALUES (1, 1), (2, NULL)",
    "CREATE TABLE position (id INT PRIMARY KEY AUTO_INCREMENT, x INT)",
    "INSERT INTO position VALUES (4711, 1)",
    "DELETE FROM position",
    "CREATE TABLE kinds (b BIT(10), e ENUM('a', 'ü'), s SET('x', 'y'), y YEAR, t TIME(6), d DATETIME(6),"
    " dec_ DECIMAL(65,30), f FLOAT, g DOUBLE, bin BINARY(4), vb VARBINARY(10), j JSON,"
    " l VARCHAR(20) CHARACTER SET latin1,"
    " k VARCHAR(20) COLLATE utf8mb4_bin COMMENT 'of a column', CHECK (y > 1990), CONSTRAINT named CHECK (f < 7))"
    " ROW_FORMAT=DYNAMIC",
    "INSERT INTO kinds VALUES (b'1010101010', 'ü', 'x,y', 2024, '-800:00:00.000001', '1000-01-01 00:00:00.000001',"
    " 12345678901234567890.123456789012345678901234567890, 1.1, 1e-300, x'00ff0a27', x'80', '{\"a\": [1, \"ü\"]}',"
    " 'é', 'K')",
    "CREATE TABLE places (id INT PRIMARY KEY, p POINT NOT NULL, words TEXT, SPATIAL INDEX (p),"
    " FULLTEXT INDEX w (words))",
    "INSERT INTO places VALUES (1, ST_GeomFromText('POINT(1.5 2.5)'), 'some words')",
    "CREATE TABLE parts (id INT, at DATE, PRIMARY KEY (id, at)) PARTITION BY RANGE (YEAR(at)) SUBPARTITION BY HASH (id)"
    " SUBPARTITIONS 2 (PARTITION p0 VALUES LESS THAN (2000), PARTITION p1 VALUES LESS THAN MAXVALUE)",
    "INSERT INTO parts VALUES (1, '1999-12-31'), (2, '2024-01-01')",
    "CREATE TABLE old_engine (id INT) ENGINE = MyISAM",
    "INSERT INTO old_engine VALUES (1)",
    "CREATE TABLE in_memory (id INT) ENGINE = MEMORY",
    "INSERT INTO in_memory VALUES (1)",
    "CREATE TABLE values_ (id INT NOT NULL, word VARCHAR(20) NOT NULL) ENGINE = CSV",
    "INSERT INTO values_ VALUES (1, 'a,\"b')",
    "CREATE TABLE `a``b'c\"d` (`x``y` INT)",
    "CREATE TABLE merged (id INT) ENGINE = MERGE UNION = (old_engine)",
)
ONLY_MYSQL = (
    "CREATE TABLE hidden (a INT, b INT INVISIBLE DEFAULT 3, c VARCHAR(40) DEFAULT (UUID()), d JSON,"
    " INDEX ((a + 1)), INDEX i (a) INVISIBLE, INDEX j (a DESC), INDEX k ((CAST(d->'$.x' AS UNSIGNED ARRAY))))",
    "INSERT INTO hidden (a, b, d) VALUES (1, 7, '{\"x\": [1, 2]}')",
    "CREATE TABLE srid (p POINT NOT NULL SRID 4326, SPATIAL INDEX (p))",
    "ANALYZE TABLE hidden UPDATE HISTOGRAM ON b WITH 7 BUCKETS",
    "CREATE TABLE unkeyed (a INT)",
    "INSERT INTO unkeyed VALUES (1), (2)",
    "DELETE FROM unkeyed WHERE a = 1",
)
ONLY_MARIADB = (
    "SET timestamp = 1600000000",
    "CREATE TABLE versioned (a TEXT, b INT INVISIBLE DEFAULT 3) WITH SYSTEM VERSIONING",
    "INSERT INTO versioned (a, b) VALUES ('old-precious-row', 4)",
    "SET timestamp = 1600000100",
    "UPDATE versioned SET a = 'new-row'",
    "CREATE TABLE versioned_parts (a INT) WITH SYSTEM VERSIONING PARTITION BY SYSTEM_TIME LIMIT 1000 PARTITIONS 3",
    "INSERT INTO versioned_parts VALUES (1), (2)",
    "SET timestamp = 1600000200",
    "DELETE FROM versioned_parts WHERE a = 1",
    "CREATE TABLE explicit (a INT, s TIMESTAMP(6) GENERATED ALWAYS AS ROW START,"
    " e TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING",
    "INSERT INTO explicit (a) VALUES (1)",
    "SET timestamp = 1600000300",
    "DELETE FROM explicit",
    "SET timestamp = DEFAULT",
    "CREATE TABLE hidden (a INT, b INT INVISIBLE DEFAULT 3, c TEXT COMPRESSED, u {uuid}, i INET6, INDEX j (a DESC),"
    " INDEX k (b) {ignored})",
    "INSERT INTO hidden (a, b, c, u, i) VALUES (1, 7, 'x', UUID(), '::1')",
    "CREATE TABLE booked (room INT, f DATE, t DATE, PERIOD FOR stay (f, t), UNIQUE (room, stay WITHOUT OVERLAPS))",
    "INSERT INTO booked VALUES (1, '2024-01-01', '2024-02-01')",
    "CREATE SEQUENCE counter START 41 INCREMENT 3 CYCLE MAXVALUE 1000 CACHE 1",
    "SELECT NEXTVAL(counter), NEXTVAL(counter)",
    "CREATE TABLE counted (id INT DEFAULT NEXTVAL(counter), x INT)",
    "INSERT INTO counted (x) VALUES (1)",
    "CREATE TABLE aria (id INT) ENGINE = ARIA PAGE_CHECKSUM = 1 TRANSACTIONAL = 1",
    "SET sql_mode = ORACLE",
    "CREATE PACKAGE pack AS FUNCTION one RETURN INT; END",
    "CREATE PACKAGE BODY pack AS FUNCTION one RETURN INT AS BEGIN RETURN 1; END; END",
    "SET sql_mode = DEFAULT",
    "CREATE AGGREGATE FUNCTION total(x INT) RETURNS INT BEGIN DECLARE t INT DEFAULT 0; DECLARE CONTINUE HANDLER FOR"
    " NOT FOUND RETURN t; LOOP FETCH GROUP NEXT ROW; SET t = t + x; END LOOP; END",
)
NEWER = {"uuid": ((10, 7), "UUID", "CHAR(36)"), "ignored": ((10, 6), "IGNORED", "")}
"""Since when MariaDB has something, how it is called, and what older ones get instead."""


def only_mariadb(version: tuple[int, ...]) -> list[str]:
    """What an owner can have in this MariaDB."""
    words = {key: new if version >= since else old for key, (since, new, old) in NEWER.items()}
    return [statement.format(**words) for statement in ONLY_MARIADB]


_SCHEMA = "SELECT {} FROM information_schema.{} WHERE {}_SCHEMA = DATABASE() ORDER BY 1, 2"
_TABLES = "TABLE_NAME, TABLE_TYPE, ENGINE, ROW_FORMAT, TABLE_COLLATION, TABLE_COMMENT, CREATE_OPTIONS"
_TRIGGERS = "TRIGGER_NAME, EVENT_MANIPULATION, EVENT_OBJECT_TABLE, ACTION_ORDER, ACTION_STATEMENT, DEFINER, SQL_MODE"
_HISTOGRAMS = (
    "SELECT TABLE_NAME, COLUMN_NAME, HISTOGRAM->'$.\"number-of-buckets-specified\"'"
    " FROM information_schema.COLUMN_STATISTICS WHERE SCHEMA_NAME = DATABASE()"
)
_PARTITIONS = "TABLE_NAME, PARTITION_NAME, SUBPARTITION_NAME, PARTITION_EXPRESSION"


def state(cursor: Any, *, history: bool = True) -> dict[str, Any]:
    """Everything in the database that the cursor's session is in: how it was made, and all rows, former ones too."""
    found: dict[str, Any] = {}

    def note(title: str, query: str) -> list[Any]:
        cursor.execute(query)
        found[title] = list(cursor.fetchall())
        return list(found[title])

    note("database", "SELECT @@character_set_database, @@collation_database")
    for name, kind, *_ in note("tables", _SCHEMA.format(_TABLES, "TABLES", "TABLE")):
        note(f"made {name}", f"SHOW CREATE TABLE {_quoted(name)}")
        cursor.execute(f"SHOW COLUMNS FROM {_quoted(name)}")  # invisible columns, too
        columns = [_quoted(column[0]) for column in cursor.fetchall()]
        versioned = history and kind == "SYSTEM VERSIONED"
        if versioned:
            columns += ["ROW_START", "ROW_END"] if "`s`" not in columns else []
        everything = " FOR SYSTEM_TIME ALL" if versioned else ""
        note(f"rows {name}", f"SELECT {', '.join(columns)} FROM {_quoted(name)}{everything}")
        found[f"rows {name}"].sort(key=repr)
    for name, kind, *_ in note("routines", _SCHEMA.format("ROUTINE_NAME, ROUTINE_TYPE", "ROUTINES", "ROUTINE")):
        note(f"made {kind} {name}", f"SHOW CREATE {kind} {_quoted(name)}")
    note("triggers", _SCHEMA.format(_TRIGGERS, "TRIGGERS", "TRIGGER"))
    for name, *_ in note("events", _SCHEMA.format("EVENT_NAME, STATUS", "EVENTS", "EVENT")):
        note(f"made event {name}", f"SHOW CREATE EVENT {_quoted(name)}")
    cursor.execute("SHOW TABLES FROM information_schema LIKE 'COLUMN_STATISTICS'")
    if cursor.fetchall():
        note("histograms", _HISTOGRAMS)
    note("partitions", _SCHEMA.format(_PARTITIONS, "PARTITIONS", "TABLE") + ", 3")
    return found


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
