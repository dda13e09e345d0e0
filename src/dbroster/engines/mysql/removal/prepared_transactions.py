"""Transactions that XA PREPARE has left: they outlive their session, and keep a database from being dropped.

The server does not tell which tables such a transaction holds, so each table is asked for, and let go again.
"""

import time
from collections.abc import Mapping
from contextlib import closing

from dbroster.engines.mysql.session import Session, identifier
from dbroster.errors import ConnectError, OperationError
from dbroster.model.connection import Connection

PATIENCE = 10  # seconds for all databases; what is not found by then is found by the drop
_LEFT = "SELECT 1 FROM information_schema.INNODB_TRX WHERE trx_mysql_thread_id = 0 LIMIT 1"
_TABLES = """
    SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_TYPE <> 'VIEW'"""
_IMPATIENT = "SET autocommit = 0, lock_wait_timeout = 1, innodb_lock_wait_timeout = 1, innodb_table_locks = 1"
"""InnoDB's own locks are taken as well, which MariaDB needs, and without autocommit only."""
_LOCK_WAIT_OVER, _DENIED = "1205", ("1044", "1142")
REASON = (
    "a transaction that XA PREPARE has left holds a table of it (or may: without LOCK TABLES on it this admin can't "
    "tell), so it can't be dropped: XA RECOVER lists such transactions, XA ROLLBACK 'ID' ends one"
)


def held(session: Session, connection: Connection, databases: Mapping[str, str], *, shut: bool = False) -> set[str]:
    """Find which of these databases, given with their users, a transaction without a session keeps.

    Users with sessions are passed over: those may hold the locks, and are ended before the drop. Not where databases
    are `shut` to them.
    """
    try:
        if not databases or not session.rows(_LEFT):
            return set()
    except OperationError:  # without PROCESS
        return set()
    at_work = set() if shut else {row["User"] for row in session.processes()}
    end = time.monotonic() + PATIENCE
    asked = (name for name, user in databases.items() if user not in at_work and time.monotonic() < end)
    return {name for name in asked if _is_held(session, connection, name)}


def keeps(session: Session, connection: Connection, database: str) -> bool:
    """Whether a prepared transaction keeps one database, now that its user's sessions are ended.

    Source: MariaDB documentation, "XA Transactions": no privilege is needed to list them.
    """
    return bool(session.rows("XA RECOVER")) and _is_held(session, connection, database)


def _is_held(session: Session, connection: Connection, database: str) -> bool:
    """Ask for each table, on a connection of its own, which lets go of everything when it is closed."""
    tables = session.rows(_TABLES, database)
    if not tables:
        return False
    try:
        with closing(Session(connection)) as other:
            other.rows(_IMPATIENT)
            return any(_waits(other, f"{identifier(database)}.{identifier(row['name'])}") for row in tables)
    except ConnectError:  # somebody has taken all connections
        return False


def _waits(session: Session, table: str) -> bool:
    try:
        session.rows(f"LOCK TABLES {table} WRITE")
    except OperationError as error:
        return error.code in (_LOCK_WAIT_OVER, *_DENIED)
    return False
