"""One config directory for all engines, and what a test has to know of the servers behind it."""

import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any

import yaml

from dbroster.audit.log_files import RUN
from tests.contract.adapters import Adapter
from tests.e2e.site import PASSWORD, ROOT, TEMPLATES, Run
from tests.support import warm
from tests.support.proxy import Proxy

ENGINES = ("mysql", "postgresql", "clickhouse", "mongodb")


@dataclass
class Everything:
    """A roster on all servers. MySQL and MariaDB stand in one section, as a list; the adapters have the servers' names.

    Every user name begins with the prefix, so that tests don't meet.
    """

    adapters: Mapping[str, Adapter]
    directory: Path
    prefix: str
    roster: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.directory.mkdir(exist_ok=True)
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        self.configure()
        for engine in ENGINES:
            self.write(f"{engine}_databases.txt", "".join(f"{name}\n" for name in TEMPLATES))

    # --- files --------------------------------------------------------------------------------------------------------

    def sections(self) -> dict[str, Any]:
        """What stands in connections.yaml when all is well."""
        found: dict[str, Any] = {"mysql": []}
        for name, adapter in self.adapters.items():
            section = {**adapter.section(), "connect_timeout": 10}
            if adapter.engine == "mysql":
                found["mysql"].append({"name": name, **section})
            else:
                found[adapter.engine] = section
        return found

    def configure(self, **sections: object) -> None:
        """Write connections.yaml, with these sections instead of the right ones; None leaves one out."""
        wanted = {"roster": self.prefix, **self.sections(), **sections}
        found = {key: value for key, value in wanted.items() if value is not None}
        self.write("connections.yaml", yaml.safe_dump(found, allow_unicode=True))

    def hurt(self, name: str, **values: object) -> None:
        """Write connections.yaml with other values for one server."""
        sections = self.sections()
        engine = self.adapters[name].engine
        parts = sections[engine] if engine == "mysql" else [sections[engine]]
        (part,) = (part for part in parts if part.get("name", name) == name)
        part |= values
        self.configure(**sections)

    def write(self, name: str, text: str) -> None:
        """Write a file that nobody else may read."""
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(text)

    def users(self, roster: Mapping[str, str] | None = None) -> None:
        """Write users.txt; two users, if nobody is named."""
        self.roster = dict(roster or {self.prefix + short: PASSWORD for short in ("ann", "bob")})
        self.write("users.txt", "".join(f"{name}:{password}\n" for name, password in self.roster.items()))

    # --- runs ---------------------------------------------------------------------------------------------------------

    def command(self, verb: str, *options: str) -> list[str]:
        """The command line of `dbroster`."""
        return [sys.executable, *self.program(verb, *options)]

    def program(self, verb: str, *options: str) -> list[str]:
        """What Python is to run for `dbroster`."""
        return ["-m", "dbroster", verb, "--config", str(self.directory), *options]

    def run(self, verb: str, *options: str) -> Run:
        """Run `dbroster` as a process of its own."""
        return self._run(self.program(verb, *options))

    def script(self, engine: str, *options: str) -> Run:
        """Run one engine's script."""
        script = str(ROOT / "scripts" / f"{engine}_sync.py")
        return self._run([script, "--config", str(self.directory), *options])

    def _run(self, program: list[str]) -> Run:
        return Run(*warm.run(program, self.environment))

    def results(self, verb: str, *options: str, code: int) -> dict[str, dict[str, Any]]:
        """Run, and return the JSON report of each server by its adapter's name."""
        return self.judged(self.run(verb, "--output", "json", *options), code)

    @staticmethod
    def judged(run: Run, code: int) -> dict[str, dict[str, Any]]:
        """See that a run had this exit code, and return the JSON report of each server by its adapter's name."""
        assert run.code == code, run.out + run.err
        found = {r["engine"] if r["server"] == "default" else r["server"]: r for r in run.document["results"]}
        assert len(found) == len(run.document["results"])
        return found

    def audit(self) -> list[dict[str, Any]]:
        """The whole lines of the audit log."""
        path = self.directory / "audit.jsonl"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def changed(self) -> dict[str, set[tuple[str, str]]]:
        """What the audit log calls done, by the adapter's name: (action, database or user)."""
        found: dict[str, set[tuple[str, str]]] = {name: set() for name in self.adapters}
        for line in self.audit():
            if line["status"] == "done" and line["action"] != RUN:
                name = line["engine"] if line["server"] == "default" else line["server"]
                found[name].add((line["action"], line["database"] or line["user"]))
        return found

    # --- what is true on the servers ----------------------------------------------------------------------------------

    def at_home(self, name: str) -> bool:
        """Whether every user of the roster can write into each own database on this server."""
        own = {user: {f"{user}_{template}" for template in TEMPLATES} for user in self.roster}
        return all(
            self.adapters[name].writable(user, password, own[user]) == own[user]
            for user, password in self.roster.items()
        )

    def nobody(self, name: str) -> bool:
        """Whether this server has neither accounts nor databases of this test."""
        adapter = self.adapters[name]
        return not any(found.startswith(self.prefix) for found in adapter.accounts() | adapter.databases())

    def wipe(self) -> None:
        """Drop everything that the test has made."""
        for adapter in self.adapters.values():
            adapter.wipe(self.prefix)


class Gate(Proxy):
    """A server that takes connections and says nothing until it is opened; then it is the real one."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port, None)
        self._opened = Event()

    def open(self) -> None:
        """Let everybody through who is waiting."""
        self._opened.set()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.set()
        super().__exit__(kind, error, trace)

    def _accept(self) -> None:
        self._opened.wait()
        super()._accept()


@contextmanager
def black_hole() -> Iterator[int]:
    """A port of this machine whose connections neither succeed nor fail: its queue is full, so Linux drops the rest."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for filler in fillers:
            filler.close()
