"""Which versions there are, what installs each, and how the tests get at it."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PRODUCTS = {
    "postgresql": "PostgreSQL",
    "mariadb": "MariaDB",
    "mysql": "MySQL",
    "mongodb": "MongoDB",
    "clickhouse": "ClickHouse",
}
"""Engines, as the tests call them, and the products' names."""

_NUMBERS = {
    "postgresql": ("13", "14", "15", "16", "17", "18", "19rc"),
    "mariadb": ("10.5", "10.11", "11.8"),
    "mysql": ("9.7",),
    "mongodb": ("5.0", "6.0.5", "6.0.27"),
    "clickhouse": ("24.8", "25.8"),
}

_INSTALLERS = {
    "postgresql": ("tools/matrix/install_postgresql.sh", "{number}", "{cache}/matrix/{name}"),
    "mariadb": ("tools/matrix/install_mariadb.sh", "{number}", "{cache}/matrix/{name}"),
    "mysql": ("tools/install_mysql.sh", "{cache}/mysql"),
    "mongodb": ("tools/matrix/install_mongod.sh", "{number}", "{cache}/matrix/{name}"),
    "clickhouse": ("tools/install_clickhouse.sh", "{number}", "{cache}/clickhouse/{number}"),
}
"""Script and arguments; a second call returns at once. MySQL and ClickHouse are those of `make setup`."""

_ENGINE_TESTS = {"mariadb": "mysql"}
"""Whose tests lie in another's directory."""


@dataclass(frozen=True)
class Version:
    """One version of one server."""

    engine: str
    number: str

    @property
    def name(self) -> str:
        """What `make matrix` calls it."""
        return f"{self.engine}-{self.number}"

    @property
    def product(self) -> str:
        """What its makers call it."""
        return PRODUCTS[self.engine]

    def installer(self, cache: Path) -> list[str]:
        """Return the command that installs it; done once, it returns at once."""
        return [word.format(cache=cache, number=self.number, name=self.name) for word in _INSTALLERS[self.engine]]

    def environment(self, cache: Path, path: str) -> dict[str, str]:
        """Tell the tests where its programs are; they come first on the PATH, too, where archives look for them."""
        if self.engine == "clickhouse":
            return {"DBROSTER_CLICKHOUSE_VERSION": self.number}
        if self.engine == "mysql":
            return {}
        programs = f"{cache}/matrix/{self.name}/bin"
        return {f"DBROSTER_TEST_{self.engine.upper()}_BIN": programs, "PATH": f"{programs}:{path}"}

    def tests(self) -> list[str]:
        """Choose what pytest runs: contract, engine and secrecy, as far as it needs a server of this engine."""
        engine = _ENGINE_TESTS.get(self.engine, self.engine)
        paths = ["tests/contract", f"tests/engines/{engine}", "tests/secrecy"]
        return [*paths, f"--engine={self.engine}"]


VERSIONS = {
    version.name: version
    for version in (Version(engine, number) for engine, numbers in _NUMBERS.items() for number in numbers)
}
"""All, by name, in the order of the README's table."""
