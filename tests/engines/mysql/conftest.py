"""Real MySQL and MariaDB servers, a DBA who changes things by hand, and admins with all or the least privileges."""

import itertools
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest

from dbroster.engines import connect
from dbroster.engines.mysql.family import MySQLFamily
from dbroster.engines.mysql.options import MySQLOptions
from dbroster.model.connection import Connection, Tls
from dbroster.model.plan import Action
from dbroster.passwords.secret import Secret
from servers import Server
from tests.support.archiving import archiving

PASSWORD = "Correct-horse-7"
OTHER = "Another-staple-8"
TEMPLATES = ("tools", "web")
_numbers = itertools.count(1)


class Dba:
    """Someone with all rights on a server, and what users of it would see."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._connection = self.login(server.admin_user, server.admin_password)

    def close(self) -> None:
        self._connection.close()

    def login(self, user: str, password: str, database: str | None = None, **options: Any) -> Any:
        return pymysql.connect(database=database, autocommit=True, **{**self.options(user, password), **options})

    def options(self, user: str, password: str) -> dict[str, Any]:
        """What a driver needs to log in."""
        return {
            "host": self.server.host,
            "port": self.server.port,
            "user": user,
            "password": password.encode(),
            "ssl": ssl.create_default_context(cafile=str(self.server.ca)),
        }

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements, and return the rows of the last one."""
        return _run(self._connection, statements)

    def run_as(self, user: str, password: str, *statements: str) -> list[tuple[Any, ...]]:
        with closing(self.login(user, password)) as connection:
            return _run(connection, statements)

    def can_login(self, user: str, password: str) -> bool:
        with suppress(pymysql.err.OperationalError), closing(self.login(user, password)):
            return True
        return False

    def grants(self, user: str, host: str = "%") -> set[str]:
        """Names in the user's grants on databases, as they are stored."""
        return {row[0] for row in self.run(f"SELECT Db FROM mysql.db WHERE User = '{user}' AND Host = '{host}'")}

    def databases(self, prefix: str) -> set[str]:
        return {name for (name,) in self.run("SHOW DATABASES") if name.startswith(prefix)}

    def accounts(self, user: str) -> set[str]:
        return {host for (host,) in self.run(f"SELECT Host FROM mysql.user WHERE User = '{user}'")}


def _run(connection: Any, statements: tuple[str, ...]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall())


class Site:
    """One server, and handlers for it; what a test makes has names that no other test has."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.dba = Dba(server)
        self.roster = self.name()
        self._handlers: list[MySQLFamily] = []

    def close(self) -> None:
        for handler in self._handlers:
            handler.close()
        self.dba.close()

    def name(self) -> str:
        return f"u{next(_numbers)}q"

    def connection(self, login: tuple[str, str] | None = None, **fields: Any) -> Connection:
        name, password = login or (self.server.admin_user, self.server.admin_password)
        options = MySQLOptions(**fields.pop("options", {}))
        values: dict[str, Any] = {
            "engine": "mysql",
            "server": "default",
            "host": self.server.host,
            "port": self.server.port,
            "tls": Tls("verify-full", str(self.server.ca)),
            "roster": self.roster,
        }
        given = {"username": name, "password": Secret(password), "options": options}
        return Connection(**{**values, **given, **fields})

    def open(self, login: tuple[str, str] | None = None, **fields: Any) -> MySQLFamily:
        handler = connect(self.connection(login, **fields))
        assert isinstance(handler, MySQLFamily)
        self._handlers.append(handler)
        handler.prepare()
        return handler

    def archiving(self, directory: Path, login: tuple[str, str] | None = None, **fields: Any) -> MySQLFamily:
        """Open a handler that archives into a directory."""
        handler = self.open(login, **fields)
        handler.connection = archiving(handler.connection, directory)
        return handler

    def user(self, handler: MySQLFamily, *templates: str) -> tuple[str, ...]:
        """Create a user with databases of these templates, and return all names."""
        name = self.name()
        handler.create_user(name, Secret(PASSWORD))
        return name, *(give(handler, name, template) for template in templates)

    def least(self) -> tuple[str, str]:
        """Create an admin that has nothing but what `missing_privileges` asks for."""
        name = self.name()
        self.dba.run(f"CREATE USER '{name}'@'%' IDENTIFIED BY '{PASSWORD}'")
        with connect(self.connection((name, PASSWORD))) as handler:
            self.dba.run(*handler.missing_privileges(TEMPLATES))
        return name, PASSWORD

    @contextmanager
    def setting(self, name: str, value: str, normal: str) -> Iterator[None]:
        """Change a setting of the server for a while."""
        self.dba.run(f"SET GLOBAL {name} = {value}")
        try:
            yield
        finally:
            self.dba.run(f"SET GLOBAL {name} = {normal}")


@contextmanager
def site_of(server: Server) -> Iterator[Site]:
    with closing(Site(server)) as site:
        yield site
        for user, host in site.dba.run(
            "SELECT User, Host FROM mysql.user WHERE Host <> '' AND User REGEXP '^[uU][0-9]+[qQ]$'"
        ):
            site.dba.run(f"DROP USER '{user}'@'{host}'")
        for (role,) in site.dba.run("SELECT User FROM mysql.user WHERE Host = '' AND User REGEXP '^dbroster:u[0-9]+q'"):
            site.dba.run(f"DROP ROLE `{role}`")
        for name in site.dba.databases("u"):
            site.dba.run(f"DROP DATABASE `{name}`")


@pytest.fixture(params=["mysql", "mariadb"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Both products."""
    with site_of(request.getfixturevalue(f"{request.param}_server")) as site:
        yield site


@pytest.fixture
def mysql(mysql_server: Server) -> Iterator[Site]:
    with site_of(mysql_server) as site:
        yield site


@pytest.fixture
def mariadb(mariadb_server: Server) -> Iterator[Site]:
    with site_of(mariadb_server) as site:
        yield site


def give(handler: MySQLFamily, user: str, template: str = "web") -> str:
    """Create a database for a user, in the engine's order."""
    database = f"{user}_{template}"
    handler.create_database(user, database)
    handler.grant_privileges(user, database)
    return database


def foresee(handler: MySQLFamily, *actions: Action) -> list[str | None]:
    """What a plan for the state of this moment is told."""
    handler.get_existing_users()
    handler.get_existing_databases()
    return handler.foresee(actions)
