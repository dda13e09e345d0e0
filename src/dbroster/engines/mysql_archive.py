"""Archives of MySQL and MariaDB databases: what mysqldump writes, restored by the user with the client.

Blobs are written as they are, not in hex: twice as long, a row could exceed the server's max_allowed_packet when it is
brought back. A user's routines and views are only read, never run.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from dbroster.archive import Archive, Draft
from dbroster.config import Connection
from dbroster.engines import tools
from dbroster.engines.archiver import Archiver
from dbroster.engines.mysql_privileges import Held, held
from dbroster.engines.mysql_session import Session, account
from dbroster.errors import ConnectError, OperationError
from dbroster.model import User

_CLOSING_LINE = b"-- Dump completed"
_PACKET = "--max-allowed-packet=1G"
_DUMP = (
    "--single-transaction", "--quick", "--routines", "--triggers", "--events", "--no-tablespaces",
    "--default-character-set=utf8mb4", "--set-charset", _PACKET,
)  # fmt: skip
_ONLY_MYSQL = ("--set-gtid-purged=OFF", "--column-statistics=0", "--skip-generated-invisible-primary-key")
_CLIENT = ("--batch", "--binary-mode", "--comments", "--default-character-set=utf8mb4", _PACKET)
"""In binary mode the client obeys no commands of its own, like `system`, that an archive may hold."""

_MODES = {
    None: "PREFERRED",
    "disable": "DISABLED",
    "require": "REQUIRED",
    "verify-ca": "VERIFY_CA",
    "verify-full": "VERIFY_IDENTITY",
}

_COUNTS = """
    SELECT IF(TABLE_TYPE = 'VIEW', 'views', 'tables') AS kind, COUNT(*) AS number
        FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s GROUP BY kind
    UNION ALL SELECT 'routines', COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s
    UNION ALL SELECT 'triggers', COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s
    UNION ALL SELECT 'events', COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s"""


class MySQLArchiver(Archiver):
    """Archives by mysqldump or mariadb-dump, restores by mysql or mariadb."""

    extension: ClassVar[str] = "sql"
    method: ClassVar[str] = "mysqldump"

    def __init__(self, connection: Connection, session: Session, product: str) -> None:
        super().__init__(connection)
        self._session = session
        self._mariadb = product == "MariaDB"

    def missing(self) -> list[str]:
        """Look for the product's own programs, and for the privileges to read all routines and to end sessions.

        A sync does without the latter, but a session that goes on might write after the archive.
        """
        missing = [text for program in ("dump", "client") if (text := self._missing_program(program))]
        found = held(str(next(iter(line.values()))) for line in self._session.rows("SHOW GRANTS"))
        ending = "CONNECTION ADMIN" if self._mariadb else "CONNECTION_ADMIN"
        if not (found.has("SUPER") or (found.has("PROCESS") and found.has(ending))):
            missing.append(self._grant(f"PROCESS, {ending} ON *.*"))
        if not self._reads_routines(found):
            missing.append(self._grant("SELECT ON mysql.proc" if self._mariadb else "SHOW_ROUTINE ON *.*"))
        return missing

    def _missing_program(self, kind: str) -> str | None:
        if self._find(kind):
            return None
        product = "MariaDB" if self._mariadb else "MySQL"
        wanted = " or ".join(_names(kind, mariadb=self._mariadb))
        return f"{wanted} of {product} is not installed, and those of the other product don't fit: install {product}'s"

    def _reads_routines(self, found: Held) -> bool:
        if found.has("SHOW_ROUTINE", "SHOW CREATE ROUTINE", "SELECT"):
            return True
        try:
            self._session.rows("SELECT 1 FROM mysql.proc LIMIT 0")
        except OperationError:  # at MySQL there is no such table
            return False
        return True

    def _grant(self, what: str) -> str:
        (row,) = self._session.rows("SELECT CURRENT_USER() AS name")
        name, _, host = row["name"].rpartition("@")
        return f"GRANT {what} TO {account(name, host)};"

    def close(self, user: str, database: str) -> None:
        """Nothing: the user's grant is the proof of whose the database is, so it has to stay until the drop.

        Users who leave have been locked; one who stays may write until the database is dropped.
        """

    def dump(self, user: str, database: str, draft: Draft) -> None:  # noqa: ARG002 - only PostgreSQL's needs it
        """Run the product's dump program, and look for the line that it writes when all is done."""
        more = () if self._mariadb else _ONLY_MYSQL
        draft.counts.update(_counts(self._session, database))
        connection = self.connection
        password = connection.password.reveal() if connection.password else ""
        program = self._program("dump")
        with tools.memory_file(_option_file(password)) as file:
            tools.run(
                [program, f"--defaults-file=/proc/self/fd/{file}", *self._login(connection.username), *_DUMP, *more,
                 database],
                connection, environment=_ENVIRONMENT, secrets=[password], descriptors=[file], target=draft.file,
            )  # fmt: skip
        draft.file.seek(0, 2)
        draft.file.seek(max(0, draft.file.tell() - 200))
        if _CLOSING_LINE not in draft.file.read():
            raise OperationError(f"{program} has ended without its closing line, so the archive is not whole")

    def is_empty(self, user: User, database: str) -> bool:
        """Look for tables, views, routines and events, as the user."""
        session = self._as_user(user)
        try:
            return not any(_counts(session, database).values())
        finally:
            session.close()

    def restore(self, archive: Archive, user: User, database: str) -> None:
        """Let the client read the archive as the user, and count what is there then."""
        password = user.password.reveal()
        with tools.memory_file(_option_file(password)) as file, archive.path.open("rb") as source:
            tools.run(
                [self._program("client"), f"--defaults-file=/proc/self/fd/{file}", *self._login(user.name), *_CLIENT,
                 f"--database={database}"],
                self.connection, environment=_ENVIRONMENT, secrets=[password], descriptors=[file], source=source,
            )  # fmt: skip
        session = self._as_user(user)
        try:
            found = _counts(session, database)
        finally:
            session.close()
        lacking = [kind for kind, number in archive.manifest.counts.items() if found.get(kind, 0) < number]
        if lacking:
            raise OperationError(f"not all {', '.join(lacking)} of the archive are in {database} now")

    def _as_user(self, user: User) -> Session:
        try:
            return Session(replace(self.connection, username=user.name, password=user.password))
        except ConnectError as error:
            raise OperationError(f"can't log in as {user.name}: {error}") from None

    def _login(self, user: str) -> list[str]:
        host, port = self.connection.host, self.connection.port
        tcp = ["--protocol=tcp", f"--host={host}", f"--port={port}"]
        where = [f"--socket={host}"] if host.startswith("/") else tcp
        return [*where, f"--user={user}", *self._tls()]

    def _tls(self) -> list[str]:
        """TLS in the words of the product; MariaDB's programs check the name of the host whenever they verify."""
        tls = self.connection.tls
        files = [f"--ssl-{key}={file}" for key, file in (("ca", tls.ca), ("cert", tls.cert), ("key", tls.key)) if file]
        if not self._mariadb:
            return [f"--ssl-mode={_MODES[tls.mode]}", "--get-server-public-key", *files]
        if tls.mode == "disable":
            return ["--skip-ssl"]
        verify = tls.mode in ("verify-ca", "verify-full")
        wanted = ["--ssl"] if tls.mode else []
        return [*wanted, "--ssl-verify-server-cert" if verify else "--skip-ssl-verify-server-cert", *files]

    def _program(self, kind: str) -> str:
        program = self._find(kind)
        if program is None:
            raise OperationError(f"{' or '.join(_names(kind, mariadb=self._mariadb))} is not installed")
        return program

    def _find(self, kind: str) -> str | None:
        """Find a program of the server's own product: each dumps what the other can't read back."""
        found = (tools.find(name) for name in _names(kind, mariadb=self._mariadb))
        return next((path for path in found if path and ("MariaDB" in tools.version(path)) is self._mariadb), None)


_ENVIRONMENT = {"MYSQL_TEST_LOGIN_FILE": "/dev/null", "MYSQL_PWD": ""}
"""No option file, login path or password but ours."""


def _names(kind: str, *, mariadb: bool) -> Sequence[str]:
    names = {"dump": ("mariadb-dump", "mysqldump"), "client": ("mariadb", "mysql")}[kind]
    return names if mariadb else names[1:]


def _option_file(password: str) -> str:
    """Source: MySQL Reference Manual, "Using Option Files"."""
    escaped = password.replace("\\", "\\\\").replace('"', '\\"')
    return f'[client]\npassword="{escaped}"\n'


def _counts(session: Session, database: str) -> dict[str, int]:
    rows = session.rows(_COUNTS, database, database, database, database)
    return {row["kind"]: int(row["number"]) for row in rows}
