"""Archives of PostgreSQL databases: pg_dump's custom format, written as the owner would see it, restored by the owner.

pg_dump takes the owner's role (`--role`), so that nothing of the owner's is ever run with the admin's power. While
that goes on, the database is open to the admin alone.
"""

import re
from collections.abc import Mapping
from typing import ClassVar, LiteralString

import psycopg
from psycopg import sql

from dbroster.archive import Archive, Draft
from dbroster.config import Connection
from dbroster.engines import tools
from dbroster.engines.archiver import Archiver
from dbroster.engines.postgresql_markers import Claim
from dbroster.engines.postgresql_session import Session, login_parameters, translated
from dbroster.errors import ConnectError, OperationError
from dbroster.model import User

LOCK_WAIT = "60s"
WAITS = 140000
"""Since PostgreSQL 14 pg_terminate_backend can wait until the session is gone."""

_ENVIRONMENT = {
    "host": "PGHOST",
    "port": "PGPORT",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}

# roles that may enter besides superusers; the admin keeps its own way in, if it has one
_GRANTEES = """
    SELECT DISTINCT coalesce(r.rolname, '') FROM pg_database d
    CROSS JOIN LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) x
    LEFT JOIN pg_roles r ON r.oid = x.grantee
    WHERE d.datname = %s AND (x.grantee = 0 OR r.rolname <> current_user)"""

_ANYTHING = """
    WITH own AS (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
        extended AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e')
    SELECT EXISTS (
        SELECT 1 FROM pg_class WHERE relnamespace IN (SELECT oid FROM own)
            AND ('pg_class'::regclass, oid) NOT IN (SELECT * FROM extended)
        UNION ALL SELECT 1 FROM pg_proc WHERE pronamespace IN (SELECT oid FROM own)
            AND ('pg_proc'::regclass, oid) NOT IN (SELECT * FROM extended)
        UNION ALL SELECT 1 FROM pg_type WHERE typnamespace IN (SELECT oid FROM own)
            AND ('pg_type'::regclass, oid) NOT IN (SELECT * FROM extended)
        UNION ALL SELECT 1 FROM own JOIN pg_namespace n USING (oid) WHERE nspname <> 'public'
            AND ('pg_namespace'::regclass, oid) NOT IN (SELECT * FROM extended)
        UNION ALL SELECT 1 FROM pg_largeobject_metadata)"""


