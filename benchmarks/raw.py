"""Running a raw script through the fastest client that there is, serially or in parallel sessions."""

import json
import os
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any

import servers
from benchmarks.engines import Engine, Roster

SESSIONS = 4


def create(engine: Engine, server: servers.Server, roster: Roster, sessions: int = 1) -> float:
    """Create all accounts and databases; seconds."""
    return _timed(server, [engine.creation(user, password) for user, password in roster.items()], sessions)


def remove(engine: Engine, server: servers.Server, users: Sequence[str], sessions: int = 1) -> float:
    """Remove them; seconds."""
    return _timed(server, [engine.removal(user) for user in users], sessions)


def settle(engine: Engine, server: servers.Server) -> None:
    """Let the server finish what it put off, however long that takes."""
    if engine.settling:
        _CLIENTS[server.engine](server, engine.settling)


def _timed(server: servers.Server, per_user: Sequence[list[str]], sessions: int) -> float:
    scripts = [[line for lines in per_user[part::sessions] for line in lines] for part in range(sessions)]
    began = time.perf_counter()
    with ThreadPoolExecutor(sessions) as pool:
        for done in [pool.submit(_CLIENTS[server.engine], server, script) for script in scripts]:
            done.result()
    return time.perf_counter() - began


def _psql(server: servers.Server, script: Sequence[str]) -> None:
    environment = {
        "PGHOST": server.host, "PGPORT": str(server.port), "PGDATABASE": "postgres", "PGUSER": server.admin_user,
        "PGPASSWORD": server.admin_password, "PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(server.ca),
        "PGOPTIONS": "-c client_min_messages=error",
    }  # fmt: skip
    _program([server.client_program, "-XAtq", "-v", "ON_ERROR_STOP=1", "-f", "-"], environment, script)


def _mysql(server: servers.Server, script: Sequence[str]) -> None:
    _mysql_like(server, ["--ssl-mode=VERIFY_IDENTITY", f"--ssl-ca={server.ca}"], script)


def _mariadb(server: servers.Server, script: Sequence[str]) -> None:
    _mysql_like(server, ["--no-defaults", "--ssl-verify-server-cert", f"--ssl-ca={server.ca}"], script)


def _mysql_like(server: servers.Server, options: Sequence[str], script: Sequence[str]) -> None:
    where = ["--protocol=tcp", f"--host={server.host}", f"--port={server.port}", f"--user={server.admin_user}"]
    _program([server.client_program, *options, *where, "--batch"], {"MYSQL_PWD": server.admin_password}, script)


def _program(command: Sequence[str], environment: Mapping[str, str], script: Sequence[str]) -> None:
    base = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}
    text = "".join(f"{line};\n" for line in script)
    done = subprocess.run(command, env={**base, **environment}, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr.strip()}")


def _pymongo(server: servers.Server, script: Sequence[str]) -> None:
    from pymongo import MongoClient
    from pymongo.errors import OperationFailure

    more: dict[str, Any] = {"tls": True, "tlsCAFile": str(server.ca), "directConnection": True}
    more |= {"username": server.admin_user, "password": server.admin_password}
    with MongoClient[dict[str, object]](server.host, server.port, **more) as client:
        for database, command in map(json.loads, script):
            try:
                client[database].command(command)
            except OperationFailure:
                if "dropUser" not in command:  # gone already
                    raise


def _http(server: servers.Server, script: Sequence[str]) -> None:
    connection = HTTPConnection(server.host, server.port)
    headers = {"X-ClickHouse-User": server.admin_user, "X-ClickHouse-Key": server.admin_password}
    for statement in script:
        connection.request("POST", f"/?{urllib.parse.urlencode({'database': 'default'})}", statement, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(text.decode(errors="replace"))
    connection.close()


_CLIENTS: dict[str, Callable[[servers.Server, Sequence[str]], None]] = {
    "postgresql": _psql,
    "mysql": _mysql,
    "mariadb": _mariadb,
    "mongodb": _pymongo,
    "clickhouse": _http,
}
