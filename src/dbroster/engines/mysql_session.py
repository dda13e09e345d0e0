"""One connection to MySQL or MariaDB: opening it, quoting, and turning the driver's errors into ours."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeVar

import pymysql
from pymysql.constants import CLIENT
from pymysql.cursors import DictCursor, SSDictCursor

from dbroster.config import Connection
from dbroster.engines import tls
from dbroster.errors import ConnectError, OperationError, ServerError
from dbroster.secret import scrub

Row = TypeVar("Row")

READ_TIMEOUT = 600  # seconds; locks are waited for much shorter, so only a server that is gone takes so long
LOCK_WAIT = 10  # seconds; the server's own default is a year
_SQL_MODE = "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION"
_MARIADB_SQL_MODE = (
    f"{_SQL_MODE},NO_AUTO_CREATE_USER"  # or a GRANT to nobody would create an account without a password
)
_SETTINGS = (
    f"SET SESSION lock_wait_timeout = {LOCK_WAIT}, wait_timeout = 604800, "
    f"sql_mode = IF(VERSION() LIKE '%MariaDB%', '{_MARIADB_SQL_MODE}', '{_SQL_MODE}')"
)
_BROKEN = frozenset({0, 1053, 1077, 1079, 1927, 2002, 2003, 2006, 2013, 2014, 2026, 2055, 3169, 4031})
_RETRYABLE = frozenset({1205, 1213})
DATABASE_EXISTS = "1007"
NO_SUCH_THREAD = "1094"
NOT_OWNER_OF_THREAD = "1095"
READ_ONLY_DATABASE = "3989"
_ADVICE = {
    1044: "let `check --connect` say what to grant to the admin account",
    1142: "let `check --connect` say what to grant to the admin account",
    1227: "let `check --connect` say what to grant to the admin account",
    1205: "another session holds a lock on it; it is tried again in the next run",
    1290: "the server is read-only, or asks for plain passwords (strict_password_validation)",
    1396: "somebody else changes accounts at the same time, or the server refused the account",
    1524: "load that authentication plugin, or choose another auth_plugin in connections.yaml",
    4006: "another account's routines, views or events have this account as their definer; change or drop them first",
}


def identifier(name: str) -> str:
    """Quote a name of a database, table or role."""
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """Quote a text; right because the session's sql_mode leaves the backslash its meaning."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def account(name: str, host: str) -> str:
    """Quote an account, `'bob'@'%'`."""
    return f"{literal(name)}@{literal(host)}"


@contextmanager
def reading() -> Iterator[None]:
    """Make a failed query a failure of the whole server: without the state there is nothing to plan."""
    try:
        yield
    except OperationError as error:
        raise ServerError(f"can't read the state of the server: {error}") from None


class Greeting(NamedTuple):
    """What a server says of itself and of who has logged in, and the seconds that it took to say so."""

    version: str
    account: tuple[str, str]
    seconds: float


