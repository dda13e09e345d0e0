"""Carrying out a plan on the fake server: phases, skipping, taking back, stopping."""

from collections.abc import Sequence
from itertools import groupby
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbroster.errors import AuditError
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Outcome, Status
from dbroster.passwords.secret import Secret
from dbroster.run.apply import cut
from tests.fake import FakeHandler, FakeServer, Killed
from tests.support.performing import Run, create, remove, statuses
from tests.support.samples import PASSWORD


@pytest.fixture
def run(server: FakeServer) -> Run:
    return Run(server)


# --- the good day ---------------------------------------------------------------------------------------------------


def test_users_are_created_and_removed(run: Run, server: FakeServer) -> None:
    assert {status for status, _, _ in run(*create("ann", "bob"), new=("ann", "bob"))} == {"done"}
    assert {"ann", "bob"} <= server.accounts.keys()
    assert server.databases["bob_web"].users == {"bob"}
    assert {status for status, _, _ in run(*remove("ann", "bob"))} == {"done"}
    assert server.accounts.keys() == {"admin"}
    assert server.databases.keys() == {"system"}


def changes(server: FakeServer) -> list[tuple[str, str]]:
    """Verb and user of every change, in the order of the server."""
    words = [statement.text.split() for statement in server.changes()]
    return [(verb, name.split("_")[0]) for verb, name, *_ in words]


@pytest.mark.parametrize("jobs", [1, 3, 8])
def test_each_user_is_taken_from_verb_to_verb(server: FakeServer, jobs: int) -> None:
    users = ("ann", "bob", "cy", "dan")
    Run(server, jobs)(*create(*users))
    for user in users:
        verbs = [verb for verb, name in changes(server) if name == user]
        assert [verb for verb, _ in groupby(verbs)] == ["create_user", "create_database", "grant_privileges"]


def test_the_next_users_wait_until_a_session_has_finished_its_own(server: FakeServer) -> None:
    Run(server, jobs=1)(*create("ann", "bob"))
    assert [user for user, _ in groupby(user for _, user in changes(server))] == ["ann", "bob"]


def test_many_users_go_together_so_that_batches_pay(server: FakeServer) -> None:
    users = [f"u{number:03}" for number in range(2 * FakeHandler.groups * FakeHandler.users_at_once)]
    Run(server, jobs=1)(*create(*users))
    made = [user for verb, user in changes(server) if verb == "create_user"]
    assert made == users
    verbs = [verb for verb, _ in groupby(verb for verb, _ in changes(server))]
    assert verbs == ["create_user", "create_database", "grant_privileges"] * (2 * FakeHandler.groups)


@pytest.mark.parametrize("jobs", [1, 3, 8])
def test_all_accounts_are_shut_before_the_first_database_is_dropped(server: FakeServer, jobs: int) -> None:
    users = ("ann", "bob", "cy", "dan")
    Run(server, jobs)(*create(*users))
    made = len(changes(server))
    Run(server, jobs)(*remove(*users))
    verbs = [verb for verb, _ in changes(server)[made:]]
    assert [verb for verb, _ in groupby(verbs)] == ["lock_user", "drop_database", "drop_user"]


@pytest.mark.parametrize("jobs", [1, 3])
def test_outcomes_stand_in_the_order_of_the_plan(server: FakeServer, jobs: int) -> None:
    plan = [*create("ann", "bob", "cy"), *remove("dan")]
    run = Run(server, jobs)
    run(*plan)
    assert [id(outcome.action) for outcome in run.outcomes] == [id(action) for action in plan]


def test_every_change_is_announced_before_it_is_made(run: Run, server: FakeServer) -> None:
    made: list[int] = []
    run.starting = lambda actions: made.append(len(server.changes()))
    run(Action(Verb.CREATE_USER, "bob", None, Secret(PASSWORD)))
    assert made == [0]
    assert run.told == [("started", "create_user", "bob"), ("done", "create_user", "bob")]


def test_sessions_are_closed(run: Run, server: FakeServer) -> None:
    run(*create("ann", "bob", "cy"))
    assert server.sessions == {}


class ClaimsFirst(FakeHandler):
    """An engine where the privileges claim a database before it exists."""

    creation_order: ClassVar = (Verb.GRANT_PRIVILEGES, Verb.CREATE_DATABASE)


def test_the_engine_says_what_claims_a_database(server: FakeServer) -> None:
    class ClaimingRun(Run):
        handler: ClassVar = ClaimsFirst

    server.fail(Verb.GRANT_PRIVILEGES, "bob")
    run = ClaimingRun(server)
    run(*create("bob"))
    assert [told[:2] for told in run.told if told[0] != "started"] == [
        ("done", "create_user"),
        *[("failed", "grant_privileges")] * 2,
        *[("skipped", "create_database")] * 2,
    ]


