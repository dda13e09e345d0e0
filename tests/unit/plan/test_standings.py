"""How users stand, by what was read: each name at its place, also where a server takes two names for the same."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dbroster.model.plan import Action, Conflict, Verb
from dbroster.model.problems import Problem
from dbroster.model.result import Outcome, Result, Status
from dbroster.model.roster import Roster
from dbroster.model.standing import AccountState, Databases, Standing
from dbroster.model.state import Actual, ExistingDatabase, ExistingUser, Lock
from dbroster.plan.grace_period import GracePeriod
from dbroster.plan.leftovers import Left
from dbroster.plan.standings import Standings, judged
from tests.support.samples import roster

NOW = datetime(2026, 11, 26, tzinfo=UTC)
BOB = ExistingUser("bob", managed=True, roster="default")


def actual(*things: ExistingUser | ExistingDatabase) -> Actual:
    users = {each.name: each for each in things if isinstance(each, ExistingUser)}
    return Actual(users, {each.name: each for each in things if isinstance(each, ExistingDatabase)})


def bob(wanted: Roster, *things: ExistingUser | ExistingDatabase, **more: Any) -> Standing:
    (row,) = Standings(wanted, actual(*things), **more).rows(["bob"])
    return row


def test_each_database_is_at_its_place() -> None:
    wanted = roster("bob", templates=("there", "gone", "torn", "closed", "theirs"))
    things = (
        ExistingDatabase("bob_there", "bob", granted=True),
        ExistingDatabase("bob_torn", "bob", granted=True, usable=False),
        ExistingDatabase("bob_closed", "bob"),
        ExistingDatabase("bob_theirs", "ann", granted=True),
        ExistingDatabase("bob_more", "bob", granted=True),
        ExistingDatabase("other"),
    )
    left = [Left("bob", "bob_left", "drop it"), Left("ann", "ann_left", "drop it")]
    row = bob(wanted, BOB, *things, left=left)
    assert row.databases == Databases(
        ("bob_there",), ("bob_gone", "bob_torn"), ("bob_more",), ("bob_closed",), ("bob_theirs",), ("bob_left",)
    )
    assert row.problems == (Problem("drop it", user="bob", warning=True),)


def test_names_that_the_server_takes_for_the_same() -> None:
    row = bob(roster("bob", templates=("Web",)), BOB, ExistingDatabase("bob_web", "bob", granted=True), fold=str.lower)
    assert row.databases == Databases(there=("bob_Web",))


@pytest.mark.parametrize(
    ("existing", "state", "note"),
    [
        (BOB, AccountState.OPEN, None),
        (BOB._replace(complete=False), AccountState.INCOMPLETE, None),
        (BOB._replace(unusable="it has expired"), AccountState.UNUSABLE, "it has expired"),
        (BOB._replace(lock=Lock.OURS), AccountState.LOCKED, None),
        (BOB._replace(lock=Lock.FOREIGN), AccountState.LOCKED, "locked, but not by dbroster"),
        (ExistingUser("bob"), AccountState.FOREIGN, "dbroster did not create it"),
        (ExistingUser("bob", protected="it is a superuser"), AccountState.FOREIGN, "it is a superuser"),
        (ExistingUser("bob", roster="x"), AccountState.FOREIGN, "it belongs to the roster 'x'"),
        (ExistingUser("bob", marked_for="al"), AccountState.FOREIGN, "it carries the marker of al"),
    ],
)
def test_the_state_of_an_account(existing: ExistingUser, state: AccountState, note: str | None) -> None:
    row = bob(roster("bob"), existing)
    assert (row.account, row.note) == (state, note)
    assert bob(roster("ann"), existing)._replace(listed=True, databases=row.databases) == row


def test_who_is_told_of() -> None:
    wanted = roster("ann")._replace(mentioned=frozenset({"bad"}))
    powerful = ExistingUser("boss", roster="default", protected="it has CREATEROLE")
    things = actual(BOB, powerful, ExistingUser("stranger"), ExistingUser("copy", roster="default", marked_for="bob"))
    view = Standings(wanted, things, [Left("gone", "gone_web", "")], own="default")
    assert [row.user for row in view.rows()] == ["ann", "bad", "bob", "boss", "gone"]
    assert [row.user for row in view.rows(["stranger", "ann"])] == ["ann", "stranger"]
    states = {row.user: row.account for row in view.rows()}
    assert (states["ann"], states["bad"], states["gone"]) == ("missing", "missing", "removed")


def test_until_when_an_account_is_kept() -> None:
    locked = BOB._replace(lock=Lock.OURS, locked_since=NOW)
    grace = GracePeriod(9, NOW)
    assert bob(roster("ann"), locked, grace=grace).kept_until == NOW + timedelta(days=9)
    assert bob(roster("bob"), locked, grace=grace).kept_until is None
    assert bob(roster("ann"), locked).kept_until is None


def test_what_a_sync_would_do_is_at_whom_it_concerns() -> None:
    part = BOB._replace(surplus=("bob@10.%",))
    things = actual(part)
    drop = Outcome(Action(Verb.DROP_USER, "bob@10.%", reason="no longer configured"), Status.PLANNED)
    fails = Outcome(
        Action(Verb.CREATE_DATABASE, "ann", "ann_web", reason="not there"), Status.FAILED, "the disk is full"
    )
    result = Result(
        "mysql", "default", True, outcomes=(drop, fails), conflicts=(Conflict("ann", "it is foreign"),),
        problems=(Problem("look", user="bob", warning=True), Problem("of nobody")),
    )  # fmt: skip
    ann, other = judged(Standings(roster("ann"), things).rows(), things, result)
    assert [(each.verb, each.name, each.obstacle) for each in ann.pending] == [
        (Verb.CREATE_DATABASE, "ann_web", "the disk is full")
    ]
    assert ann.problems == (Problem("it is foreign", user="ann"),)
    assert [(each.verb, each.name) for each in other.pending] == [(Verb.DROP_USER, "bob@10.%")]
    assert [problem.text for problem in other.problems] == ["look"]


def test_a_line_that_can_t_be_used_is_said_where_nothing_says_why() -> None:
    wanted = roster("ann")._replace(mentioned=frozenset({"bob"}))
    things = actual(BOB)
    rows = Standings(wanted, things).rows(["bob"])
    (row,) = judged(rows, things, Result("mysql", "default", True))
    assert not row.in_step
    assert "can't be used" in row.problems[0].text
    (row,) = judged(rows, things, Result("mysql", "default", True, problems=(Problem("no colon", user="bob"),)))
    assert [problem.text for problem in row.problems] == ["no colon"]
