"""What a user of the roster may try against everybody else: statements for each engine's own client.

`{me}`, `{mine}`: the attacker and an own database; `{al}`, `{his}`: the victim and his; `{admin}`: the admin;
`{outside}`: a file that nobody but the server could write. Each must be refused, but for those of HARMLESS.
"""

import json

POSTGRESQL = {
    "enter": r"\connect {his}",
    "take the role": "SET ROLE {al}",
    "take the admin's role": "SET ROLE {admin}",
    "become another": "SET SESSION AUTHORIZATION {al}",
    "join": "GRANT {al} TO {me}",
    "join the admin": "GRANT {admin} TO {me}",
    "join the file readers": "GRANT pg_read_server_files TO {me}",
    "change a password": "ALTER ROLE {al} PASSWORD 'Taken-over-123456'",
    "change the admin's password": "ALTER ROLE {admin} PASSWORD 'Taken-over-123456'",
    "rename": "ALTER ROLE {al} RENAME TO {me}2",
    "more power": "ALTER ROLE {me} CREATEROLE",
    "all power": "ALTER ROLE {me} SUPERUSER",
    "drop a role": "DROP ROLE {al}",
    "create a role": "CREATE ROLE {me}2 LOGIN",
    "forge own marker": "COMMENT ON ROLE {me} IS 'dbroster/1 {roster} {al}'",
    "forge a marker": "COMMENT ON ROLE {al} IS 'mine'",
    "drop a database": "DROP DATABASE {his}",
    "create a database": "CREATE DATABASE {al}_more",
    "rename own to another's": "ALTER DATABASE {mine} RENAME TO {al}_more",
    "hand own over": "ALTER DATABASE {mine} OWNER TO {al}",
    "take over": "ALTER DATABASE {his} OWNER TO {me}",
    "open another's": "GRANT ALL ON DATABASE {his} TO {me}",
    "see verifiers": "SELECT rolpassword FROM pg_authid",
    "run a program": "COPY (SELECT 1) TO PROGRAM 'touch {outside}'",
    "write a file": "COPY (SELECT 1) TO '{outside}'",
    "read a file": "CREATE TEMP TABLE f (l text); COPY f FROM '/etc/passwd'",
    "read a file by function": "SELECT pg_read_file('/etc/passwd')",
    "import a file": "SELECT lo_import('/etc/passwd')",
    "another server": "CREATE EXTENSION dblink",
    "foreign tables": "CREATE EXTENSION postgres_fdw",
    "file tables": "CREATE EXTENSION file_fdw",
    "code in C": "CREATE FUNCTION f() RETURNS int LANGUAGE c AS '/lib/x86_64-linux-gnu/libc.so.6', 'getpid'",
    "load a library": "LOAD '/lib/x86_64-linux-gnu/libc.so.6'",
    "event trigger": (
        "CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        " CREATE EVENT TRIGGER t ON ddl_command_start EXECUTE FUNCTION f()"
    ),
    "settings of the server": "ALTER SYSTEM SET work_mem = '1GB'",
    "end others' sessions": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename <> '{me}'",
    "checkpoint": "CHECKPOINT",
    "a table for all": r"\connect postgres" + "\nCREATE TABLE public.trap_{me} (n int)",
    "a schema in another place": r"\connect postgres" + "\nCREATE SCHEMA trap_{me}",
    "subscribe": "CREATE SUBSCRIPTION s CONNECTION 'host={host}' PUBLICATION p",
    "own password": "ALTER ROLE {me} PASSWORD 'Changed-by-me-123'",
    "own settings": "ALTER ROLE {me} SET search_path = public, pg_catalog",
    "open own": "GRANT CONNECT ON DATABASE {mine} TO {al}",
    "settings of own": "ALTER DATABASE {mine} SET statement_timeout = 1",
}

