"""One mapping of connections.yaml: its values, and a problem with line and key for each that is wrong."""

import os
import re
from typing import Any

from dbroster.model.names import did_you_mean
from dbroster.model.problems import Problem

Path = tuple[str | int, ...]
MOST_UNKNOWN = 50

_REFERENCE = re.compile(r"\$\{(\w+)\}")


def sendable(text: str) -> bool:
    """Whether a text can be sent to a server at all: no NUL, no half of a surrogate pair."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


class ConfigSection:
    """One mapping of connections.yaml; each value is asked for once, what is left over is unknown."""

    def __init__(
        self, data: object, lines: dict[Path, int], problems: list[Problem], file: str, path: Path = ()
    ) -> None:
        self.data: dict[str, Any] = {str(k): v for k, v in data.items()} if isinstance(data, dict) else {}
        self._lines = lines
        self._problems = problems
        self._file = file
        self._path = path
        self._asked: set[str] = set()
        if data is not None and not isinstance(data, dict):
            self.problem(None, "expected keys and values here")

    def problem(self, key: str | None, text: str) -> None:
        """Note that something is wrong with a key, or with the section as a whole."""
        path = self._path if key is None else (*self._path, key)
        where = ".".join(str(part) for part in path)
        line = self._lines.get(path) or self._lines.get(self._path)
        self._problems.append(Problem(f"{where}: {text}" if where else text, self._file, line))

    def value(self, key: str) -> Any:
        """Return a value as YAML gave it, or None."""
        self._asked.add(key)
        return self.data.get(key)

    def part(self, key: str, index: int | None = None) -> "ConfigSection":
        """Return a section inside this one; empty when it is not there."""
        value = self.value(key)
        if index is None:
            return ConfigSection(value, self._lines, self._problems, self._file, (*self._path, key))
        return ConfigSection(value[index], self._lines, self._problems, self._file, (*self._path, key, index))

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text with `${NAME}` taken from the environment; without a default it must be there."""
        value = self.value(key)
        if value is None:
            if default is None:
                self.problem(key, "must be set")
            return default or ""
        if not isinstance(value, str):
            self.problem(key, "expected text; put it in quotes")
            return default or ""
        text = _REFERENCE.sub(lambda match: self._environment(key, match[1]), value)
        if not sendable(text):
            self.problem(key, "contains a character that can't be sent")
            return default or ""
        return text

    def _environment(self, key: str, variable: str) -> str:
        if variable not in os.environ:
            self.problem(key, f"the environment variable {variable} is not set")
        return os.environ.get(variable, "")

    def finish(self) -> None:
        """Note every key that nobody asked for."""
        unknown = [key for key in self.data if key not in self._asked]
        for key in unknown[:MOST_UNKNOWN]:
            self.problem(key, f"unknown key{did_you_mean(key, self._asked)}")
        if len(unknown) > MOST_UNKNOWN:
            self.problem(None, f"{len(unknown) - MOST_UNKNOWN} more unknown keys")
