"""Before a cluster is worked on: whether this node can see all of it, and whether it is what statements rely on."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import urllib3

from dbroster.engines.clickhouse.cluster.nodes import Cluster
from dbroster.engines.clickhouse.options import ClickHouseOptions
from dbroster.engines.clickhouse.session import DENIED, Session, literal
from dbroster.engines.clickhouse.state import READ_ONLY_STORAGES
from dbroster.errors import ConnectError, OperationError, UnsupportedServer
from dbroster.model.loopback import is_loopback

_NODES = """
    SELECT cluster, host_name, host_name || ':' || toString(port), is_local FROM system.clusters
    ORDER BY cluster, shard_num, replica_num"""
_DIRECTORIES = "SELECT type, JSONExtractBool(params, 'readonly') FROM system.user_directories ORDER BY precedence"
_PORT = "SELECT getServerPort({kind}) AS port"
_KEEPER_LOST = "999"
_KEEPER = "SELECT 1 FROM system.zookeeper_connection LIMIT 1"


def join(session: Session) -> bool:
    """Let the session see the whole cluster; return whether accounts replicate by themselves.

    An admin who may not look is not refused here, but told what it lacks. Raises ConnectError (a node or Keeper is
    silent), OperationError, or UnsupportedServer with what can't work.
    """
    name = ClickHouseOptions.of(session.connection).cluster
    try:
        hosts, here = _find(session, name)
        if not session.rows(_KEEPER):
            raise UnsupportedServer(
                f"this server can't change the cluster {name}: ON CLUSTER needs ZooKeeper or ClickHouse Keeper, and "
                "<zookeeper> is missing in its configuration"
            )
        return _look(session, hosts, here)
    except OperationError as error:
        session.cluster = None
        if error.code == DENIED:
            return False
        if error.code == _KEEPER_LOST:
            raise ConnectError(
                f"ZooKeeper or ClickHouse Keeper does not answer, without which the cluster {name} can't be changed; "
                "start it again"
            ) from None
        raise UnsupportedServer(
            f"not every node of the cluster {name} can be asked: {error}; the admin account must exist on each, "
            "and the cluster should have a <secret> in <remote_servers>"
        ) from None


def _find(session: Session, name: str) -> tuple[list[tuple[str, str]], int]:
    """The nodes, as (host, host with port), and which is this one; they become the session's."""
    rows = session.rows(_NODES)
    nodes = [(host, node) for cluster, host, node, _ in rows if cluster == name]
    here = [bool(local) for cluster, _, _, local in rows if cluster == name]
    if not nodes:
        known = ", ".join(dict.fromkeys(cluster for cluster, *_ in rows)) or "none"
        raise UnsupportedServer(
            f"this server knows no cluster {name!r} (it knows: {known}); name one of those under `cluster` in "
            "connections.yaml"
        )
    if not any(here):
        raise UnsupportedServer(
            f"this server is no node of the cluster {name}: name one of {', '.join(node for _, node in nodes)} under "
            "`host` in connections.yaml"
        )
    session.cluster = Cluster(name, literal(name), tuple(node for _, node in nodes), here.index(True))
    return nodes, here.index(True)


def _look(session: Session, hosts: Sequence[tuple[str, str]], here: int) -> bool:
    session.meet()
    answers = {replicates_accounts(rows) for rows in session.everywhere(_DIRECTORIES)}
    if len(answers) > 1:
        raise UnsupportedServer(
            f"the nodes of the cluster {ClickHouseOptions.of(session.connection).cluster} keep accounts in different "
            "ways (<replicated> and <local_directory>): give all the same <user_directories>"
        )
    replicated = True in answers
    if not replicated:
        others = [(host, number) for number, (host, _) in enumerate(hosts) if number != here]
        session.reach(list(_elsewhere(session, others)))
    return replicated


def _elsewhere(session: Session, others: Sequence[tuple[str, int]]) -> Iterator[str]:
    """Where the other nodes, as (host, place), take logins, if that is a place to which passwords may go."""
    kind, scheme = ("https_port", "https") if session.tls else ("http_port", "http")
    try:
        ports = session.everywhere(_PORT, kind=kind)
    except OperationError as error:
        session.notes.append(f"passwords are checked on one node only, since another has no {kind}: {error}")
        return
    for host, place in others:
        url = urllib3.util.Url(scheme=scheme, host=host, port=ports[place][0][0], path=f"/{session.path}").url
        if not session.tls and session.connection.loopback and not is_loopback(host):
            session.notes.append(f"passwords are not checked on {host}, since there is no TLS on the way")
        elif not session.answers(url):
            session.notes.append(f"passwords are not checked on {host}, since {url} does not answer from here")
        else:
            yield url


def replicates_accounts(directories: Iterable[Sequence[Any]]) -> bool:
    """Whether new accounts go into a replicated directory, given (type, read-only) of all in their order."""
    writable = [kind for kind, read_only in directories if kind not in READ_ONLY_STORAGES and not read_only]
    return writable[:1] == ["replicated"]
