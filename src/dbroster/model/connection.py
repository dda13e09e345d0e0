"""One server, as connections.yaml describes it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

from dbroster.model.loopback import is_loopback
from dbroster.passwords.policy import PasswordRules
from dbroster.passwords.secret import Secret

CONNECT_TIMEOUT, TIMEOUT = 10, 300
"""Seconds, unless connections.yaml says otherwise."""


class Tls(NamedTuple):
    """How the connection is protected; mode None leaves it to what driver and server agree on, unverified."""

    mode: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None


class Removals(NamedTuple):
    """How many accounts, or databases of users who stay, may be removed: the larger of a count and a share in percent.

    `max`, `max_percent`: by one run; `max_per_day`, `max_percent_per_day`: by all runs within 24 hours. A count of None
    is no limit. `archive_dir`: where each database is archived before it is dropped; None archives nothing, and
    `unarchived` says that this is meant. An account is kept for `grace_days` after it was locked.
    """

    max: int | None = 1
    max_percent: int = 10
    archive_dir: Path | None = None
    grace_days: int = 0
    max_per_day: int | None = 3
    max_percent_per_day: int = 30
    unarchived: bool = False


class Handout(NamedTuple):
    """How users reach the server where that is not the admin's way; None: as the admin does."""

    host: str | None = None
    port: int | None = None
    ca: str | None = None


class EngineOptions:
    """What only the section of one engine says; each engine has a subclass in its `options.py`.

    `product`: what the engine serves; `default_port`: where that listens unless it is said. `instead_of_host`: the key
    that may stand instead of host and port; `named_hosts` are the hosts in there.
    """

    keys: ClassVar[Mapping[str, Any]] = {}
    product: ClassVar[str] = ""
    default_port: ClassVar[int] = 0
    instead_of_host: ClassVar[str | None] = None

    def __init__(self, **values: Any) -> None:
        if unknown := values.keys() - self.keys.keys():
            raise TypeError(f"no options of {type(self).__name__}: {', '.join(sorted(unknown))}")
        self.__dict__.update({name: key.default for name, key in self.keys.items()} | values)

    @classmethod
    def of(cls, connection: "Connection") -> Self:
        """Return the options of a connection to this engine; if it has none, the defaults."""
        if isinstance(connection.options, cls):
            return connection.options
        if type(connection.options) is EngineOptions:
            return cls()
        raise TypeError(f"{type(connection.options).__name__} instead of {cls.__name__}")

    def but(self, **values: Any) -> Self:
        """Return the same options but for these."""
        return type(self)(**{**self.__dict__, **values})

    @property
    def named_hosts(self) -> list[str]:
        """The hosts that options name instead of `host`, which the driver looks up by itself; none by default."""
        return []

    @property
    def brings_tls(self) -> bool:
        """Whether the driver protects the connection although `tls` is not set."""
        return False

    def refuse_user(self, _: str, /) -> str | None:
        """Why no server of this product carries this user name, as far as that is known without asking one."""
        return None

    def refuse_database(self, _: str, /) -> str | None:
        """Why no server of this product carries this database name, as far as that is known without asking one."""
        return None

    def refuse_password(self, _: Secret, /) -> str | None:
        """Why no server of this product carries this password, as far as that is known without asking one."""
        return None

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


class Connection(NamedTuple):
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
    connect_timeout: int = CONNECT_TIMEOUT
    timeout: int = TIMEOUT
    jobs: int | None = None
    rules: PasswordRules = PasswordRules()
    protected: frozenset[str] = frozenset()
    removals: Removals = Removals()
    others_archive: tuple[str, ...] = ()
    roster: str = "default"
    handout: Handout = Handout()
    options: EngineOptions = EngineOptions()

    @property
    def loopback(self) -> bool:
        """Whether nobody outside this machine can listen on the way to the server."""
        return is_loopback(self.host)
