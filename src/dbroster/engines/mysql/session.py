"""One connection to MySQL or MariaDB: opening it, quoting, and turning the driver's errors into ours."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from dbroster.engines import tls
from dbroster.engines.mysql.connection import CLIENT, DictCursor, Driver, SSDictCursor, pymysql
from dbroster.engines.waits import breakable
from dbroster.errors import ConnectError, LoginRefused, OperationError, ServerError, Stalled
from dbroster.model.connection import Connection
from dbroster.passwords.secret import scrub

Row = TypeVar("Row")

LOCK_WAIT = 10  # seconds; the server's own default is a year
ACCOUNT_WAIT = 20  # seconds for statements on accounts, whose waits MariaDB does not count as waits for locks
ANSWER = 0.2  # seconds in which a server can still say that the time was over
_SQL_MODE = "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION"
_MARIADB_SQL_MODE = (
    f"{_SQL_MODE},NO_AUTO_CREATE_USER"  # or a GRANT to nobody would create an account without a password
)
# what the server's own settings could spoil: rows that are left out, statements that are refused or never end
_SETTINGS = """
    SET SESSION lock_wait_timeout = {wait}, innodb_lock_wait_timeout = {wait}, wait_timeout = 604800,
        sql_select_limit = 18446744073709551615, sql_big_selects = 1, sql_safe_updates = 0, sql_auto_is_null = 0,
        sql_quote_show_create = 1, completion_type = 0, group_concat_max_len = 1048576,
        sql_mode = IF(VERSION() LIKE '%MariaDB%', '{mariadb_mode}', '{mode}')
        /*!80000 , max_execution_time = 0 */ /*M!100500 , max_statement_time = {timeout} */;
    SET SESSION TRANSACTION READ WRITE"""
_BROKEN = frozenset({0, 1053, 1077, 1079, 1927, 2002, 2003, 2006, 2013, 2014, 2026, 2055, 3169, 4031})
_RETRYABLE = frozenset({1213})
_ACCESS_DENIED = 1045
_LOCK_WAIT_OVER, _STATEMENT_TIME_OVER = 1205, 1969
DATABASE_EXISTS = "1007"
NO_SUCH_THREAD = "1094"
NOT_OWNER_OF_THREAD = "1095"
READ_ONLY_DATABASE = "3989"
NOT_EMPTY_DIRECTORY = "1010"
LEFT_DIRECTORY = 3607
FOREIGN_KEYS = frozenset({"3730", "1217", "1451"})
_ADVICE = {
    1044: "let `check --connect` say what to grant to the admin account",
    1142: "let `check --connect` say what to grant to the admin account",
    1227: "let `check --connect` say what to grant to the admin account",
    1205: "another session or a backup holds a lock on it (SHOW PROCESSLIST), or a transaction that XA PREPARE has "
    "left (XA RECOVER lists them, XA ROLLBACK 'ID' ends one); dbroster will try it again",
    1290: "the server is read-only, or asks for plain passwords (strict_password_validation)",
    1396: "somebody else changes accounts at the same time, or the server refused the account",
    1524: "load that authentication plugin, or choose another auth_plugin in connections.yaml",
    4006: "another account's routines, views or events have this account as their definer; change or drop them first",
}


# none where the server has had no room for a session; before 8.0.22 there is no such table
_PROCESSES = """
    SELECT ID AS Id, USER AS User, HOST AS Host, DB AS db, COMMAND AS Command, STATE AS State
    FROM performance_schema.processlist
    WHERE EXISTS (SELECT 1 FROM performance_schema.global_status
        WHERE VARIABLE_NAME = 'Performance_schema_thread_instances_lost' AND VARIABLE_VALUE = '0')"""


def identifier(name: str) -> str:
    """Quote a name of a database, table or role."""
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """Quote a text; right because the session's sql_mode leaves the backslash its meaning."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def account(name: str, host: str) -> str:
    """Quote an account, `'bob'@'%'`."""
    return f"{literal(name)}@{literal(host)}"


