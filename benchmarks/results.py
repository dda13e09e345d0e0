"""What was measured, kept in the cache directory, so that one part can be measured again by itself."""

import json
import os
import platform
from pathlib import Path
from typing import Any

from benchmarks.figures import Samples
from servers.template import cache_directory


class Results:
    """All results so far: one file for each part and engine, so that two runs at once don't undo each other."""

    def __init__(self) -> None:
        self._directory = cache_directory() / "bench"

    def keep(self, part: str, engine: str, key: str, value: object) -> None:
        """Replace what was measured before."""
        found = self.figures(part, engine)
        self._directory.mkdir(parents=True, exist_ok=True)
        self._file(part, engine).write_text(json.dumps({**found, key: value, "machine": machine()}, indent=1))

    def life(self, engine: str) -> dict[int, Samples]:
        """Rounds by number of users."""
        found = {int(key): rounds for key, rounds in self.figures("life", engine).items() if key.isdigit()}
        return {users: Samples(found[users]) for users in sorted(found)}

    def figures(self, part: str, engine: str) -> dict[str, Any]:
        """Named figures of one part."""
        file = self._file(part, engine)
        found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        return found

    @property
    def machine(self) -> str:
        """What it was measured on."""
        files = sorted(self._directory.glob("*.json"))
        return str(json.loads(files[-1].read_text()).get("machine", "")) if files else machine()

    def _file(self, part: str, engine: str) -> Path:
        return self._directory / f"{part}-{engine}.json"


def machine() -> str:
    """Processors, memory and Python, for people."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = next((line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if "model name" in line), "")
    return f"{os.cpu_count()} processors ({model}), {memory:.0f} GiB, Python {platform.python_version()}"


def _lines(name: str) -> list[str]:
    file = Path(name)
    return file.read_text().splitlines() if file.exists() else []