class Session:
    """One open connection; every statement is committed by itself."""

    def __init__(self, connection: Connection) -> None:
        """Connect. Raises ConnectError, with the server's own reason."""
        self.statements_run = 0
        self.compound = False
        self._collected: list[tuple[str, tuple[str, ...]]] | None = None
        self._address = connection.host if _is_socket(connection) else f"{connection.host}:{connection.port}"
        password = connection.password.reveal() if connection.password else ""
        try:
            self._driver = _connect(connection, password)
        except (pymysql.Error, OSError, RuntimeError) as error:  # RuntimeError: the driver misses `cryptography`
            text = scrub(_words(error), [password] if password else [])
            raise ConnectError(f"can't connect to {self._address} as {connection.username}: {text}") from None

    def greeting(self) -> Greeting:
        """Ask who is there, and as whom we are here. Raises ConnectError or OperationError."""
        began = time.perf_counter()
        (row,) = self.rows("SELECT @@version AS version, CURRENT_USER() AS account")
        seconds = time.perf_counter() - began
        name, _, host = row["account"].rpartition("@")
        return Greeting(row["version"], (name, host), seconds)

    def close(self) -> None:
        """Close the connection; never raises."""
        with suppress(pymysql.Error, OSError):
            self._driver.close()

    def rows(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """Return what a query finds; each `%s` in it stands for a value or a tuple for `IN`, quoted by the driver.

        Raises ConnectError or OperationError.
        """
        with self._translated(()), self._driver.cursor(DictCursor) as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def converted(self, convert: Callable[[dict[str, Any]], Row], statement: str, *values: object) -> list[Row]:
        """Return what is made of each row; the rows themselves are never in memory all at once."""
        with self._translated(()), self._driver.cursor(SSDictCursor) as cursor:
            cursor.execute(statement, values or None)
            return [convert(row) for row in cursor]

    def run(self, statement: str, secrets: Iterable[str] = ()) -> None:
        """Perform a statement; `secrets` are its parts that no error may show. Raises ConnectError, OperationError."""
        self.statements_run += 1
        if self._collected is not None:
            self._collected.append((statement, tuple(secrets)))
            return
        self.run_now(statement, secrets)

    def run_now(self, statement: str, secrets: Iterable[str] = ()) -> None:
        """Perform a statement at once, inside `together`, too."""
        with self._translated(secrets), self._driver.cursor() as cursor:
            cursor.execute(statement)
            while cursor.nextset():
                pass

    @contextmanager
    def together(self) -> Iterator[None]:
        """Send what is run inside the block as one message at its end.

        An error in it leaves done what stood before it, and the rest not done. Nothing is sent if the block raises.
        Source: MariaDB documentation, "BEGIN END"; MySQL Reference Manual, "Multiple Statement Execution Support".
        """
        if self._collected is not None:
            yield
            return
        collected: list[tuple[str, tuple[str, ...]]] = []
        self._collected = collected
        try:
            yield
        finally:
            self._collected = None
        if not collected:
            return
        text = "; ".join(statement for statement, _ in collected)
        if self.compound and len(collected) > 1:
            text = f"BEGIN NOT ATOMIC {text}; END"
        self.run(text, [secret for _, secrets in collected for secret in secrets])

    @contextmanager
    def _translated(self, secrets: Iterable[str]) -> Iterator[None]:
        try:
            yield
        except (pymysql.Error, OSError) as error:
            is_numbered = isinstance(error, pymysql.Error) and error.args and isinstance(error.args[0], int)
            code = error.args[0] if is_numbered else 0
            text = scrub(_words(error), secrets)
            if code in _BROKEN:
                raise ConnectError(f"the connection to {self._address} broke: {text}") from None
            advice = f"; {_ADVICE[code]}" if code in _ADVICE else ""
            raise OperationError(f"{text}{advice}", str(code), retryable=code in _RETRYABLE) from None


def _is_socket(connection: Connection) -> bool:
    return connection.host.startswith("/")


def _connect(connection: Connection, password: str) -> "pymysql.Connection[Any]":
    return pymysql.connect(
        host="localhost" if _is_socket(connection) else connection.host,
        unix_socket=connection.host if _is_socket(connection) else None,
        port=connection.port,
        user=connection.username,
        password=password.encode(),  # the driver encodes a str as latin-1
        charset="utf8mb4",
        autocommit=True,
        connect_timeout=connection.connect_timeout,
        read_timeout=READ_TIMEOUT,
        write_timeout=READ_TIMEOUT,
        ssl=tls.context(connection.tls),
        ssl_disabled=connection.tls.mode == "disable",
        init_command=_SETTINGS,
        client_flag=CLIENT.MULTI_STATEMENTS,
    )


def _words(error: BaseException) -> str:
    """The server's sentence with its number; the driver puts both into `args`."""
    match error.args:
        case (int(code), str(text), *_) if code and text:
            return f"{text} (error {code})"
    return str(error) or type(error).__name__
