"""One server, as connections.yaml describes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbroster.model.loopback import is_loopback
from dbroster.passwords.policy import PasswordRules
from dbroster.passwords.secret import Secret

SRV = "mongodb+srv://"
"""A URI that asks the name service for hosts; the driver uses TLS then, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Tls:
    """How the connection is protected; mode None leaves it to what driver and server agree on, unverified."""

    mode: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Removals:
    """How many accounts, or databases of users who stay, may be removed: the larger of a count and a share in percent.

    `max`, `max_percent`: by one run; `max_per_day`, `max_percent_per_day`: by all runs within 24 hours. A count of None
    is no limit. `archive_dir`: where each database is archived before it is dropped; None archives nothing. An account
    is kept for `grace_days` after it was locked.
    """

    max: int | None = 1
    max_percent: int = 10
    archive_dir: Path | None = None
    grace_days: int = 0
    max_per_day: int | None = 3
    max_percent_per_day: int = 30


@dataclass(frozen=True, slots=True)
class Connection:
    """One server, as connections.yaml describes it. `host` may be a socket (a path).

    `connect_timeout`: seconds until a login is over, TLS and the server's greeting included. `timeout`: seconds that
    one statement may take, or one helper program (pg_dump, mysqldump) may be silent. `others_archive`: servers of the
    file whose databases are archived before they are dropped, where those of this one are not.
    """

    engine: str
    server: str
    host: str
    port: int
    username: str
    password: Secret | None
    tls: Tls = Tls()
    connect_timeout: int = 10
    timeout: int = 300
    jobs: int | None = None
    rules: PasswordRules = field(default_factory=PasswordRules)
    protected: frozenset[str] = frozenset()
    removals: Removals = Removals()
    others_archive: tuple[str, ...] = ()
    roster: str = "default"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def loopback(self) -> bool:
        """Whether nobody outside this machine can listen on the way to the server."""
        return is_loopback(self.host)
