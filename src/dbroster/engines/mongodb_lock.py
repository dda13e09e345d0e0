"""The lock that keeps two syncs from working on one MongoDB server at the same time.

MongoDB has no advisory locks, and a lock in a document would outlive a sync that was killed. What dies with the
program, and leaves nothing behind, is a connection: the lock is a connection whose application name says so. Each
sync opens its own first and looks for others then, so two can't both succeed. The primary shows only its own
connections, so an election in the middle of a sync lets a second one start.
"""

import random
import secrets
import time
from typing import Any

from dbroster.config import Connection
from dbroster.engines.mongodb_session import ADMIN, Session, application_name, open_session, translated
from dbroster.errors import LockHeld

PATIENCE = 5.0
"""Seconds; a server may need a moment to notice that the connection of a killed sync is gone."""

_ROLE = " lock"


def acquire_lock(connection: Connection) -> Session:
    """Return the session that is the lock until it is closed. Raises LockHeld, naming who has it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        token = secrets.token_hex(4)  # a program may try from two sessions
        session = open_session(connection, f"{_ROLE} {token}")
        try:
            holder = _holder(session, token)
        except BaseException:
            session.close()
            raise
        if holder is None:
            return session
        session.close()
        if time.monotonic() > deadline:
            raise LockHeld(f"another sync is at work on this server: {holder}; try again when it has ended")
        time.sleep(random.uniform(0.1, 0.3))  # noqa: S311 - only so that two don't keep meeting


def _holder(session: Session, token: str) -> str | None:
    """Name somebody else's lock (manual, "$currentOp": idleConnections, appName)."""
    own = application_name(f"{_ROLE} {token}")
    names = {"$regex": f"^dbroster{_ROLE} ", "$ne": own}
    stages: list[dict[str, Any]] = [
        {"$currentOp": {"allUsers": True, "idleConnections": True}},
        {"$match": {"appName": names}},
        {"$project": {"appName": 1, "client": 1}},
    ]
    with translated(session.secrets), session.client[ADMIN].aggregate(stages) as found:
        other = next(iter(found), None)
    return f"{other['appName']} from {other.get('client', 'a socket')}" if other else None