_MYSQL_FAMILY = {
    "enter": "USE `{his}`",
    "read": "SELECT * FROM `{his}`.note",
    "write": "INSERT INTO `{his}`.note VALUES ('mine')",
    "create a table": "CREATE TABLE `{his}`.trap (n int)",
    "rename into": "CREATE TABLE t1 (n int); RENAME TABLE t1 TO `{his}`.t1",
    "drop a database": "DROP DATABASE `{his}`",
    "alter a database": "ALTER DATABASE `{his}` CHARACTER SET latin1",
    "create a database": "CREATE DATABASE `{al}_more`",
    "create a neighbour of own": "CREATE DATABASE `{me}Xweb`",
    "give own": "GRANT SELECT ON `{mine}`.* TO '{al}'@'%'",
    "give more to oneself": "GRANT ALL ON *.* TO '{me}'@'%'",
    "give another's": "GRANT ALL ON `{his}`.* TO '{me}'@'%'",
    "change a password": "ALTER USER '{al}'@'%' IDENTIFIED BY 'Taken-over-123456'",
    "change the admin's password": "ALTER USER '{admin}'@'%' IDENTIFIED BY 'Taken-over-123456'",
    "set a password": "SET PASSWORD FOR '{al}'@'%' = 'Taken-over-123456'",
    "drop an account": "DROP USER '{al}'@'%'",
    "create an account": "CREATE USER '{me}2'@'%'",
    "rename an account": "RENAME USER '{al}'@'%' TO '{me}2'@'%'",
    "become another": "GRANT PROXY ON '{al}'@'%' TO '{me}'@'%'",
    "take the marker": "CREATE ROLE '{me}2'",
    "see verifiers": "SELECT * FROM mysql.user",
    "see grants": "SELECT * FROM mysql.db",
    "see another's grants": "SHOW GRANTS FOR '{al}'@'%'",
    "read a file": "LOAD DATA INFILE '/etc/passwd' INTO TABLE note",
    "write a file": "SELECT 1 INTO OUTFILE '{outside}'",
    "dump a file": "SELECT 1 INTO DUMPFILE '{outside}'",
    "another server": "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST '{host}')",
    "federated table": "CREATE TABLE fed (n int) ENGINE=FEDERATED CONNECTION='mysql://{al}@{host}:{port}/{his}/note'",
    "load a plugin": "INSTALL PLUGIN x SONAME 'x.so'",
    "code in C": "CREATE FUNCTION f RETURNS INTEGER SONAME 'x.so'",
    "run as the admin": "CREATE DEFINER='{admin}'@'%' PROCEDURE p() SELECT * FROM mysql.user",
    "run as another": "CREATE DEFINER='{al}'@'%' VIEW v AS SELECT * FROM `{his}`.note",
    "settings of the server": "SET GLOBAL general_log = 'OFF'",
    "end others' sessions": "KILL 1",
    "shut down": "SHUTDOWN",
    "the binary log": "SHOW BINARY LOGS",
    "flush": "FLUSH PRIVILEGES",
    "a view of another's": "CREATE VIEW v AS SELECT * FROM `{his}`.note",
    "a trigger at another's": "CREATE TRIGGER `{his}`.t BEFORE INSERT ON `{his}`.note FOR EACH ROW SET @a = 1",
    "own password": "SET PASSWORD = {own_password}",
    "settings of own": "ALTER DATABASE `{mine}` CHARACTER SET latin1",
}
MYSQL = {**_MYSQL_FAMILY, "own marker": "ALTER USER '{me}'@'%' ATTRIBUTE '{{}}'"}
MARIADB = {
    **_MYSQL_FAMILY,
    "take the marker": "SET ROLE `dbroster:{roster}`; CREATE USER '{me}2'@'%'",
    "give the marker away": "GRANT `dbroster:{roster}` TO '{me}2'@'%'",
}

