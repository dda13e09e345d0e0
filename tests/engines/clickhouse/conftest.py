"""The server of the session, and handlers for it."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from dbroster.archive import Archive
from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.engines.clickhouse.options import ClickHouseOptions
from dbroster.model.connection import Connection
from dbroster.passwords.secret import Secret
from servers import Server
from tests.engines.clickhouse.adapter import ClickHouseAdapter, quoted
from tests.support import archiving

PASSWORD = "Correct-horse-7 ünd mehr"
_numbers = itertools.count(1)


def make(handler: Handler, user: str) -> str:
    """An account, with the database that is returned."""
    database = f"{user}_web"
    handler.prepare()
    handler.create_user(user, Secret(PASSWORD))
    handler.create_database(user, database)
    handler.grant_privileges(user, database)
    return database


class Site:
    """A user of the roster with a database, and the admin's connection by which that is archived.

    `names` are put into statements: `{d}` is the database, quoted, and `{p}` its name as it is.
    """

    def __init__(self, adapter: ClickHouseAdapter, connection: Connection, user: str) -> None:
        self.adapter, self.connection, self.user = adapter, connection, user
        self.handler = connect(connection)
        self.database = make(self.handler, user)
        self.names = {"d": quoted(self.database), "p": self.database}

    def reconnect(self, **changes: Any) -> Self:
        self.handler.close()
        self.handler = connect(self.connection._replace(**changes))
        return self

    def ask(self, *statements: str, **settings: str) -> str:
        """Let the user perform statements; the last answer."""
        answers = [self.adapter.ask(self.user, PASSWORD, each.format(**self.names), **settings) for each in statements]
        return answers[-1].strip()

    def dba(self, *statements: str) -> str:
        """Let the server's own admin perform statements; the last answer."""
        return [self.adapter._do(each.format(**self.names)) for each in statements][-1].strip()

    def archive(self) -> Archive:
        return archiving.archive(self.handler, self.user, self.database)

    def there_and_back(self) -> Archive:
        return archiving.there_and_back(self.handler, self.user, PASSWORD, self.database)

    def losses(self) -> list[str]:
        return list(self.handler.archiver().losses(self.database))


@pytest.fixture(scope="package")
def adapter(clickhouse_server: Server) -> Iterator[ClickHouseAdapter]:
    adapter = ClickHouseAdapter(clickhouse_server)
    yield adapter
    adapter.close()


@pytest.fixture
def prefix(adapter: ClickHouseAdapter) -> Iterator[str]:
    """What names of this test begin with; everything of such a name is dropped afterwards."""
    prefix = f"ch{next(_numbers)}q"
    yield prefix
    adapter.wipe(prefix)


@pytest.fixture
def describe(adapter: ClickHouseAdapter, prefix: str, tmp_path: Path) -> Callable[..., Connection]:
    """Build the connection of the roster that has the prefix as its name, with any field or option replaced."""

    def build(options: dict[str, Any] | None = None, **fields: Any) -> Connection:
        made = adapter.connection(tmp_path, prefix)
        values = {name: getattr(made, name) for name in Connection._fields}
        return Connection(**{**values, "options": ClickHouseOptions.of(made).but(**(options or {})), **fields})

    return build


@pytest.fixture
def handler(describe: Callable[..., Connection]) -> Iterator[Handler]:
    with connect(describe()) as opened:
        opened.prepare()
        yield opened


def make_admin(adapter: ClickHouseAdapter, bob: str) -> dict[str, Any]:
    """An admin whose settings and policies a test may change; the server's own stands in a file."""
    adapter.create_account_by_hand(f"{bob}_adm", PASSWORD)
    adapter._do(f"GRANT ALL ON *.* TO {quoted(f'{bob}_adm')} WITH GRANT OPTION")
    return {"username": f"{bob}_adm", "password": Secret(PASSWORD)}


@pytest.fixture
def site(
    adapter: ClickHouseAdapter,
    describe: Callable[..., Connection],
    prefix: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Site]:
    """The user bob, with a database; a parameter are options of the connection."""
    connection = describe(getattr(request, "param", None))
    made = Site(adapter, archiving.archiving(connection, tmp_path), f"{prefix}bob")
    yield made
    made.handler.close()


@pytest.fixture
def own_admin(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], prefix: str, tmp_path: Path
) -> Iterator[Site]:
    """The same, by an admin account that is the test's own: `{a}` in statements."""
    bob = f"{prefix}bob"
    made = Site(adapter, archiving.archiving(describe(**make_admin(adapter, bob)), tmp_path), bob)
    made.names["a"] = quoted(made.connection.username)
    yield made
    made.handler.close()
