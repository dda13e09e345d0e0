"""Whatever is on the server and whatever fails: a run reaches the desired state, and touches nothing else."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from dbroster.audit.verification import verify
from dbroster.engines import base
from dbroster.model.plan import TAKEN_BACK, Verb
from dbroster.model.result import Outcome, Result, Status
from dbroster.model.roster import Roster
from dbroster.model.state import Lock
from dbroster.roster.parse import parse_users
from dbroster.run import apply
from tests.fake_server import Account, Database, FakeServer, Killed, digest
from tests.support.fake_site import Site, actions
from tests.support.samples import OTHER_PASSWORD, PASSWORD, roster

NAMES = ("ann", "bob", "cy", "dan")
LISTED = st.sampled_from(["listed", "other password", "mentioned", "absent"])
ACCOUNTS = st.sampled_from(
    ["absent", "absent", "absent", "ours", "ours", "locked", "shut by hand", "foreign", "other", "system", "renamed"]
)
FOREIGN = ("foreign", "half dropped", "system")
OURS = ("granted", "granted", "bare", "unfinished", "open to all", "renamed")
DATABASES = st.sampled_from(["absent", *OURS, *FOREIGN])
VERBS = st.sampled_from([*Verb, Verb.CREATE_DATABASE, Verb.CREATE_DATABASE, Verb.GRANT_PRIVILEGES])
FAILURES = st.sets(st.tuples(VERBS, st.sampled_from(NAMES)), max_size=4)
MOMENTS = st.tuples(st.integers(1, 60), st.booleans())
ADOPT = st.frozensets(st.sampled_from(NAMES), max_size=2)


def account(kind: str, name: str) -> Account:
    named = {"foreign": None, "renamed": "somebody"}.get(kind, name)
    made = Account(digest(PASSWORD), {"foreign": None, "other": "other"}.get(kind, "default"), named)
    made.lock = {"locked": Lock.OURS, "shut by hand": Lock.FOREIGN}.get(kind, Lock.OPEN)
    made.protected = "a system account" if kind == "system" else None
    return made


def database(kind: str, name: str, user: str, roster: str | None) -> Database:
    made = Database() if kind in FOREIGN else Database(user, roster, "somewhere" if kind == "renamed" else name)
    made.users = {"granted": {user}, "open to all": {user, "eve"}}.get(kind, set())
    made.usable = kind not in ("unfinished", "half dropped")
    made.protected = "a system database" if kind == "system" else None
    return made


@st.composite
def servers(draw: st.DrawFn) -> FakeServer:
    server = FakeServer()
    for name in NAMES:
        kind = draw(ACCOUNTS)
        if kind != "absent":
            server.accounts[name] = account(kind, name)
        for template in ("web", "data", "old"):
            kind = draw(DATABASES)
            if kind in FOREIGN or (kind != "absent" and name in server.accounts):  # what is ours goes with its account
                owner = server.accounts.get(name)
                made = database(kind, f"{name}_{template}", name, owner.roster if owner else None)
                server.databases[f"{name}_{template}"] = made
    return server


@st.composite
def rosters(draw: st.DrawFn) -> Roster:
    lines = []
    for name in NAMES:
        line = {"listed": f"{name}:{PASSWORD}", "other password": f"{name}:{OTHER_PASSWORD}", "mentioned": f"{name}:"}
        lines.append(line.get(draw(LISTED), ""))
    lines.append(draw(st.sampled_from(["", "", "broken"])))
    wanted = parse_users("\n".join(lines).encode())
    return wanted._replace(templates=("web", "data"))


@dataclass(frozen=True)
class Faults:
    """What goes wrong in a run: actions that fail for a user, for good or in passing, and connections that break."""

    failures: frozenset[tuple[Verb, str]] = frozenset()
    passing: frozenset[tuple[Verb, str]] = frozenset()
    breaks: Sequence[tuple[int, bool]] = field(default=())

    def arm(self, server: FakeServer) -> None:
        for verb, name in self.failures:
            server.fail(verb, name)
        for verb, name in self.passing - self.failures:
            server.fail(verb, name, times=2, retryable=True)
        for moment, answer_lost in self.breaks:
            server.drop_connection(moment, answer_lost=answer_lost)


FAULTS = st.builds(Faults, FAILURES.map(frozenset), FAILURES.map(frozenset), st.lists(MOMENTS, max_size=6))


def clone(server: FakeServer) -> FakeServer:
    """Another server in the same state, without faults."""
    other = FakeServer()
    other.accounts, other.databases = deepcopy(server.accounts), deepcopy(server.databases)
    return other


def state(server: FakeServer) -> dict[str, str]:
    return {name: told(found) for name, found in (server.accounts | server.databases).items()}


def told(found: Account | Database) -> str:
    """Everything of an object, for comparison."""
    return str({**vars(found), "users": sorted(getattr(found, "users", ()))})


def own_accounts(server: FakeServer) -> set[str]:
    """Accounts whose marker names the roster and themselves."""
    return {n for n, a in server.accounts.items() if (a.roster, a.named) == ("default", n) and not a.protected}


def mark_of(name: str, database: Database) -> str | None:
    """The user in a marker that names the database itself."""
    return database.mark if database.named == name else None


def frozen(server: FakeServer, wanted: Roster, adopt: frozenset[str] = frozenset()) -> dict[str, str]:
    """What no run may change: foreign objects, but those to be adopted, and everything of users on bad lines."""
    ours = own_accounts(server)
    given = {name for name in adopt & wanted.users.keys() if _may_be_given(server, name)}
    free = (ours | given) - wanted.mentioned
    of_given = {wished for name in given | (adopt & ours) for wished in wanted.databases(name)}
    accounts = {name: told(a) for name, a in server.accounts.items() if name not in free}
    databases = {
        name: told(d)
        for name, d in server.databases.items()
        if d.protected or (mark_of(name, d) not in free and not (mark_of(name, d) is None and name in of_given))
    }
    return accounts | databases


def _may_be_given(server: FakeServer, name: str) -> bool:
    """An account without any marker, or none at all: databases may be adopted for a new user, too."""
    found = server.accounts.get(name)
    return found is None or ((found.roster is None or found.named != name) and not found.protected)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apply, "PAUSE", 0.0)
        patch.setattr(base, "FIRST_PAUSE", 0.0)
        yield tmp_path_factory.mktemp("sync")


def site_of(directory: Path, server: FakeServer) -> Site:
    """A server and a config directory without any file."""
    for path in directory.iterdir():
        path.unlink()
    site = Site(directory)
    site.server = server
    return site


@contextmanager
def nothing_foreign_changes(server: FakeServer, wanted: Roster, adopt: frozenset[str] = frozenset()) -> Iterator[None]:
    note(f"on the server: {state(server)}")
    before = frozen(server, wanted, adopt)
    yield
    assert before.items() <= state(server).items()


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
        ours = own_accounts(server)
        assert ours <= kept
        owned = {name for name, d in server.databases.items() if mark_of(name, d) in ours - wanted.mentioned - stopped}
        assert owned <= {wished for name in wanted.users for wished in wanted.databases(name)}


def assert_each_planned_action_has_one_outcome(planned: Result, result: Result) -> None:
    """And what is more than the plan takes back what this run created for new users."""
    back = [outcome for outcome in result.outcomes if outcome.action.reason == TAKEN_BACK]
    rest = [outcome for outcome in result.outcomes if outcome.action.reason != TAKEN_BACK]
    assert actions(rest) == actions(planned.outcomes)
    created = {o.action.user for o in rest if o.action.verb is Verb.CREATE_USER and o.status is Status.DONE}
    failed = {o.action.user for o in rest if o.status is Status.FAILED}
    assert {o.action.user for o in back} == created & failed
    assert max(Counter((o.action.verb, o.action.user, o.action.database) for o in back).values(), default=1) == 1


# --- without faults -------------------------------------------------------------------------------------------------


@given(server=servers(), wanted=rosters(), jobs=st.integers(1, 4), adopt=ADOPT)
def test_a_run_reaches_the_desired_state_and_nothing_else(
    directory: Path, server: FakeServer, wanted: Roster, jobs: int, adopt: frozenset[str]
) -> None:
    site = site_of(directory, server)
    with nothing_foreign_changes(server, wanted, adopt):
        dry = site.run(wanted, dry_run=True, max_removals="all", adopt=adopt)
        assert server.changes() == []
        wet = site.run(wanted, max_removals="all", jobs=jobs, adopt=adopt, expect=frozenset({dry.plan}))
    note(f"outcomes: {wet.outcomes}")
    assert wet.refusals == ()
    assert actions(dry.outcomes) == actions(wet.outcomes)
    assert {outcome.status for outcome in wet.outcomes} <= {Status.DONE}
    assert_in_step(server, wanted, wet)
    assert site.run(wanted, max_removals="all", adopt=adopt).outcomes == ()


@given(server=servers(), wanted=rosters(), limit=st.sampled_from([None, "0", "1", "50%"]), jobs=st.integers(1, 4))
def test_a_plan_that_the_guard_refuses_changes_nothing(
    directory: Path, server: FakeServer, wanted: Roster, limit: str | None, jobs: int
) -> None:
    site, managed = site_of(directory, server), [a.roster == "default" for a in server.accounts.values()].count(True)
    before = clone(server)
    result = site.run(wanted, max_removals=limit, jobs=jobs)
    gone = before.accounts.keys() - server.accounts.keys()
    if result.refusals:
        assert {outcome.status for outcome in result.outcomes} <= {Status.REFUSED}
        assert server.changes() == []
        assert state(server) == state(before)
    else:
        open_before = {name for name in gone if before.accounts[name].lock is not Lock.OURS}  # a lock has counted
        assert len(open_before) <= {None: 1, "0": 0, "1": 1, "50%": managed // 2}[limit]
    if not wanted.users:
        assert gone == set()


@given(server=servers(), wanted=rosters(), other=st.none() | rosters())
def test_an_expected_plan_is_the_only_one_that_runs(
    directory: Path, server: FakeServer, wanted: Roster, other: Roster | None
) -> None:
    """None: the roster is the one of the dry run."""
    site = site_of(directory, server)
    planned = site.run(wanted, dry_run=True, max_removals="all")
    found = site.run(other or wanted, dry_run=True, max_removals="all")
    result = site.run(other or wanted, max_removals="all", expect=frozenset({planned.plan}))
    same = what(planned) == what(found)
    assert bool(result.refusals) is not same
    assert what(result) == what(planned if same else found)
    assert same or {outcome.status for outcome in result.outcomes} <= {Status.REFUSED}
    assert bool(server.changes()) <= same


def what(result: Result) -> list[tuple[str, str, str]]:
    return [action[:3] for action in actions(result.outcomes)]


def test_adopting_an_account_makes_no_other_database_removable(directory: Path) -> None:
    site = site_of(directory, FakeServer())
    site.server.add_account("ann", "by hand")
    site.server.databases["ann_old"] = Database("ann", "default", "ann_old", {"ann"})
    wanted, adopt = roster("ann", "ann_old"), frozenset({"ann"})
    result = site.run(wanted, adopt=adopt)
    assert [conflict.user for conflict in result.conflicts] == ["ann"]
    assert "ann_old could become dbroster's, and be dropped" in result.conflicts[0].text
    kept = {"protected": frozenset({"ann_old"})}
    assert not site.run(wanted, adopt=adopt, connection=kept).conflicts
    assert site.run(wanted, connection=kept).outcomes == ()
    assert "ann_old" in site.server.databases


# --- with faults ----------------------------------------------------------------------------------------------------


@given(server=servers(), wanted=rosters(), faults=FAULTS, jobs=st.integers(1, 4), adopt=ADOPT)
def test_a_run_with_faults_harms_nobody_and_the_next_one_converges(
    directory: Path, server: FakeServer, wanted: Roster, faults: Faults, jobs: int, adopt: frozenset[str]
) -> None:
    site, unfaulted = site_of(directory, server), site_of(directory, clone(server))
    unfaulted.run(wanted, max_removals="all", adopt=adopt)
    dry = site.run(wanted, dry_run=True, max_removals="all", adopt=adopt)
    faults.arm(server)
    with nothing_foreign_changes(server, wanted, adopt):
        result = site.run(wanted, max_removals="all", jobs=jobs, adopt=adopt)
        if result.fatal is None:
            assert_each_planned_action_has_one_outcome(dry, result)
        else:  # the connection broke while the state was read
            assert (result.outcomes, server.changes()) == ((), [])
        if not faults.breaks:
            failed = {outcome.action.user for outcome in result.outcomes if outcome.status is not Status.DONE}
            assert failed <= {name for _, name in faults.failures}
        server.revive()
        again = site.run(wanted, max_removals="all", jobs=jobs, adopt=adopt)
    assert {outcome.status for outcome in again.outcomes} <= {Status.DONE}
    assert_in_step(server, wanted, again)
    assert site.run(wanted, max_removals="all", adopt=adopt).outcomes == ()
    assert state(server) == state(unfaulted.server)


@given(server=servers(), wanted=rosters(), faults=FAULTS, jobs=st.integers(1, 4), moment=MOMENTS)
def test_invariant_3_killed_with_any_state_and_any_fault_the_next_run_converges(
    directory: Path, server: FakeServer, wanted: Roster, faults: Faults, jobs: int, moment: tuple[int, bool]
) -> None:
    site, unfaulted = site_of(directory, server), site_of(directory, clone(server))
    unfaulted.run(wanted, max_removals="all")
    faults.arm(server)
    server.kill(moment[0], answer_lost=moment[1])
    with nothing_foreign_changes(server, wanted):
        with suppress(Killed):
            site.run(wanted, max_removals="all", jobs=jobs)
        audited = {f"{line['action']} {line['database'] or line['user']}" for line in site.audit}
        assert {statement.text for statement in server.changes()} <= audited
        server.revive()
        again = site.run(wanted, max_removals="all")
    assert {outcome.status for outcome in again.outcomes} <= {Status.DONE}
    assert site.run(wanted, max_removals="all").outcomes == ()
    assert state(server) == state(unfaulted.server)
    assert site.audit == [] or verify(directory / "audit.jsonl").sound


@given(server=servers(), wanted=rosters(), verbs=st.sets(st.sampled_from(Verb), min_size=1), bad=st.sampled_from(NAMES))
def test_invariant_4_what_becomes_of_a_user_does_not_depend_on_another(
    directory: Path, server: FakeServer, wanted: Roster, verbs: set[Verb], bad: str
) -> None:
    """The same for all others, whether one fails, is well, or is not there at all."""
    failing, alone = clone(server), clone(server)
    for verb in verbs:
        failing.fail(verb, bad)
    for found in (alone.accounts, alone.databases):
        for name in [name for name in found if name.split("_")[0] == bad]:
            del found[name]
    without = wanted._replace(
        users={name: user for name, user in wanted.users.items() if name != bad},
        mentioned=wanted.mentioned - {bad},
    )
    runs = [(server, wanted), (failing, wanted), (alone, without)]
    results = [site_of(directory, each).run(listed, max_removals="all", jobs=2) for each, listed in runs]
    well, failed, absent = (of_others(result.outcomes, bad) for result in results)
    assert well == failed == absent
    others = [{name: text for name, text in state(each).items() if name.split("_")[0] != bad} for each, _ in runs]
    assert others[0] == others[1] == others[2]


def of_others(outcomes: Sequence[Outcome], bad: str) -> list[tuple[str, str, str, str]]:
    return sorted(
        (o.status, o.action.verb, o.action.user, o.action.database or "") for o in outcomes if o.action.user != bad
    )
