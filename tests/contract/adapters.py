"""What the contract suite needs to know of an engine besides its handler: how a DBA and how a user work with it.

A new engine gives one subclass of `Adapter`, and a line in `tests/contract/conftest.py`.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pytest
import yaml

from dbroster.config.connections import CONNECTIONS_FILE, read_connections
from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.errors import ConnectError
from dbroster.files.read import Files
from dbroster.model.connection import Connection
from dbroster.passwords.policy import PasswordRules
from tests.support.proxy import Proxy

RULES = PasswordRules(min_length=8, classes=1)
"""Hostile passwords need not be strong."""


class Refused(Exception):  # noqa: N818 - reads as what it is
    """The server refused a user's login or statement."""


class Session(Protocol):
    """A login of a user that stays open."""

    def alive(self) -> bool:
        """Whether the server still serves it."""


@dataclass(frozen=True)
class Doomed:
    """How a program connects that will be killed, how many messages it has sent, and how to kill it so many later.

    `looks` are those by which a driver looks at the server now and then, so more of them when time passes.
    """

    connect: Callable[[Connection], Handler]
    messages: Callable[[], int]
    arm: Callable[[int], None]
    looks: Callable[[], int] = lambda: 0

    def questions(self) -> int:
        """How many messages there were without looks."""
        return self.messages() - self.looks()


