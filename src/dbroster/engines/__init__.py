"""The engines by name; each is imported only when asked for, so a missing driver hurts only its own engine."""

import re
from importlib import import_module
from typing import TYPE_CHECKING, cast

from dbroster.errors import ServerError

if TYPE_CHECKING:
    from dbroster.engines.base import Handler
    from dbroster.model.connection import Connection, EngineOptions

ENGINES = ("mysql", "postgresql", "clickhouse", "mongodb")

OTHER_NAMES = {
    **dict.fromkeys(("postgres", "pg", "pgsql", "psql", "postgre"), "postgresql"),
    **dict.fromkeys(("mariadb", "maria"), "mysql"),
    **dict.fromkeys(("mongo", "mongod"), "mongodb"),
    **dict.fromkeys(("clickhouse-server", "clickhouse_server"), "clickhouse"),
}
"""What people call a section of connections.yaml, and what it is called."""

DRIVERS = {
    "mysql": ("PyMySQL", "pymysql", "1.1"),
    "postgresql": ("psycopg", "psycopg", "3.2"),
    "clickhouse": ("clickhouse-connect", "clickhouse_connect", "1.0"),
    "mongodb": ("PyMongo", "pymongo", "4.9"),
}
"""The driver of each engine: its name, its module, and the oldest version that works (see pyproject.toml)."""

_MODULES = {"mysql": "mysql.mariadb"}  # it picks the handler by which of both it meets


def options_of(engine: str) -> "type[EngineOptions]":
    """Return the keys of connections.yaml that only this engine has; needs no driver."""
    return cast("type[EngineOptions]", import_module(f"dbroster.engines.{engine}.options").OPTIONS)


def connect(connection: "Connection") -> "Handler":
    """Open a connection with the engine's own handler.

    Raises ServerError when the engine's driver is not installed or too old, ConnectError and UnsupportedServer as it
    comes.
    """
    name = _MODULES.get(connection.engine, f"{connection.engine}.handler")
    try:
        try:
            module = import_module(f"dbroster.engines.{name}")  # first: the engine decides what of a driver is imported
        finally:
            _refuse_old_driver(connection.engine)
    except ModuleNotFoundError as error:
        if error.name == f"dbroster.engines.{connection.engine}":
            raise ServerError(f"dbroster has no engine for {connection.engine} yet") from None
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


def _refuse_old_driver(engine: str) -> None:
    """Raise ServerError for a driver that would work, but not as it should: without TLS, or without a limit."""
    if engine not in DRIVERS:
        return
    driver, module, oldest = DRIVERS[engine]
    version = str(getattr(import_module(module), "__version__", ""))
    if version and _numbers(version) < _numbers(oldest):
        raise ServerError(
            f"{driver} {version} is too old: dbroster needs {oldest} or newer: "
            f"pip install --upgrade '{driver.lower()}>={oldest}'"
        )


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]
