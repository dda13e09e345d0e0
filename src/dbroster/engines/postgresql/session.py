"""A session with PostgreSQL: how it is opened and judged, how statements are sent, and what errors become."""

import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import errors, pq, sql
from psycopg.types.string import TextLoader

from dbroster.engines.postgresql.connection import NOWHERE, Aborted, Expired, Patience, Patient
from dbroster.engines.postgresql.options import PostgreSQLOptions
from dbroster.errors import ConnectError, DbrosterError, LoginRefused, OperationError, Stalled, UnsupportedServer
from dbroster.model.connection import Connection
from dbroster.passwords.secret import scrub

OLDEST = 130000
DEPENDED_ON = "2BP01"
"""SQLSTATE: other objects depend on what should be dropped."""

DUPLICATE = "42710"
"""SQLSTATE: an object of this name exists."""

DENIED = "42501"
"""SQLSTATE: this admin may not."""

TOO_SLOW = "57014"
"""SQLSTATE: broken off by statement_timeout."""

BUSY = frozenset({"55006", "55P03", "XX000", "40P01"})
"""SQLSTATEs: in use, lock not available, changed by somebody else at the same time, deadlock."""

PARAMETER_GRANTS = 150000
"""Since PostgreSQL 15 single settings can be given to those who are no superusers."""

WAITS = 140000
"""Since PostgreSQL 14 pg_terminate_backend can wait until the session is gone."""

MEMBERSHIP_OPTIONS = 160000
"""Since PostgreSQL 16 a membership has its own SET and INHERIT options, and CREATEROLE reaches own roles only."""

LIBPQ_16 = 160000
"""The client library that knows require_auth, and the machine's own list of authorities."""

_RETRYABLE = {"40001", "40P01", "55006", "XX000"}  # XX000: "tuple concurrently updated", whatever its language
_BROKEN = {"57P01", "57P02", "57P03", "57P05"}  # the server is going down, or has ended an idle session
_NO_SUCH_LOGIN = re.compile(r'password authentication failed|role ".*" does not exist')
_DETAILED = {DEPENDED_ON, DENIED, "55006"}  # their details name roles and databases, never a part of the statement

_QUIET = {
    "log_statement": ("none",),
    "log_min_duration_statement": ("-1",),
    "log_min_duration_sample": ("-1",),
    "log_transaction_sample_rate": ("0",),
    "log_min_error_statement": ("panic", "fatal", "log"),  # no statement fails as badly as that
    "pg_stat_statements.track_utility": ("off",),
}
"""What keeps a statement out of the server's log and out of its statistics."""