class Adapter(ABC):
    """One engine, seen by its DBA (`..._by_hand`) and by its users (`put`, `get`, `visible`, `session`)."""

    engine: ClassVar[str]
    """The section of connections.yaml."""
    watches: ClassVar[bool] = False
    """Whether a driver's first connection is for looking at the server now and then, and for nothing else."""

    hides_databases: ClassVar[bool] = True
    """Whether a user can be kept from listing other users' databases."""

    dots: ClassVar[bool] = True
    """Whether names may contain a dot."""

    kills: ClassVar[int] = 40 if os.environ.get("DBROSTER_SOAK") else 4
    """At how many moments of a whole sync it is killed."""

    death: ClassVar[type[BaseException]] = ConnectError
    """What a program gets that `doomed` has killed."""

    messages_per_check: ClassVar[int] = 0
    """How many messages it takes to check one password, where stored verifiers can't be read."""

    native: ClassVar[tuple[str, ...]] = ("CREATE TABLE t_native (n int); DROP TABLE t_native",)
    """What the server's native client does in a database, and undoes, to show that it may; one text for each call."""

    closes_databases: ClassVar[bool] = True
    """Whether a database can be closed to its user, who stays, while it is archived."""

    renames_databases: ClassVar[bool] = True
    """Whether an archive can be restored into a database of another name."""

    def __init__(self, server: Any) -> None:
        self.server = server

    def adopts_databases(self) -> bool:
        """Whether a database that stands there can be taken over."""
        return True

    def carries(self, password: str) -> bool:
        """Whether the server's way to log in can carry a password."""
        return True

    @abstractmethod
    def section(self) -> dict[str, object]:
        """The engine's section of connections.yaml, for the admin."""

    def close(self) -> None:  # noqa: B027 - not every adapter holds something open
        """Close what the adapter has opened."""

    def configure(self, directory: Path, roster: str) -> None:
        """Write connections.yaml for a roster, unread by others."""
        path = directory / CONNECTIONS_FILE
        path.touch(mode=0o600)
        policy = {"min_length": RULES.min_length, "classes": RULES.classes}
        path.write_text(yaml.safe_dump({"roster": roster, self.engine: {**self.section(), "password_policy": policy}}))

    def connection(self, directory: Path, roster: str) -> Connection:
        """Read the connection of a roster from a connections.yaml that is written for it."""
        self.configure(directory, roster)
        (connection,) = read_connections(Files(directory), self.engine)
        return connection

    def connect(self, connection: Connection) -> Handler:
        """Open a handler as a sync does."""
        return connect(connection)

    def open(self, directory: Path, roster: str) -> Handler:
        """Open a handler for a roster."""
        return self.connect(self.connection(directory, roster))

    def relay(self, budget: int | None = None, **how: Any) -> Proxy:
        """A relay to the server that counts what clients send, and may end (see `Proxy`); not started yet."""
        return Proxy(self.server.host, self.server.port, budget, **how)

    def relayed(self, relay: Proxy) -> dict[str, object]:
        """The keys of a section that lead through a relay."""
        return {"port": relay.port}

    @contextmanager
    def doomed(self, after: int | None, *, answer_lost: bool = True, stalls: bool = False) -> Iterator[Doomed]:
        """Yield a way to connect for a program that is dead after so many messages; None never kills it.

        With `stalls` it is the server that does not answer any more then.
        """
        with self.relay(after, deliver_last=answer_lost, stalls=stalls) as proxy:
            yield Doomed(
                lambda c: connect(_led_through(proxy, c)),
                lambda: proxy.messages,
                proxy.arm,
                lambda: proxy.of_first if self.watches else 0,
            )

    # --- by hand, as a DBA --------------------------------------------------------------------------------------------

    @abstractmethod
    def create_account_by_hand(self, user: str, password: str) -> None:
        """Create an account without any marker."""

    @abstractmethod
    def create_database_by_hand(self, database: str) -> None:
        """Create a database that belongs to the admin, and to no user."""

    @abstractmethod
    def drop_account_by_hand(self, user: str) -> None:
        """Drop an account; its databases must be gone."""

    @abstractmethod
    def drop_database_by_hand(self, database: str) -> None:
        """Drop a database."""

    @abstractmethod
    def lock_by_hand(self, user: str) -> None:
        """Lock an account without leaving dbroster's note."""

    @abstractmethod
    def clear_password_by_hand(self, user: str) -> None:
        """Take the password away, so that none is right."""

    @abstractmethod
    def revoke_by_hand(self, user: str, database: str) -> None:
        """Take a privilege away that the owner of a database should have."""

    @abstractmethod
    def share_by_hand(self, user: str, database: str) -> None:
        """Give a user entry to the database of another one."""

    renames_accounts: ClassVar[bool] = True
    """Whether a DBA can rename an account, or copy it with all that the server keeps of it."""

    renames_databases_by_hand: ClassVar[bool] = True
    """Whether a DBA can rename a database."""

    def rename_account_by_hand(self, user: str, new: str) -> None:
        """Rename an account; where there is no renaming, make a copy of it that carries everything."""
        raise NotImplementedError

    def rename_database_by_hand(self, database: str, new: str) -> None:
        """Rename a database."""
        raise NotImplementedError

    def hand_over_by_hand(self, user: str, database: str) -> None:
        """Make a database and give it to a user in full, in the way that DBAs and their tools do."""
        raise NotImplementedError

    def strip_by_hand(self, user: str) -> None:
        """Take every privilege from an account, on everything (REVOKE ALL)."""
        raise NotImplementedError

    def hold_lock_as(self, user: str, password: str) -> AbstractContextManager[None]:
        """As a user of the roster, hold what a sync holds as its lock, as well as a user can."""
        raise NotImplementedError

    @abstractmethod
    def accounts(self) -> set[str]:
        """Every account name on the server."""

    @abstractmethod
    def databases(self) -> set[str]:
        """Every database on the server."""

    @abstractmethod
    def fingerprint(self, user: str) -> str:
        """Everything that the server keeps of an account: password, marker, lock, privileges."""

    def spare_connections(self) -> None:  # noqa: B027 - only for drivers that don't reconnect by themselves
        """Note the connections that other tests hold on the same server, for `end_connections` to leave them alone."""

    @abstractmethod
    def end_connections(self) -> None:
        """End every connection to the server, but the adapter's own and those that were there before the test."""

    @abstractmethod
    def wipe(self, prefix: str) -> None:
        """Drop every account, database and helper object that a test has made; names begin with its prefix."""

    # --- what the server says of a run --------------------------------------------------------------------------------

    @abstractmethod
    @contextmanager
    def changes(self) -> Iterator[list[str]]:
        """Yield a list that after the block tells every change made or tried in it, by the server's own account."""

    def log_text(self) -> str:
        """Everything that the server has written so far, statements included."""
        files = self.server.log_files()
        if not files:
            pytest.skip("the log of this server is out of reach")
        return "\n".join(path.read_text(errors="replace") for path in files)

    def verifiers(self, handler: Handler) -> list[str]:
        """Every verifier that the server stores."""
        return [v.value.reveal() for user in handler.get_existing_users().values() for v in user.verifiers]

    # --- as a user ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def session(self, user: str, password: str) -> AbstractContextManager[Session]:
        """Log in and stay; raises Refused."""

    @abstractmethod
    def put(self, user: str, password: str, database: str, text: str) -> None:
        """Make a table in a database if there is none, and write a row into it; raises Refused."""

    @abstractmethod
    def get(self, user: str, password: str, database: str) -> list[str]:
        """Read the rows that `put` has written; raises Refused."""

    @abstractmethod
    def give_away(self, user: str, password: str, database: str, receiver: str) -> None:
        """As a user, try to give another one entry to a database; what the server says to it does not matter."""

    @abstractmethod
    def visible(self, user: str, password: str) -> set[str]:
        """List the databases that the server shows to a user."""

    def can_login(self, user: str, password: str) -> bool:
        """Whether this login is accepted."""
        try:
            with self.session(user, password):
                return True
        except Refused:
            return False

    def can_write(self, user: str, password: str, database: str) -> bool:
        """Whether the user can make a table in the database and write into it."""
        try:
            self.put(user, password, database, "a row")
        except Refused:
            return False
        return True

    def writable(self, user: str, password: str, databases: Iterable[str]) -> set[str]:
        """Of these databases those into which the user can write; by one login, where a login is for all of them."""
        return {database for database in databases if self.can_write(user, password, database)}

    def can_read(self, user: str, password: str, database: str) -> bool:
        """Whether the user can read what its owner has written."""
        try:
            self.get(user, password, database)
        except Refused:
            return False
        return True


def written_since(path: Path, size: int) -> bytes:
    """What a log has grown by since it had this size; all that tests wrote before may be a hundred megabytes."""
    with path.open("rb") as log:
        log.seek(size)
        return log.read()


def _led_through(proxy: Proxy, connection: Connection) -> Connection:
    """The way through a relay; the dead are not waited for, as MongoDB's driver would, to its limit."""
    seconds = 1 if proxy.is_over else connection.connect_timeout
    return connection._replace(host="127.0.0.1", port=proxy.port, connect_timeout=seconds)
