"""The statements that make ClickHouse's admin."""

from collections.abc import Sequence
from shlex import quote

from dbroster.engines.clickhouse.access.admin_privileges import (
    COMMENTING,
    ENDING,
    FOR_ADMIN,
    FOR_CLUSTER,
    Holdings,
    Tree,
    dating_grant,
    marking_grants,
    missing_grants,
)
from dbroster.engines.clickhouse.options import ClickHouseOptions
from dbroster.engines.clickhouse.session import ROLE_PREFIX, identifier, literal
from dbroster.model.admin_script import AdminScript
from dbroster.model.connection import Connection

_ASSUMED = "ClickHouse 25.8"
_NEWER = ("CHECK",)  # 24.8 has no such privilege, and takes no statement with it


def assumed(connection: Connection, _templates: Sequence[str], password: str, _called: str) -> AdminScript:
    """The script for a server that could not be asked. What an older one refuses comes last, and by itself."""
    options = ClickHouseOptions.of(connection)
    cluster = f" ON CLUSTER {identifier(options.cluster)}" if options.cluster else ""
    every = (*FOR_ADMIN, *FOR_CLUSTER, *options.privileges, *COMMENTING, *ENDING)
    tree, newer = Tree(dict.fromkeys(every, "")), [name for name in options.privileges if name in _NEWER]
    older = [name for name in options.privileges if name not in _NEWER]
    found = script(connection, password, _ASSUMED, tree, older, cluster)
    last = missing_grants(tree, _NOTHING, identifier(connection.username), (), newer, cluster)
    return found._replace(more={**found.more, "pass on what users get besides; 24.8 does not know it": last})


_NOTHING = Holdings(frozenset(), frozenset())


def script(
    connection: Connection, password: str, product: str, tree: Tree, wanted: list[str], cluster: str
) -> AdminScript:
    """The script for a server with these privileges; `wanted` are those that users get."""
    admin, role = identifier(connection.username), identifier(f"{ROLE_PREFIX}{connection.roster}")
    grace, options = connection.removals.grace_days, ClickHouseOptions.of(connection)
    needed = (*FOR_ADMIN, *(FOR_CLUSTER if options.cluster else ()))
    roles = [dating_grant(admin, cluster)] if grace else marking_grants(role, admin, cluster)
    more = {"end the running queries of users who leave, also for archives": ENDING}
    if tree.known(COMMENTING):
        more["adopt databases with --adopt; 24.8 can't"] = COMMENTING
    return AdminScript(
        product,
        f"CREATE USER IF NOT EXISTS {admin}{cluster} IDENTIFIED BY {literal(password)};",
        [*roles, *missing_grants(tree, _NOTHING, admin, needed, wanted, cluster)],
        {why: missing_grants(tree, _NOTHING, admin, names, (), cluster) for why, names in more.items()},
        f"clickhouse-client --host {quote(connection.host)} --user default --password --multiquery",
    )
