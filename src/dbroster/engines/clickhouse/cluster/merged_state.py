"""What the nodes of a cluster have under one name, as one account or database; where they differ, so that it is mended.

What is ours on one node and not on another is left alone everywhere, and told: a statement ON CLUSTER would change
both.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from dbroster.engines.clickhouse.account import Account
from dbroster.engines.clickhouse.cluster.nodes import Cluster
from dbroster.model.state import ExistingDatabase, Lock

T = TypeVar("T")
ON_THE_NODE = "on the node "
"""What the reason begins with why something is left alone that is ours on other nodes."""


def divided(databases: Iterable[ExistingDatabase]) -> Iterator[str]:
    """Say which databases are ours on some nodes only, since nothing else does once their users leave."""
    for each in databases:
        if each.protected and each.protected.startswith(ON_THE_NODE):
            yield f"the database {each.name} is left alone on every node of the cluster: {each.protected}"


def merge(
    found: Sequence[Mapping[str, T]], cluster: Cluster | None, together: Callable[[Mapping[str, T | None]], T]
) -> dict[str, T]:
    """Put together what each node has, by name; `together` gets an object by node, None where there is none."""
    if cluster is None:
        return dict(found[0])
    nodes = cluster.nodes
    names = dict.fromkeys(name for each in found for name in each)
    return {n: together(dict(zip(nodes, (each.get(n) for each in found), strict=True))) for n in names}


def one_account(by_node: Mapping[str, Account | None]) -> Account:
    """Put an account together; it is open if it is open anywhere, and has only what it has everywhere."""
    there = {node: account for node, account in by_node.items() if account}
    accounts = list(there.values())
    foreign = next((account for account in accounts if not account.existing.managed), None)
    if foreign is None:
        return _ours(accounts, tuple(node for node, account in by_node.items() if account is None))
    ours = next((account for account in accounts if account.existing.managed), None)
    if ours is None:
        return foreign
    node = next(node for node, account in there.items() if account is foreign)
    why = foreign.existing.protected or "an account of that name has no marker of this roster; drop or rename it there"
    existing = foreign.existing._replace(roster=ours.existing.roster, protected=f"{ON_THE_NODE}{node} {why}")
    return foreign._replace(existing=existing)


def _ours(accounts: Sequence[Account], missing: tuple[str, ...]) -> Account:
    first = accounts[0]
    locks = {account.existing.lock for account in accounts}
    lock = Lock.OPEN if Lock.OPEN in locks else Lock.FOREIGN if Lock.FOREIGN in locks else Lock.OURS
    dates = [account.existing.locked_since for account in accounts]
    dated = [date for date in dates if date]
    existing = first.existing._replace(
        lock=lock,
        complete=not missing and not {Lock.OPEN, Lock.OURS} <= locks and all(a.existing.complete for a in accounts),
        locked_since=max(dated) if dated and len(dated) == len(dates) and not missing else None,
    )
    return first._replace(
        existing=existing,
        claimed=all(account.claimed for account in accounts),
        has_role=all(account.has_role for account in accounts),
        notes_lock=any(account.notes_lock for account in accounts),
        unrestricted=all(account.unrestricted for account in accounts),
        authentication=max((account.authentication for account in accounts), key=len),
        dates=tuple(dict.fromkeys(date for account in accounts for date in account.dates)),
        shut_somewhere=any(account.shut_somewhere for account in accounts),
        missing=missing,
        given=tuple(dict.fromkeys(role for account in accounts for role in account.given)),
    )


def one_database(by_node: Mapping[str, ExistingDatabase | None]) -> ExistingDatabase:
    """Put a database together; one that a node lacks is not usable yet."""
    there = {node: database for node, database in by_node.items() if database}
    first = max(there.values(), key=lambda database: (database.owner is not None, database.left_by is not None))
    if first.owner is None:
        return first
    for node, database in there.items():
        if database.owner != first.owner and database.left_by != first.owner:
            why = database.protected or "it has no marker of this roster; drop or rename it there"
            return first._replace(owner=None, protected=f"{ON_THE_NODE}{node} {why}", holder=first.owner)
    return first._replace(usable=len(there) == len(by_node))
