"""A real MongoDB server, a DBA who changes things by hand, and handlers with any options."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymongo import MongoClient

from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.engines.mongodb.options import MongoDBOptions
from dbroster.model.connection import Connection, Tls
from dbroster.passwords.secret import Secret
from servers import MongoReplicaSet, Server

PASSWORD = "Correct-horse-7"
OTHER = "Another-staple-8"
Client = MongoClient[dict[str, Any]]
_numbers = itertools.count(1)


class Site:
    """One server; what a test makes has names that no other test has."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.bob = f"m{next(_numbers)}bob"
        self.web = f"{self.bob}_web"
        self.dba = self.login(server.admin_user, server.admin_password)

    def login(self, user: str | None, password: str | None, **more: Any) -> Client:
        return MongoClient(
            self.server.host,
            self.server.port,
            username=user,
            password=password,
            serverMonitoringMode="poll",
            serverSelectionTimeoutMS=15_000,
            **more,
        )

    def connection(self, **options: Any) -> Connection:
        server = self.server
        return Connection(
            "mongodb",
            "default",
            server.host,
            server.port,
            server.admin_user,
            Secret(server.admin_password),
            tls=Tls("verify-full", str(server.ca)),
            options=MongoDBOptions(**options),
        )

    @contextmanager
    def handler(self, **options: Any) -> Iterator[Handler]:
        with connect(self.connection(**options)) as handler:
            yield handler

    def make(self, handler: Handler) -> None:
        """Create bob with his database."""
        handler.create_user(self.bob, Secret(PASSWORD))
        handler.grant_privileges(self.bob, self.web)
        handler.create_database(self.bob, self.web)

    def account(self) -> dict[str, Any]:
        found = self.dba.admin["system.users"].find_one({"user": self.bob})
        assert found is not None
        return found


@contextmanager
def opened(server: Server) -> Iterator[Site]:
    site = Site(server)
    with site.dba:
        yield site


@pytest.fixture
def site(mongodb_server: Server) -> Iterator[Site]:
    with opened(mongodb_server) as site:
        yield site


@pytest.fixture(scope="module")
def replica_set(mongodb_server: Server) -> Iterator[MongoReplicaSet]:
    with MongoReplicaSet(members=1) as server:
        yield server


@pytest.fixture
def set_site(replica_set: MongoReplicaSet) -> Iterator[Site]:
    with opened(replica_set) as site:
        yield site