CLICKHOUSE = {
    "read": "SELECT * FROM `{his}`.note",
    "write": "INSERT INTO `{his}`.note VALUES ('mine')",
    "create a table": "CREATE TABLE `{his}`.trap (n Int8) ENGINE = Memory",
    "merge function": "SELECT * FROM merge('{his}', '.*')",
    "view function": "SELECT * FROM view(SELECT * FROM `{his}`.note)",
    "explain": "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT * FROM `{his}`.note))",
    "index function": "SELECT * FROM mergeTreeIndex('{his}', 'note')",
    "dictionary function": "SELECT * FROM dictionary('{his}.note')",
    "all replicas": "SELECT * FROM clusterAllReplicas('default', '{his}', 'note')",
    "a distributed table": "CREATE TABLE dist (line String) ENGINE = Distributed('default', '{his}', 'note')",
    "a view": "CREATE VIEW v1 AS SELECT * FROM `{his}`.note",
    "a materialized view": "CREATE MATERIALIZED VIEW v2 ENGINE = Memory AS SELECT * FROM `{his}`.note",
    "write by a view": "CREATE MATERIALIZED VIEW v3 TO `{his}`.note AS SELECT * FROM `{mine}`.note",
    "write by a function": "INSERT INTO FUNCTION loop('{his}', 'note') VALUES ('mine')",
    "a copy": "CREATE TABLE copied AS `{his}`.note",
    "take parts": "ALTER TABLE `{mine}`.note ATTACH PARTITION tuple() FROM `{his}`.note",
    "exchange": "EXCHANGE TABLES `{mine}`.note AND `{his}`.note",
    "compare": "SELECT 'x' IN (`{his}`.note)",
    "drop a database": "DROP DATABASE `{his}`",
    "drop own database": "DROP DATABASE `{mine}`",
    "create a database": "CREATE DATABASE `{al}_more`",
    "rename a database": "RENAME DATABASE `{mine}` TO `{al}_more`",
    "forge a marker": "ALTER DATABASE `{mine}` MODIFY COMMENT 'dbroster/1 {roster} {al}'",
    "change a password": "ALTER USER `{al}` IDENTIFIED BY 'Taken-over-123456'",
    "change the admin's password": "ALTER USER `{admin}` IDENTIFIED BY 'Taken-over-123456'",
    "own password": "ALTER USER `{me}` IDENTIFIED BY 'Taken-over-123456'",
    "drop an account": "DROP USER `{al}`",
    "create an account": "CREATE USER `{me}2`",
    "give own": "GRANT SELECT ON `{mine}`.* TO `{al}`",
    "give all": "GRANT ALL ON *.* TO `{me}`",
    "give the marker": "GRANT `dbroster:{roster}` TO `{al}`",
    "see accounts": "SELECT * FROM system.users",
    "see grants": "SELECT * FROM system.grants",
    "read a file": "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "write a file": "INSERT INTO FUNCTION file('{outside}', 'CSV', 'n Int8') VALUES (1)",
    "fetch a page": "SELECT * FROM url('http://{host}:{port}/', 'LineAsString')",
    "another server": "SELECT * FROM remote('{host}:{port}', '{his}', 'note')",
    "another product": "SELECT * FROM mysql('{host}:3306', '{his}', 'note', '{al}', '')",
    "a dictionary": (
        "CREATE DICTIONARY d (n Int8) PRIMARY KEY n SOURCE(CLICKHOUSE(USER '{al}' TABLE 'note' DB '{his}'))"
        " LAYOUT(FLAT()) LIFETIME(1)"
    ),
    "run a program": "SELECT * FROM executable('x.sh', 'CSV', 'n Int8')",
    "a function": "CREATE FUNCTION f_{me} AS (x) -> x",
    "a collection of secrets": "CREATE NAMED COLLECTION c_{me} AS a = 1",
    "back up": "BACKUP DATABASE `{his}` TO File('{outside}')",
    "stop the server": "SYSTEM SHUTDOWN",
    "flush": "SYSTEM FLUSH LOGS",
    "run as the admin": "CREATE VIEW v DEFINER = `{admin}` SQL SECURITY DEFINER AS SELECT * FROM system.users",
    "a table elsewhere": "CREATE TABLE u (n Int8) ENGINE = URL('http://{host}:{port}/', 'CSV')",
    "a role": "CREATE ROLE r_{me}",
    "a quota": "CREATE QUOTA q_{me}",
}


def _mongo(**body: object) -> str:
    return json.dumps(body).replace("{", "{{").replace("}", "}}").replace("<", "{").replace(">", "}")


_ROLE = [{"role": "readWrite", "db": "<his>"}]
MONGODB = {
    "other users": _mongo(usersInfo=1),
    "create an account": _mongo(createUser="<me>2", pwd="Taken-over-123456", roles=_ROLE),
    "create a role": _mongo(createRole="r", privileges=[], roles=_ROLE),
    "own roles": _mongo(grantRolesToUser="<me>", roles=_ROLE),
    "own password": _mongo(updateUser="<me>", pwd="Taken-over-123456"),
    "drop all accounts here": _mongo(dropAllUsersFromDatabase=1),
    "write elsewhere": _mongo(
        aggregate="note", pipeline=[{"$match": {}}, {"$out": {"db": "<his>", "coll": "trap"}}], cursor={}
    ),
    "merge elsewhere": _mongo(
        aggregate="note", pipeline=[{"$merge": {"into": {"db": "<his>", "coll": "trap"}}}], cursor={}
    ),
    "look elsewhere": _mongo(
        aggregate="note",
        pipeline=[
            {"$lookup": {"from": {"db": "<his>", "coll": "note"}, "as": "x", "localField": "a", "foreignField": "b"}}
        ],
        cursor={},
    ),
    "reduce elsewhere": _mongo(
        mapReduce="note",
        map="function() {emit(1, 1)}",
        reduce="function(k, v) {return 1}",
        out={"replace": "x", "db": "<his>"},
    ),
    "stop the server": _mongo(shutdown=1),
    "settings of the server": _mongo(setParameter=1, logLevel=0),
    "flush": _mongo(fsync=1),
    "end sessions": _mongo(killAllSessions=[]),
    "a file": _mongo(getLog="global"),
}


ATTEMPTS = {
    "postgresql": POSTGRESQL,
    "mysql": MYSQL,
    "mariadb": MARIADB,
    "clickhouse": CLICKHOUSE,
    "mongodb": MONGODB,
}

HARMLESS = {
    # PostgreSQL and the MySQL family let everybody change the own password; the next run sets it back
    "postgresql": {"own password", "own settings", "open own", "settings of own"},
    "mysql": {"own password", "settings of own"},
    "mariadb": {"own password", "settings of own"},
    # what no privilege keeps apart there, and what dbroster says about it, is in tests/engines/clickhouse/test_reach.py
    # an empty table with the columns of another's: the server lets who knows its name see that
    "clickhouse": {"a copy"},
    "mongodb": set[str](),
}
"""What is allowed, since it stays in what is the attacker's own; the next run mends it where that matters."""
