"""Whatever others have made: what is proposed can be taken over, with its data, and all else stays as it is."""

from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbroster.model.connection import Connection
from dbroster.model.plan import Verb
from dbroster.model.result import Result, Status
from dbroster.model.roster import Roster
from dbroster.model.state import Lock
from dbroster.roster.parse import parse_users
from dbroster.run.reading.proposing import Proposed, Proposing, users_text
from dbroster.run.server_run import Options
from dbroster.run.sync import Sync
from tests.fake import FakeHandler, FakeServer, fake_connection
from tests.fake_server import Account, Database

NAMES = st.sampled_from(["ann", "bob", "bob_x", "Ann", "cyd", "eve d", "root", "x" * 33])
ENDINGS = st.sampled_from(["web", "tools", "old", "x_web", "", "é"])
ACCOUNTS = st.builds(
    Account,
    st.just("old"),
    st.sampled_from([None, None, None, "others"]),
    st.none(),
    st.sampled_from([Lock.OPEN, Lock.OPEN, Lock.OPEN, Lock.FOREIGN]),
    st.sampled_from([None, None, None, "it is powerful"]),
)
DATABASES = st.builds(
    Database,
    users=st.sets(NAMES, min_size=1, max_size=2),
    usable=st.sampled_from([True, True, True, False]),
    protected=st.sampled_from([None, None, None, "a system database"]),
    rows=st.just(["data"]),
)
PLACES = st.builds(lambda name, ending: f"{name}_{ending}", NAMES, ENDINGS) | st.sampled_from(["shop", "ann"])
HOLDERS = st.sampled_from(["itself", "itself", "itself", "nobody", "another", "absent"])
"""Who has a database of a usual name."""


@st.composite
def servers(draw: st.DrawFn) -> FakeServer:
    server = FakeServer()
    server.accounts |= {name: Account("old") for name in ("ann", "bob", "bob_x")}
    server.accounts |= draw(st.dictionaries(NAMES, ACCOUNTS, max_size=4))
    for name, account in server.accounts.items():
        account.named = name if account.roster else None
    server.databases |= draw(st.dictionaries(PLACES, DATABASES, max_size=4))
    for name in ("ann", "bob", "bob_x"):
        for ending in ("web", "tools"):
            users = {"itself": {name}, "nobody": set[str](), "another": {"cyd"}}.get(draw(HOLDERS))
            if users is not None:
                server.databases[f"{name}_{ending}"] = Database(users=users, rows=["data"])
    return server


def wanted(found: Proposed) -> Roster:
    return parse_users(users_text(found.passwords).encode())._replace(templates=tuple(found.proposal.templates))


def sync(connection: Connection, roster: Roster, directory: Path, *, dry_run: bool) -> Result:
    adopt = frozenset(roster.users)
    return Sync(connection, roster, Options(directory, dry_run, adopt_from=adopt), FakeHandler.open).run()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(servers(), st.frozensets(NAMES | PLACES, max_size=1))
def test_a_proposal_of_any_server_can_be_taken_over(server: FakeServer, protected: frozenset[str]) -> None:
    connection = fake_connection(server, protected=protected)
    with TemporaryDirectory() as name:
        directory = Path(name)
        found = Proposing(connection, Roster(), Options(directory, dry_run=True), FakeHandler.open).run()
        assert server.changes() == []
        before, roster = deepcopy((server.accounts, server.databases)), wanted(found)
        assert roster.users.keys() == found.passwords.keys() == {fit.name for fit in found.proposal.fits}
        planned = sync(connection, roster, directory, dry_run=True)
        assert (planned.fatal, planned.conflicts, planned.refusals) == (None, (), ())
        assert [problem for problem in planned.problems if not problem.warning] == []
        assert {action.user for action in (outcome.action for outcome in planned.outcomes)} == roster.users.keys()
        done = sync(connection, roster, directory, dry_run=False)
        assert {outcome.status for outcome in done.outcomes} <= {Status.DONE}
        assert [outcome.action for outcome in done.outcomes if outcome.action.verb in (Verb.DROP_USER,)] == []
        again = sync(connection, roster, directory, dry_run=True)
        assert (again.outcomes, again.conflicts, again.problems) == ((), (), ())
    _all_else_stays(server, before, found)


def _all_else_stays(
    server: FakeServer, before: tuple[dict[str, Account], dict[str, Database]], found: Proposed
) -> None:
    accounts, databases = before
    taken = {place for fit in found.proposal.fits for place in fit.there}
    made = {place for fit in found.proposal.fits for place in fit.missing}
    assert not made & databases.keys()
    assert all(databases[place].users == {fit.name} for fit in found.proposal.fits for place in fit.there)
    assert server.databases.keys() == databases.keys() | made
    assert {name: each.rows for name, each in server.databases.items() if name in taken} == {
        name: databases[name].rows for name in taken
    }
    assert {name: each for name, each in server.databases.items() if name not in taken | made} == {
        name: each for name, each in databases.items() if name not in taken
    }
    others = accounts.keys() - found.passwords.keys()
    assert {name: server.accounts[name] for name in others} == {name: accounts[name] for name in others}
    told = {misfit.name for misfit in found.proposal.misfits}
    assert told >= others - {"root"}


def test_more_refusals_than_are_told_at_once(tmp_path: Path) -> None:
    """All have a name that is too long; those beyond the first thousand are found, too."""
    server, number = FakeServer(), 1001
    for place in range(number):
        user = f"{place:040}"
        server.accounts[user] = Account("old")
        server.databases[f"{user}_web"] = Database(users={user})
    options = Options(tmp_path, dry_run=True)
    found = Proposing(fake_connection(server), Roster(), options, FakeHandler.open).run()
    assert found.proposal.fits == ()
    assert len(found.proposal.misfits) == number + 1  # the admin
