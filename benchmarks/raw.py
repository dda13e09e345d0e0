"""Running a raw script through the fastest client that there is, serially or in parallel sessions."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import servers
from benchmarks import raw_client
from benchmarks.engines import Engine, Roster, tls_port

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
    more = {
        "PGHOST": server.host, "PGPORT": str(server.port), "PGDATABASE": "postgres", "PGUSER": server.admin_user,
        "PGPASSWORD": server.admin_password, "PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(server.ca),
        "PGOPTIONS": "-c client_min_messages=error",
    }  # fmt: skip
    _program([server.client_program, "-XAtq", "-v", "ON_ERROR_STOP=1", "-f", "-"], more, script)


def _mysql(server: servers.Server, script: Sequence[str]) -> None:
    _mysql_like(server, ["--ssl-mode=VERIFY_IDENTITY", f"--ssl-ca={server.ca}"], script)


def _mariadb(server: servers.Server, script: Sequence[str]) -> None:
    _mysql_like(server, ["--no-defaults", "--ssl-verify-server-cert", f"--ssl-ca={server.ca}"], script)


def _mysql_like(server: servers.Server, options: Sequence[str], script: Sequence[str]) -> None:
    where = ["--protocol=tcp", f"--host={server.host}", f"--port={server.port}", f"--user={server.admin_user}"]
    _program([server.client_program, *options, *where, "--batch"], {"MYSQL_PWD": server.admin_password}, script)


def _program(command: Sequence[str], more: Mapping[str, str], script: Sequence[str]) -> None:
    _run(command, more, "".join(f"{line};\n" for line in script))


def environment() -> dict[str, str]:
    """What every program gets; nothing that keeps Python from writing, and using, compiled modules."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}


def _run(command: Sequence[str], more: Mapping[str, str], text: str) -> None:
    env = {**environment(), **more}
    done = subprocess.run(command, env=env, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr.strip()}")


def _python(server: servers.Server, script: Sequence[str]) -> None:
    job = {"engine": server.engine, "host": server.host, "port": tls_port(server), "user": server.admin_user}
    job |= {"password": server.admin_password, "ca": str(server.ca), "script": script}
    _run([sys.executable, raw_client.__file__], {}, json.dumps(job))


_CLIENTS: dict[str, Callable[[servers.Server, Sequence[str]], None]] = {
    "postgresql": _psql,
    "mysql": _mysql,
    "mariadb": _mariadb,
    "mongodb": _python,
    "clickhouse": _python,
}
