"""Servers that somebody else runs, named by $DBROSTER_TEST_POSTGRESQL and so on; `find` chooses."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

from servers.base import LocalServer, Server
from servers.clickhouse import ClickHouse
from servers.mariadb import MariaDB, mariadb_program
from servers.mongodb import MongoDB
from servers.mysql import MySQL, mysql_programs
from servers.postgresql import PostgreSQL, newest_bindir

ENGINES: dict[str, Callable[[], LocalServer]] = {
    "postgresql": PostgreSQL,
    "mysql": MySQL,
    "mariadb": MariaDB,
    "mongodb": MongoDB,
    "clickhouse": ClickHouse,
}
"""Every engine with its throw-away server."""

DEFAULT_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mongodb": 27017, "clickhouse": 8123}
HTTPS_PORT = 8443


_CLIENT_PROGRAMS: dict[str, Callable[[], str]] = {
    "postgresql": lambda: shutil.which("psql") or str(newest_bindir() / "psql"),
    "mysql": lambda: mysql_programs()[1],
    "mariadb": lambda: mariadb_program("mariadb"),
}


def variable(engine: str) -> str:
    """The environment variable that may name a server of this engine."""
    return f"DBROSTER_TEST_{engine.upper()}"


class GivenServer(Server):
    """A server at an address like postgresql://admin:password@host:port?ca=FILE; it is neither started nor stopped.

    ClickHouse's may begin with http:// or https://; the latter means TLS, and port 8443 unless it says otherwise.
    """

    can_kill = False

    def __init__(self, engine: str, url: str) -> None:
        parts = urlsplit(url)
        if not (parts.hostname and parts.username):
            raise ValueError(f"{variable(engine)} must look like {engine}://admin:password@host:port")
        self.engine = engine
        self.host = parts.hostname
        self.secure = parts.scheme == "https"
        self.port = parts.port or (HTTPS_PORT if self.secure else DEFAULT_PORTS[engine])
        self.admin_user = unquote(parts.username)
        self.admin_password = unquote(parts.password or "")
        ca = parse_qs(parts.query).get("ca")
        self.ca = Path(ca[0]) if ca else None
        self.client_program = _CLIENT_PROGRAMS.get(engine, str)()

    def start(self) -> Self:
        """It runs already."""
        return self

    def stop(self) -> None:
        """It is not ours to stop."""

    def kill(self) -> None:
        """It is not ours to kill."""

    def close(self) -> None:
        """It is not ours to stop."""

    def log_files(self) -> list[Path]:
        """They are out of reach."""
        return []


def find(engine: str) -> Server:
    """The server that the environment names for this engine, or else a throw-away one, not started yet.

    Raises Missing if there is neither.
    """
    url = os.environ.get(variable(engine))
    return GivenServer(engine, url) if url else ENGINES[engine]()
