"""The lock that keeps two syncs from working on one server at the same time.

Any user may hold any lock whose name it knows. So the name is random, and stands where only admins can read: it is
that of a role without privileges. It is not replicated: every sync has to go to the same node of a cluster.
Source: MySQL Reference Manual, "Locking Functions".
"""

import secrets

from dbroster.engines.mysql.session import Session, identifier
from dbroster.errors import SyncLockHeld

PREFIX = "dbroster-lock:"
PATIENCE = 3  # seconds


def acquire_sync_lock(session: Session, table: str, role_host: str) -> None:
    """Hold the lock as long as the session lives; `table` has the roles, with `role_host` in the place of a host.

    The server frees it when the connection ends, however it ends. Raises SyncLockHeld, naming who has it.
    """
    names = _names(session, table, role_host)
    if not names:
        session.run(f"CREATE ROLE {identifier(PREFIX + secrets.token_hex(8))}")
        names = _names(session, table, role_host)  # of two who create one at the same time, at least one sees both
    for name in names:
        statement = "SELECT GET_LOCK(%s, %s) AS held, IS_USED_LOCK(%s) AS holder"
        row = session.rows(statement, name, PATIENCE, name)[0]
        if row["held"] != 1:
            raise SyncLockHeld(f"another sync is at work on this server: {_described(session, row['holder'])}")


def _names(session: Session, table: str, role_host: str) -> list[str]:
    statement = f"SELECT User AS name FROM mysql.{table} WHERE Host = %s AND User LIKE %s"  # noqa: S608 - constants
    return sorted(row["name"] for row in session.rows(statement, role_host, PREFIX + "%"))


def _described(session: Session, number: int) -> str:
    visible = (row for row in session.processes() if row["Id"] == number)
    return next((f"connection {number}, {row['User']} from {row['Host']}" for row in visible), f"connection {number}")
