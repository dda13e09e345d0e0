"""MongoDB, for the contract suite."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

import pytest
from bson.binary import UUID_SUBTYPE, Binary
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from dbroster.engines.base import Handler
from dbroster.model.connection import Connection
from dbroster.passwords.verifiers.saslprep import saslprep_offender
from servers import GivenServer, MongoDB
from tests.contract.adapters import Adapter, Refused, written_since
from tests.support.proxy import Proxy

Client = MongoClient[dict[str, Any]]

OPTIONS = {"slowms": "-1"}
"""The log tells every command, with passwords taken out by the server."""

_CHANGES = {
    "createUser", "updateUser", "dropUser", "grantRolesToUser", "revokeRolesFromUser", "create", "insert", "update",
    "delete", "findAndModify", "dropDatabase", "dropAllUsersFromDatabase", "dropAllRolesFromDatabase", "createRole",
    "updateRole", "dropRole", "killAllSessions", "drop",
}  # fmt: skip


class MongoDBSession:
    """A login of a user."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def alive(self) -> bool:
        try:
            self._client.list_database_names()
        except PyMongoError:
            return False
        return True


class MongoDBAdapter(Adapter):
    """What DBA and users do at MongoDB."""

    engine = "mongodb"
    watches = True
    dots = False
    renames_databases_by_hand = False
    native = ('{"create": "t_native"}', '{"drop": "t_native"}')
    server: MongoDB

    def __init__(self, server: MongoDB) -> None:
        super().__init__(server)
        self._client = self._connect(server.admin_user, server.admin_password)
        self._admin = self._client.admin
        self._relay: Proxy | None = None

    def close(self) -> None:
        self.end_connections()
        self._client.close()

    def carries(self, password: str) -> bool:
        return saslprep_offender(password) is None

    def section(self) -> dict[str, object]:
        server = self.server
        tls = {"tls": {"mode": "verify-full", "ca": str(server.ca)}} if server.ca else {}
        return {
            "host": server.host,
            "port": server.port,
            "username": server.admin_user,
            "password": server.admin_password,
            "connect_timeout": 3,  # what a killed run waits for, again and again; a busy machine needs it
            **tls,
        }

    def connect(self, connection: Connection) -> Handler:
        """Through a relay: the server itself has no command that ends connections."""
        if self._relay is None:
            self._relay = Proxy(self.server.host, self.server.port, None)
            self._relay.__enter__()
        return super().connect(connection._replace(port=self._relay.port))

    def _connect(self, user: str | None, password: str | None, **more: Any) -> Client:
        given = isinstance(self.server, GivenServer) and self.server.ca  # it is half of what a login costs
        tls: dict[str, Any] = {"tls": True, "tlsCAFile": str(self.server.ca)} if given else {}
        return MongoClient(
            self.server.host,
            self.server.port,
            username=user,
            password=password,
            serverMonitoringMode="poll",
            serverSelectionTimeoutMS=10_000,
            datetime_conversion="DATETIME_AUTO",  # other tests on the server leave dates that Python has none for
            **tls,
            **more,
        )

    # --- by hand ------------------------------------------------------------------------------------------------------

    def create_account_by_hand(self, user: str, password: str) -> None:
        self._admin.command("createUser", user, pwd=password, roles=[])

    def create_database_by_hand(self, database: str) -> None:
        self._client[database].create_collection("by_hand")

    def drop_account_by_hand(self, user: str) -> None:
        self._admin.command("dropUser", user)

    def drop_database_by_hand(self, database: str) -> None:
        self._client.drop_database(database)

    def lock_by_hand(self, user: str) -> None:
        self._admin.command("updateUser", user, authenticationRestrictions=[{"clientSource": ["255.255.255.255"]}])

    def clear_password_by_hand(self, user: str) -> None:
        self._admin.command("updateUser", user, pwd="something that no test knows", mechanisms=["SCRAM-SHA-256"])

    def revoke_by_hand(self, user: str, database: str) -> None:
        self._admin.command("revokeRolesFromUser", user, roles=[{"role": "dbAdmin", "db": database}])

    def share_by_hand(self, user: str, database: str) -> None:
        self._admin.command("grantRolesToUser", user, roles=[{"role": "readWrite", "db": database}])

    def rename_account_by_hand(self, user: str, new: str) -> None:
        """MongoDB has no such command, but whoever may write into the accounts' collection can copy one."""
        users = self._admin["system.users"]
        account = users.find_one({"_id": f"admin.{user}"})
        assert account is not None
        users.insert_one({**account, "_id": f"admin.{new}", "user": new, "userId": Binary(uuid4().bytes, UUID_SUBTYPE)})
        self._admin.command("dropUser", user)

    def hand_over_by_hand(self, user: str, database: str) -> None:
        self._client[database].create_collection("by_hand")
        self._admin.command("grantRolesToUser", user, roles=[{"role": "dbOwner", "db": database}])

    def strip_by_hand(self, user: str) -> None:
        self._admin.command("updateUser", user, roles=[])

    @contextmanager
    def hold_lock_as(self, user: str, password: str) -> Iterator[None]:
        """By connections that call themselves a sync's lock: one that has logged in, and one that has not."""
        name = f"dbroster lock 0badf00d {os.getpid()}@elsewhere"
        with (
            self._connect(user, password, appname=name) as client,
            self._connect(None, None, appname=name) as not_logged_in,
        ):
            client.list_database_names()
            not_logged_in.admin.command("ping")
            yield

    def accounts(self) -> set[str]:
        found = self._admin.command("usersInfo", 1, codec_options=self._client.codec_options)
        return {user["user"] for user in found["users"]}

    def databases(self) -> set[str]:
        return set(self._client.list_database_names())

    def fingerprint(self, user: str) -> str:
        return repr(self._admin["system.users"].find_one({"_id": f"admin.{user}"}))

    def end_connections(self) -> None:
        if self._relay:
            self._relay.__exit__(None, None, None)
            self._relay = None

    def wipe(self, prefix: str) -> None:
        for name in self.databases():
            if name.startswith(prefix):
                self._client.drop_database(name)
        for name in self.accounts():
            if name.startswith(prefix):
                self._admin.command("dropUser", name)

    # --- what the server says of a run --------------------------------------------------------------------------------

    @contextmanager
    def changes(self) -> Iterator[list[str]]:
        """By the log, which tells every command with the name of the program that sent it."""
        files = self.server.log_files()
        if not files:
            pytest.skip("the log of this server is out of reach")
        before = [path.stat().st_size for path in files]
        found: list[str] = []
        yield found
        texts = [written_since(path, start).decode() for path, start in zip(files, before, strict=True)]
        entries = [json.loads(line) for text in texts for line in text.splitlines() if '"Slow query"' in line]
        commands = [
            entry["attr"]["command"]
            for entry in entries
            if entry["attr"].get("appName", "").startswith("dbroster") and entry["attr"].get("command")
        ]
        assert commands, "the log is silent, so it proves nothing"
        found += [str(command) for command in commands if next(iter(command)) in _CHANGES]

    # --- as a user ----------------------------------------------------------------------------------------------------

    @contextmanager
    def session(self, user: str, password: str) -> Iterator[MongoDBSession]:
        with self._as_user(user, password) as client:
            yield MongoDBSession(client)

    def put(self, user: str, password: str, database: str, text: str) -> None:
        self._run(user, password, lambda client: client[database].note.insert_one({"line": text}))

    def writable(self, user: str, password: str, databases: Iterable[str]) -> set[str]:
        try:
            with self._as_user(user, password) as client:
                return {database for database in databases if self._takes(client, database)}
        except Refused:
            return set()

    @staticmethod
    def _takes(client: Client, database: str) -> bool:
        try:
            client[database].note.insert_one({"line": "a row"})
        except PyMongoError:
            return False
        return True

    def get(self, user: str, password: str, database: str) -> list[str]:
        found: list[str] = self._run(
            user, password, lambda client: [row["line"] for row in client[database].note.find()]
        )
        return found

    def give_away(self, user: str, password: str, database: str, receiver: str) -> None:
        roles = [{"role": "readWrite", "db": database}]
        with suppress(Refused):
            self._run(user, password, lambda client: client.admin.command("grantRolesToUser", receiver, roles=roles))

    def visible(self, user: str, password: str) -> set[str]:
        found: set[str] = self._run(user, password, lambda client: set(client.list_database_names()))
        return found

    def _run(self, user: str, password: str, work: Callable[[Client], Any]) -> Any:
        with self._as_user(user, password) as client:
            try:
                return work(client)
            except PyMongoError as error:
                raise Refused(str(error)) from None

    @contextmanager
    def _as_user(self, user: str, password: str) -> Iterator[Client]:
        try:
            client = self._connect(user, password)
        except (PyMongoError, ValueError) as error:
            raise Refused(str(error)) from None
        with client:
            try:
                client.list_database_names()  # the driver logs in when it has something to send
            except (PyMongoError, ValueError) as error:  # the latter from SASLprep
                raise Refused(str(error)) from None
            yield client