def quoted(name: str) -> str:
    """Write a name as a statement for people needs it."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def stated(template: LiteralString, *parts: "str | sql.Composable") -> sql.Composed:
    """Make a statement: a name is quoted in the place of its `{}`, and what is made already is put in as it is."""
    return sql.SQL(template).format(*(sql.Identifier(part) if isinstance(part, str) else part for part in parts))


class _AnyText(TextLoader):
    """Names in a SQL_ASCII database may be no UTF-8; those are never ours, but they must not stop the reading."""

    def load(self, data: Any) -> str:
        return bytes(data).decode("utf-8", "replace")


class Session:
    """One connection of the admin to the maintenance database; every statement is its own transaction."""

    def __init__(self, raw: Patient) -> None:
        """Read once what the admin is and may do. Raises UnsupportedServer, ConnectError and OperationError."""
        self.raw = raw
        self.messages_run = 0
        self._slow = 0
        self.version = raw.info.server_version
        for name in ("text", "name", "varchar"):
            raw.adapters.register_loader(name, _AnyText)
        if raw.info.parameter_status("server_encoding") == "SQL_ASCII":
            self.run([sql.SQL("SET client_encoding = 'SQL_ASCII'")])  # such a server can't convert, and refuses to try
        self._refuse_unsupported()
        (admin,) = self.rows(
            "SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolinherit, rolconnlimit,"
            " has_column_privilege('pg_authid', 'rolpassword', 'SELECT'),"
            " coalesce(current_setting('scram_iterations', true), '4096')::int,"
            # as the server counts; a superuser may take the reserved ones, too
            " current_setting('max_connections')::int - (SELECT count(*)::int FROM pg_stat_activity"
            " WHERE backend_type = 'client backend')"
            " - CASE WHEN rolsuper THEN 0 ELSE current_setting('superuser_reserved_connections')::int END"
            " - CASE WHEN rolsuper OR EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'pg_use_reserved_connections'"
            " AND pg_has_role(r.oid, 'USAGE')) THEN 0"
            " ELSE coalesce(current_setting('reserved_connections', true), '0')::int END,"
            # the session that holds the lock is idle while others work
            " (SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout')"
            " FROM pg_roles WHERE rolname = current_user"
        )
        self.admin, self.superuser, self.createrole, self.createdb, self.inherits, *more, _ = admin
        self.limit, self.reads_verifiers, self.iterations, self.connections_left = more
        self._loud, self.exposing = self._settings_that_record()

    def close(self) -> None:
        """End the session; never raises."""
        self.raw.close()

    def abort(self) -> None:
        """Let whoever waits for this session get ConnectError; called from another thread."""
        self.raw.patience.aborted = True

    def rows(self, query: LiteralString, parameters: Sequence[object] | Mapping[str, object] = ()) -> list[Any]:
        """Ask one query and return all its rows."""
        with self._in_time():
            return self.raw.execute(query, parameters or None).fetchall()

    def answers(self, seconds: float) -> None:
        """Raise Stalled unless the server answers within some seconds."""
        patience = self.raw.patience
        self.raw.patience = Patience(patience.address, seconds, "connect_timeout")
        self.rows("SELECT 1")
        self.raw.patience = patience

    def run(self, statements: Iterable[sql.Composable], secrets: Iterable[str] = ()) -> None:
        """Send statements in one message: PostgreSQL makes one transaction of it, so all take effect or none.

        Source: PostgreSQL manual, "Multiple Statements in a Simple Query".
        """
        together = list(statements)
        self.messages_run += 1
        if together:
            with self._in_time(secrets):
                self.raw.execute(sql.SQL("; ").join(together))

    @contextmanager
    def _in_time(self, secrets: Iterable[str] = ()) -> Iterator[None]:
        """Turn the driver's errors into ours; the second statement of a session that is too slow ends the run.

        One may be slow by itself; two have met a server that no longer gets anything done.
        """
        try:
            with translated(self.raw, secrets):
                yield
        except OperationError as error:
            if error.code != TOO_SLOW:
                raise
            self._slow += 1
            text = f"{self.raw.patience.address} did not finish a statement within {self.raw.patience}"
            if self._slow > 1:
                raise Stalled(f"{text}, for the second time: does a server process not answer?") from None
            raise OperationError(f"{text}, and has broken it off; the next run tries again", error.code) from None

    def text(self, statement: sql.Composable) -> str:
        """Return a statement for a person to read and run."""
        return statement.as_string(self.raw)

    def run_unlogged(self, statements: Iterable[sql.Composable], secrets: Iterable[str]) -> None:
        """Send statements that carry verifiers, keeping them out of the server's log where the admin may.

        The switch itself is logged where statements are, so the log still shows that something has happened.
        """
        if self._loud:
            self.run(stated("SET {} = {}", _setting(name), sql.Literal(_QUIET[name][0])) for name in self._loud)
        try:
            self.run(statements, secrets)
        finally:
            if self._loud and not self.raw.closed:
                self.run(stated("RESET {}", _setting(name)) for name in self._loud)

    def end_sessions(self, users: Iterable[str], *, patient: bool = True) -> None:
        """End all sessions of roles; where the server can (14 and newer), wait until they are gone."""
        own: LiteralString = "FROM pg_stat_activity WHERE usename = ANY(%s) AND pid <> pg_backend_pid()"
        names = list(users)
        self.rows(f"SELECT pg_terminate_backend(pid) {own}", [names])
        if patient and self.version >= WAITS:
            self.rows(f"SELECT pg_terminate_backend(pid, 5000) {own}", [names])

    @property
    def product(self) -> str:
        """Product and version for people, without what a packager adds."""
        version = self.raw.info.parameter_status("server_version") or "?"
        return f"PostgreSQL {version.split()[0]}"

    def _refuse_unsupported(self) -> None:
        if self.version < OLDEST:
            raise UnsupportedServer(f"{self.product} is too old: PostgreSQL {OLDEST // 10000} or newer is needed")
        ((kind, backend, recovering, read_only),) = self.rows(
            "SELECT split_part(version(), ' ', 1), pg_backend_pid(), pg_is_in_recovery(),"
            " current_setting('default_transaction_read_only') = 'on'"
        )
        if kind != "PostgreSQL":
            raise UnsupportedServer(f"this is {kind}, which only speaks PostgreSQL's protocol")
        if backend != self.raw.info.backend_pid:
            raise UnsupportedServer("there is a connection pooler in between: connect to the server itself")
        if recovering:
            raise UnsupportedServer("this server is a standby: connect to the primary")
        if read_only:
            raise UnsupportedServer("default_transaction_read_only is on for this admin: switch it off")

    def _settings_that_record(self) -> tuple[list[str], dict[str, str]]:
        """Name what would record a statement: the settings that this admin may change, and with values the rest."""
        may: LiteralString = "has_parameter_privilege(name, 'SET')" if self.version >= PARAMETER_GRANTS else "%(super)s"
        query: LiteralString = f"SELECT name, setting, {may} FROM pg_settings WHERE name = ANY(%(names)s)"  # noqa: S608 - constants
        rows = self.rows(query, {"names": list(_QUIET), "super": self.superuser})
        recording = [(name, setting, changes) for name, setting, changes in rows if setting not in _QUIET[name]]
        return (
            [name for name, _, changes in recording if changes],
            {name: setting for name, setting, changes in recording if not changes},
        )


def open_session(connection: Connection, database: str | None = None, settings: str = "") -> Session:
    """Connect as the admin, to the maintenance database unless one is named, with more settings for the session.

    Raises ConnectError and UnsupportedServer.
    """
    _refuse_old_library(pq.version())
    secrets = [connection.password.reveal()] if connection.password else []
    parameters: dict[str, Any] = {
        "host": connection.host,
        "user": connection.username,
        "password": secrets[0] if secrets else "",
        # in the startup packet, so that not even the first query can meet a function of somebody else; jit: to compile
        # the query that reads thousands of databases takes longer than to run it
        "options": f"{settings} -c search_path=pg_catalog -c lock_timeout=10s -c jit=off"
        f" -c statement_timeout={connection.timeout}s",
        "application_name": f"dbroster {os.getpid()}@{socket.gethostname()}",
        "keepalives_idle": "60",
        **login_parameters(connection),
        **({"dbname": database} if database else {}),
    }
    patience = Patience(f"{connection.host}:{connection.port}", connection.connect_timeout, "connect_timeout")
    try:
        with translated(None, secrets, patience):
            raw = Patient.to(parameters, patience)
    except Stalled:
        raise
    except ConnectError as error:
        if "unsupported startup parameter" in str(error):  # PgBouncer's own words
            raise UnsupportedServer("there is a PgBouncer in between: connect to the server itself") from None
        # libpq tries twice where the server may or may not take TLS, and tells both
        text = "\n".join(dict.fromkeys(str(error).removeprefix("connection failed: ").splitlines()))
        kind = LoginRefused if _NO_SUCH_LOGIN.search(text) else ConnectError
        raise kind(f"{text}{_a_place(text, connection.username)}") from None
    try:
        session = Session(raw)
    except BaseException:
        raw.close()
        raise
    raw.patience = Patience(patience.address, connection.timeout)
    return session


def _a_place(refusal: str, admin: str) -> str:
    """Say how an admin gets in whom a server refuses that has no connection left (53300, which libpq doesn't tell)."""
    role = quoted(admin)
    if "too many connections for role" in refusal:
        return f"; the admin may have more: ALTER ROLE {role} CONNECTION LIMIT -1;"
    if _NO_LOCKS in refusal:
        return _LOCKED
    if not any(words in refusal for words in _FULL):
        return ""
    return f"{_TAKEN} GRANT pg_use_reserved_connections TO {role};"


_TAKEN = (
    "; all connections of the server are taken. A superuser sees by whom: SELECT usename, count(*) FROM"
    " pg_stat_activity GROUP BY 1 ORDER BY 2 DESC; and ends those of one user, here bob: SELECT"
    " pg_catalog.pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'bob'; then ALTER ROLE \"bob\""
    " CONNECTION LIMIT 20; keeps him from doing it again. From PostgreSQL 16 on the admin can have places of its own:"
    " ALTER SYSTEM SET reserved_connections = 5; (needs a restart) and"
)
_NO_LOCKS = "out of shared memory"
_LOCKED = (
    "; the server has no room for another lock, and lets nobody in. One session can do that by pg_advisory_lock. Who is"
    " in sees by whom: SELECT pid, usename, count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) GROUP BY 1, 2"
    " ORDER BY 3 DESC; a superuser ends it: SELECT pg_catalog.pg_terminate_backend(PID); if nobody is in, kill PID on"
    " the server's machine does it, too: its processes are called `postgres: USER DATABASE ...`"
)
_FULL = ("remaining connection slots are reserved", "too many clients already", "too many connections for database")


def _refuse_old_library(version: int) -> None:
    """Raise UnsupportedServer for a client library that PostgreSQL's makers have given up."""
    if version < OLDEST:
        has = f"{version // 10000}.{version % 10000}"
        raise UnsupportedServer(
            f"libpq {has}, PostgreSQL's client library, is too old: dbroster needs {OLDEST // 10000} or newer: "
            "pip install --upgrade 'psycopg[binary]'"
        )


def login_parameters(connection: Connection) -> dict[str, Any]:
    """What the admin's login and a user's have in common."""
    tls = connection.tls
    files = {"sslrootcert": tls.ca, "sslcert": tls.cert, "sslkey": tls.key}
    if tls.mode == "verify-full" and tls.ca is None and pq.version() >= LIBPQ_16:
        files["sslrootcert"] = "system"  # the authorities that this machine trusts
    elif tls.mode in (None, "disable", "require") and tls.ca is None:
        files["sslrootcert"] = NOWHERE  # or a file in the home directory would decide
    return {
        "port": connection.port,
        "dbname": PostgreSQLOptions.of(connection).maintenance_database,
        "connect_timeout": connection.connect_timeout,
        "client_encoding": "UTF8",
        "sslmode": tls.mode or "prefer",
        **{key: value for key, value in files.items() if value},
    }


def _setting(name: str) -> sql.Identifier:
    return sql.Identifier(*name.split("."))


@contextmanager
def translated(
    raw: psycopg.Connection | None, secrets: Iterable[str] = (), patience: Patience | None = None
) -> Iterator[None]:
    """Turn the driver's errors into ConnectError or OperationError; `raw` is None while connecting."""
    try:
        yield
    except Aborted as error:
        raise ConnectError(str(error)) from None
    except (Expired, errors.ConnectionTimeout):
        patience = patience or (raw.patience if isinstance(raw, Patient) else None)
        raise Stalled(f"{patience.address} did not answer within {patience}" if patience else "no answer") from None
    except psycopg.Error as error:
        # not chained: the driver's error carries the statement
        raise _translate(error, secrets, broken=raw is None or raw.closed) from None


def _translate(error: psycopg.Error, secrets: Iterable[str], *, broken: bool) -> DbrosterError:
    code = error.sqlstate
    # str(error) may quote the statement, but an error without a code comes from libpq, which has never seen it
    text = (error.diag.message_primary or "") if code else str(error)
    if code in _DETAILED and error.diag.message_detail:
        text += f" ({error.diag.message_detail.replace(chr(10), '; ')})"
    text = scrub(text, secrets).strip()
    if broken or code in _BROKEN or (code or "").startswith("08"):
        return ConnectError(text)
    return OperationError(text, code, retryable=code in _RETRYABLE)
