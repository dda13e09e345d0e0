"""PostgreSQL, for the contract suite."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from dbroster.engines.postgresql.sync_lock import KEY
from servers import PostgreSQL
from tests.contract.adapters import Adapter, Refused
from tests.support.waiting import wait_until

ADAPTER = "contract suite"
OPTIONS = {"autovacuum": "off"}
"""Settings of the server: nothing but its clients shall write."""


class PostgreSQLSession:
    """A login of a user."""

    def __init__(self, connection: "psycopg.Connection") -> None:
        self._connection = connection

    def alive(self) -> bool:
        try:
            self._connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True


class PostgreSQLAdapter(Adapter):
    """What DBA and users do at PostgreSQL."""

    engine = "postgresql"
    hides_databases = False  # pg_database is readable for everybody
    server: PostgreSQL

    def __init__(self, server: PostgreSQL) -> None:
        super().__init__(server)
        self._admin = self._connect(server.admin_user, server.admin_password, "postgres")
        self._since_15 = self._admin.info.server_version >= 150000
        # 15 has another way, which writes more; earlier ones know this way only
        self._quick = "STRATEGY file_copy" if self._since_15 else ""

    def close(self) -> None:
        self._admin.close()

    def section(self) -> dict[str, object]:
        server = self.server
        return {
            "host": server.host,
            "port": server.port,
            "username": server.admin_user,
            "password": server.admin_password,
        }

    def _connect(self, user: str, password: str, database: str) -> "psycopg.Connection":
        try:
            return psycopg.connect(
                host=self.server.host,
                port=self.server.port,
                user=user,
                password=password,
                dbname=database,
                autocommit=True,
                application_name=ADAPTER,
                client_encoding="UTF8",
                sslmode="allow",  # TLS where the server insists on it: it is half of what a login costs
            )
        except psycopg.OperationalError as error:
            raise Refused(str(error)) from None

    def _do(self, statement: str, *names: str) -> None:
        self._admin.execute(SQL(statement).format(*map(Identifier, names)))

    def _rows(self, statement: str, *values: str) -> list[tuple[str, ...]]:
        return self._admin.execute(statement, values).fetchall()

    # --- by hand ------------------------------------------------------------------------------------------------------

    def create_account_by_hand(self, user: str, password: str) -> None:
        self._admin.execute(SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(Identifier(user), Literal(password)))

    def create_database_by_hand(self, database: str) -> None:
        self._do(f"CREATE DATABASE {{}} TEMPLATE template0 {self._quick}", database)
        if not self._since_15:  # where everybody may make tables in every database that he can enter
            self._do("REVOKE CONNECT ON DATABASE {} FROM PUBLIC", database)

    def drop_account_by_hand(self, user: str) -> None:
        self._do("DROP ROLE {}", user)

    def drop_database_by_hand(self, database: str) -> None:
        self._do("DROP DATABASE {} WITH (FORCE)", database)

    def lock_by_hand(self, user: str) -> None:
        self._do("ALTER ROLE {} NOLOGIN", user)

    def clear_password_by_hand(self, user: str) -> None:
        self._do("ALTER ROLE {} PASSWORD NULL", user)

    def revoke_by_hand(self, user: str, database: str) -> None:
        self._do("REVOKE CONNECT ON DATABASE {} FROM {}", database, user)

    def share_by_hand(self, user: str, database: str) -> None:
        self._do("GRANT CONNECT ON DATABASE {} TO {}", database, user)

    def rename_account_by_hand(self, user: str, new: str) -> None:
        self._do("ALTER ROLE {} RENAME TO {}", user, new)

    def rename_database_by_hand(self, database: str, new: str) -> None:
        self._do("ALTER DATABASE {} RENAME TO {}", database, new)

    def hand_over_by_hand(self, user: str, database: str) -> None:
        self._do(f"CREATE DATABASE {{}} OWNER {{}} TEMPLATE template0 {self._quick}", database, user)
        self._do("GRANT ALL ON DATABASE {} TO {}", database, user)

    def strip_by_hand(self, user: str) -> None:
        owned = self._rows(
            "SELECT datname FROM pg_database d JOIN pg_roles r ON r.oid = datdba WHERE rolname = %s", user
        )
        for (database,) in owned:
            self._do("REVOKE ALL ON DATABASE {} FROM {}", database, user)

    @contextmanager
    def hold_lock_as(self, user: str, password: str) -> Iterator[None]:
        with self._connect(user, password, "postgres") as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", [KEY])
            connection.execute("SELECT pg_advisory_lock(%s)", [KEY + 1])
            yield

    def accounts(self) -> set[str]:
        return {name for (name,) in self._rows("SELECT rolname FROM pg_roles")}

    def databases(self) -> set[str]:
        return {name for (name,) in self._rows("SELECT datname FROM pg_database")}

    def fingerprint(self, user: str) -> str:
        role = self._rows(
            "SELECT a::text, shobj_description(a.oid, 'pg_authid') FROM pg_authid a WHERE rolname = %s", user
        )
        members = self._rows(
            "SELECT m::text FROM pg_auth_members m JOIN pg_roles r ON r.oid IN (m.roleid, m.member) WHERE rolname = %s",
            user,
        )
        owned = self._rows(
            "SELECT datname, datacl::text, shobj_description(d.oid, 'pg_database') FROM pg_database d"
            " JOIN pg_roles r ON r.oid = datdba WHERE rolname = %s ORDER BY 1",
            user,
        )
        return repr((role, members, owned))

    def spare_connections(self) -> None:
        self._spared = [pid for (pid,) in self._rows("SELECT pid FROM pg_stat_activity")]

    def end_connections(self) -> None:
        others = "FROM pg_stat_activity WHERE pid <> ALL(%s) AND backend_type = 'client backend'"
        self._admin.execute(f"SELECT pg_terminate_backend(pid) {others}", [self._spared])
        wait_until(lambda: not self._admin.execute(f"SELECT {others}", [self._spared]).fetchall())

    def wipe(self, prefix: str) -> None:
        pattern = prefix.replace("_", "\\_") + "%"
        for (name,) in self._rows("SELECT datname FROM pg_database WHERE datname LIKE %s", pattern):
            self.drop_database_by_hand(name)
        for (name,) in self._rows("SELECT rolname FROM pg_roles WHERE rolname LIKE %s", pattern):
            self.drop_account_by_hand(name)
        for (name,) in self._rows("SELECT rolname FROM pg_roles WHERE rolname LIKE %s", f"dbroster:{pattern}"):
            self.drop_account_by_hand(name)

    # --- what the server says of a run --------------------------------------------------------------------------------

    @contextmanager
    def changes(self) -> Iterator[list[str]]:
        """By transaction numbers: only what writes gets one. dbroster keeps its statements out of the log."""
        before = self._next_transaction()
        found: list[str] = []
        yield found
        found += [f"transaction {number}" for number in range(before, self._next_transaction())]

    def _next_transaction(self) -> int:
        return int(self._rows("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")[0][0])

    # --- as a user ----------------------------------------------------------------------------------------------------

    @contextmanager
    def session(self, user: str, password: str) -> Iterator[PostgreSQLSession]:
        with self._connect(user, password, "postgres") as connection:
            yield PostgreSQLSession(connection)

    def put(self, user: str, password: str, database: str, text: str) -> None:
        with self._in_database(user, password, database) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS note (line text)")
            connection.execute("INSERT INTO note VALUES (%s)", (text,))

    def get(self, user: str, password: str, database: str) -> list[str]:
        with self._in_database(user, password, database) as connection:
            return [line for (line,) in connection.execute("SELECT line FROM note")]

    def give_away(self, user: str, password: str, database: str, receiver: str) -> None:
        statement = SQL("GRANT ALL ON DATABASE {} TO {}").format(Identifier(database), Identifier(receiver))
        with suppress(Refused), self._in_database(user, password, "postgres") as connection:
            connection.execute(statement)

    def visible(self, user: str, password: str) -> set[str]:
        with self._in_database(user, password, "postgres") as connection:
            return {name for (name,) in connection.execute("SELECT datname FROM pg_database")}

    @contextmanager
    def _in_database(self, user: str, password: str, database: str) -> Iterator["psycopg.Connection"]:
        with self._connect(user, password, database) as connection:
            try:
                yield connection
            except psycopg.Error as error:
                raise Refused(str(error)) from None
