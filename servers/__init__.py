"""Database servers for tests, demo and benchmarks: throw-away ones, or given ones. See servers/README.md."""

from servers.base import LocalServer, Missing, Server, StartFailed
from servers.clickhouse import ClickHouse
from servers.clickhouse_cluster import ClickHouseCluster, ClusterKind
from servers.given import ENGINES, GivenServer, find
from servers.mariadb import MariaDB
from servers.mongodb import MongoDB, MongoReplicaSet
from servers.mysql import MySQL
from servers.postgresql import PostgreSQL, wheel_bindirs

__all__ = [
    "ENGINES",
    "ClickHouse",
    "ClickHouseCluster",
    "ClusterKind",
    "GivenServer",
    "LocalServer",
    "MariaDB",
    "Missing",
    "MongoDB",
    "MongoReplicaSet",
    "MySQL",
    "PostgreSQL",
    "Server",
    "StartFailed",
    "find",
    "wheel_bindirs",
]
