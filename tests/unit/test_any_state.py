"""Whatever is on the server and whatever fails: a run reaches the desired state, and touches nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbroster.model import Lock, Result, Roster, Status, Verb
from dbroster.roster import parse_users
from tests.fake_server import Account, Database, FakeServer, digest
from tests.unit.samples import OTHER_PASSWORD, PASSWORD
from tests.unit.site import Site, actions

NAMES = ("ann", "bob", "cy", "dan")
LISTED = st.sampled_from(["listed", "other password", "mentioned", "absent"])
ACCOUNTS = st.sampled_from(["absent", "ours", "ours", "locked", "shut by hand", "foreign", "other", "system"])
DATABASES = st.sampled_from(["absent", "granted", "granted", "bare", "unfinished", "open to all", "foreign", "system"])
FAULTS = st.sets(st.tuples(st.sampled_from(Verb), st.sampled_from(NAMES)), max_size=4)


def account(kind: str) -> Account:
    made = Account(digest(PASSWORD), {"foreign": None, "other": "other"}.get(kind, "default"))
    made.lock = {"locked": Lock.OURS, "shut by hand": Lock.FOREIGN}.get(kind, Lock.OPEN)
    made.protected = "a system account" if kind == "system" else None
    return made


def database(kind: str, name: str) -> Database:
    mark = None if kind in ("foreign", "system") else name
    users = {"granted": {name}, "open to all": {name, "eve"}}.get(kind, set())
    return Database(mark, users, kind != "unfinished", "a system database" if kind == "system" else None)


@st.composite
def servers(draw: st.DrawFn) -> FakeServer:
    server = FakeServer()
    for name in NAMES:
        kind = draw(ACCOUNTS)
        if kind != "absent":
            server.accounts[name] = account(kind)
        for template in ("web", "data", "old"):
            kind = draw(DATABASES)
            if kind != "absent":
                made = server.databases[f"{name}_{template}"] = database(kind, name)
                if name not in server.accounts:
                    made.mark = None  # on every engine, what proves an owner goes with the account
    return server


@st.composite
def rosters(draw: st.DrawFn) -> Roster:
    lines = []
    for name in NAMES:
        line = {"listed": f"{name}:{PASSWORD}", "other password": f"{name}:{OTHER_PASSWORD}", "mentioned": f"{name}:"}
        lines.append(line.get(draw(LISTED), ""))
    lines.append(draw(st.sampled_from(["", "", "broken"])))
    wanted = parse_users("\n".join(lines).encode())
    return replace(wanted, templates=("web", "data"))


def frozen(server: FakeServer, wanted: Roster) -> dict[str, str]:
    """What no run may change: foreign objects, and everything of users that are merely mentioned."""
    ours = {name for name, a in server.accounts.items() if a.roster == "default" and not a.protected}
    accounts = {name: repr(a) for name, a in server.accounts.items() if name not in ours - wanted.mentioned}
    databases = {
        name: repr(d) for name, d in server.databases.items() if d.protected or d.mark not in ours - wanted.mentioned
    }
    return accounts | databases


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sync")


@contextmanager
def nothing_foreign_changes(server: FakeServer, wanted: Roster) -> Iterator[None]:
    before = frozen(server, wanted)
    yield
    after = {name: repr(found) for name, found in (server.accounts | server.databases).items()}
    assert before.items() <= after.items()


def assert_in_step(server: FakeServer, wanted: Roster, result: Result) -> None:
    stopped = {conflict.user for conflict in result.conflicts}
    for name in wanted.users.keys() - stopped:
        assert server.accounts[name].roster == "default"
        assert server.accounts[name].stored == digest(wanted.users[name].password.reveal())
        for wished in wanted.databases(name):
            assert server.databases[wished].users == {name}
            assert server.databases[wished].usable
    if not wanted.suspended:
        kept = wanted.users.keys() | wanted.mentioned
        ours = {name for name, a in server.accounts.items() if a.roster == "default" and not a.protected}
        assert ours <= kept
        owned = {name for name, d in server.databases.items() if d.mark in ours - wanted.mentioned - stopped}
        assert owned <= {wished for name in wanted.users for wished in wanted.databases(name)}


@given(server=servers(), wanted=rosters(), jobs=st.integers(1, 4))
def test_a_run_reaches_the_desired_state_and_nothing_else(
    directory: Path, server: FakeServer, wanted: Roster, jobs: int
) -> None:
    site = Site(directory)
    site.server = server
    with nothing_foreign_changes(server, wanted):
        dry = site.run(wanted, dry_run=True, max_removals="all")
        assert server.changes() == []
        wet = site.run(wanted, max_removals="all", jobs=jobs)
    assert actions(dry.outcomes) == actions(wet.outcomes)
    assert {outcome.status for outcome in wet.outcomes} <= {Status.DONE}
    assert_in_step(server, wanted, wet)
    assert site.run(wanted, max_removals="all").outcomes == ()


@given(server=servers(), wanted=rosters(), faults=FAULTS, jobs=st.integers(1, 4))
def test_a_run_with_faults_harms_nobody_and_the_next_one_converges(
    directory: Path, server: FakeServer, wanted: Roster, faults: set[tuple[Verb, str]], jobs: int
) -> None:
    site = Site(directory)
    site.server = server
    for verb, name in faults:
        server.fail(verb, name)
    with nothing_foreign_changes(server, wanted):
        result = site.run(wanted, max_removals="all", jobs=jobs)
        assert result.fatal is None
        failed = {outcome.action.user for outcome in result.outcomes if outcome.status is not Status.DONE}
        assert failed <= {name for _, name in faults}
        server.revive()
        again = site.run(wanted, max_removals="all", jobs=jobs)
    assert {outcome.status for outcome in again.outcomes} <= {Status.DONE}
    assert_in_step(server, wanted, again)
    assert site.run(wanted, max_removals="all").outcomes == ()