# --- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [Verb.CREATE_USER, Verb.CREATE_DATABASE, Verb.GRANT_PRIVILEGES])
def test_invariant_4_one_user_s_failure_stops_no_other(run: Run, server: FakeServer, verb: Verb) -> None:
    server.fail(verb, "bob", text="because")
    short = run(*create("ann", "bob", "cy"))
    assert set(statuses(short, "ann") + statuses(short, "cy")) == {"done"}
    failed = [o for o in run.outcomes if o.status is Status.FAILED]
    assert {o.action.verb for o in failed} == {verb}
    assert {(o.error, o.code) for o in failed} == {("because", "F001")}
    skipped = [o for o in run.outcomes if o.status is Status.SKIPPED]
    assert {o.error for o in skipped} <= {f"skipped, since {verb.value} failed for this user"}


def test_an_account_outlives_a_database_that_can_not_be_dropped(run: Run, server: FakeServer) -> None:
    run(*create("ann", "bob"))
    server.fail(Verb.DROP_DATABASE, "bob")
    short = run(*remove("ann", "bob"))
    assert statuses(short, "bob") == ["done", "failed", "failed", "skipped"]
    assert "bob" in server.accounts
    assert "ann" not in server.accounts


def test_an_account_that_can_not_be_locked_keeps_its_databases(run: Run, server: FakeServer) -> None:
    run(*create("bob"))
    server.fail(Verb.LOCK_USER, "bob")
    assert statuses(run(*remove("bob")), "bob") == ["failed", "skipped", "skipped", "skipped"]
    assert "bob_web" in server.databases


def test_databases_are_not_adopted_for_an_account_that_was_not(run: Run, server: FakeServer) -> None:
    server.add_account("bob")
    server.add_database("bob_web")
    server.fail(Verb.ADOPT, "bob", times=1)
    short = run(Action(Verb.ADOPT, "bob", None, Secret(PASSWORD)), Action(Verb.ADOPT, "bob", "bob_web"))
    assert [status for status, _, _ in short] == ["failed", "skipped"]
    assert server.databases["bob_web"].mark is None


def test_what_the_server_calls_retryable_is_done_again(run: Run, server: FakeServer) -> None:
    server.fail(Verb.CREATE_USER, "bob", times=2, retryable=True)
    assert statuses(run(*create("bob")), "bob") == ["done"] * 5
    server.fail(Verb.DROP_USER, "bob", times=2)
    assert statuses(run(*remove("bob")), "bob")[-1] == "failed"


# --- taking back ----------------------------------------------------------------------------------------------------


def test_what_was_created_for_a_new_user_is_taken_back(run: Run, server: FakeServer) -> None:
    server.fail(Verb.GRANT_PRIVILEGES, "bob")
    short = run(*create("ann", "bob"), new=("ann", "bob"))
    assert short[-3:] == [
        ("done", "drop_database", "bob_data"),
        ("done", "drop_database", "bob_web"),
        ("done", "drop_user", "bob"),
    ]
    assert all("taken back" in outcome.action.reason for outcome in run.outcomes[-3:])
    assert run.told[-1] == ("done", "drop_user", "bob")  # taking back is audited too
    assert server.accounts.keys() == {"admin", "ann"}
    assert server.databases.keys() == {"system", "ann_data", "ann_web"}


def test_an_account_that_could_not_even_be_created_needs_no_taking_back(run: Run, server: FakeServer) -> None:
    server.fail(Verb.CREATE_USER, "bob")
    assert statuses(run(*create("bob"), new=("bob",)), "bob") == ["failed"] + ["skipped"] * 4
    assert [s for s in server.changes() if "drop" in s.text] == []


def test_an_account_that_was_there_before_is_never_taken_back(run: Run, server: FakeServer) -> None:
    """MySQL has an account for each host: creating the missing one does not make the user a new one."""
    run(*create("bob"))
    server.fail(Verb.GRANT_PRIVILEGES, "bob")
    short = run(*create("bob"), new=())
    assert not [verb for _, verb, _ in short if verb.startswith("drop")]
    assert {"bob_web", "bob_data"} <= server.databases.keys()
    assert "bob" in server.accounts


def test_an_account_stays_when_its_database_can_not_be_taken_back(run: Run, server: FakeServer) -> None:
    server.fail(Verb.GRANT_PRIVILEGES, "bob")
    server.fail(Verb.DROP_DATABASE, "bob")
    short = run(*create("bob"), new=("bob",))
    assert not [verb for _, verb, _ in short if verb == "drop_user"]
    assert server.accounts["bob"].roster == "default"
    assert server.databases["bob_web"].mark == "bob"


# --- stopping -------------------------------------------------------------------------------------------------------


def test_a_stop_before_the_run_attempts_nothing(run: Run, server: FakeServer) -> None:
    run.stop.set()
    short = run(*create("bob"), *remove("zoe"), new=("bob",))
    assert {status for status, _, _ in short} == {"not_attempted"}
    assert server.log == []
    assert {told[0] for told in run.told} == {"not_attempted"}


