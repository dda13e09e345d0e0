"""The engines' native clients, run with a password that never stands on a command line."""

import json
import os
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

Done = subprocess.CompletedProcess[str]

PATIENCE = 60
"""Seconds after which a client is given up."""


class Address(Protocol):
    """What a client has to know of a server."""

    engine: str
    host: str
    port: int
    ca: Path | None
    secure: bool
    client_program: str


class Login(NamedTuple):
    """Who logs in, and to which database ("" is none)."""

    user: str
    password: str
    database: str


def run(address: Address, login: Login, statement: str) -> Done:
    """Run a statement on a server; the answer is tab- or bar-separated text without headings."""
    return _CLIENTS[address.engine](address, login, statement)


def _program(arguments: list[str], environment: Mapping[str, str], statement: str) -> Done:
    # The statement goes through standard input, since it may hold a password as well.
    return subprocess.run(
        arguments,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "HOME": "/nonexistent", **environment},
        input=statement,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )


def _psql(address: Address, login: Login, statement: str) -> Done:
    tls = {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(address.ca)} if address.ca else {"PGSSLMODE": "prefer"}
    where = {"PGHOST": address.host, "PGPORT": str(address.port), "PGDATABASE": login.database or "postgres"}
    who = {"PGUSER": login.user, "PGPASSWORD": login.password}
    arguments = [address.client_program, "-XAtq", "-v", "ON_ERROR_STOP=1", "-f", "-"]
    return _program(arguments, {**where, **who, **tls}, statement)


def _mysql(address: Address, login: Login, statement: str) -> Done:
    tls = ["--ssl-mode=VERIFY_IDENTITY", f"--ssl-ca={address.ca}"] if address.ca else ["--get-server-public-key"]
    return _mysql_like(address, login, statement, tls)


def _mariadb(address: Address, login: Login, statement: str) -> Done:
    tls = ["--ssl-verify-server-cert", f"--ssl-ca={address.ca}"] if address.ca else []
    return _mysql_like(address, login, statement, ["--no-defaults", *tls])


def _mysql_like(address: Address, login: Login, statement: str, options: list[str]) -> Done:
    where = ["--protocol=tcp", f"--host={address.host}", f"--port={address.port}"]
    how = ["--batch", "--skip-column-names", "--default-character-set=utf8mb4"]
    database = [f"--database={login.database}"] if login.database else []
    arguments = [address.client_program, *options, *where, *how, f"--user={login.user}", *database]
    return _program(arguments, {"MYSQL_PWD": login.password}, statement)


def mongo_command(
    address: tuple[str, int], body: dict[str, Any], login: Login | None = None, ca: Path | None = None
) -> dict[str, Any]:
    """Run one command on one MongoDB server, through PyMongo: its own shell is no Debian or Python package."""
    from pymongo import MongoClient

    options: dict[str, Any] = {"directConnection": True}
    if login:
        options |= {"username": login.user, "password": login.password, "authSource": "admin"}
    if ca:
        options |= {"tls": True, "tlsCAFile": str(ca)}
    with MongoClient[dict[str, Any]](*address, **options) as client:
        return client[login.database if login and login.database else "admin"].command(body)


def _mongodb(address: Address, login: Login, statement: str) -> Done:
    from pymongo.errors import PyMongoError

    try:
        answer = mongo_command((address.host, address.port), json.loads(statement), login, address.ca)
    except PyMongoError as error:
        return Done(["pymongo"], 1, "", str(error))
    return Done(["pymongo"], 0, json.dumps(answer, default=str), "")


def _clickhouse(address: Address, login: Login, statement: str) -> Done:
    """A statement over HTTP, as curl would send it."""
    headers = {"X-ClickHouse-User": login.user, "X-ClickHouse-Key": login.password}
    query = urllib.parse.urlencode({"database": login.database or "default", "default_format": "TSV"})
    tls = ssl.create_default_context(cafile=address.ca) if address.secure else None
    url = f"http{'s' if tls else ''}://{address.host}:{address.port}/?{query}"
    request = urllib.request.Request(url, data=statement.encode(), headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE, context=tls) as answer:
            return Done(["http"], 0, answer.read().decode(errors="surrogateescape"), "")
    except urllib.error.HTTPError as error:
        with error:
            return Done(["http"], 1, "", error.read().decode(errors="surrogateescape"))


_CLIENTS: dict[str, Callable[[Address, Login, str], Done]] = {
    "postgresql": _psql,
    "mysql": _mysql,
    "mariadb": _mariadb,
    "mongodb": _mongodb,
    "clickhouse": _clickhouse,
}
