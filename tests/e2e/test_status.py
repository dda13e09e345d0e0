"""`dbroster status` on all real servers: what it tells is what stands there, and it takes no lock."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.contract.adapters import Adapter
from tests.e2e.site import OTHER_PASSWORD, PASSWORD, TEMPLATES
from tests.e2e.test_together import SERVERS
from tests.e2e.together import Everything

_numbers = count(1)


@pytest.fixture
def everything(adapters: dict[str, Adapter], tmp_path: Path) -> Iterator[Everything]:
    everything = Everything(adapters, tmp_path / "config", f"s{next(_numbers)}q")
    everything.users()
    yield everything
    everything.wipe()


def rows(everything: Everything, *options: str, code: int) -> dict[tuple[str, str], dict[str, Any]]:
    """Every row of the status by the adapter's name and the user without the prefix."""
    run = everything.run("status", "--output", "json", *options)
    assert run.code == code, run.out + run.err
    found = {}
    for row in run.document["rows"]:
        name = row["engine"] if row["server"] == "default" else row["server"]
        found[name, row["user"].removeprefix(everything.prefix)] = row
    return found


def test_it_tells_what_is_there(everything: Everything) -> None:
    found = rows(everything, code=1)
    assert {(row["account"], row["password"], row["in_step"]) for row in found.values()} == {("missing", None, False)}
    assert everything.run("sync").code == 0
    found = rows(everything, code=0)
    assert set(found) == {(server, user) for server in SERVERS for user in ("ann", "bob")}
    sizes = rows(everything, "--sizes", code=0)
    assert {name: row["sizes"].keys() for name, row in sizes.items()} == {
        name: set(row["databases"]["there"]) for name, row in found.items()
    }
    for row in found.values():
        assert (row["account"], row["password"], row["pending"], row["problems"]) == ("open", "same", [], [])
        assert row["databases"]["there"] == [f"{row['user']}_{template}" for template in TEMPLATES]
        assert row["last_change"]["action"] == "create_user"


def test_drift_a_lock_and_what_was_left(everything: Everything) -> None:
    ann, bob = (everything.prefix + short for short in ("ann", "bob"))
    removals = {"removals": {"grace_days": 9, "max": 5}}
    sections = everything.sections()
    for section in (*sections["mysql"], *(sections[name] for name in SERVERS[2:])):
        section |= removals
    everything.configure(**sections)
    assert everything.run("sync").code == 0
    everything.users({ann: OTHER_PASSWORD, everything.prefix + "eve": PASSWORD})
    found = rows(everything, code=1)
    for name in SERVERS:
        assert found[name, "ann"]["password"] == "different", name
        assert [each["verb"] for each in found[name, "ann"]["pending"]] == ["update_password"], name
        assert found[name, "eve"]["account"] == "missing", name
        assert [each["verb"] for each in found[name, "bob"]["pending"]] == ["lock_user"], name
        assert found[name, "bob"]["databases"]["surplus"] == [f"{bob}_{template}" for template in TEMPLATES], name
    assert everything.run("sync", "--max-removals", "all").code == 0
    found = rows(everything, code=0)
    for name in SERVERS:
        row = found[name, "bob"]
        assert (row["account"], row["listed"], row["in_step"]) == ("locked", False, True), name
        assert row["locked_since"] < row["kept_until"], name
        assert row["last_change"]["action"] == "lock_user", name
    assert everything.run("status", ann).code == 0
