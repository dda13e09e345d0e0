"""A team with a users.txt of its own, for tests that go through a whole sync."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from dbroster.files.read import Files
from dbroster.model.plan import Action
from dbroster.model.result import Outcome, Result, Status
from dbroster.model.roster import USERS_FILE
from dbroster.report.exit_codes import Exit
from dbroster.report.json_document import as_json
from dbroster.report.plain.text import as_text
from dbroster.report.report import Report
from dbroster.roster.parse import read_roster
from dbroster.roster.source import UsersSource
from dbroster.run.server_run import Connect, Options
from dbroster.run.sync import Sync
from tests.contract.adapters import Adapter
from tests.contract.world import World


class Team:
    """The config directory of one roster, and syncs with it. Short user names get the prefix of the test."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.adapter: Adapter = world.adapter
        self.directory: Path = world.directory
        self.write_templates("web", "data")

    # --- files --------------------------------------------------------------------------------------------------------

    @property
    def users_file(self) -> Path:
        return self.directory / USERS_FILE

    @property
    def templates_file(self) -> Path:
        return self.directory / f"{self.adapter.engine}_databases.txt"

    def write_users(self, users: Mapping[str, str], *more_lines: str) -> None:
        """Write users.txt: a password per short name, and lines as they are."""
        lines = [f"{self.world.name(short)}:{password}" for short, password in users.items()]
        self.write_raw("\n".join([*lines, *more_lines, ""]).encode())

    def write_raw(self, data: bytes) -> None:
        """Write users.txt byte by byte."""
        self.users_file.touch(mode=0o600)
        self.users_file.write_bytes(data)

    def write_templates(self, *names: str) -> None:
        """Write the engine's template list."""
        self.templates_file.write_text("\n".join([*names, ""]))

    # --- runs ---------------------------------------------------------------------------------------------------------

    def run(
        self,
        *,
        dry_run: bool = False,
        connect: Connect | None = None,
        removals: str | None = "all",
        adopt: Sequence[str] = (),
        jobs: int | None = None,
        grace_days: int = 0,
        later: timedelta = timedelta(),
    ) -> Result:
        """Sync once, or so much later by the clock that is looked at. Raises ConfigError as `load` does."""
        connection = self.adapter.connection(self.directory, self.world.prefix)
        connection = connection._replace(removals=connection.removals._replace(grace_days=grace_days))
        roster = read_roster(UsersSource(Files(self.directory)), self.adapter.engine)
        options = Options(self.directory, dry_run, max_removals=removals, adopt=frozenset(adopt), jobs=jobs)
        return Sync(
            connection,
            roster,
            options,
            connect=connect or self.adapter.connect,
            clock=lambda handler: handler.now() + later,
        ).run()

    def sync(self, users: Mapping[str, str]) -> Result:
        """Write users.txt and sync; everything must go well."""
        self.write_users(users)
        result = self.run()
        assert_well(result)
        return result

    # --- state --------------------------------------------------------------------------------------------------------

    def assert_in_step(self, users: Mapping[str, str], templates: Sequence[str] = ("web", "data")) -> None:
        """Check with logins that exactly these users exist with these databases, and that a dry run agrees."""
        names = {self.world.name(short) for short in users}
        assert own(self.adapter.accounts(), self.world.prefix) == names
        databases = {f"{name}_{template}" for name in names for template in templates}
        assert own(self.adapter.databases(), self.world.prefix) == databases
        for short, password in users.items():
            wanted = {f"{self.world.name(short)}_{template}" for template in templates}
            assert self.adapter.writable(self.world.name(short), password, wanted) == wanted
        again = self.run(dry_run=True)
        assert_well(again)
        assert again.outcomes == ()


def own(names: set[str], prefix: str) -> set[str]:
    """Names of this test."""
    return {name for name in names if name.startswith(prefix)}


def assert_well(result: Result) -> None:
    """Nothing failed, nothing is in the way."""
    trouble = (result.fatal, result.refusals, result.conflicts, [p for p in result.problems if not p.warning])
    assert trouble == (None, (), (), []), trouble
    failed = [outcome for outcome in result.outcomes if outcome.status not in (Status.DONE, Status.PLANNED)]
    assert not failed, failed


def performed(outcomes: Sequence[Outcome]) -> list[Action]:
    """Actions of outcomes, in an order that does not depend on which session was faster."""
    return sorted((o.action for o in outcomes), key=lambda action: (action.verb, action.user, action.database or ""))


def reports(*results: Result) -> str:
    """Every text that a run may print."""
    texts = [as_text(result, verbose=verbose) for result in results for verbose in (True, False)]
    return "\n".join([*texts, as_json(Report(results, [], Exit.IN_STEP, dry_run=False)), repr(results)])
