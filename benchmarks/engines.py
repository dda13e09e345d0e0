"""The engines: how each is started, configured and set up by a raw script."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import servers
from dbroster.engines.clickhouse.options import PRIVILEGES as CLICKHOUSE_PRIVILEGES
from dbroster.engines.mysql.options import PRIVILEGES as MYSQL_PRIVILEGES

Roster = Mapping[str, str]


class Engine(ABC):
    """One engine: a durable server without statement log, and a raw script that brings about what dbroster does.

    The script goes user by user, as one writes it, and checks nothing.
    """

    name: ClassVar[str]
    options: ClassVar[Mapping[str, str]] = {}
    section_name: ClassVar[str]
    settling: ClassVar[Sequence[str]] = ()
    """Lets the server finish what it put off, so that the next run does not pay for it."""

    durabilities: ClassVar[Mapping[str, Mapping[str, Any]]]
    """What differs between a server as its makers ship it and others: arguments for `server`."""
    server: ClassVar[Callable[..., servers.LocalServer]]

    def __init__(self, templates: Sequence[str], durability: str = "as shipped") -> None:
        self.templates = templates
        self.durability = durability

    def start(self, place: Path | None = None) -> servers.Server:
        """Start a server, with its files in this directory, or on a disk."""
        given = self.durabilities[self.durability]
        options = {**self.options, **given.get("options", {})}
        server = type(self).server(durable=given.get("durable", True), options=options)
        server.place = place
        return server.start()

    @abstractmethod
    def creation(self, user: str, password: str) -> list[str]:
        """Statements that make one account with its databases."""

    @abstractmethod
    def removal(self, user: str) -> list[str]:
        """Statements that remove them."""

    def section(self, server: servers.Server) -> dict[str, Any]:
        """The engine's section of connections.yaml."""
        tls = {"tls": {"ca": str(server.ca)}} if server.ca else {}
        where = {"host": server.host, "port": server.port}
        return {**where, "username": server.admin_user, "password": server.admin_password, **tls}

    def databases(self, user: str) -> list[str]:
        """Databases of one user."""
        return [f"{user}_{template}" for template in self.templates]


class PostgreSQL(Engine):
    """PostgreSQL through psql; each statement is a transaction of its own, as CREATE DATABASE wants it."""

    name = section_name = "postgresql"
    settling = ("CHECKPOINT",)
    server = servers.PostgreSQL
    options: ClassVar[Mapping[str, str]] = {"log_statement": "none"}
    durabilities: ClassVar[Mapping[str, Mapping[str, Any]]] = {"as shipped": {}, "no fsync": {"durable": False}}

    def creation(self, user: str, password: str) -> list[str]:
        """Role with marker; databases that are closed to all others, and marked."""
        mark = f"dbroster/2 default {user}"
        made = [f"CREATE ROLE \"{user}\" LOGIN PASSWORD '{password}'", f"COMMENT ON ROLE \"{user}\" IS '{mark}'"]
        for database in self.databases(user):
            made += [
                f'CREATE DATABASE "{database}" OWNER "{user}" TEMPLATE template0',
                f'REVOKE ALL ON DATABASE "{database}" FROM PUBLIC',
                f"COMMENT ON DATABASE \"{database}\" IS '{mark} {database}'",
            ]
        return made

    def removal(self, user: str) -> list[str]:
        """Databases, then the role."""
        drops = [f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)' for database in self.databases(user)]
        return [*drops, f'DROP ROLE IF EXISTS "{user}"']


class MySQL(Engine):
    """MySQL through its native client."""

    name = section_name = "mysql"
    server: ClassVar[Callable[..., servers.LocalServer]] = servers.MySQL
    options: ClassVar[Mapping[str, str]] = {
        "general_log": "OFF", "innodb_buffer_pool_size": "128M", "innodb_redo_log_capacity": "100M",
    }  # fmt: skip
    """The default size of redo log and buffer pool, and no general log."""
    durabilities: ClassVar[Mapping[str, Mapping[str, Any]]] = {"as shipped": {}, "no fsync": {"durable": False}}

    def account(self, user: str, password: str) -> list[str]:
        """The account, with its marker in the same statement."""
        mark = json.dumps({"dbroster": {"v": 1, "roster": "default"}})
        return [f"CREATE USER '{user}'@'%' IDENTIFIED BY '{password}' ATTRIBUTE '{mark}'"]

    def creation(self, user: str, password: str) -> list[str]:
        """The account, its grants and databases."""
        made = self.account(user, password)
        for database in self.databases(user):
            pattern = database.replace("_", "\\_")
            made.append(f"GRANT {', '.join(MYSQL_PRIVILEGES)} ON `{pattern}`.* TO '{user}'@'%'")
            made.append(f"CREATE DATABASE `{database}` CHARACTER SET utf8mb4")
        return made

    def removal(self, user: str) -> list[str]:
        """Databases, then the account, and its grants with it."""
        return [
            *(f"DROP DATABASE IF EXISTS `{name}`" for name in self.databases(user)),
            f"DROP USER IF EXISTS '{user}'",
        ]