class PostgreSQLArchiver(Archiver):
    """Archives by pg_dump, restores by pg_restore."""

    extension: ClassVar[str] = "dump"
    method: ClassVar[str] = "pg_dump --format=custom"

    def __init__(self, connection: Connection, session: Session) -> None:
        super().__init__(connection)
        self._session = session

    def missing(self) -> list[str]:
        """Both programs must be there, and not older than the server."""
        server = self._session.version // 10000
        return [text for name in ("pg_dump", "pg_restore") if (text := _missing(name, server))]

    def close(self, user: str, database: str) -> None:
        """Leave the database open to nobody but the admin, in one transaction, and end the sessions in it.

        The marker is set again, and the ways in that its owner may have shut are opened for the admin.
        """
        name = sql.Identifier(database)
        grantees = [grantee for (grantee,) in self._session.rows(_GRANTEES, [database])]
        roles = sql.SQL(", ").join(sql.Identifier(role) if role else sql.SQL("PUBLIC") for role in grantees)
        shut = [sql.SQL("REVOKE ALL ON DATABASE {} FROM {} CASCADE").format(name, roles)] if grantees else []
        enter = sql.SQL("GRANT CONNECT ON DATABASE {} TO CURRENT_USER").format(name)
        marker = sql.Literal(str(Claim(self.connection.roster, user, database)))
        self._session.run(
            [
                *shut,
                *([] if self._session.superuser else [enter]),
                sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, marker),
                sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS true CONNECTION LIMIT -1").format(name),
            ]
        )
        self._end_sessions_in(database)

    def _end_sessions_in(self, database: str) -> None:
        """End them and see that they are gone; before PostgreSQL 14 the server can't wait for that."""
        inside: LiteralString = "FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
        patience: LiteralString = ", 5000" if self._session.version >= WAITS else ""
        self._session.rows(f"SELECT pg_terminate_backend(pid{patience}) {inside}", [database])
        if self._session.rows(f"SELECT 1 {inside} AND backend_type = 'client backend'", [database]):
            raise OperationError(f"sessions in {database} could not be ended yet", retryable=True)

    def dump(self, user: str, database: str, draft: Draft) -> None:
        """Run pg_dump as the owner, then let pg_restore read all of it."""
        program, reader = _program("pg_dump"), _program("pg_restore")
        password = self.connection.password.reveal() if self.connection.password else ""
        options = ["--format=custom", "--no-password", f"--role={user}", f"--lock-wait-timeout={LOCK_WAIT}"]
        parameters = {"host": self.connection.host, **login_parameters(self.connection)}
        with tools.memory_file(_password_file(password)) as file:
            environment = _environment(parameters, self.connection.username, database, file)
            descriptors = [file] if password else []
            tools.run(
                [program, *options],
                environment=environment, secrets=[password], descriptors=descriptors, target=draft.file,
            )  # fmt: skip
        tools.run([reader, "--file=/dev/null", str(draft.path)], environment={})
        listed = tools.run([reader, "--list", str(draft.path)], environment={})
        draft.counts["entries"] = sum(not line.startswith(";") for line in listed.splitlines() if line)

    def is_empty(self, user: User, database: str) -> bool:
        """Look for relations, functions, types, schemas and large objects that no extension has brought."""
        with self._as_user(user, database) as raw, translated(raw):
            ((anything,),) = raw.execute(_ANYTHING).fetchall()
            return not anything

    def restore(self, archive: Archive, user: User, database: str) -> None:
        """Run pg_restore as the user, all in one transaction; everything becomes the user's own."""
        password = user.password.reveal()
        options = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", "--no-password"]
        parameters = {"host": self.connection.host, **login_parameters(self.connection)}
        with tools.memory_file(_password_file(password)) as file:
            tools.run(
                [_program("pg_restore"), *options, f"--dbname={database}", str(archive.path)],
                environment=_environment(parameters, user.name, database, file),
                secrets=[password],
                descriptors=[file],
            )

    def _as_user(self, user: User, database: str) -> "psycopg.Connection[tuple[object, ...]]":
        parameters = {
            "host": self.connection.host,
            **login_parameters(self.connection),
            "dbname": database,
            "user": user.name,
            "password": user.password.reveal(),
            "options": "-c search_path=pg_catalog",
        }
        try:
            with translated(None, [user.password.reveal()]):
                return psycopg.connect(**parameters, autocommit=True)
        except ConnectError as error:
            raise OperationError(f"can't log in as {user.name}: {error}") from None


def _missing(name: str, server: int) -> str | None:
    program = tools.find(name)
    if program is None:
        return f"{name} is not installed: install PostgreSQL's client programs of version {server} or newer"
    found = re.search(r"\) (\d+)", tools.version(program))
    if found is None or int(found[1]) < server:
        has = found[1] if found else "of an unknown version"
        return f"{program} is {has}, older than the server: install PostgreSQL's client programs of version {server}"
    return None


def _program(name: str) -> str:
    program = tools.find(name)
    if program is None:
        raise OperationError(f"{name} is not installed")
    return program


def _password_file(password: str) -> str:
    """A line of .pgpass for everywhere. Source: PostgreSQL manual, "The Password File"."""
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    return f"*:*:*:*:{escaped}\n"


def _environment(parameters: Mapping[str, object], user: str, database: str, file: int) -> dict[str, str]:
    """What libpq is told, with nothing secret in it; the password is in a file that this process has open."""
    told = {variable: str(parameters[key]) for key, variable in _ENVIRONMENT.items() if parameters.get(key)}
    return {**told, "PGUSER": user, "PGDATABASE": database, "PGPASSFILE": f"/proc/self/fd/{file}", "PGPASSWORD": ""}
