"""A throw-away ClickHouse cluster: two nodes that agree by ZooKeeper."""

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from servers.clickhouse import ClickHouse
from servers.process import free_port
from servers.zookeeper import ZooKeeper

NAME = "both"
"""What the cluster is called in the configuration of its nodes."""

_MORE = """<{port}>{tcp}</{port}>
  <interserver_http_port>{interserver}</interserver_http_port>
  <interserver_http_host>127.0.0.1</interserver_http_host>
  <zookeeper><node><host>127.0.0.1</host><port>{keeper}</port></node></zookeeper>
  <keeper_map_path_prefix>/maps</keeper_map_path_prefix>
  <distributed_ddl><path>/clickhouse/task_queue/ddl</path></distributed_ddl>
  <macros><shard>{shard}</shard><replica>{tcp}</replica></macros>
  <remote_servers><{name}><secret>between the nodes</secret><shard>
    <internal_replication>true</internal_replication>{replicas}
  </shard></{name}></remote_servers>"""
_REPLICA = "\n    <replica><host>127.0.0.1</host><port>{tcp}</port>{secure}</replica>"
_NEXT_SHARD = "\n  </shard><shard>"


@dataclass(frozen=True)
class ClusterKind:
    """What a cluster may be like: accounts `replicated` or each node's own; two `shards` or two replicas; TLS."""

    version: str = ""
    replicated: bool = False
    shards: bool = False
    tls: bool = False


class Node(ClickHouse):
    """One of the nodes. `peers`: the native ports of all."""

    def __init__(self, keeper: ZooKeeper, peers: list[int], number: int, kind: ClusterKind) -> None:
        super().__init__(version=kind.version)
        self._keeper, self._peers, self._tcp, self._interserver = keeper, peers, peers[number], free_port()
        self._kind, self._shard = kind, number + 1 if kind.shards else 1
        if kind.replicated:
            self.storage = "<replicated><zookeeper_path>/clickhouse/access/</zookeeper_path></replicated>"

    def _more(self) -> str:
        secure, between = "<secure>1</secure>" * self._kind.tls, _NEXT_SHARD * self._kind.shards
        replicas = between.join(_REPLICA.format(tcp=tcp, secure=secure) for tcp in self._peers)
        ports = {"tcp": self._tcp, "interserver": self._interserver, "keeper": self._keeper.port}
        port = "tcp_port_secure" if self._kind.tls else "tcp_port"
        return _MORE.format(name=NAME, replicas=replicas, port=port, shard=self._shard, **ports)

    @property
    def name(self) -> str:
        """How the cluster calls it."""
        return f"127.0.0.1:{self._tcp}"

    def freeze(self) -> None:
        """Stop its process without ending it: it keeps its connections, and says nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)


class ClickHouseCluster:
    """Two nodes with the cluster `both`."""

    def __init__(self, kind: ClusterKind = ClusterKind()) -> None:
        self.keeper, peers = ZooKeeper(), [free_port(), free_port()]
        self.nodes = [Node(self.keeper, peers, number, kind) for number in range(len(peers))]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        """Start both nodes together, since each takes seconds."""
        self._stack.enter_context(self.keeper)
        for node in self.nodes:
            self._stack.callback(node.close)
        with ThreadPoolExecutor() as pool:
            for start in [pool.submit(node.start) for node in self.nodes]:
                start.result()
