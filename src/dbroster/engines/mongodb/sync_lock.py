"""The lock that keeps two syncs from working on one MongoDB server at the same time.

MongoDB has no advisory locks, and a lock in a document would outlive a sync that was killed. What dies with the
program, and leaves nothing behind, is a connection: the lock is a connection whose application name says so, and that
has logged in as an account that could be an admin's. Anybody may choose an application name; the server itself says
who has logged in (manual, "$currentOp": effectiveUsers), so no user of a roster, and nobody without a login, can hold
the lock. Each sync opens its own first and looks for others then, so two can't both succeed.

In a replica set each member shows only its own connections, so the lock is held on every member that can be reached:
a second sync that starts after an election finds it on the new primary. A server that starts anew has forgotten it: so
whoever connects again for the run that holds it takes it again first, or ends if another sync was faster.
"""

import random
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakSet

import pymongo
from pymongo import MongoClient
from pymongo.read_preferences import ReadPreference
from pymongo.server_description import ServerDescription
from pymongo.synchronous.database import Database

from dbroster.engines.mongodb.access.admin_privileges import could_be_admin
from dbroster.engines.mongodb.accounts import Document
from dbroster.engines.mongodb.session import (
    ADMIN,
    Address,
    Session,
    application_name,
    cancel,
    close_client,
    parameters,
    translated,
)
from dbroster.errors import ConnectError, OperationError, SyncLockHeld
from dbroster.model.connection import Connection

PATIENCE = 5.0
"""Seconds; a server may need a moment to notice that the connection of a killed sync is gone."""

_MEMBER_PATIENCE = 1.0
"""Seconds that a member other than the primary is waited for: one that is down must not hold up every run."""

_ROLE = " lock"
_Answer = TypeVar("_Answer")


