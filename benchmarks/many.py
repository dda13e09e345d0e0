"""Ten thousand accounts with three grants each: a no-op with and without the cache, memory, and the bare computation.

MySQL and MariaDB have all 30,000 databases. PostgreSQL would need 220 GB for them, so they are rows of its catalogue
without files. MongoDB would need 60,000 open files, so `marker_collection` is off and databases exist by their grants.
"""

import hashlib
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import servers
from benchmarks import raw
from benchmarks.engines import ENGINES, Engine, Roster
from benchmarks.life import Tell, world
from benchmarks.site import Site, roster
from dbroster.passwords.verifiers.sha_crypt import sha256_crypt

_ROWS = """
    SET allow_system_table_mods = on;
    INSERT INTO pg_database SELECT (jsonb_populate_record(d, jsonb_build_object(
        'oid', 1000000 + row_number() OVER (), 'datname', r.rolname || '_' || t.name, 'datdba', r.oid,
        'datistemplate', false, 'datallowconn', true, 'datacl', '{' || r.rolname || '=CTc/' || r.rolname || '}'))).*
    FROM pg_roles r, pg_database d, unnest(ARRAY[%s]) AS t (name)
    WHERE r.rolname ~ '^u[0-9]{5}$' AND d.datname = 'template0';
    INSERT INTO pg_shdescription
    SELECT d.oid, 'pg_database'::regclass, 'dbroster/2 default ' || r.rolname || ' ' || d.datname
    FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE r.rolname ~ '^u[0-9]{5}$';
    INSERT INTO pg_db_role_setting SELECT d.oid, m.oid,
        ARRAY['application_name=dbroster/2 default ' || r.rolname || ' ' || d.datname]
    FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba, pg_roles m
    WHERE r.rolname ~ '^u[0-9]{5}$' AND m.rolname = 'dbroster:default'"""


def measure(name: str, count: int, rounds: int, tell: Tell) -> dict[str, Any]:
    """Set up, and take the median of so many no-ops of each kind."""
    engine = ENGINES[name](["tools", "web", "analytics"])
    wanted = roster(count)
    with world(engine) as (server, site):
        tell(f"{name}: setting up {count} accounts")
        began = time.perf_counter()
        _set_up(engine, server, site, wanted)
        found: dict[str, Any] = {"users": count, "set-up": time.perf_counter() - began}
        cold, warm, bare = [], [], []
        for _ in range(rounds):
            site.forget()
            bare.append(_bare(name, list(wanted.values())))
            cold.append(site.run())
            warm.append(site.run())
            assert warm[-1].summary["unchanged"] == count
        found |= {"cold": [run.seconds for run in cold], "warm": [run.seconds for run in warm], "bare": bare}
        found["megabytes"] = max(run.megabytes for run in (*cold, *warm))
    tell(f"{name}: {json.dumps(found)}")
    return found


def _set_up(engine: Engine, server: servers.Server, site: Site, wanted: Roster) -> None:
    site.roster(wanted)
    if engine.name == "postgresql":
        bare = ENGINES["postgresql"]([])
        raw.create(bare, server, wanted, raw.SESSIONS)
        server.admin(_ROWS % ", ".join(f"'{template}'" for template in engine.templates))
        return
    if engine.name == "mongodb":
        site.connect({**engine.section(server), "marker_collection": False})
    site.run()


def _bare(name: str, passwords: list[str]) -> float:
    """Nothing but the slow computation, on all processors, as fast as Python's own library does it."""
    processors = os.cpu_count() or 1
    began = time.perf_counter()
    if name == "mysql":
        with multiprocessing.get_context("fork").Pool(processors) as pool:
            began = time.perf_counter()
            pool.map(_crypt, passwords, chunksize=50)
    elif name in _PBKDF2:
        with ThreadPoolExecutor(processors) as threads:
            list(threads.map(_PBKDF2[name], passwords, chunksize=1))
    return time.perf_counter() - began


def _crypt(password: str) -> None:
    sha256_crypt(password.encode(), b"s" * 20, 10_000)


def _pbkdf2(iterations: int) -> Callable[[str], bytes]:
    return lambda password: hashlib.pbkdf2_hmac("sha256", password.encode(), b"s" * 16, iterations)


_PBKDF2 = {"postgresql": _pbkdf2(4096), "mongodb": _pbkdf2(15_000)}
