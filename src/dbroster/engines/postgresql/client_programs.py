"""PostgreSQL's client programs: which of those that are installed fit a server, and what surrounds them.

An archive is made with programs whose archives can be restored to that very server. pg_restore of 17 and newer begins
with `SET transaction_timeout`, which an older server refuses, so for 13 to 16 newer programs end with 16.
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from dbroster.engines import programs

_PLACES: tuple[str, ...] = ("/usr/lib/postgresql/{}/bin", "/usr/pgsql-{}/bin")
"""Where Debian and Red Hat keep the programs of each major."""

_NEEDED = ("pg_dump", "pg_restore")
_NEW_SETTING = 17
"""The first major whose pg_restore sets transaction_timeout."""

_ENVIRONMENT = {
    "host": "PGHOST",
    "port": "PGPORT",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}

SETTINGS = {
    "search_path": "pg_catalog",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read\\ committed",
    "default_transaction_deferrable": "off",
    "local_preload_libraries": "",
    "row_security": "on",
    "role": "none",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "lc_monetary": "C",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "default_tablespace": "",
    "default_table_access_method": "heap",
    "temp_tablespaces": "",
}
"""What the owner may have set for the database or the account, and could stop a dump or change what it says."""

_SINCE = {140000: {"idle_session_timeout": "0"}, 170000: {"transaction_timeout": "0"}}
"""Settings that are as harmful, by the version that has brought them."""


class Programs(NamedTuple):
    """The client programs of one major, which lie in one directory."""

    directory: Path
    major: int

    def __getattr__(self, name: str) -> str:
        """Return the path of a program, `programs.pg_dump`."""
        return str(self.directory / name)


def find_programs(server: int) -> "Programs | str":
    """Return the programs for a server of this major, or say why there are none: its own, else the next newer ones."""
    for place in _PLACES:
        if _complete(own := Path(place.format(server))):
            return Programs(own, server)
    found = list(_installed())
    fitting = [programs for programs in found if programs.major >= server and _restores(programs.major, server)]
    if fitting:
        return min(fitting, key=lambda programs: programs.major)
    install = f"install PostgreSQL's client programs of version {server} (Debian: postgresql-client-{server})"
    if not found:
        return f"pg_dump and pg_restore are not installed: {install}"
    listed = ", ".join(f"those in {programs.directory} are of version {programs.major}" for programs in found)
    if all(programs.major < server for programs in found):
        return f"pg_dump and pg_restore are older than the server, version {server}: {listed}; {install}"
    return (
        f"the archives of the pg_dump that is installed could not be restored to this server of version {server}: "
        f"{listed}; {install}"
    )


def _restores(major: int, server: int) -> bool:
    return server >= _NEW_SETTING or major < _NEW_SETTING


def _installed() -> Iterator[Programs]:
    """Whatever lies where distributions keep it, or else on the PATH.

    Debian's /usr/bin/pg_dump is only a wrapper, which chooses a version by the host that it is given.
    """
    usual = [path for place in _PLACES for path in sorted(Path("/").glob(place.format("*").lstrip("/")))]
    for directory in dict.fromkeys([*usual, *(Path(name) for name in os.get_exec_path() if name)]):
        if _complete(directory):
            majors = {_major(directory / name) for name in _NEEDED}
            if len(majors) == 1 and (major := majors.pop()) is not None:
                yield Programs(directory, major)


def _complete(directory: Path) -> bool:
    return all(shutil.which(name, path=str(directory)) for name in _NEEDED)


def _major(program: Path) -> int | None:
    found = re.search(r"\) (\d+)", programs.version(str(program)))
    return int(found[1]) if found else None


def options(version: int, usual: Mapping[str, str] | None = None) -> str:
    """Settings as a session's start takes them: they outrank those of database and account; ours outrank `usual`."""
    others = {name: re.sub(r"([\\\s])", r"\\\1", value) for name, value in (usual or {}).items()}
    since = {name: value for first, more in _SINCE.items() if version >= first for name, value in more.items()}
    return " ".join(f"-c {name}={value}" for name, value in {**others, **SETTINGS, **since}.items())


def password_file(password: str) -> str:
    """A line of .pgpass for everywhere. Source: PostgreSQL manual, "The Password File"."""
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    return f"*:*:*:*:{escaped}\n"


def environment(parameters: Mapping[str, object], user: str, database: str, file: int, settings: str) -> dict[str, str]:
    """What libpq is told, with nothing secret in it; the password is in a file that this process has open."""
    told = {variable: str(parameters[key]) for key, variable in _ENVIRONMENT.items() if parameters.get(key)}
    return {
        **told, "PGUSER": user, "PGDATABASE": database, "PGPASSFILE": f"/proc/self/fd/{file}", "PGPASSWORD": "",
        "PGOPTIONS": settings,
    }  # fmt: skip