def accounts_list(keys: Iterable[tuple[str, str]], clauses: Mapping[str, str] | None = None) -> str:
    """Accounts for a statement that takes many, each followed by its user's clause."""
    clauses = clauses or {}
    return ", ".join(f"{account(*key)} {clauses.get(key[0], '')}".rstrip() for key in keys)


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
        self.warned = False
        self._collected: list[_Part] | None = None
        self.address = connection.host if _is_socket(connection) else f"{connection.host}:{connection.port}"
        self._timeout = connection.timeout
        self._columns: dict[str, tuple[str, ...]] = {}
        self._waited = 0.0
        password = connection.password.reveal() if connection.password else ""
        self._driver = _driver(connection, password)
        try:
            self._driver.log_in(connection.connect_timeout)
        except (pymysql.Error, OSError, RuntimeError) as error:  # RuntimeError: the driver misses `cryptography`
            text = scrub(_refusal(self._driver, error), [password] if password else [])
            silent = self._driver.expired or isinstance(error.__context__, TimeoutError)
            if silent:
                text = f"the login was not over within {connection.connect_timeout} s (connect_timeout)"
            refused = error.args[:1] == (_ACCESS_DENIED,)
            kind = Stalled if silent else LoginRefused if refused else ConnectError
            raise kind(f"can't connect to {self.address} as {connection.username}: {text}") from None

    @cached_property
    def is_mariadb(self) -> bool:
        """Which of both products it is."""
        return "mariadb" in self.greeting.version.lower()

    @cached_property
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

    @contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """Close the connection if the block fails."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def abort(self) -> None:
        """Break off what another thread waits for. Never raises, never blocks."""
        self._driver.break_off()

    def rows(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """Return what a query finds; each `%s` in it stands for a value or a tuple for `IN`, quoted by the driver.

        Raises ConnectError or OperationError.
        """
        with self._translated(()), self._driver.cursor(DictCursor) as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def processes(self) -> list[dict[str, Any]]:
        """Return the sessions on the server, as SHOW PROCESSLIST does.

        MySQL lets that wait for a client that has begun COM_CHANGE_USER, for as long as that client likes;
        performance_schema waits for nobody, but does not tell whose an event is.
        """
        if not self.is_mariadb:
            with suppress(OperationError):
                if found := self.rows(_PROCESSES):
                    return found
        return self.rows("SHOW PROCESSLIST")

    def converted(self, convert: Callable[[dict[str, Any]], Row], statement: str, *values: object) -> list[Row]:
        """Return what is made of each row; the rows themselves are never in memory all at once."""
        with self._translated(()), self._driver.cursor(SSDictCursor) as cursor:
            cursor.execute(statement, values or None)
            return [convert(row) for row in cursor]

    def read_columns(self, tables: Iterable[str]) -> None:
        """Read the names of the columns of these tables of mysql, by one message. Raises as `rows` does."""
        asked = list(tables)
        statement = "; ".join(f"SELECT * FROM mysql.{table} LIMIT 0" for table in asked)  # noqa: S608 - our own words
        with self._translated(()), self._driver.cursor() as cursor:
            cursor.execute(statement)
            for table in asked:
                self._columns[table] = tuple(column[0] for column in cursor.description)
                cursor.nextset()

    def privilege_columns(self, table: str) -> tuple[str, ...]:
        """Columns that hold Y or N for one privilege each; every version has its own."""
        if table not in self._columns:
            self.read_columns([table])
        return tuple(name for name in self._columns[table] if name.endswith("_priv"))

    def run(
        self, statement: str, secrets: Iterable[str] = (), *, of_database: bool = False, long: bool = False
    ) -> None:
        """Perform a statement; `secrets` are its parts that no error may show. Raises ConnectError, OperationError.

        `of_database`: whether it changes a database, so that somebody who works in it can be in the way. Nothing but a
        lock of the whole server is in the way of accounts. `long`: whether it may take its time.
        """
        self.statements_run += 1
        if self._collected is not None:
            self._collected.append(_Part(statement, tuple(secrets), of_database))
            return
        self.run_now(statement, secrets, of_database=of_database, long=long)

    def run_now(
        self, statement: str, secrets: Iterable[str] = (), *, of_database: bool = False, long: bool = False
    ) -> None:
        """Perform a statement at once, inside `together`, too."""
        if self.is_mariadb and not long:
            statement = (
                f"SET STATEMENT max_statement_time = {min(ACCOUNT_WAIT, max(1, self._timeout - 1))} FOR {statement}"
            )
        with self._translated(secrets, of_accounts=not of_database), self._driver.cursor() as cursor:
            cursor.execute(statement)
            while cursor.nextset():
                pass
            self.warned = bool(cursor.warning_count)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Send what is run inside the block as one message at its end.

        An error in it leaves done what stood before it, and the rest not done. Nothing is sent if the block raises.
        Source: MariaDB documentation, "BEGIN END"; MySQL Reference Manual, "Multiple Statement Execution Support".
        """
        if self._collected is not None:
            yield
            return
        collected: list[_Part] = []
        self._collected = collected
        try:
            yield
        finally:
            self._collected = None
        if not collected:
            return
        text = "; ".join(part.statement for part in collected)
        if self.is_mariadb and len(collected) > 1:
            text = f"BEGIN NOT ATOMIC {text}; END"
        databases = any(part.of_database for part in collected)
        self.run(text, [secret for part in collected for secret in part.secrets], of_database=databases)

    @contextmanager
    def _translated(self, secrets: Iterable[str], *, of_accounts: bool = False) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        except (pymysql.Error, OSError) as error:
            is_numbered = isinstance(error, pymysql.Error) and error.args and isinstance(error.args[0], int)
            code = error.args[0] if is_numbered else 0
            text = scrub(_words(error), secrets)
            if isinstance(error.__context__, TimeoutError):
                raise self._stalled(f"gave no answer for {self._timeout} s") from None
            if code in _BROKEN:
                raise ConnectError(f"the connection to {self.address} broke: {text}") from None
            self._judge_wait(code, time.monotonic() - began, of_accounts=of_accounts)
            advice = f"; {_ADVICE[code]}" if code in _ADVICE else ""
            raise OperationError(f"{text}{advice}", str(code), retryable=code in _RETRYABLE) from None

    def _judge_wait(self, code: int, seconds: float, *, of_accounts: bool) -> None:
        """End the run when not one database, but the whole server is locked. Raises Stalled."""
        if code not in (_STATEMENT_TIME_OVER, _LOCK_WAIT_OVER):
            return
        if of_accounts:
            raise self._stalled(
                f"kept a change waiting for {seconds:.0f} s: is a backup at work, or FLUSH TABLES WITH READ LOCK? "
                "SHOW PROCESSLIST tells; run again when it is over"
            ) from None
        self._waited += seconds
        if self._waited > self._timeout:
            raise self._stalled(f"kept changes waiting for {self._waited:.0f} s in all") from None

    def _stalled(self, what: str) -> Stalled:
        return Stalled(f"the server {self.address} {what} (timeout: {self._timeout})")


