"""The command line with a config directory and fake servers."""

import json
from pathlib import Path
from typing import Any

import pytest

from dbroster.cli.main import main
from dbroster.run.server_run import Connect
from tests.fake import FakeHandler, FakeServer
from tests.support.samples import PASSWORD

ANN = f"ann:{PASSWORD}\n"
TWO = ANN + f"bob:{PASSWORD}\n"
BOTH = """\
mysql: {host: 127.0.0.1, username: admin, password_env: HOME}
postgresql:
- {name: a, host: 127.0.0.1, username: admin, password_env: HOME}
- {name: b, host: 127.0.0.1, username: admin, password_env: HOME}
"""


class Command:
    """The command with a config directory and one fake server for each server of connections.yaml."""

    def __init__(self, directory: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self.servers: dict[str, FakeServer] = {}
        self.connect: Connect = lambda connection: FakeHandler(connection, self.server(connection.server))
        self.out = self.err = ""
        self._capture = capture

    def server(self, name: str = "default") -> FakeServer:
        return self.servers.setdefault(name, FakeServer())

    def __call__(self, *arguments: str, engine: str | None = None) -> int:
        verb = () if engine else arguments[:1]
        options = arguments if engine else arguments[1:]
        try:
            return main([*verb, "--config", str(self.directory), *options], engine, self.connect)
        finally:
            self.out, self.err = self._capture.readouterr()

    def refused(self, *arguments: str) -> str:
        """Run with arguments that argparse refuses, and return what it says."""
        with pytest.raises(SystemExit) as caught:
            self(*arguments)
        assert (caught.value.code, self.out) == (2, "")
        return self.err

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found
