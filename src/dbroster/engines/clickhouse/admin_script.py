"""The statements that make ClickHouse's admin."""

import re
from collections.abc import Sequence
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from shlex import join
from urllib.parse import quote as quote_path

from dbroster.engines import tls
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
from dbroster.engines.clickhouse.handout import client
from dbroster.engines.clickhouse.options import ClickHouseOptions
from dbroster.engines.clickhouse.session import ROLE_PREFIX, identifier, literal
from dbroster.model.admin_script import AdminScript
from dbroster.model.connection import Connection

_NEWEST = "25.8"
_NEWER = ("CHECK", *COMMENTING)  # 24.8 has no such privileges, and takes no statement with them
_NOTHING = Holdings(frozenset(), frozenset())
_TOLD = re.compile(r"(?:\(version |\A)(\d+\.\d+\.[\d.]*\d)")
_PATIENCE = 3.0
_ENOUGH = 4096


def assumed(connection: Connection, _templates: Sequence[str], password: str, _called: str) -> AdminScript:
    """The script for a server that dbroster can't log in to. What an older one refuses comes last, and by itself."""
    options, version = ClickHouseOptions.of(connection), _told_version(connection)
    cluster = f" ON CLUSTER {identifier(options.cluster)}" if options.cluster else ""
    every = (*FOR_ADMIN, *FOR_CLUSTER, *ENDING, *COMMENTING, *options.privileges)
    known = [name for name in every if name not in _NEWER or not version.startswith("24.8.")]
    tree = Tree(dict.fromkeys(known, ""))
    newer = [name for name in tree.known(options.privileges) if name in _NEWER]
    older = [name for name in options.privileges if name not in _NEWER]
    found = script(connection, password, f"ClickHouse {version or _NEWEST}", tree, older, cluster)
    last = missing_grants(tree, _NOTHING, identifier(connection.username), (), newer, cluster)
    passed_on = {"pass on what users get besides; 24.8 does not know it": last} if last else {}
    return found._replace(more={**found.more, **passed_on})


def _told_version(connection: Connection) -> str:
    """Return the version, which the server tells whoever it refuses a login; nothing where it tells none."""
    with suppress(OSError, HTTPException):
        context, where = tls.context(connection.tls), (connection.host, connection.port)
        if context:
            way: HTTPConnection = HTTPSConnection(*where, timeout=_PATIENCE, context=context)
        else:
            way = HTTPConnection(*where, timeout=_PATIENCE)
        with closing(way):
            path = quote_path(ClickHouseOptions.of(connection).http_path.strip("/"))
            way.request("GET", "/".join(["", *([path] if path else []), "?query=SELECT%20version()"]))
            found = _TOLD.search(way.getresponse().read(_ENOUGH).decode("utf-8", "replace"))
        return found[1] if found else ""
    return ""


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
        join([*client(connection), "--user=default", "--ask-password", "--multiquery"]),
    )
