"""MySQL and MariaDB, for the contract suite."""

import re
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pymysql
import pytest

from servers import MariaDB, MySQL
from tests.contract.adapters import Adapter, Refused, written_since

if TYPE_CHECKING:
    from pymysql.connections import Connection as PyMySQLConnection
    from pymysql.cursors import Cursor

    Connection = PyMySQLConnection[Any]

_ENTRY = re.compile(
    r"^(?:\S+Z?\t|\d{6} [\d: ]\d:\d\d:\d\d\t|\t\t)?\s*(?P<thread>\d+) (?P<command>[A-Z][A-Za-z ]*?)\t(?P<text>.*?)"
    r"(?=^(?:\S+Z?\t|\d{6} [\d: ]\d:\d\d:\d\d\t|\t\t)\s*\d+ [A-Z][a-z]|\Z)",
    re.M | re.S,
)

_CHANGE = re.compile(
    r"(?<!\bSHOW )\b(CREATE|ALTER|DROP|GRANT|REVOKE|INSERT|UPDATE|DELETE|RENAME|TRUNCATE|REPLACE|KILL)\b\s+\S", re.I
)
_STRING = re.compile(r"'(?:[^'\\]|''|\\.)*'", re.S)


def quoted(name: str) -> str:
    """An identifier."""
    return "`" + name.replace("`", "``") + "`"


def pattern(database: str) -> str:
    """A database in a GRANT, where `_` and `%` stand for any characters."""
    return quoted(re.sub(r"([\\_%])", r"\\\1", database))