@contextmanager
def logged_in(connection: Connection, who: str) -> Iterator[Session]:
    """Log in as somebody else than the admin, who is to be told. Raises OperationError if that fails."""
    try:
        session = Session(connection)
    except ConnectError as error:
        raise OperationError(f"can't log in as {who}: {error}") from None
    with closing(session), breakable(connection, session.abort):
        yield session


class _Part(NamedTuple):
    """A statement of a message that is being put together."""

    statement: str
    secrets: tuple[str, ...]
    of_database: bool


def _is_socket(connection: Connection) -> bool:
    return connection.host.startswith("/")


def _driver(connection: Connection, password: str) -> Driver:
    return Driver(
        host="localhost" if _is_socket(connection) else connection.host,
        unix_socket=connection.host if _is_socket(connection) else None,
        port=connection.port,
        user=connection.username,
        password=password.encode(),  # the driver encodes a str as latin-1
        charset="utf8mb4",
        autocommit=True,
        connect_timeout=connection.connect_timeout,
        read_timeout=connection.timeout,
        write_timeout=connection.timeout,
        ssl=tls.context(connection.tls),
        ssl_disabled=connection.tls.mode == "disable",
        init_command=_SETTINGS.format(
            wait=max(1, min(LOCK_WAIT, connection.timeout - 1)),
            timeout=connection.timeout - ANSWER,
            mode=_SQL_MODE,
            mariadb_mode=_MARIADB_SQL_MODE,
        ),
        client_flag=CLIENT.MULTI_STATEMENTS,
    )


def _refusal(driver: Driver, error: BaseException) -> str:
    """Say why there is no connection, and what the server does not say."""
    text = _words(error)
    if error.args[:1] != (_ACCESS_DENIED,):
        return text
    hints = ["is the password right?", "does an anonymous account (''@'localhost') stand before it?"]
    if not driver.offers_tls():
        hints.insert(1, "the server offers no TLS: does the account REQUIRE SSL?")
    return f"{text}; {' '.join(hints)}"


def _words(error: BaseException) -> str:
    """The server's sentence with its number; the driver puts both into `args`."""
    match error.args:
        case (int(code), str(text), *_) if code and text:
            return f"{text} (error {code})"
    return str(error) or type(error).__name__