def test_a_stop_finishes_what_runs_and_starts_nothing_new(server: FakeServer) -> None:
    run = Run(server, jobs=1)
    run.starting = lambda actions: run.stop.set() if actions[0].database == "ann_data" else None
    short = run(*create("ann", "bob"), *remove("zoe"), new=("ann", "bob"))
    done = [outcome for outcome in short if outcome[0] == "done"]
    assert done == [
        ("done", "create_user", "ann"),
        ("done", "create_database", "ann_data"),
        ("done", "create_database", "ann_web"),
    ]
    assert {status for status, _, _ in short} == {"done", "not_attempted"}
    assert not [s for s in server.changes() if s.text.startswith(("grant", "drop", "lock"))]


def test_an_audit_log_that_fails_before_a_change_stops_that_change(server: FakeServer) -> None:
    run = Run(server, jobs=1)

    def starting(actions: Sequence[Action]) -> None:
        if actions[0].verb is Verb.CREATE_DATABASE:
            raise AuditError("no space left")

    run.starting = starting
    with pytest.raises(AuditError, match="no space left"):
        run(*create("ann", "bob"), new=("ann", "bob"))
    assert [told for told in run.short() if told[0] != "not_attempted"] == [("done", "create_user", "ann")]
    assert changes(server) == [("create_user", "ann")]


@pytest.mark.parametrize("jobs", [1, 4])
def test_an_audit_log_that_fails_after_a_change_does_not_hide_it(server: FakeServer, jobs: int) -> None:
    run = Run(server, jobs)

    def finished(outcomes: Sequence[Outcome]) -> None:
        if any(o.status is Status.DONE and o.action.verb is Verb.CREATE_DATABASE for o in outcomes):
            raise AuditError("no space left")

    run.finished = finished
    with pytest.raises(AuditError):
        run(*create("ann", "bob", "cy", "dan"))
    made = {name for status, verb, name in run.short() if (status, verb) == ("done", "create_database")}
    assert made == {name for name, database in server.databases.items() if database.usable} - {"system"}
    assert made
    assert not [s for s in server.changes() if s.text.startswith("grant")]


class Defective(FakeHandler):
    """An engine with a defect that one user brings out, in batches and by itself; what it says may hold a secret."""

    batch_sizes: ClassVar = dict.fromkeys(Verb, 10)
    together: ClassVar = tuple(Verb)

    def create_database(self, user: str, database: str) -> None:
        if user == "bob":
            raise ZeroDivisionError(PASSWORD)
        super().create_database(user, database)


@pytest.mark.parametrize("jobs", [1, 4])
def test_a_defect_ends_one_action(server: FakeServer, jobs: int) -> None:
    """W1: what one user has made may bring it out (T4, T17, G4); if that ended the run, he could stop all removals.

    Only a defect in reading the server, before there is a plan, ends it: nobody's part is known then.
    """

    class DefectiveRun(Run):
        handler: ClassVar = Defective

    Run(server)(*create("old"))
    run = DefectiveRun(server, jobs)
    told = run(*create("ann", "bob", "cy"), *remove("old"), new=("ann", "bob", "cy"))
    failed = [outcome for outcome in run.outcomes if outcome.status is Status.FAILED]
    assert {outcome.action.database for outcome in failed} == {"bob_data", "bob_web"}
    assert {outcome.error for outcome in failed} == {
        f"a defect in dbroster, please report it: ZeroDivisionError in create_database, line {_line()}"
    }
    assert statuses(told, "bob")[-1] == "done"  # taken back
    assert server.accounts.keys() == {"admin", "ann", "cy"}
    assert {status for status, _, name in told if not name.startswith("bob")} == {"done"}
    assert server.sessions == {}


def _line() -> int:
    return Defective.create_database.__code__.co_firstlineno + 2


def test_a_kill_is_not_swallowed(run: Run, server: FakeServer) -> None:
    server.kill(3)
    with pytest.raises(Killed):
        run(*create("ann", "bob", "cy"))


# --- sharing the work -----------------------------------------------------------------------------------------------

USERS = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 4)), unique_by=lambda pair: pair[0], min_size=1)


@given(USERS, st.integers(1, 20), st.integers(1, 9))
def test_chunks_hold_everything_in_order_and_part_no_user(
    users: list[tuple[str, int]], size: int, sessions: int
) -> None:
    actions = [Action(Verb.CREATE_DATABASE, user, str(n)) for user, number in users for n in range(number)]
    chunks = cut(actions, size, sessions)
    assert [action for chunk in chunks for action in chunk] == actions
    assert all(chunks)
    homes = [{action.user for action in chunk} for chunk in chunks]
    assert sum(map(len, homes)) == len(users)
    assert all(len(chunk) <= size or len(home) == 1 for chunk, home in zip(chunks, homes, strict=True))


def test_a_batch_engine_still_uses_every_session() -> None:
    actions = [Action(Verb.CREATE_USER, f"u{n}") for n in range(8)]
    assert len(cut(actions, 100, 4)) == 4
    assert len(cut(actions, 1, 4)) == 8
