"""The lock that keeps two syncs from working on one server at the same time.

Any user may hold any lock whose name it knows. So the name is random, and stands where only admins can read: it is
that of a role without privileges. MariaDB's plugin metadata_lock_info tells it all the same, so who can be no admin
does not keep it. It is not replicated: every sync has to go to the same node of a cluster.
Source: MySQL Reference Manual, "Locking Functions".
"""

import secrets
from collections.abc import Callable

from dbroster.engines.mysql.removal.ending_sessions import end_session
from dbroster.engines.mysql.session import Session, identifier
from dbroster.errors import SyncLockHeld

PREFIX = "dbroster-lock:"
PATIENCE = 3  # seconds
ATTEMPTS = 10  # to be faster than users who come back
_WAITS = "User lock"
"""The state of a session that waits for a lock of this kind."""


def acquire_sync_lock(session: Session, table: str, role_host: str, is_users: Callable[[str], bool]) -> None:
    """Hold the lock as long as the session lives; `table` has the roles, with `role_host` in the place of a host.

    The sessions of a user who has it, which can't be a sync, are ended, and those of users that wait for one. The
    server frees the lock when the connection ends, however it ends. Raises SyncLockHeld, naming who has it.
    """
    names = _names(session, table, role_host)
    if not names:
        session.run(f"CREATE ROLE {identifier(PREFIX + secrets.token_hex(8))}")
        names = _names(session, table, role_host)  # of two who create one at the same time, at least one sees both
    for name in names:
        _take(session, name, is_users)


def _take(session: Session, name: str, is_users: Callable[[str], bool], attempts: int = ATTEMPTS) -> None:
    if (number := _holder(session, name)) is None:
        return
    sessions = list(session.processes())
    row = next((row for row in sessions if row["Id"] == number), None)
    if not attempts or (row and not is_users(row["User"])):
        who = f", {row['User']} from {row['Host']}" if row else ""
        raise SyncLockHeld(f"another sync is at work on this server: connection {number}{who}")
    in_the_way = [other for other in sessions if other["State"] == _WAITS or (row and other["User"] == row["User"])]
    users = {user for user in {other["User"] for other in in_the_way} if is_users(user)}
    for other in in_the_way:  # the next one in the queue would have it, and so would friends
        if other["User"] in users:
            end_session(session, other["Id"])
    _take(session, name, is_users, attempts - 1)


def _holder(session: Session, name: str) -> int | None:
    """Take a lock, or return whose it is."""
    statement = "SELECT GET_LOCK(%s, %s) AS held, IS_USED_LOCK(%s) AS holder"
    (row,) = session.rows(statement, name, PATIENCE, name)
    return None if row["held"] == 1 else int(row["holder"] or 0)


def _names(session: Session, table: str, role_host: str) -> list[str]:
    statement = f"SELECT User AS name FROM mysql.{table} WHERE Host = %s AND User LIKE %s"  # noqa: S608 - constants
    return sorted(row["name"] for row in session.rows(statement, role_host, PREFIX + "%"))