class MariaDB(MySQL):
    """MariaDB through its native client."""

    name = "mariadb"
    server = servers.MariaDB
    options: ClassVar[Mapping[str, str]] = {"general_log": "OFF", "innodb_buffer_pool_size": "128M"}
    durabilities: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "as shipped": {"options": {"sync_binlog": "0", "skip_log_bin": ""}},
        "binary log": {"options": {"sync_binlog": "0"}},
        "no fsync": {"durable": False, "options": {"skip_log_bin": ""}},
    }

    def account(self, user: str, password: str) -> list[str]:
        """The account and its marker, a role that dbroster creates; here it is created at need."""
        role = "`dbroster:default`"
        made = [f"CREATE USER '{user}'@'%' IDENTIFIED BY '{password}'", f"GRANT {role} TO '{user}'@'%'"]
        return [f"CREATE ROLE IF NOT EXISTS {role}", *made]


class MongoDB(Engine):
    """MongoDB through PyMongo; a statement is a command, with the name of its database, as JSON."""

    name = section_name = "mongodb"
    server = servers.MongoDB
    durabilities: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "as shipped": {},
        "no journal": {"options": {"nojournal": ""}},
    }

    def creation(self, user: str, password: str) -> list[str]:
        """The account with marker and roles in one command, and a collection that makes each database exist."""
        roles = [{"role": r, "db": db} for db in self.databases(user) for r in ("readWrite", "dbAdmin")]
        data = {"managedBy": "dbroster", "roster": "default"}
        account = {"createUser": user, "pwd": password, "roles": roles, "customData": data}
        account["mechanisms"] = ["SCRAM-SHA-256"]
        made = [json.dumps(["admin", account])]
        return made + [json.dumps([database, {"create": "_dbroster"}]) for database in self.databases(user)]

    def removal(self, user: str) -> list[str]:
        """Databases, then the account."""
        drops = [json.dumps([database, {"dropDatabase": 1}]) for database in self.databases(user)]
        return [*drops, json.dumps(["admin", {"dropUser": user}])]


class ClickHouse(Engine):
    """ClickHouse over HTTP."""

    name = section_name = "clickhouse"
    server = servers.ClickHouse
    durabilities: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "as shipped": {},
        "hashes shown": {"options": {"display_secrets_in_show_and_select": "1"}},
    }

    def section(self, server: servers.Server) -> dict[str, Any]:
        """Over TLS, as the others."""
        return super().section(server) | {"port": tls_port(server)}

    def creation(self, user: str, password: str) -> list[str]:
        """Marker role, account, databases with comment, and one grant."""
        role, privileges = "`dbroster:default`", ", ".join(CLICKHOUSE_PRIVILEGES)
        made = [f"CREATE ROLE IF NOT EXISTS {role}"]
        made.append(f"CREATE USER `{user}` IDENTIFIED WITH sha256_password BY '{password}' DEFAULT ROLE {role}")
        for database in self.databases(user):
            made.append(f"CREATE DATABASE `{database}` COMMENT 'dbroster:default:{user}'")
            made.append(f"GRANT {privileges} ON `{database}`.* TO `{user}`")
        return made

    def removal(self, user: str) -> list[str]:
        """Databases, then the account."""
        drops = [f"DROP DATABASE IF EXISTS `{database}` SYNC" for database in self.databases(user)]
        return [*drops, f"DROP USER IF EXISTS `{user}`"]


def tls_port(server: servers.Server) -> int:
    """The port where the server speaks TLS; ClickHouse has one of its own for that."""
    return server.https_port if isinstance(server, servers.ClickHouse) else server.port


ENGINES: dict[str, type[Engine]] = {each.name: each for each in (PostgreSQL, MySQL, MariaDB, MongoDB, ClickHouse)}
