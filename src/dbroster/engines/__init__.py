"""The engines by name; each is imported only when asked for, so a missing driver hurts only its own engine."""

import re
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, cast

from dbroster.errors import ServerError

if TYPE_CHECKING:
    from dbroster.engines.base import Handler
    from dbroster.model.connection import Connection, EngineOptions


class Engine(NamedTuple):
    """What is known of an engine before its package is imported.

    `driver`, `module`, `oldest`: the driver's name, its module, and the oldest version that works (see pyproject.toml).
    `other_names`: what people call the engine's section of connections.yaml.
    """

    driver: str
    module: str
    oldest: str
    other_names: tuple[str, ...]


ENGINES = {
    "mysql": Engine("PyMySQL", "pymysql", "1.1", ("mariadb", "maria")),
    "postgresql": Engine("psycopg", "psycopg", "3.2", ("postgres", "pg", "pgsql", "psql", "postgre")),
    "clickhouse": Engine("clickhouse-connect", "clickhouse_connect", "1.0", ("clickhouse-server", "clickhouse_server")),
    "mongodb": Engine("PyMongo", "pymongo", "4.9", ("mongo", "mongod")),
}
"""The registry: a new engine has a line here and a package beside."""

OTHER_NAMES = {other: name for name, engine in ENGINES.items() for other in engine.other_names}


def options_of(engine: str) -> "type[EngineOptions]":
    """Return the keys of connections.yaml that only this engine has; needs no driver."""
    return cast("type[EngineOptions]", import_module(f"dbroster.engines.{engine}.options").OPTIONS)


def connect(connection: "Connection") -> "Handler":
    """Open a connection with the engine's own handler.

    Raises ServerError when the engine's driver is not installed or too old, ConnectError and UnsupportedServer as it
    comes.
    """
    engine = ENGINES[connection.engine]
    name = f"dbroster.engines.{connection.engine}.handler"
    try:
        try:
            module = import_module(name)  # first: the engine decides what of a driver is imported
        finally:
            _refuse_old_driver(engine)
    except ModuleNotFoundError as error:
        raise ServerError(
            f"the driver for {connection.engine} is not installed ({error.name} is missing): "
            f"pip install 'dbroster[{connection.engine}]' (in a checkout: "
            f"pip install -r requirements-{connection.engine}.txt)"
        ) from None
    except ImportError as error:
        raise ServerError(f"the driver for {connection.engine} is installed, but can't be loaded: {error}") from None
    from dbroster.engines.name_lookup import look_up

    look_up(connection)
    return cast("Handler", module.connect(connection))


def _refuse_old_driver(engine: Engine) -> None:
    """Raise ServerError for a driver that would work, but not as it should: without TLS, or without a limit."""
    version = str(getattr(import_module(engine.module), "__version__", ""))
    if version and _numbers(version) < _numbers(engine.oldest):
        raise ServerError(
            f"{engine.driver} {version} is too old: dbroster needs {engine.oldest} or newer: "
            f"pip install --upgrade '{engine.driver.lower()}>={engine.oldest}'"
        )


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]
