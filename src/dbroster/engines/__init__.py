"""The engines by name; each is imported only when asked for, so a missing driver hurts only its own engine."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, cast

from dbroster.errors import ServerError

if TYPE_CHECKING:
    from dbroster.engines.base import Handler
    from dbroster.model.admin_script import AdminScript
    from dbroster.model.connection import Connection, EngineOptions
    from dbroster.model.way import Visitor, Way


class Engine(NamedTuple):
    """What is known of an engine before its package is imported.

    `package`, `module`, `oldest`: the driver as pip installs it, its module, and the oldest version that works (see
    pyproject.toml).
    `other_names`: what people call the engine's section of connections.yaml.
    """

    package: str
    module: str
    oldest: str
    other_names: tuple[str, ...]

    @property
    def driver(self) -> str:
        """The driver's name."""
        return self.package.partition("[")[0]

    @property
    def install(self) -> str:
        """What installs it, with a wheel and in a checkout."""
        return f"pip install --upgrade '{self.package}>={self.oldest}'"


ENGINES = {
    "mysql": Engine("PyMySQL[rsa]", "pymysql", "1.1", ("mariadb", "maria")),
    "postgresql": Engine("psycopg[binary]", "psycopg", "3.2", ("postgres", "pg", "pgsql", "psql", "postgre")),
    "clickhouse": Engine("clickhouse-connect", "clickhouse_connect", "1.0", ("clickhouse-server", "clickhouse_server")),
    "mongodb": Engine("PyMongo", "pymongo", "4.9", ("mongo", "mongod")),
}
"""The registry: a new engine has a line here and a package beside."""

OTHER_NAMES = {other: name for name, engine in ENGINES.items() for other in engine.other_names}


def options_of(engine: str) -> "type[EngineOptions]":
    """Return the keys of connections.yaml that only this engine has; needs no driver."""
    return cast("type[EngineOptions]", import_module(f"dbroster.engines.{engine}.options").OPTIONS)


def assumed_admin_script(
    connection: "Connection", templates: Sequence[str], password: str, called: str
) -> "AdminScript":
    """Return what makes the admin on a server that can't be asked; `called`: the product's name, as a person says it.

    Raises ServerError when the engine's driver is not installed.
    """
    with _with_driver(ENGINES[connection.engine], connection.engine):
        module = import_module(f"dbroster.engines.{connection.engine}.admin_script")
    return cast("AdminScript", module.assumed(connection, templates, password, called))


def way_in(connection: "Connection", visitor: "Visitor") -> "Way":
    """Return how a user reaches a database; needs no driver, and asks no server."""
    from dbroster.model.way import public  # no other verb needs it

    module = import_module(f"dbroster.engines.{connection.engine}.handout")
    return cast("Way", module.way(public(connection), visitor))


def connect(connection: "Connection") -> "Handler":
    """Open a connection with the engine's own handler.

    Raises ServerError when the engine's driver is not installed or too old, ConnectError and UnsupportedServer as it
    comes.
    """
    with _with_driver(ENGINES[connection.engine], connection.engine):
        module = import_module(f"dbroster.engines.{connection.engine}.handler")
    from dbroster.engines.name_lookup import look_up

    look_up(connection)
    return cast("Handler", module.connect(connection))


@contextmanager
def _with_driver(engine: Engine, name: str) -> Iterator[None]:
    """Import in the block what needs the driver: the engine decides what of it is imported."""
    try:
        try:
            yield
        finally:
            _refuse_old_driver(engine)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("dbroster."):
            raise ServerError(f"a file of dbroster is missing ({error.name}): install dbroster again") from None
        raise ServerError(
            f"the driver for {name} is not installed ({error.name} is missing): {engine.install}"
        ) from None
    except ImportError as error:
        raise ServerError(f"the driver for {name} is installed, but can't be loaded: {error}") from None


def _refuse_old_driver(engine: Engine) -> None:
    """Raise ServerError for a driver that would work, but not as it should: without TLS, or without a limit."""
    version = str(getattr(import_module(engine.module), "__version__", ""))
    if version and _numbers(version) < _numbers(engine.oldest):
        raise ServerError(
            f"{engine.driver} {version} is too old: dbroster needs {engine.oldest} or newer: {engine.install}"
        )


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]
