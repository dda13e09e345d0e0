"""How often a run opens its files: each once, and once more before something is removed."""

import os
from collections import Counter
from pathlib import Path

import pytest

from dbroster.cli.main import main
from dbroster.engines.base import Handler
from dbroster.model.connection import Connection
from dbroster.model.roster import USERS_FILE
from tests.fake import FakeHandler, FakeServer
from tests.support.samples import PASSWORD, config, private

ENGINES = ("mysql", "postgresql", "clickhouse", "mongodb")
LISTS = [f"{engine}_databases.txt" for engine in ENGINES]
SERVER = "{host: 127.0.0.1, username: admin, password: x}"
NAMED = [f"- {{name: {name}, host: 127.0.0.1, username: admin, password: x}}\n" for name in "abc"]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was opened, by its name."""
    counted: Counter[str] = Counter()
    real = os.open

    def count(path: str, *arguments: int, **named: int) -> int:
        counted[Path(path).name] += 1
        return real(path, *arguments, **named)

    monkeypatch.setattr(os, "open", count)
    return counted


def files(directory: Path, *names: str, connections: str) -> list[str]:
    config(directory, "".join(f"{name}:{PASSWORD}\n" for name in names), connections=connections)
    for name in LISTS:
        private(directory / name, "web\n")
    return ["--config", str(directory), "--quiet"]


def test_a_check_of_four_engines_reads_each_file_once(tmp_path: Path, opened: Counter[str]) -> None:
    """What 17 opens of connections.yaml have read could be 17 different files."""
    sections = "".join(f"{engine}: {SERVER}\n" for engine in ENGINES)
    given = files(tmp_path, "ann", connections=sections)
    opened.clear()
    assert main(["check", *given]) == 0
    names = (USERS_FILE, "connections.yaml", *LISTS)
    assert [opened[name] for name in names] == [1] * len(names)


def test_servers_of_one_engine_share_what_was_read(tmp_path: Path, opened: Counter[str]) -> None:
    given = files(tmp_path, "ann", connections=f"mysql:\n{''.join(NAMED)}")
    opened.clear()
    assert main(["check", *given]) == 0
    assert (opened["connections.yaml"], opened["mysql_databases.txt"], opened[USERS_FILE]) == (1, 1, 1)


def test_a_run_reads_again_only_before_it_changes_something(tmp_path: Path, opened: Counter[str]) -> None:
    server = FakeServer()

    def connect(connection: Connection) -> Handler:
        return FakeHandler(connection, server)

    given = files(tmp_path, "ann", "bob", connections=f"postgresql: {SERVER}\n")
    for users, opens in ((("ann", "bob"), 2), (("ann", "bob"), 1), (("ann",), 2)):
        private(tmp_path / USERS_FILE, "".join(f"{name}:{PASSWORD}\n" for name in users))
        opened.clear()
        assert main(["sync", "--max-removals", "all", *given], connect=connect) == 0
        names = (USERS_FILE, "connections.yaml", "postgresql_databases.txt")
        assert [opened[name] for name in names] == [opens] * 3, users
    assert "bob" not in server.accounts


def test_an_edit_reads_connections_once_to_find_the_roster_and_once_to_judge_it(
    tmp_path: Path, opened: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = "".join(f"{engine}: {SERVER}\n" for engine in ENGINES)
    files(tmp_path, "ann", connections=sections)
    opened.clear()
    monkeypatch.setenv("VISUAL", f"sed -i s/{PASSWORD}/{PASSWORD[::-1]}/")
    assert main(["edit", "--config", str(tmp_path)]) == 0
    assert [opened[name] for name in ("connections.yaml", *LISTS)] == [2, 1, 1, 1, 1]
