"""Whatever stands in the files: an exit code of the table, and nobody who is on a good line loses anything."""

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from dbroster.cli.main import main
from dbroster.model.plan import Verb
from tests.fake import FakeHandler
from tests.fake_server import Account, Database, FakeServer, digest
from tests.support.samples import CONNECTIONS, PASSWORD, private

ANN = f"ann:{PASSWORD}\n".encode()
EXIT_CODES = {0, 1, 2, 3}
VERBS = ("sync", "check", "plan", "check", "plan", "check", "plan", "check")
REMOVALS = (Verb.LOCK_USER, Verb.DROP_DATABASE, Verb.DROP_USER)
REMOVED = "  - "


class Target:
    """A config directory, and a server with the managed user ann, her database, and things that are not ours."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.server = FakeServer()
        self.server.accounts["ann"] = Account(digest(PASSWORD), "default", "ann")
        self.server.accounts["root"] = Account(None, protected="a system account")
        self.server.databases["ann_web"] = Database("ann", "default", "ann_web", {"ann"})
        self.write()

    def write(self, users: bytes = ANN, templates: bytes = b"web\n", connections: bytes = CONNECTIONS.encode()) -> None:
        """Write the three files."""
        private(self.directory / "users.txt", users)
        private(self.directory / "postgresql_databases.txt", templates)
        private(self.directory / "connections.yaml", connections)

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run the command, and return its exit code and everything that it printed."""
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            code = main(
                [*arguments, "--config", str(self.directory)],
                connect=lambda connection: FakeHandler(connection, self.server),
            )
        return code, said.getvalue()

    def survives(self, *arguments: str) -> tuple[int, str]:
        """Run the command; a defect in dbroster, an exit code of no table, or a removal is an AssertionError."""
        before = len(self.server.log)
        code, said = self.run(*arguments)
        assert code in EXIT_CODES, (code, said)
        assert "a defect in dbroster" not in said, said
        sent = [statement.text for statement in self.server.log[before:] if statement.change]
        assert not [text for text in sent if text.startswith(REMOVALS)], sent
        assert not [line for line in said.splitlines() if line.startswith(REMOVED)], said
        assert self.server.databases["ann_web"].mark == "ann"
        return code, said

    def attack(self, kind: str, data: bytes) -> None:
        """Put bytes into one of the files, ann's line and her template beside them, and sync."""
        around = {
            "users": [{"users": ANN + data}, {"users": data + b"\n" + ANN}],
            "templates": [{"templates": b"web\n" + data}, {"templates": data + b"\nweb\n"}],
            "connections": [{"connections": data}, {"connections": CONNECTIONS.encode() + data}],
        }
        for files in around[kind]:
            self.write(**files)
            self.survives(VERBS[len(data) % len(VERBS)], "postgresql")
        self.forget_others()

    def forget_others(self) -> None:
        """Take away what runs have created."""
        for name in set(self.server.accounts) - {"ann", "root", "admin"}:
            del self.server.accounts[name]
        for name in set(self.server.databases) - {"ann_web", "system"}:
            del self.server.databases[name]


KINDS = ("users", "templates", "connections")
