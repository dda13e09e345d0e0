"""Waiting until every node of a cluster knows what became of a replicated account.

The node that changes it knows at once; each other one hears of it from ZooKeeper, usually within milliseconds, but one
that has just met an error there looks again only after 5 s, and lets the user in until then. Tried on 25.8.
"""

from dbroster.engines.clickhouse.removal.running_queries import PATIENCE, left_after
from dbroster.engines.clickhouse.session import Session
from dbroster.errors import OperationError

_ACCOUNT = """
    SELECT id, host_ip, host_names, host_names_regexp, host_names_like, default_roles_all, arraySort(default_roles_list)
    FROM system.users WHERE name = {user} ORDER BY id"""


def await_nodes(session: Session, user: str) -> None:
    """Wait, if accounts are replicated. Raises ConnectError, and OperationError that names who has not heard of it."""
    cluster = session.cluster
    if cluster is None or session.accounts_on:
        return

    def unaware() -> list[str]:
        found = session.everywhere(_ACCOUNT, user=user)
        return [node for node, rows in zip(cluster.nodes, found, strict=True) if rows != found[session.here]]

    if left := left_after(min(PATIENCE, session.connection.timeout / 2), unaware):
        raise OperationError(
            f"the change is in ZooKeeper, but {' and '.join(left)} still lets {user} in as before; look at what the "
            "log of that node says of ReplicatedAccessStorage, and run again"
        )
