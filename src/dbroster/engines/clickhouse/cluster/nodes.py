"""A cluster of ClickHouse servers, as one of its nodes sees it: asked all at once, and changed all together.

Every node is asked in the same query, and a change is done when every node has told so. A node that is silent ends the
run by its name, since nobody could tell who stays there.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from dbroster.errors import OperationError, Stalled

LOST = frozenset({"3", "32", "198", "209", "210", "279"})
"""Errors of a node that can't reach another one."""
_SILENT = r"\N"
_ESCAPED = re.compile(r"\\(.)")


class Cluster(NamedTuple):
    """A cluster by its name (`quoted` as a text), and its nodes, as they call each other.

    `here`: the place of the one that is asked. `urls`: where logins at the other nodes are tried; empty where accounts
    are the same on all.
    """

    name: str
    quoted: str
    nodes: tuple[str, ...]
    here: int = 0
    urls: tuple[str, ...] = ()

    def asking(self, query: str) -> str:
        """The query, to be answered by every node; each row begins with the node's number, from 1 on."""
        return f"SELECT _shard_num, * FROM clusterAllReplicas({self.quoted}, view({query}))"  # noqa: S608 - quoted

    def by_node(self, rows: Iterable[Sequence[Any]]) -> list[list[tuple[Any, ...]]]:
        """Divide what `asking` has found."""
        found: list[list[tuple[Any, ...]]] = [[] for _ in self.nodes]
        for number, *row in rows:
            found[number - 1].append(tuple(row))
        return found

    @staticmethod
    def for_reading(seconds: int, version: str) -> Mapping[str, str]:
        """Settings of queries to all nodes: nobody may be left out, and who is silent for half of the time is told."""
        patience = max(1, seconds // 2)
        # a role of the admin's that was dropped would make every such query fail (492); 24 sends no roles
        roles = {} if version.startswith("24.") else {"push_external_roles_in_interserver_queries": "0"}
        return {
            **roles,
            "skip_unavailable_shards": "0",
            "wait_end_of_query": "1",  # an error of one node must not look like an answer without its rows
            "connections_with_failover_max_tries": "1",
            "connect_timeout_with_failover_ms": str(patience * 1000),
            "handshake_timeout_ms": str(patience * 1000),
            "receive_timeout": str(patience),
        }

    @staticmethod
    def for_changing(seconds: int) -> Mapping[str, str]:
        """Settings of statements ON CLUSTER: the answer tells of each node what became of it there."""
        return {
            "distributed_ddl_output_mode": "never_throw",
            "distributed_ddl_task_timeout": str(max(1, seconds * 4 // 5)),
        }

    def judge(self, answer: str, seconds: int) -> None:
        """Look at what each node has told of a change. Raises Stalled, or OperationError of the first that failed."""
        told = [line.split("\t") for line in answer.split("\n") if line]
        if silent := [f"{host}:{port}" for host, port, status, *_ in told if status == _SILENT]:
            raise self.stalled(silent, seconds)
        for host, port, status, text, *_ in told:
            if status != "0":
                raise OperationError(f"on the node {host}:{port}: {_sentence(text)} (code {status})", status)

    def stalled(self, nodes: Sequence[str], seconds: int, key: str = "timeout") -> Stalled:
        """These nodes have not answered; what they were told to do they do when they are back."""
        which = " and ".join(nodes) or "a node"
        return Stalled(
            f"of the cluster {self.name} {which} did not answer within {seconds} s (`{key}` in connections.yaml); "
            "dbroster works only while it can see every node. Start it again, or, if it is gone for good, take it out "
            "of the cluster in <remote_servers>"
        )

    def named_in(self, text: str) -> list[str]:
        """The nodes that an error tells of; that of a silent one has only the port and maybe another name."""
        return [node for node in self.nodes if node in text] or [
            node for node in self.nodes if f":{node.rpartition(':')[2]}" in text
        ]


def _sentence(text: str) -> str:
    """The message of an error as the DDL queue keeps it, escaped for TabSeparated."""
    told = text.partition("DB::Exception: ")[2].partition(" (version ")[0]
    return _ESCAPED.sub(lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), told) or "it gave no reason"