class SyncLock:
    """The admin's connections that are the lock, one to each member, until `close`."""

    def __init__(self, session: Session, connection: Connection) -> None:
        """Only note how to connect; `take` connects."""
        self._session = self._first = session
        self._connection = connection
        role = f"{_ROLE} {secrets.token_hex(4)}"  # a program may try from two sessions
        self._name = application_name(role)
        self._target: Address | None = None
        self._taking = Lock()
        self._was_lost = False
        given = {**parameters(connection, role), "server_selector": self._select}
        with translated(session.secrets, session.address):
            self._client: MongoClient[Document] = MongoClient(**given)
        self.ignored: set[str] = set()
        """Accounts with connections that look like a lock, but that could not be an admin's."""

    def close(self) -> None:
        """Give the lock back; never raises."""
        _held.discard(self)
        close_client(self._client)

    def abort(self) -> None:
        """Break whatever this waits for, from another thread; never raises, never blocks."""
        cancel(self._client)

    def is_for(self, connection: Connection) -> bool:
        """Whether it is the lock of a run that works by this connection."""
        return self._connection == connection

    def confirm(self, session: Session) -> None:
        """Take the lock again in case that the server has forgotten it. Raises SyncLockHeld and ConnectError."""
        with self._taking:
            self._session = session  # a new one, which knows where the primary is
            if self._is_shown(self._visitors_of_primary()):
                return
            self._was_lost = True
            with suppress(ConnectError):  # by a connection that the server has closed; the next one is new
                self._connect(session.members()[0])
            obstacle = self.take()
        if obstacle:
            raise SyncLockHeld(obstacle)

    def is_held(self) -> bool:
        """Whether it was held all the time, on the server that is the primary now."""
        with self._taking:
            return not self._was_lost and any(map(self._shows_it, (self._session, self._first)))

    def take(self) -> str | None:
        """Connect to each member; say why the lock is not ours, as far as there is a reason, else None."""
        primary, *others = self._session.members()
        self._connect(primary)
        found = self._visitors_of_primary()
        if not self._is_shown(found):
            return f"{self._session.address} does not show the connection that would be this sync's lock; try again"
        for visitors in self._ask(others, self._visitors):
            found += visitors
        sync = self._other_sync(found)
        return f"another sync is at work on this server: {sync}; try again when it has ended" if sync else None

    def _shows_it(self, session: Session) -> bool:
        """Whether it is held, as a session sees it; one that has ended meanwhile sees nothing."""
        with suppress(ConnectError), session.talking():
            return self._is_shown(self._visitors(session.client[ADMIN]))
        return False

    def _visitors_of_primary(self) -> list[Document]:
        with self._session.talking():
            return self._visitors(self._session.client[ADMIN])

    def _is_shown(self, visitors: Collection[Document]) -> bool:
        return any(visitor["appName"] == self._name for visitor in visitors)

    def _select(self, servers: Sequence[ServerDescription]) -> list[ServerDescription]:
        """Let the driver use only the member that is looked at."""
        return [server for server in servers if self._target in (None, server.address)]

    def _connect(self, primary: Address) -> None:
        self._target = primary
        with (
            translated(self._session.secrets, self._session.address),
            pymongo.timeout(self._connection.connect_timeout),
        ):
            self._client[ADMIN].command("ping")

    def ask_others(self, do: Callable[[Callable[[Mapping[str, Any]], Document]], None]) -> None:
        """Let something be asked of each member but the primary, as far as it answers."""
        with self._taking:
            others = self._session.members()[1:]
            self._ask(others, lambda admin: do(partial(admin.command, read_preference=ReadPreference.NEAREST)))

    def _ask(self, members: Iterable[Address], ask: Callable[[Database[Document]], _Answer]) -> list[_Answer]:
        """Ask members as far as they answer: one that does not can't become primary before it can be reached again."""
        answers = []
        for member in members:
            known = self._client.topology_description.server_descriptions().get(member)
            if known is None or known.error is None:
                self._target = member
                admin = self._client.get_database(ADMIN, read_preference=ReadPreference.NEAREST)
                with (
                    suppress(ConnectError, OperationError),
                    translated(self._session.secrets),
                    pymongo.timeout(_MEMBER_PATIENCE),
                ):
                    answers.append(ask(admin))
        return answers

    def _visitors(self, admin: Database[Document]) -> list[Document]:
        """List the connections to a server that call themselves a lock and have logged in."""
        stages: list[dict[str, Any]] = [
            {"$currentOp": {"allUsers": True, "idleConnections": True}},
            {"$match": {"appName": {"$regex": f"^dbroster{_ROLE} "}, "effectiveUsers": {"$exists": True}}},
            {"$project": {"appName": 1, "client": 1, "effectiveUsers": 1}},
        ]
        return list(admin.aggregate(stages, maxTimeMS=self._session.timeout * 1000))

    def _other_sync(self, visitors: Collection[Document]) -> str | None:
        mine = [user for visitor in visitors if visitor["appName"] == self._name for user in visitor["effectiveUsers"]]
        for visitor in visitors:
            if visitor["appName"] == self._name:
                continue
            users = visitor["effectiveUsers"]
            names = ", ".join(f"{user['user']}@{user['db']}" for user in users)
            if names in self.ignored:
                continue
            if any(user in mine for user in users) or could_be_admin(self._session, users):
                return f"{visitor['appName']} from {visitor.get('client', 'a socket')} as {names}"
            self.ignored.add(names)
        return None


_held: WeakSet[SyncLock] = WeakSet()


def confirm_sync_lock(session: Session, connection: Connection) -> None:
    """See that the run of this connection still holds its lock, if it has one. Raises SyncLockHeld, ConnectError."""
    for lock in [lock for lock in _held if lock.is_for(connection)]:
        lock.confirm(session)


def ask_other_members(connection: Connection, do: Callable[[Callable[[Mapping[str, Any]], Document]], None]) -> None:
    """Let something be asked of each member but the primary, by the run that holds its lock on them."""
    for lock in [lock for lock in _held if lock.is_for(connection)]:
        lock.ask_others(do)


def acquire_sync_lock(session: Session, connection: Connection) -> SyncLock:
    """Return the lock, held until it is closed. Raises SyncLockHeld, naming who has it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        lock = SyncLock(session, connection)
        try:
            obstacle = lock.take()
        except BaseException:
            lock.close()
            raise
        if obstacle is None:
            _held.add(lock)
            return lock
        lock.close()
        if time.monotonic() > deadline:
            raise SyncLockHeld(obstacle)
        time.sleep(random.uniform(0.1, 0.3))  # noqa: S311 - only so that two don't keep meeting