class MySQLSession:
    """A login of a user."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    def alive(self) -> bool:
        try:
            self._connection.query("SELECT 1")
        except pymysql.err.Error:
            return False
        return True


class MySQLAdapter(Adapter):
    """What DBA and users do at MySQL."""

    engine = "mysql"
    renames_databases_by_hand = False  # neither product can
    server: MySQL | MariaDB

    def __init__(self, server: MySQL | MariaDB) -> None:
        super().__init__(server)
        self._admin = self._connect(server.admin_user, server.admin_password)

    def close(self) -> None:
        self._admin.close()

    def section(self) -> dict[str, object]:
        server = self.server
        tls = {"tls": {"mode": "verify-full", "ca": str(server.ca)}} if server.ca else {}
        return {
            "host": server.host,
            "port": server.port,
            "username": server.admin_user,
            "password": server.admin_password,
            **tls,
        }

    def _connect(self, user: str, password: str, database: str | None = None) -> "Connection":
        try:
            return pymysql.connect(
                host=self.server.host,
                port=self.server.port,
                user=user,
                password=password.encode(),  # a str would be sent as latin-1
                database=database,
                charset="utf8mb4",
                autocommit=True,
                ssl=self._tls,
            )
        except pymysql.err.Error as error:
            raise Refused(str(error)) from None

    @cached_property
    def _tls(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=str(self.server.ca)) if self.server.ca else None

    def _rows(self, statement: str, *values: str) -> list[tuple[Any, ...]]:
        with self._admin.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def _thread(self) -> int:
        return int(self._admin.thread_id())  # type: ignore[no-untyped-call]

    # --- by hand ------------------------------------------------------------------------------------------------------

    def create_account_by_hand(self, user: str, password: str) -> None:
        self._rows("CREATE USER %s@'%%' IDENTIFIED BY %s", user, password)

    def create_database_by_hand(self, database: str) -> None:
        self._rows(f"CREATE DATABASE {quoted(database)}")

    def drop_account_by_hand(self, user: str) -> None:
        self._rows("DROP USER %s@'%%'", user)

    def drop_database_by_hand(self, database: str) -> None:
        self._rows(f"DROP DATABASE {quoted(database)}")

    def lock_by_hand(self, user: str) -> None:
        self._rows("ALTER USER %s@'%%' ACCOUNT LOCK", user)

    def clear_password_by_hand(self, user: str) -> None:
        self._rows("ALTER USER %s@'%%' IDENTIFIED BY 'something that no test knows'", user)

    def revoke_by_hand(self, user: str, database: str) -> None:
        self._rows(f"REVOKE DELETE ON {pattern(database).replace('%', '%%')}.* FROM %s@'%%'", user)

    def share_by_hand(self, user: str, database: str) -> None:
        self._rows(f"GRANT SELECT, INSERT ON {pattern(database).replace('%', '%%')}.* TO %s@'%%'", user)

    def rename_account_by_hand(self, user: str, new: str) -> None:
        self._rows("RENAME USER %s@'%%' TO %s@'%%'", user, new)

    def hand_over_by_hand(self, user: str, database: str) -> None:
        """As phpMyAdmin does."""
        self.create_database_by_hand(database)
        self._rows(f"GRANT ALL PRIVILEGES ON {pattern(database).replace('%', '%%')}.* TO %s@'%%'", user)

    def strip_by_hand(self, user: str) -> None:
        self._rows("REVOKE ALL PRIVILEGES, GRANT OPTION FROM %s@'%%'", user)

    @contextmanager
    def hold_lock_as(self, user: str, password: str) -> Iterator[None]:
        """Under the name that the sync has always used, and under those that a reader of the program would guess."""
        connection = self._connect(user, password)
        try:
            with connection.cursor() as cursor:
                for name in ("dbroster:sync", "dbroster:lock", *(f"dbroster:sync:{n}" for n in range(20))):
                    cursor.execute("SELECT GET_LOCK(%s, 0)", (name,))
            yield
        finally:
            with suppress(pymysql.err.Error):  # the server may have ended it
                connection.close()

    def accounts(self) -> set[str]:
        return {name for (name,) in self._rows("SELECT User FROM mysql.user")}

    def databases(self) -> set[str]:
        return {name for (name,) in self._rows("SHOW DATABASES")}

    def fingerprint(self, user: str) -> str:
        return repr(
            self._rows("SELECT Host, plugin, HEX(authentication_string) FROM mysql.user WHERE User = %s", user)
            + sorted(self._rows("SHOW GRANTS FOR %s@'%%'", user))  # MariaDB's order changes by itself
            + self._lock_and_marker(user)
        )

    def _lock_and_marker(self, user: str) -> list[tuple[Any, ...]]:
        return self._rows("SELECT account_locked, User_attributes FROM mysql.user WHERE User = %s", user)

    def spare_connections(self) -> None:
        self._spared = {thread for (thread,) in self._rows("SELECT ID FROM information_schema.PROCESSLIST")}

    def end_connections(self) -> None:
        for thread, user in self._rows("SELECT ID, USER FROM information_schema.PROCESSLIST"):
            if thread not in self._spared and user == self.server.admin_user:
                with suppress(pymysql.err.Error):  # it may have gone by itself
                    self._rows(f"KILL {thread}")

    def wipe(self, prefix: str) -> None:
        start = re.sub(r"([\\_%])", r"\\\1", prefix) + "%"
        for (name,) in self._rows(
            "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE %s", start
        ):
            self.drop_database_by_hand(name)
        for name, host in self._rows("SELECT User, Host FROM mysql.user WHERE User LIKE %s", start):
            self._rows("DROP USER %s@%s", name, host)

    # --- what the server says of a run --------------------------------------------------------------------------------

    @contextmanager
    def changes(self) -> Iterator[list[str]]:
        """By the general log."""
        log = next((path for path in self.server.log_files() if path.name == "general.log"), None)
        if log is None:
            pytest.skip("the general log of this server is out of reach")
        before = log.stat().st_size
        found: list[str] = []
        yield found
        text = written_since(log, before).decode(errors="replace")
        statements = [
            entry["text"].strip()
            for entry in _ENTRY.finditer(text)
            if entry["command"] in ("Query", "Execute") and int(entry["thread"]) != self._thread()
        ]
        assert statements, "the general log is silent, so it proves nothing"
        found += [text for text in statements if _CHANGE.search(_STRING.sub("''", text))]

    # --- as a user ----------------------------------------------------------------------------------------------------

    @contextmanager
    def session(self, user: str, password: str) -> Iterator[MySQLSession]:
        connection = self._connect(user, password)
        try:
            yield MySQLSession(connection)
        finally:
            with suppress(pymysql.err.Error):  # the server may have ended it
                connection.close()

    def put(self, user: str, password: str, database: str, text: str) -> None:
        with self._logged_in(user, password, database) as cursor:
            cursor.execute("CREATE TABLE IF NOT EXISTS note (line text)")
            cursor.execute("INSERT INTO note VALUES (%s)", (text,))

    def writable(self, user: str, password: str, databases: Iterable[str]) -> set[str]:
        try:
            with self._logged_in(user, password, None) as cursor:
                return {database for database in databases if self._takes(cursor, database)}
        except Refused:
            return set()

    @staticmethod
    def _takes(cursor: "Cursor", database: str) -> bool:
        try:
            cursor.execute(f"USE {quoted(database)}")
            cursor.execute("CREATE TABLE IF NOT EXISTS note (line text)")
            cursor.execute("INSERT INTO note VALUES ('a row')")
        except pymysql.err.Error:
            return False
        return True

    def get(self, user: str, password: str, database: str) -> list[str]:
        return [line for (line,) in self._as_user(user, password, database, "SELECT line FROM note")]

    def give_away(self, user: str, password: str, database: str, receiver: str) -> None:
        with suppress(Refused):
            statement = f"GRANT SELECT ON {pattern(database).replace('%', '%%')}.* TO %s@'%%'"
            self._as_user(user, password, None, statement, receiver)

    def visible(self, user: str, password: str) -> set[str]:
        return {name for (name,) in self._as_user(user, password, None, "SHOW DATABASES")}

    def _as_user(
        self, user: str, password: str, database: str | None, statement: str, *values: str
    ) -> list[tuple[Any, ...]]:
        with self._logged_in(user, password, database) as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    @contextmanager
    def _logged_in(self, user: str, password: str, database: str | None) -> Iterator["Cursor"]:
        with self._connect(user, password, database) as connection, connection.cursor() as cursor:
            try:
                yield cursor
            except pymysql.err.Error as error:
                raise Refused(str(error)) from None


class MariaDBAdapter(MySQLAdapter):
    """What is different at MariaDB."""

    def _lock_and_marker(self, user: str) -> list[tuple[Any, ...]]:
        return self._rows("SELECT Priv FROM mysql.global_priv WHERE User = %s", user) + self._rows(
            "SELECT Role, Admin_option FROM mysql.roles_mapping WHERE User = %s", user
        )

    def wipe(self, prefix: str) -> None:
        roles = "SELECT User FROM mysql.global_priv WHERE JSON_VALUE(Priv, '$.is_role') AND User LIKE %s"
        for (name,) in self._rows(roles, f"dbroster:{prefix}%"):
            self._rows("DROP ROLE " + quoted(name))
        super().wipe(prefix)
