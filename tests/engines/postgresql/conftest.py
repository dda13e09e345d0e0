"""Real PostgreSQL servers and the admins that a sync may run as: Debian's major, and with DBROSTER_SOAK all wheels.

With DBROSTER_TEST_POSTGRESQL_BIN there is no other server than that one.
"""

import itertools
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import servers
from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.engines.postgresql.options import PostgreSQLOptions
from dbroster.model.connection import Connection, Tls
from dbroster.passwords.secret import Secret
from servers.process import given_programs

SOAK = bool(os.environ.get("DBROSTER_SOAK"))
ADMINS = ("superuser", "reader", "weak")
UNLIKE = ADMINS if SOAK or given_programs("postgresql") else ("superuser", "weak")
"""Who may read verifiers is like who may not, but for checks of passwords; `make soak` and `make matrix` take all."""

PASSWORD = "Correct-horse-7"
_numbers = itertools.count(1)


def _bindirs() -> list[Path | None]:
    if given_programs("postgresql"):
        return [None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns of a missing XDG_RUNTIME_DIR
        wheels = servers.wheel_bindirs()
        return [None, *(wheels if SOAK else [])]


@pytest.fixture(scope="package", params=_bindirs(), ids=lambda path: "usual" if path is None else str(path.parent.name))
def server(request: pytest.FixtureRequest) -> Iterator[servers.PostgreSQL]:
    try:
        started = servers.PostgreSQL(bindir=request.param, options={"max_prepared_transactions": "20"})
    except servers.Missing as missing:
        if os.environ.get("DBROSTER_REQUIRE"):
            raise
        pytest.skip(str(missing))
    with started as running:
        for name in ("reader", "weak"):
            running.admin(f"CREATE ROLE {name} LOGIN CREATEROLE CREATEDB PASSWORD '{PASSWORD}'")
        running.admin("GRANT SELECT (rolname, rolpassword) ON pg_authid TO reader")
        running.admin('CREATE ROLE "dbroster:default"; GRANT "dbroster:default" TO reader, weak WITH ADMIN OPTION')
        yield running


@pytest.fixture
def describe(server: servers.PostgreSQL) -> Callable[..., Connection]:
    """Build the connection of an admin, with any field replaced."""

    def build(admin: str = "superuser", **fields: Any) -> Connection:
        login = (server.admin_user, server.admin_password) if admin == "superuser" else (admin, PASSWORD)
        tls = Tls("verify-full", str(server.ca)) if server.ca else Tls()
        values: dict[str, Any] = {
            "engine": "postgresql",
            "server": "default",
            "host": server.host,
            "port": server.port,
            "tls": tls,
        }
        values["options"] = PostgreSQLOptions(**fields.pop("options", {}))
        return Connection(**{**values, "username": login[0], "password": Secret(login[1]), **fields})

    return build


@pytest.fixture(params=UNLIKE)
def handler(request: pytest.FixtureRequest, describe: Callable[..., Connection]) -> Iterator[Handler]:
    """A session of each kind of admin: all-powerful, and with least privileges."""
    with connect(describe(request.param)) as opened:
        yield opened


@pytest.fixture
def superuser(describe: Callable[..., Connection]) -> Iterator[Handler]:
    with connect(describe()) as opened:
        yield opened


@pytest.fixture
def user() -> str:
    """A name that no other test has."""
    return f"user{next(_numbers)}"


@pytest.fixture
def log_in(server: servers.PostgreSQL) -> Callable[[str, str, str], psycopg.Connection]:
    """Log in as anybody; the caller closes."""

    def open_session(user: str, password: str, database: str) -> psycopg.Connection:
        place = f"host={server.host} port={server.port} dbname={database}"
        return psycopg.connect(place, user=user, password=password, autocommit=True)

    return open_session


@pytest.fixture
def logged(server: servers.PostgreSQL) -> Callable[[], str]:
    """Return what the server's log says since the test began."""
    before = sum(path.stat().st_size for path in server.log_files())
    return lambda: b"".join(path.read_bytes() for path in server.log_files())[before:].decode(errors="replace")
