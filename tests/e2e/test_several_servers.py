"""Several servers in one engine's section: in parallel, each for itself, one of them dead."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from servers import MongoDB
from tests.contract.adapters import Adapter
from tests.e2e.together import Everything
from tests.engines.mongodb.adapter import MongoDBAdapter
from tests.servers.available import available

_numbers = count(1)


@pytest.fixture
def two_mongods(adapters: dict[str, Adapter], tmp_path: Path) -> Iterator[Everything]:
    with available(MongoDB) as second:
        pair = {"first": adapters["mongodb"], "second": MongoDBAdapter(second)}
        everything = Everything(pair, tmp_path / "config", f"s{next(_numbers)}q")
        sections = [{"name": name, **adapter.section()} for name, adapter in pair.items()]
        everything.configure(mysql=None, mongodb=sections)
        everything.users()
        yield everything
        adapters["mongodb"].wipe(everything.prefix)
        pair["second"].close()


def test_a_mongod_that_is_dead_catches_up_when_it_is_back(two_mongods: Everything) -> None:
    both, second = two_mongods, two_mongods.adapters["second"]
    results = both.judged(both.script("mongodb", "--output", "json"), 0)
    assert [(name, len(result["actions"])) for name, result in results.items()] == [("first", 10), ("second", 10)]
    ann, bob = both.roster
    both.users({ann: "Another-staple-8-pony", both.prefix + "cyd": "Third-robot-9-paper"})
    second.server.kill()

    results = both.judged(both.script("mongodb", "--output", "json"), 2)
    assert results["second"]["error"]
    assert (results["first"]["error"], {a["status"] for a in results["first"]["actions"]}) == (None, {"done"})
    assert both.at_home("first")
    assert bob not in both.adapters["first"].accounts()
    assert both.script("mongodb", "--server", "first").code == 0
    assert both.script("mongodb", "--server", "second").code == 2

    second.server.start()
    assert both.script("mongodb", "--server", "second").code == 0
    assert both.at_home("second")
    assert bob not in second.accounts()
    run = both.script("mongodb", "--dry-run", "--detailed-exitcode")
    assert run.code == 0, run.out


def test_mysql_and_mariadb_and_a_dead_one(adapters: dict[str, Adapter], tmp_path: Path) -> None:
    pair = {name: adapters[name] for name in ("mysql", "mariadb")}
    everything = Everything(pair, tmp_path / "config", f"s{next(_numbers)}q")
    dead = {"name": "dead", "host": "127.0.0.1", "port": 1, "username": "nobody", "password": "none"}
    broken = {"name": "broken", "host": "127.0.0.1", "username": "nobody"}
    everything.configure(mysql=[dead, broken, *everything.sections()["mysql"]])
    everything.users()
    results = everything.judged(everything.script("mysql", "--output", "json"), 2)
    assert {name: bool(result["error"]) for name, result in results.items()} == {
        "dead": True, "broken": True, "mysql": False, "mariadb": False,
    }  # fmt: skip
    assert [result["product"].split()[0] for result in list(results.values())[2:]] == ["MySQL", "MariaDB"]
    assert everything.at_home("mysql")
    assert everything.at_home("mariadb")
    assert everything.script("mysql", "--server", "mariadb", "--dry-run", "--detailed-exitcode").code == 0
    everything.wipe()
