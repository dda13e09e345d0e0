"""`dbroster rename` with real servers of all products behind it, and data in the databases."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from dbroster.audit.log_files import RUN
from tests.contract.adapters import Adapter
from tests.e2e.site import PASSWORD, TEMPLATES
from tests.e2e.together import Everything

_numbers = count(1)
ARCHIVES = {"removals": {"archive_dir": "archives"}}


@pytest.fixture
def everything(adapters: dict[str, Adapter], tmp_path: Path) -> Iterator[Everything]:
    """Ann and bob on all servers, with a row in each database of his."""
    everything = Everything(adapters, tmp_path / "config", f"rn{next(_numbers)}q")
    everything.configure(**ARCHIVES)
    bob = everything.prefix + "bob"
    everything.users({everything.prefix + "ann": PASSWORD, bob: PASSWORD})
    assert everything.run("sync").code == 0
    for adapter in adapters.values():
        for template in TEMPLATES:
            adapter.put(bob, PASSWORD, f"{bob}_{template}", f"a row of {template}")
    yield everything
    everything.wipe()


def keeps(everything: Everything, user: str) -> bool:
    """Whether a user finds all rows on all servers."""
    return all(
        f"a row of {template}" in adapter.get(user, PASSWORD, f"{user}_{template}")
        for adapter in everything.adapters.values()
        for template in TEMPLATES
    )


def actions(results: dict[str, dict[str, list[dict[str, str]]]]) -> dict[str, list[tuple[str, str, str]]]:
    return {name: [(a["action"], a["user"], a["database"]) for a in r["actions"]] for name, r in results.items()}


def test_a_user_is_renamed_on_five_products_and_back(everything: Everything) -> None:
    """A12: account, databases and rows; the dry run says what the run does; the sync finds nothing to do."""
    bob, robert = everything.prefix + "bob", everything.prefix + "robert"
    planned = everything.results("rename", bob, robert, "--dry-run", "--detailed-exitcode", code=4)
    assert keeps(everything, bob)
    done = everything.results("rename", bob, robert, code=0)
    assert actions(done) == actions(planned)
    assert set(done) == set(everything.adapters)
    everything.roster = {everything.prefix + "ann": PASSWORD, robert: PASSWORD}
    assert f"{robert}:{PASSWORD}\n" in (everything.directory / "users.txt").read_text()
    assert keeps(everything, robert)
    assert everything.run("plan", "--detailed-exitcode").code == 0
    for name, adapter in everything.adapters.items():
        assert everything.at_home(name)
        assert not any(found.startswith(bob) for found in adapter.accounts() | adapter.databases())
        assert not adapter.can_login(bob, PASSWORD)
    audited = [line for line in everything.audit() if line["action"] != RUN and line["user"] == robert]
    assert {line["status"] for line in audited} == {"started", "done"}
    assert everything.run("rename", robert, bob).code == 0
    assert keeps(everything, bob)
    assert everything.run("plan", "--detailed-exitcode").code == 0


def test_what_one_product_is_against_is_done_on_none(everything: Everything) -> None:
    """A12: a foreign account of the new name on one server, and a server that is down."""
    bob, robert = everything.prefix + "bob", everything.prefix + "robert"
    roster = (everything.directory / "users.txt").read_text()
    everything.adapters["mariadb"].create_account_by_hand(robert, PASSWORD)
    run = everything.run("rename", bob, robert)
    assert run.code == 2
    assert f"an account {robert} exists already" in run.out
    everything.adapters["mariadb"].drop_account_by_hand(robert)
    sections = everything.sections()
    sections["mongodb"] |= {"port": 1, "connect_timeout": 1}
    everything.configure(**ARCHIVES, mongodb=sections["mongodb"])
    assert everything.run("rename", bob, robert).code == 2
    everything.configure(**ARCHIVES)
    assert (everything.directory / "users.txt").read_text() == roster
    assert keeps(everything, bob)
    assert everything.run("plan", "--detailed-exitcode").code == 0
