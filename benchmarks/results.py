"""What was measured, kept in the cache directory, so that one part can be measured again by itself."""

import json
import os
import platform
from pathlib import Path
from typing import Any

from benchmarks.figures import Samples
from servers.template import cache_directory


def path() -> Path:
    """Where the results are."""
    return cache_directory() / "bench" / "results.json"


class Results:
    """All results so far: rounds by engine and number of users, and named figures of the other parts."""

    def __init__(self) -> None:
        self._data: dict[str, Any] = json.loads(path().read_text()) if path().exists() else {}

    def keep(self, part: str, engine: str, key: str, value: object) -> None:
        """Replace what was measured before, and write."""
        self._data.setdefault(part, {}).setdefault(engine, {})[key] = value
        self._data["machine"] = machine()
        path().parent.mkdir(parents=True, exist_ok=True)
        path().write_text(json.dumps(self._data, indent=1))

    def life(self, engine: str) -> dict[int, Samples]:
        """Rounds by number of users."""
        found = self._data.get("life", {}).get(engine, {})
        return {int(users): Samples(rounds) for users, rounds in sorted(found.items(), key=lambda each: int(each[0]))}

    def figures(self, part: str, engine: str) -> dict[str, Any]:
        """Named figures of one part."""
        found: dict[str, Any] = self._data.get(part, {}).get(engine, {})
        return found

    @property
    def machine(self) -> str:
        """What it was measured on."""
        return str(self._data.get("machine", machine()))


def machine() -> str:
    """Processors, memory and Python, for people."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = next((line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if "model name" in line), "")
    return f"{os.cpu_count()} processors ({model}), {memory:.0f} GiB, Python {platform.python_version()}"


def _lines(name: str) -> list[str]:
    file = Path(name)
    return file.read_text().splitlines() if file.exists() else []
