"""A config directory, and dbroster run on it as a whole process: wall time and memory."""

import json
import secrets
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks import measured
from benchmarks.engines import Engine, Roster
from benchmarks.raw import environment

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Run:
    """What one process took, its own processor time included; `summary` counts its actions."""

    seconds: float
    processor: float
    megabytes: float
    summary: dict[str, Any]


class Site:
    """The files of one roster for one server."""

    def __init__(self, directory: Path, engine: Engine, section: dict[str, Any]) -> None:
        self.directory = directory
        self.engine = engine
        self.connect(section)
        (directory / f"{engine.section_name}_databases.txt").write_text("\n".join(engine.templates) + "\n")

    def connect(self, section: dict[str, Any] | list[dict[str, Any]]) -> None:
        """Write connections.yaml, for one server or a list of them."""
        self._write("connections.yaml", yaml.safe_dump({self.engine.section_name: section}))

    def roster(self, roster: Roster) -> None:
        """Write users.txt."""
        self._write("users.txt", "".join(f"{name}:{password}\n" for name, password in roster.items()))

    def forget(self) -> None:
        """Remove the verification cache."""
        for path in self.directory.glob(".*.cache"):
            path.unlink()

    def run(self, *options: str) -> Run:
        """Run the engine's script, which must succeed; the time is that from outside, Python's start included."""
        took, results = self._process(options)
        if took["code"]:
            raise RuntimeError(f"dbroster ended with {took['code']}: {json.dumps(results)[-2000:]}")
        return Run(took["seconds"], took["processor"], took["megabytes"], results[0]["summary"])

    def run_many(self, expected: int) -> None:
        """Run it for a list of servers, of which some may fail."""
        _, results = self._process([])
        if len(results) != expected or all(result["error"] for result in results):
            raise RuntimeError(f"expected {expected} servers: {json.dumps(results)[-2000:]}")

    def _process(self, options: Sequence[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Run the script; what it took, and what it has reported."""
        script = ROOT / "scripts" / f"{self.engine.section_name}_sync.py"
        command = [sys.executable, str(script), "--config", str(self.directory), "--output", "json", *options]
        took = self.directory / "took.json"
        measure = [sys.executable, "-I", "-S", measured.__file__, str(took)]
        with (self.directory / "output").open("w+b") as output:
            subprocess.run([*measure, *command], stdout=output, check=True, env=environment())
            output.seek(0)
            results = json.load(output)["results"]
        return json.loads(took.read_text()), results

    def _write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(text)


def roster(count: int) -> dict[str, str]:
    """So many users with passwords of their own."""
    return {f"u{number:05}": f"Pw-{secrets.token_urlsafe(12)}-7" for number in range(count)}


def one_changed(users: Roster) -> dict[str, str]:
    """The same roster with another password for the user in the middle."""
    names: Sequence[str] = list(users)
    return {**users, names[len(names) // 2]: f"Pw-{secrets.token_urlsafe(12)}-8"}
