"""The engines by name; each is imported only when asked for, so a missing driver hurts only its own engine."""

from importlib import import_module
from typing import TYPE_CHECKING, cast

from dbroster.errors import ServerError

if TYPE_CHECKING:
    from dbroster.config import Connection
    from dbroster.engines.base import Handler

ENGINES = ("mysql", "postgresql", "clickhouse", "mongodb")

_MODULES = {"mysql": "mariadb"}  # MariaDB answers to MySQL's driver: that module picks the handler by what it meets


def connect(connection: "Connection") -> "Handler":
    """Open a connection with the engine's own handler.

    Raises ServerError when the engine's driver is not installed, ConnectError and UnsupportedServer as it comes.
    """
    name = _MODULES.get(connection.engine, connection.engine)
    try:
        module = import_module(f"dbroster.engines.{name}")
    except ModuleNotFoundError as error:
        if error.name == f"dbroster.engines.{name}":
            raise ServerError(f"dbroster has no engine for {connection.engine} yet") from None
        raise ServerError(
            f"the driver for {connection.engine} is not installed ({error.name} is missing): "
            f"pip install -r requirements-{connection.engine}.txt"
        ) from None
    except ImportError as error:
        raise ServerError(f"the driver for {connection.engine} is installed, but can't be loaded: {error}") from None
    return cast("Handler", module.connect(connection))
