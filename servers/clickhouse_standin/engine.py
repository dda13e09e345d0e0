"""ClickHouse's engine (chdb) in this process, reopened whenever it must see other users or grants."""

import pickle
import threading
from pathlib import Path
from typing import Any

import chdb.session

from servers.clickhouse_standin import catalogue
from servers.clickhouse_standin.store import Store

SAVED = "access.pickle"


class Engine:
    """The one engine of this process (chdb allows no second), with the accounts that it serves."""

    def __init__(self, directory: Path, store: Store, *, shows_secrets: bool = False) -> None:
        self.directory, self.store, self.shows_secrets = directory, store, shows_secrets
        self.lock = threading.RLock()
        self.sessions: dict[str, Any] = {}
        self.sleeping: dict[str, tuple[str, str, str]] = {}
        """Queries that only sleep, by id: user, address, statement. They hold no lock, and are no business of chdb."""
        self._base: Any = None
        self._identity = self._shown = ""  # who it runs as, and the users.xml it has read
        self._privileges = "ALL"
        self._load()
        self.ensure("default", fresh=True)
        privileges = self._ask(
            "SELECT privilege FROM system.privileges WHERE level IN "
            "('DATABASE', 'TABLE', 'VIEW', 'DICTIONARY', 'COLUMN')"
        )
        self._privileges = ", ".join(privileges.splitlines())
        self.version = self._ask("SELECT version()").strip()

    def _ask(self, sql: str) -> str:
        return str(self._base.query(sql, "TSV"))

    def ensure(self, identity: str, *, fresh: bool) -> None:
        """Make the engine run as `identity`; with `fresh`, also make it know every user and grant."""
        if self._base and self._identity == identity == "default" and not fresh:
            return
        xml = catalogue.render(self.store, identity, self._privileges)
        if self._base and self._identity == identity and xml == self._shown:
            return
        self.close()
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "users.xml").write_text(xml)
        config = f"<clickhouse><users_config>{self.directory}/users.xml</users_config></clickhouse>"
        (self.directory / "config.xml").write_text(config)
        self._identity, self._shown = identity, xml
        self._base = self.open()

    def open(self) -> Any:
        """A new session of the engine."""
        session: Any = chdb.session  # has no types
        return session.Session(f"file:{self.directory}/data?config-file={self.directory}/config.xml")

    def close(self) -> None:
        """Close all sessions, and so the engine."""
        for opened in [*self.sessions.values(), self._base]:
            if opened:
                opened.close()
        self.sessions, self._base = {}, None

    def save(self) -> None:
        """Keep the accounts beside the data, so that they outlive a killed process just as databases do."""
        unfinished = self.directory / (SAVED + ".new")
        unfinished.write_bytes(pickle.dumps((self.store.users, self.store.roles)))
        unfinished.replace(self.directory / SAVED)

    def _load(self) -> None:
        saved = self.directory / SAVED
        if saved.exists():
            users, roles = pickle.loads(saved.read_bytes())
            self.store.users = users | {"default": self.store.users["default"]}
            self.store.roles = roles
