"""A fake server with a config directory, and short ways to sync a roster and to look at the result."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import Any

from dbroster.engines.base import Handler
from dbroster.model.connection import Connection
from dbroster.model.result import Outcome, Result
from dbroster.model.roster import Roster
from dbroster.passwords.policy import PasswordRules
from dbroster.report.exit_codes import exit_code
from dbroster.run.reading.check import Check
from dbroster.run.server_run import Options
from dbroster.run.sync import Sync
from tests.fake import FakeHandler, FakeServer, fake_connection

RULES = PasswordRules(min_length=1, classes=0)


class Site:
    """A fake server, a config directory, and syncs of a roster."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.server = FakeServer()
        self.stop = Event()
        self.connect: Callable[[Connection], Handler] = FakeHandler.open

    def sync(self, wanted: Roster, *, connection: dict[str, object] | None = None, **options: Any) -> Sync:
        return Sync(
            self._connection(connection), wanted, Options(self.directory, **options), self.connect, stop=self.stop
        )

    def check(self, wanted: Roster, *, connection: dict[str, object] | None = None) -> Check:
        return Check(self._connection(connection), wanted, Options(self.directory, dry_run=True), self.connect)

    def _connection(self, settings: dict[str, object] | None) -> Connection:
        return fake_connection(self.server, **{"rules": RULES, **(settings or {})})

    def run(self, wanted: Roster, **options: Any) -> Result:
        return self.sync(wanted, **options).run()

    @property
    def audit(self) -> list[dict[str, Any]]:
        path = self.directory / "audit.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def short(result: Result) -> list[tuple[str, str, str]]:
    return [(o.status.value, o.action.verb.value, o.action.database or o.action.user) for o in result.outcomes]


def code(result: Result) -> int:
    return exit_code(result, detailed=False)


def actions(outcomes: Sequence[Outcome]) -> list[tuple[str, str, str, str]]:
    return sorted((o.action.verb, o.action.user, o.action.database or "", o.action.reason) for o in outcomes)
