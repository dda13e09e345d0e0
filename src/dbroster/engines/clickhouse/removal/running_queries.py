"""What runs on a ClickHouse server: breaking off the queries of users, and naming what the server can't break off.

The server looks between two blocks of rows whether a query or a mutation shall end; a slow function may work on one
block for days.

A node of a cluster performs one statement of the queue after the other, whoever sent them. DROP DATABASE first ends
what its tables do: it waits for a mutation that works on a block of rows, and for any CREATE that waits for a silent
disk, also in somebody else's database. So nothing may be at work that a node would have to wait for before a drop goes
into the queue. Tried on 25.8. It waits for a Buffer that hands its rows to a slow view, too, which nothing shows
beforehand.
"""

import time
from collections.abc import Callable, Collection
from typing import TypeVar

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
_PENDING = "SELECT 1 FROM system.mutations WHERE database = {database} AND NOT is_done LIMIT 1"
_IN_THE_WAY = """
    SELECT 'a mutation of the table ' || table || ' is at work' AS what FROM system.merges
    WHERE is_mutation AND database = {database}
    UNION ALL SELECT 'the query ' || query_id || ' of ' || user || ' is at work' FROM system.processes
    WHERE user = {user} AND query_kind NOT IN ('Select', 'Insert')
        OR user != currentUser() AND query_kind = 'Create' AND elapsed > 5 AND match(query, '(?i)\\\\bdisk\\\\b')"""
"""What a drop would wait for; a CREATE with a disk has one that takes longer than seconds only if that is silent."""

_Found = TypeVar("_Found")


def end_queries(session: Session, users: Collection[str], seconds: float) -> None:
    """Break off what users run now, and wait until it has ended.

    Raises ConnectError, and OperationError that names a query which the server can't break off.
    """
    names = sorted(users)
    queries = [query for (query,) in session.rows(_QUERIES, users=names)]
    if not queries:
        return
    session.run(f"KILL QUERY WHERE user IN ({', '.join(map(literal, names))}) ASYNC")
    if left := left_after(min(PATIENCE, seconds), lambda: session.rows(_OLDEST, queries=queries, users=names)):
        text = f"the server can't break off {_named(*left[0])}"
        raise OperationError(f"{text}; run again when it has ended, or restart the server")


def clear_queue(session: Session, user: str, database: str, seconds: float) -> None:
    """End what a database has at work, on all nodes of a cluster.

    Raises ConnectError, and OperationError that names what a node would wait for.
    """
    if session.union(_PENDING, database=database):
        session.run(f"KILL MUTATION{session.databases_on} WHERE database = {literal(database)} ASYNC")

    def in_the_way() -> list[tuple[str, str]]:
        nodes = session.cluster.nodes if session.cluster else ()
        found = session.everywhere(_IN_THE_WAY, user=user, database=database)
        return [(node, what) for node, rows in zip(nodes, found, strict=True) for (what,) in rows]

    if left := left_after(min(PATIENCE, seconds / 2), in_the_way):
        node, what = left[0]
        raise OperationError(
            f"on the node {node} {what}, and the queue of statements of the whole cluster would wait for that; run "
            "again when it has ended, or restart that node"
        )


def left_after(seconds: float, look: Callable[[], _Found]) -> _Found:
    """Look again and again until nothing is found, or the time is over; return what was found last."""
    deadline, pause = time.monotonic() + seconds, 0.01
    while (found := look()) and time.monotonic() <= deadline:
        time.sleep(pause)
        pause = min(2 * pause, 0.5)
    return found


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
