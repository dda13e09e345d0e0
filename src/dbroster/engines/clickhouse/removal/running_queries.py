"""What runs on a ClickHouse server: breaking off the queries of users, and naming what the server can't break off.

The server looks between two blocks of rows whether a query or a mutation shall end; a slow function may work on one
block for days.
"""

import time
from collections.abc import Collection

from dbroster.engines.clickhouse.session import Session, literal
from dbroster.errors import OperationError

PATIENCE = 30.0
"""Seconds within which a query ends that can be broken off, and a database is gone whose tables nobody uses."""

_QUERIES = "SELECT query_id FROM system.processes WHERE user IN ({users})"
_OLDEST = """
    SELECT query_id, user, toUInt32(elapsed) FROM system.processes WHERE query_id IN ({queries}) AND user IN ({users})
    ORDER BY elapsed DESC LIMIT 1"""
_MARKED = """
    SELECT query_id, user, toUInt32(elapsed) FROM system.processes
    WHERE startsWith(query_id, {mark}) AND user = currentUser() LIMIT 1"""
_MUTATED = "SELECT DISTINCT table FROM system.merges WHERE is_mutation AND database = {database} ORDER BY table"


def end_queries(session: Session, users: Collection[str], seconds: float) -> None:
    """Break off what users run now, and wait until it has ended.

    Raises ConnectError, and OperationError that names a query which the server can't break off.
    """
    names = sorted(users)
    queries = [query for (query,) in session.rows(_QUERIES, users=names)]
    if not queries:
        return
    session.run(f"KILL QUERY WHERE user IN ({', '.join(map(literal, names))}) ASYNC")
    deadline, pause = time.monotonic() + min(PATIENCE, seconds), 0.01
    while left := session.rows(_OLDEST, queries=queries, users=names):
        if time.monotonic() > deadline:
            text = f"the server can't break off {_named(*left[0])}"
            raise OperationError(f"{text}; run again when it has ended, or restart the server")
        time.sleep(pause)
        pause = min(2 * pause, 0.5)


def refuse_beside(session: Session, mark: str) -> None:
    """Refuse to begin what the server still does for an earlier run. Raises ConnectError, OperationError."""
    for query, user, seconds in session.rows(_MARKED, mark=mark):
        text = f"the server is still at work on an earlier archive of it: {_named(query, user, seconds)}"
        raise OperationError(f"{text}; run again when it has ended, or restart the server")


def at_work(session: Session, user: str, database: str) -> str:
    """Name what may keep the server from finishing with a user's database."""
    queries = [query for (query,) in session.rows(_QUERIES, users=[user])]
    found = [_named(*row) for row in session.rows(_OLDEST, queries=queries or [""], users=[user])]
    found += [f"a mutation of its table {table}" for (table,) in session.rows(_MUTATED, database=database)]
    return f" (at work: {', '.join(found)})" if found else ""


def _named(query: str, user: str, seconds: int) -> str:
    return f"the query {query} of {user}, at work since {seconds} s"
