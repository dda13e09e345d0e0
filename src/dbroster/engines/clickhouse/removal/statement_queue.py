"""Before a drop goes into a cluster's queue of statements: nothing may be at work that a node would have to wait for.

A node performs one statement of the queue after the other, whoever sent them. DROP DATABASE first ends what its tables
do: it waits for a mutation that works on a block of rows, and for any CREATE that waits for a silent disk, also in
somebody else's database. Tried on 25.8. It waits for a Buffer that hands its rows to a slow view, too, which nothing
shows beforehand.
"""

import time
from collections.abc import Iterator

from dbroster.engines.clickhouse.removal.running_queries import PATIENCE
from dbroster.engines.clickhouse.session import Session, identifier, literal
from dbroster.errors import OperationError

_PENDING = "SELECT 1 FROM system.mutations WHERE database = {database} AND NOT is_done LIMIT 1"
_AT_WORK = """
    SELECT 'a mutation of the table ' || table || ' is at work' AS what FROM system.merges
    WHERE is_mutation AND database = {database}
    UNION ALL SELECT 'the query ' || query_id || ' of ' || user || ' is at work' FROM system.processes
    WHERE user = {user} AND query_kind NOT IN ('Select', 'Insert')
        OR user != currentUser() AND query_kind = 'Create' AND elapsed > 5 AND match(query, '(?i)\\\\bdisk\\\\b')"""
"""What a drop would wait for; a CREATE with a disk has one that takes longer than seconds only if that is silent."""


def clear(session: Session, user: str, database: str, seconds: float) -> None:
    """End what a database has at work, on all nodes.

    Raises ConnectError, and OperationError that names what a node would wait for.
    """
    if session.union(_PENDING, database=database):
        session.run(f"KILL MUTATION{_on(session)} WHERE database = {literal(database)} ASYNC")
    deadline, pause = time.monotonic() + min(PATIENCE, seconds / 2), 0.05
    while found := next(_at_work(session, user, database), None):
        if time.monotonic() > deadline:
            node, what = found
            raise OperationError(
                f"on the node {node} {what}, and the queue of statements of the whole cluster would wait for that; run "
                "again when it has ended, or restart that node"
            )
        time.sleep(pause)
        pause = min(2 * pause, 1.0)


def _on(session: Session) -> str:
    return f" ON CLUSTER {identifier(session.cluster.name)}" if session.cluster else ""


def _at_work(session: Session, user: str, database: str) -> Iterator[tuple[str, str]]:
    nodes = session.cluster.nodes if session.cluster else ()
    for node, rows in zip(nodes, session.everywhere(_AT_WORK, user=user, database=database), strict=True):
        for (what,) in rows:
            yield node, what
