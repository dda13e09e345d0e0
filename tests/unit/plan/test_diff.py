"""The plan: what is done for each state of a user, what stands in the way, and what is never touched."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbroster.model.plan import Action, Plan, Verb
from dbroster.model.roster import Roster
from dbroster.model.state import Actual, ExistingDatabase, ExistingUser, Lock, PasswordCheck
from dbroster.plan.diff import Differ
from dbroster.plan.grace_period import GracePeriod
from tests.support.samples import roster

OURS = ExistingUser("bob", managed=True, roster="default")
WEB = ExistingDatabase("bob_web", owner="bob", granted=True)
OLD_OF_BOB = ExistingDatabase("bob_old", owner="bob", granted=True)
SAME = {"bob": PasswordCheck.SAME}


def actual(
    users: Iterable[ExistingUser] = (OURS,),
    databases: Iterable[ExistingDatabase] = (WEB,),
    passwords: dict[str, PasswordCheck] = SAME,
) -> Actual:
    return Actual({u.name: u for u in users}, {d.name: d for d in databases}, passwords)


def plan(wanted: Roster, found: Actual, **more: Any) -> Plan:
    return Differ(wanted, found, **more).plan()


def short(made: Plan) -> list[tuple[str, ...]]:
    """Actions as a person would note them down."""
    return [tuple(filter(None, (a.verb.value, a.user, a.database))) for a in made.actions]


def texts(made: Plan) -> list[str]:
    return [conflict.text for conflict in made.conflicts]


# --- what must stay ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("databases", "protected"),
    [((WEB, ExistingDatabase("bob_old", owner="bob", droppable=False)), ()), ((WEB, OLD_OF_BOB), ("bob_old",))],
)
def test_a_removed_account_outlives_a_database_that_must_stay(
    databases: tuple[ExistingDatabase, ...], protected: tuple[str, ...]
) -> None:
    """Without the account nobody would know any more whose the database was."""
    made = plan(roster("ann"), actual(databases=databases), protected=protected)
    assert [action for action in short(made) if "bob" in action] == [
        ("lock_user", "bob"),
        ("drop_database", "bob", "bob_web"),
    ]
    assert [(c.user, "bob_old" in c.text) for c in made.conflicts] == [("bob", True)]
    shut = OURS._replace(lock=Lock.OURS)
    again = plan(roster("ann"), actual((shut,), databases[1:]), protected=protected)
    assert not [action for action in short(again) if "bob" in action]
    assert [conflict.user for conflict in again.conflicts] == ["bob"]


def test_a_protected_database_is_not_adopted_and_not_dropped() -> None:
    foreign = ExistingDatabase("bob_web")
    made = plan(roster("bob"), actual(databases=(foreign,)), adopt={"bob"}, protected={"bob_web"})
    assert made.actions == ()
    assert "protects" in texts(made)[0]
    assert plan(roster("bob"), actual(databases=(WEB, OLD_OF_BOB)), protected={"bob_old"}).actions == ()


# --- one user -------------------------------------------------------------------------------------------------------


def test_a_new_user() -> None:
    made = plan(roster("bob", templates=("web", "data")), actual((), (), {}))
    assert short(made) == [
        ("create_user", "bob"),
        ("create_database", "bob", "bob_data"),
        ("create_database", "bob", "bob_web"),
        ("grant_privileges", "bob", "bob_data"),
        ("grant_privileges", "bob", "bob_web"),
    ]
    assert made.new_users == {"bob"}
    assert made.unchanged == 0


def test_a_user_in_step() -> None:
    made = plan(roster("bob"), actual())
    assert made == Plan(managed_users=1, managed_databases=1, unchanged=1)


def test_another_password() -> None:
    made = plan(roster("bob"), actual(passwords={"bob": PasswordCheck.DIFFERENT}))
    assert short(made) == [("update_password", "bob")]
    assert made.actions[0].password == roster("bob").users["bob"].password


def test_a_password_that_can_not_be_checked_is_told_and_left_alone() -> None:
    made = plan(roster("bob"), actual(passwords={"bob": PasswordCheck.UNKNOWN}))
    assert made.actions == ()
    (problem,) = made.problems
    assert (problem.user, problem.file, problem.line, problem.warning) == ("bob", "users.txt", 1, False)


def test_a_user_who_is_back_is_opened_again() -> None:
    made = plan(roster("bob"), actual([OURS._replace(lock=Lock.OURS)]))
    assert short(made) == [("update_password", "bob")]


def test_a_user_locked_by_others_stays_locked() -> None:
    made = plan(roster("bob"), actual([OURS._replace(lock=Lock.FOREIGN)]))
    assert made.actions == ()
    assert [problem.warning for problem in made.problems] == [True]


def test_an_account_of_which_a_part_is_missing() -> None:
    made = plan(roster("bob"), actual([OURS._replace(complete=False)], passwords={"bob": PasswordCheck.DIFFERENT}))
    assert short(made) == [("create_user", "bob"), ("update_password", "bob")]
    assert made.new_users == frozenset()  # so nothing of it is ever taken back


def test_parts_of_an_account_that_are_no_longer_wanted() -> None:
    found = actual([OURS._replace(surplus=("bob@old",))])
    assert short(plan(roster("bob"), found)) == [("drop_user", "bob@old")]
    assert plan(roster("bob")._replace(suspended=("why",)), found).actions == ()


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        (WEB._replace(granted=False), [("grant_privileges", "bob", "bob_web")]),
        (
            WEB._replace(usable=False),
            [("create_database", "bob", "bob_web"), ("grant_privileges", "bob", "bob_web")],
        ),
        (WEB._replace(droppable=False), []),
    ],
)
def test_a_database_that_is_not_as_it_should_be(database: ExistingDatabase, expected: list[tuple[str, ...]]) -> None:
    assert short(plan(roster("bob"), actual(databases=[database]))) == expected


# --- removals -------------------------------------------------------------------------------------------------------

OLD = ExistingDatabase("bob_old", owner="bob", granted=True)


def test_a_user_who_left() -> None:
    made = plan(roster("eve", templates=()), actual(databases=(WEB, OLD)))
    assert short(made) == [
        ("create_user", "eve"),
        ("lock_user", "bob"),
        ("drop_database", "bob", "bob_old"),
        ("drop_database", "bob", "bob_web"),
        ("drop_user", "bob"),
    ]


def test_a_removal_that_was_interrupted_goes_on() -> None:
    made = plan(roster(), actual([OURS._replace(lock=Lock.OURS)], ()))
    assert short(made) == [("drop_user", "bob")]


def test_a_template_that_left() -> None:
    made = plan(roster("bob"), actual(databases=(WEB, OLD)))
    assert short(made) == [("drop_database", "bob", "bob_old")]
    assert "template" in made.actions[0].reason


def test_what_is_not_proven_enough_is_not_dropped() -> None:
    assert plan(roster("bob"), actual(databases=(WEB, OLD._replace(droppable=False)))).actions == ()


def test_invariant_8_a_suspended_roster_removes_nothing() -> None:
    for names in ((), ("bob",)):
        wanted = roster(*names)._replace(suspended=("users.txt line 2: its user can't be told",))
        assert plan(wanted, actual(databases=(WEB, OLD))).actions == ()


def test_a_mentioned_user_is_left_exactly_as_it_is() -> None:
    wanted = roster("eve")._replace(mentioned=frozenset({"bob"}))
    found = actual([OURS._replace(complete=False, surplus=("bob@x",))], (WEB._replace(granted=False), OLD))
    assert {action.user for action in plan(wanted, found).actions} == {"eve"}


def test_a_protected_name_is_not_removed() -> None:
    assert plan(roster(), actual(), protected={"bob"}).actions == ()


# --- conflicts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "adopt", "text"),
    [
        (ExistingUser("bob"), (), "an account bob exists that dbroster did not create; take it over with --adopt bob"),
        (ExistingUser("bob", roster="b"), ("bob",), "the account bob belongs to the roster 'b'"),
        (ExistingUser("bob", protected="it may do all"), ("bob",), "account bob can never be managed: it may do all"),
    ],
)
def test_invariant_1_foreign_accounts(account: ExistingUser, adopt: tuple[str, ...], text: str) -> None:
    made = plan(roster("bob", "eve"), actual([account], ()), adopt=adopt)
    assert {action.user for action in made.actions} == {"eve"}
    assert text in texts(made)[0]
    assert "(users.txt line 1)" in texts(made)[0]


@pytest.mark.parametrize(
    ("database", "adopt", "text"),
    [
        (ExistingDatabase("bob_web"), (), "a database bob_web exists that dbroster did not create"),
        (ExistingDatabase("bob_web", owner="eve"), ("bob",), "the database bob_web belongs to the user eve"),
        (ExistingDatabase("bob_web", protected="x"), ("bob",), "the database bob_web can never be managed: x"),
        (ExistingDatabase("Bob_Web"), ("bob",), "Bob_Web exists, and this server takes bob_web for the same name"),
        (
            ExistingDatabase("bob_web", usable=False),
            ("bob",),
            "an interrupted drop has left it unusable",
        ),
    ],
)
def test_invariant_1_foreign_databases(database: ExistingDatabase, adopt: tuple[str, ...], text: str) -> None:
    made = plan(roster("bob"), actual(databases=[database]), adopt=adopt, fold=str.casefold)
    assert text in texts(made)[0]
    assert made.actions == ()


def test_a_database_of_ours_in_the_case_that_the_server_keeps() -> None:
    mine = ExistingDatabase("BOB_WEB", owner="bob", granted=True)
    assert plan(roster("bob"), actual(databases=[mine]), fold=str.casefold).unchanged == 1
    assert plan(roster("bob"), actual(databases=[mine])).unchanged == 0


def test_adopting_takes_account_and_databases() -> None:
    found = actual([ExistingUser("bob")], [ExistingDatabase("bob_web")], {})
    made = plan(roster("bob", templates=("web", "data")), found, adopt={"bob"})
    assert short(made) == [
        ("adopt", "bob"),
        ("adopt", "bob", "bob_web"),
        ("create_database", "bob", "bob_data"),
        ("grant_privileges", "bob", "bob_data"),
    ]
    assert made.actions[0].password is not None
    assert made.actions[1].password is None
    assert made.new_users == frozenset()


def test_adopting_a_database_for_a_user_of_ours() -> None:
    made = plan(roster("bob"), actual(databases=[ExistingDatabase("bob_web")]), adopt={"bob"})
    assert short(made) == [("adopt", "bob", "bob_web")]


def test_why_a_password_is_unknown_begins_with_what_the_catalogs_show() -> None:
    """C6: the cause and its cure, not only in what words the server refuses the login."""
    bob = ExistingUser("bob", managed=True, roster="default", unusable="it may have no session: ALTER ROLE;")
    found = actual([bob], passwords={"bob": PasswordCheck.UNKNOWN})._replace(doubts={"bob": "too many connections"})
    (problem,) = plan(roster("bob"), found).problems
    assert problem.text.endswith("it is left as it is: it may have no session: ALTER ROLE;")


@pytest.mark.parametrize(("check", "told"), [(PasswordCheck.SAME, True), (PasswordCheck.DIFFERENT, False)])
def test_what_this_very_plan_mends_is_no_problem(check: PasswordCheck, told: bool) -> None:
    """C6: the run that opened an expired account by its new password still said that nobody can log in."""
    bob = ExistingUser("bob", managed=True, roster="default", unusable="its password has expired", renewable=True)
    assert bool(plan(roster("bob"), actual([bob], passwords={"bob": check})).problems) is told
    lasting = bob._replace(unusable="it may have no session", renewable=False)
    assert plan(roster("bob"), actual([lasting], passwords={"bob": check})).problems


def test_what_differs_is_said() -> None:
    """C8: "privileges differ" says which."""
    web = ExistingDatabase("bob_web", owner="bob", differs="carl may enter")
    assert plan(roster("bob"), actual(databases=[web])).actions[0].reason == "privileges differ: carl may enter"


def test_adopting_says_what_it_replaces_and_whose_data_it_may_be() -> None:
    """C8: `--adopt` tells in plan and conflict that the password is replaced, and who has the data."""
    found = actual([ExistingUser("bob")], [ExistingDatabase("bob_web", holder="carl")])
    adopted = [action.reason for action in plan(roster("bob"), found, adopt={"bob"}).actions]
    assert adopted == [
        "taken over as --adopt says, with the password of users.txt instead of its own",
        "taken over as --adopt says, with its data, which may be that of carl, who has it now",
    ]
    texts = [conflict.text for conflict in plan(roster("bob"), found).conflicts]
    assert "take it over with --adopt bob, which replaces its password by that of users.txt" in texts[0]
    assert "take it over with --adopt bob, with its data, which may be that of carl, who has it now" in texts[1]
    for holder, words in ((None, "with its data, whoever's that is"), ("bob", "with its data")):
        found = actual(databases=[ExistingDatabase("bob_web", holder=holder)])
        (action,) = plan(roster("bob"), found, adopt={"bob"}).actions
        assert action.reason == f"taken over as --adopt says, {words}"


def test_adopting_changes_nothing_for_others() -> None:
    found = actual([ExistingUser("bob"), ExistingUser("eve")], (), {})
    made = plan(roster("bob", "eve", templates=()), found, adopt={"bob"})
    assert short(made) == [("adopt", "bob")]
    assert [conflict.user for conflict in made.conflicts] == ["eve"]


# --- any state ------------------------------------------------------------------------------------------------------

NAMES = ("ann", "bob", "cy", "dan")
TEMPLATES = ("web", "data")
ACCOUNTS = st.builds(
    ExistingUser,
    name=st.just(""),
    managed=st.booleans(),
    roster=st.sampled_from([None, "other"]),
    protected=st.sampled_from([None, "system"]),
    lock=st.sampled_from(Lock),
    complete=st.booleans(),
    surplus=st.sampled_from([(), ("part",)]),
).map(lambda u: u._replace(roster="default", protected=None) if u.managed else u)
DATABASES = st.builds(
    ExistingDatabase,
    name=st.just(""),
    owner=st.sampled_from([None, *NAMES]),
    granted=st.booleans(),
    usable=st.booleans(),
    droppable=st.booleans(),
    protected=st.sampled_from([None, "system"]),
)


@st.composite
def states(draw: st.DrawFn) -> Actual:
    users = draw(st.dictionaries(st.sampled_from(NAMES), ACCOUNTS))
    names = st.sampled_from([f"{name}_{template}" for name in NAMES for template in (*TEMPLATES, "old")])
    databases = draw(st.dictionaries(names, DATABASES))
    managed = {name for name, user in users.items() if user.managed}
    return Actual(
        {name: user._replace(name=name) for name, user in users.items()},
        {  # an owner is a managed user: that is what the engines promise
            name: database._replace(name=name, owner=database.owner if database.owner in managed else None)
            for name, database in databases.items()
        },
        draw(st.fixed_dictionaries({name: st.sampled_from(PasswordCheck) for name in managed})),
    )


@st.composite
def rosters(draw: st.DrawFn) -> Roster:
    where = draw(st.fixed_dictionaries({name: st.sampled_from(["listed", "mentioned", "absent"]) for name in NAMES}))
    wanted = roster(*(name for name in NAMES if where[name] == "listed"), templates=TEMPLATES)
    mentioned = frozenset(name for name in NAMES if where[name] == "mentioned")
    return wanted._replace(mentioned=mentioned, suspended=draw(st.sampled_from([(), ("why",)])))


@given(rosters(), states(), st.sets(st.sampled_from(NAMES)))
def test_invariant_1_no_plan_touches_what_is_foreign(wanted: Roster, found: Actual, adopt: set[str]) -> None:
    made = plan(wanted, found, adopt=adopt)
    stopped = {conflict.user for conflict in made.conflicts if conflict.user in wanted.users}
    for action in made.actions:
        if action.user == "part":
            continue
        assert action.user not in wanted.mentioned | stopped
        account = found.users.get(action.user)
        assert account is None or account.managed or action.user in adopt
        database = found.databases.get(action.database or "")
        if database and database.owner != action.user:
            assert database.owner is None
            assert database.protected is None
            assert action.user in adopt


@given(rosters(), states())
def test_every_removal_is_of_ours(wanted: Roster, found: Actual) -> None:
    made = plan(wanted, found)
    removals = [a for a in made.actions if a.verb in (Verb.LOCK_USER, Verb.DROP_DATABASE, Verb.DROP_USER)]
    assert not (removals and wanted.suspended)
    for action in removals:
        if action.database:
            assert found.databases[action.database].owner == action.user
            assert action.database not in wanted.databases(action.user) or action.user not in wanted.users
        elif action.user != "part":
            assert found.users[action.user].managed
            assert action.user not in wanted.users.keys() | wanted.mentioned


@given(rosters(), states())
def test_actions_come_in_phases_and_never_twice(wanted: Roster, found: Actual) -> None:
    actions = plan(wanted, found).actions
    keys = [(list(Verb).index(a.verb), a.user, a.database or "") for a in actions]
    assert keys == sorted(keys)
    assert len({key for key in keys if key[1] != "part"}) == len([key for key in keys if key[1] != "part"])


def backward(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return dict(reversed(list(mapping.items())))


@given(rosters(), states())
def test_a_plan_does_not_depend_on_the_order_of_what_was_read(wanted: Roster, found: Actual) -> None:
    backwards = Actual(backward(found.users), backward(found.databases), backward(found.passwords))
    assert plan(wanted._replace(users=backward(wanted.users)), backwards) == plan(wanted, found)


def test_actions_hold_their_passwords_in_secret() -> None:
    made = plan(roster("bob", password="S3cr3t-in-the-plan"), actual((), (), {}))
    assert "S3cr3t" not in repr(made)
    assert isinstance(made.actions[0], Action)


# --- one reason each --------------------------------------------------------------------------------------------------

POWERFUL = ExistingUser("bob", roster="default", protected="it may do everything")


def test_an_account_that_can_never_be_managed_is_one_conflict() -> None:
    """C8: its databases are not told as well, and nobody is advised to take them over."""
    for database in (WEB, ExistingDatabase("bob_web"), ExistingDatabase("bob_web", protected="it is bob's")):
        made = plan(roster("bob"), actual((POWERFUL,), (database,)), adopt=["bob"], own="default")
        (text,) = texts(made)
        assert "it may do everything" in text
        assert "--adopt" not in text
        assert not made.actions


def test_an_account_of_another_roster_is_one_conflict() -> None:
    """C8: whose it is, is said once."""
    other = ExistingUser("bob", roster="sales")
    (text,) = texts(plan(roster("bob"), actual((other,), (ExistingDatabase("bob_web"),)), own="default"))
    assert "belongs to the roster 'sales'" in text


def test_who_leaves_with_power_that_somebody_gave_is_named() -> None:
    """B6: dbroster may not touch such an account, but it may not be silent either."""
    made = plan(roster("ann"), actual((POWERFUL,)), own="default")
    (text,) = texts(made)
    assert "bob is not in users.txt any more, and stays open" in text
    assert "it may do everything" in text
    assert not [action for action in made.actions if action.user == "bob"]


@pytest.mark.parametrize(
    ("account", "more"),
    [
        (POWERFUL, {"own": "default", "protected": ["bob"]}),
        (POWERFUL, {"own": "sales"}),
        (POWERFUL._replace(marked_for="robert"), {"own": "default"}),
        (POWERFUL._replace(roster=None), {"own": "default"}),
    ],
)
def test_other_accounts_with_power_are_nobodys_business(account: ExistingUser, more: dict[str, Any]) -> None:
    """B6: only what was ours, and is meant to go, is told."""
    assert not texts(plan(roster("ann"), actual((account,)), **more))


def test_the_reason_says_what_differs() -> None:
    """M2: the password may be the same, and be kept for another way to log in."""
    found = actual(passwords={"bob": PasswordCheck.DIFFERENT})._replace(doubts={"bob": "it is kept for SCRAM-SHA-1"})
    (action,) = plan(roster("bob"), found).actions
    assert action.reason == "it is kept for SCRAM-SHA-1"


def test_databases_of_a_locked_user_that_others_were_let_into_are_shut_again() -> None:
    """Q2, B3: in each run of the days of grace, and without such days; once they are shut there is nothing to do."""
    now = datetime(2026, 11, 26, tzinfo=UTC)
    locked = OURS._replace(lock=Lock.OURS, locked_since=now)
    for shared in (True, False):
        found = actual([locked], [WEB._replace(granted=False, shared=shared)])
        again = [("lock_user", "bob")] * shared
        assert short(plan(roster(), found, grace=GracePeriod(7, now))) == again
        assert short(plan(roster(), found)) == [*again, ("drop_database", "bob", "bob_web"), ("drop_user", "bob")]
