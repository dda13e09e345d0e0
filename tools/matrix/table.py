"""The README's table: what ran when, with which counts. A row stays until its version is run again."""

import re
from dataclasses import dataclass
from pathlib import Path

from tools.matrix.versions import ROOT, VERSIONS

README = ROOT / "README.md"
BEGIN = "<!-- matrix: written by `make matrix` -->\n"
END = "<!-- end of matrix -->\n"
HEAD = "| `make matrix ARGS=` | server | run on | tests |\n|---|---|---|---|\n"
ROW = re.compile(
    r"\| `(?P<name>[^`]+)` \| (?P<server>\S+ \S+) \| (?P<day>\d{4}-\d\d-\d\d) \| "
    r"(?P<passed>\d+) passed, (?P<skipped>\d+) skipped(?:, (?P<failed>\d+) failed)? \|"
)


@dataclass(frozen=True)
class Row:
    """One run of one version."""

    name: str
    server: str
    """Product and version, as the running server says it."""
    day: str
    passed: int
    skipped: int
    failed: int

    def __str__(self) -> str:
        return f"| `{self.name}` | {self.server} | {self.day} | {self.counts} |"

    @property
    def counts(self) -> str:
        """The result in words."""
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.passed} passed, {self.skipped} skipped{failed}"


def read(text: str) -> dict[str, Row]:
    """Return the rows of the README's text by name. Raises ValueError for a line that is no row."""
    table = text.partition(BEGIN)[2].partition(END)[0].removeprefix(HEAD)
    rows = {}
    for line in table.splitlines():
        found = ROW.fullmatch(line)
        if not found:
            raise ValueError(f"no row of the matrix: {line}")
        counts = [int(found[kind] or 0) for kind in ("passed", "skipped", "failed")]
        rows[found["name"]] = Row(found["name"], found["server"], found["day"], *counts)
    return rows


def replaced(text: str, new: Row) -> str:
    """Return the README's text with a new row, in the order of the versions, and none of versions that are gone."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError("the README has no place for the matrix")
    rows = read(text) | {new.name: new}
    lines = "".join(f"{rows[name]}\n" for name in VERSIONS if name in rows)
    return f"{before}{begin}{HEAD}{lines}{end}{after}"


def write(row: Row, readme: Path = README) -> None:
    """Put a row into the README."""
    readme.write_text(replaced(readme.read_text(), row))
