"""The lock that keeps two syncs from working on one PostgreSQL server at the same time.

Everybody may take advisory locks. So each sync takes one of a number of its own, which nobody else can have taken
before, and looks then for those of others; only a session counts that could be an admin's. A user who holds any of
them, or all, is in nobody's way.
"""

import random
import secrets
import time

from dbroster.engines.postgresql.session import Session
from dbroster.errors import SyncLockHeld

KEY = 0x6462726F73746572
"""The upper half ("dbro" in ASCII) is in every sync's lock; the lower half is each one's own."""

PATIENCE = 5.0
"""Seconds; the lock of a killed sync lives on until its server process has finished the statement it was at."""


def acquire_sync_lock(session: Session) -> None:
    """Take an advisory lock for as long as the session lives. Raises SyncLockHeld, naming who has it.

    Advisory locks count per database (manual, "Advisory Locks"), but pg_locks shows those of all databases. Each
    sync locks first and looks then, so two can't both succeed.
    """
    deadline = time.monotonic() + PATIENCE
    while holder := _lock_or_name_holder(session):
        if time.monotonic() > deadline:
            raise SyncLockHeld(f"another sync is at work on this server: {holder}; try again when it has ended")
        time.sleep(random.uniform(0.1, 0.3))  # noqa: S311 - only so that two don't keep meeting


def _lock_or_name_holder(session: Session) -> str | None:
    key = _lock(session)
    others = session.rows(
        "SELECT a.pid, a.usename, a.application_name, host(a.client_addr), a.backend_start::timestamptz(0)::text"
        " FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_roles r ON r.oid = a.usesysid"
        " WHERE l.locktype = 'advisory' AND l.granted AND l.pid <> pg_backend_pid()"
        " AND l.classid::bigint = %s AND l.objsubid = 1 AND (r.rolsuper OR r.rolcreaterole AND r.rolcreatedb)",
        [KEY >> 32],
    )
    if not others:
        return None
    session.rows("SELECT pg_advisory_unlock(%s)", [key])
    process, user, application, address, began = others[0]
    return f"{application or 'session'} ({user}, server process {process}) from {address or 'a socket'} since {began}"


def _lock(session: Session) -> int:
    """Lock a number that nobody has."""
    while True:
        key = (KEY & ~0xFFFFFFFF) | secrets.randbits(32)
        ((mine,),) = session.rows("SELECT pg_try_advisory_lock(%s)", [key])
        if mine:
            return key
