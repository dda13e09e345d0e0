"""A config directory and the real scripts as processes: what an administrator has before him."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.contract.adapters import Adapter
from tests.support import warm

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "Correct-horse-7-battery"
OTHER_PASSWORD = "Another-staple-8-pony"
TEMPLATES = ("tools", "web")


@dataclass(frozen=True)
class Run:
    """What a process left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The JSON report."""
        document: dict[str, Any] = json.loads(self.out)
        return document

    @property
    def result(self) -> dict[str, Any]:
        """The report of the one server."""
        (result,) = self.document["results"]
        return dict(result)

    @property
    def actions(self) -> set[tuple[str, str, str | None]]:
        """(action, user, database) of every outcome."""
        return {(a["action"], a["user"], a["database"]) for a in self.result["actions"]}

    def statuses(self) -> set[str]:
        """Every status that occurs."""
        return {a["status"] for a in self.result["actions"]}


@dataclass
class Site:
    """One roster on a shared server; every user name begins with the prefix, so that tests don't meet."""

    adapter: Adapter
    directory: Path
    prefix: str
    roster: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.directory.mkdir(exist_ok=True)
        self.configure()
        self.templates(*TEMPLATES)
        self.users()

    # --- files --------------------------------------------------------------------------------------------------------

    def configure(self, roster: str | None = None, **values: object) -> None:
        """Write connections.yaml for the adapter's server and a roster, by default the prefix."""
        section = {**self.adapter.section(), **values}
        self.write("connections.yaml", yaml.safe_dump({"roster": roster or self.prefix, self.adapter.engine: section}))

    def write(self, name: str, text: str) -> None:
        """Write a file that nobody else may read."""
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(text)

    def name(self, short: str) -> str:
        """A user name of this test."""
        return self.prefix + short

    def users(self, *shorts: str, **passwords: str) -> list[str]:
        """Write users.txt with these users, and return their names."""
        self.roster = {self.name(short): PASSWORD for short in shorts}
        self.roster |= {self.name(short): password for short, password in passwords.items()}
        self.users_file("".join(f"{name}:{password}\n" for name, password in self.roster.items()).encode())
        return list(self.roster)

    def users_file(self, data: bytes) -> None:
        """Write users.txt as it is given."""
        path = self.directory / "users.txt"
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_bytes(data)

    def templates(self, *names: str) -> None:
        """Write the template list."""
        (self.directory / f"{self.adapter.engine}_databases.txt").write_text("".join(f"{name}\n" for name in names))

    # --- runs ---------------------------------------------------------------------------------------------------------

    def run(self, *options: str, output: str = "json") -> Run:
        """Run the script as a process of its own."""
        return Run(*warm.run([*self.program(), "--output", output, *options]))

    def program(self) -> list[str]:
        """The script and where its files are."""
        script = ROOT / "scripts" / f"{self.adapter.engine}_sync.py"
        return [str(script), "--config", str(self.directory)]

    def sync(self, *options: str) -> Run:
        """Run, and see that everything was applied."""
        run = self.run(*options)
        assert run.code == 0, f"exit {run.code}: {run.out}{run.err}"
        assert run.statuses() <= {"done"}
        return run

    def pending(self, *options: str) -> Run:
        """Dry run, and see that changes are pending."""
        run = self.run("--dry-run", "--detailed-exitcode", *options)
        assert run.code == 4, run.out + run.err
        assert run.statuses() == {"planned"}
        return run

    def in_step(self) -> None:
        """Dry run, and see that nothing is left to do."""
        run = self.run("--dry-run", "--detailed-exitcode")
        assert run.code == 0, run.out + run.err
        assert not run.actions

    def converge(self, *options: str) -> Run:
        """Dry run says pending, the run does just that, the next dry run says nothing."""
        planned = self.pending(*options)
        done = self.sync(*options)
        assert done.actions == planned.actions
        self.in_step()
        return done

    def audit(self) -> list[dict[str, Any]]:
        """The audit log."""
        path = self.directory / "audit.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    # --- what is true on the server -----------------------------------------------------------------------------------

    def everybody_is_at_home(self, *templates: str) -> None:
        """Every user of the roster writes into each own database, and reaches no other user's."""
        every = [f"{owner}_{template}" for owner in self.roster for template in templates or TEMPLATES]
        for user, password in self.roster.items():
            own = {f"{user}_{template}" for template in templates or TEMPLATES}
            assert self.adapter.writable(user, password, every) == own, f"{user} of {every}"
