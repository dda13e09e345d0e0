"""The lock that keeps two syncs from working on one MongoDB server at the same time.

MongoDB has no advisory locks, and a lock in a document would outlive a sync that was killed. What dies with the
program, and leaves nothing behind, is a connection: the lock is a connection whose application name says so. It needs
no login, and a server without access control is found out by the way. Each sync opens its own first and looks for
others then, so two can't both succeed; who does not see its own has no lock. The primary shows only its own
connections, so an election in the middle of a sync lets a second one start.
"""

import random
import secrets
import time
from typing import Any

from dbroster.config import Connection
from dbroster.engines.mongodb_outsider import Outsider
from dbroster.engines.mongodb_session import ADMIN, Session, application_name, translated
from dbroster.errors import LockHeld

PATIENCE = 5.0
"""Seconds; a server may need a moment to notice that the connection of a killed sync is gone."""

_ROLE = " lock"


def acquire_lock(session: Session, connection: Connection) -> Outsider:
    """Return the connection that is the lock until it is closed. Raises LockHeld, naming who has it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        token = secrets.token_hex(4)  # a program may try from two sessions
        lock = Outsider(connection, f"{_ROLE} {token}")
        try:
            obstacle = _obstacle(session, application_name(f"{_ROLE} {token}"))
        except BaseException:
            lock.close()
            raise
        if obstacle is None:
            return lock
        lock.close()
        if time.monotonic() > deadline:
            raise LockHeld(obstacle)
        time.sleep(random.uniform(0.1, 0.3))  # noqa: S311 - only so that two don't keep meeting


def _obstacle(session: Session, own: str) -> str | None:
    """Say why the connection of that name is not the lock; None when it is (manual, "$currentOp": idleConnections)."""
    stages: list[dict[str, Any]] = [
        {"$currentOp": {"allUsers": True, "idleConnections": True}},
        {"$match": {"appName": {"$regex": f"^dbroster{_ROLE} "}}},
        {"$project": {"appName": 1, "client": 1}},
    ]
    with translated(session.secrets):
        locks = {each["appName"]: each.get("client", "a socket") for each in session.client[ADMIN].aggregate(stages)}
    if own not in locks:
        return f"{session.address} does not show the connection that would be this sync's lock; try again"
    others = [f"{name} from {client}" for name, client in locks.items() if name != own]
    return f"another sync is at work on this server: {others[0]}; try again when it has ended" if others else None
