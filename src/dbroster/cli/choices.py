"""One product, and one server of it, for verbs that work on one."""

from collections.abc import Sequence

from dbroster.cli.arguments import engine_name
from dbroster.engines import OTHER_NAMES
from dbroster.errors import ConfigError
from dbroster.model.connection import Connection
from dbroster.model.problems import Problem


def product(text: str) -> str:
    """Return what a person calls a product that there is."""
    engine_name(OTHER_NAMES.get(text, text))
    return text


def only(names: Sequence[str], how: str) -> str:
    """Return the one name that there is. Raises ConfigError, and says how one of several is chosen."""
    if len(names) != 1:
        raise ConfigError([Problem(f"there are several: choose one with {how} ({', '.join(names)})")])
    return names[0]


def only_server(connections: Sequence[Connection]) -> Connection:
    """Return the one server that there is. Raises ConfigError where there are several."""
    name = only([connection.server for connection in connections], "--server NAME")
    return next(connection for connection in connections if connection.server == name)
