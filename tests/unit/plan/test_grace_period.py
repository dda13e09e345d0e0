"""How long a removed user's account is kept: decided by dates alone, and never early."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbroster.audit.history import History
from dbroster.model.connection import Removals
from dbroster.model.plan import Plan, Verb
from dbroster.model.roster import Roster
from dbroster.model.state import Actual, ExistingDatabase, ExistingUser, Lock
from dbroster.plan.diff import Differ
from dbroster.plan.grace_period import GracePeriod, read_stamp, stamp
from dbroster.plan.guard import Guard
from tests.support.samples import roster

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
OURS = ExistingUser("bob", managed=True, roster="default")
WEB = ExistingDatabase("bob_web", owner="bob", granted=True)
WEEK = GracePeriod(7, NOW)
LONG = timedelta(days=365_000)


def locked(**ago: float) -> ExistingUser:
    return OURS._replace(lock=Lock.OURS, locked_since=NOW - timedelta(**ago))


def plan(*users: ExistingUser, grace: GracePeriod = WEEK, wanted: Roster | None = None) -> Plan:
    actual = Actual({user.name: user for user in users}, {"bob_web": WEB})
    return Differ(wanted or roster("al"), actual, grace=grace).plan()


def short(made: Plan) -> list[str]:
    return [action.verb.value for action in made.actions if action.user == "bob"]


@pytest.mark.parametrize(
    ("existing", "done"),
    [
        (OURS, ["lock_user"]),
        (locked(days=7, seconds=-1), []),
        (locked(days=7), ["drop_database", "drop_user"]),
        (locked(days=-400), []),
        (OURS._replace(lock=Lock.OURS), ["lock_user"]),
        (OURS._replace(lock=Lock.FOREIGN), []),
        (OURS._replace(lock=Lock.FOREIGN, locked_since=NOW - timedelta(days=400)), []),
        (OURS._replace(locked_since=NOW - timedelta(days=400)), ["lock_user"]),
    ],
    ids=["open", "a second too early", "due", "in the future", "no date", "foreign", "foreign, dated", "open, dated"],
)
def test_only_an_account_that_was_locked_long_enough_ago_is_removed(existing: ExistingUser, done: list[str]) -> None:
    made = plan(existing)
    assert short(made) == done
    kept = [problem for problem in made.problems if problem.user == "bob"]
    assert [problem.warning for problem in kept] == ([] if "drop_user" in done else [True])


def test_the_note_says_until_when() -> None:
    """X9, C10: and not that the account is locked, which may fail in this very run."""
    (problem,) = [problem for problem in plan(locked(days=3)).problems if problem.user]
    assert problem.text == "not in users.txt: kept until 2026-11-28 12:00 UTC with its databases"


def test_a_date_at_the_end_of_time_is_no_trouble() -> None:
    end = datetime.max.replace(tzinfo=UTC)
    made = plan(OURS._replace(lock=Lock.OURS, locked_since=end))
    assert short(made) == []
    assert any("kept until 9999-12-31" in problem.text for problem in made.problems)


def test_without_days_of_grace_everything_goes_at_once() -> None:
    made = plan(OURS, grace=GracePeriod())
    assert short(made) == ["lock_user", "drop_database", "drop_user"]
    assert made.problems == ()


def test_a_suspended_roster_removes_nothing_that_is_due() -> None:
    assert short(plan(locked(days=30), wanted=roster("al")._replace(suspended=("a broken line",)))) == []


def test_a_mentioned_user_is_left_as_found() -> None:
    assert short(plan(locked(days=30), wanted=roster("al")._replace(mentioned=frozenset({"bob"})))) == []


def judged(made: Plan, *users: ExistingUser, option: str | None = None) -> Sequence[str]:
    actual = Actual({user.name: user for user in users}, {"bob_web": WEB})
    return Guard(made, roster("al"), actual, Removals(max=0, max_percent=0, grace_days=7), option, History).refusals


def test_the_guard_counts_an_account_when_it_is_locked() -> None:
    """A6: locking counts as a removal; what was locked was judged then, and goes when its days are over."""
    (refusal,) = judged(plan(OURS), OURS)
    assert refusal.startswith("1 of 1 managed accounts would be removed")
    due = locked(days=30)
    assert judged(plan(due), due) == ()
    assert judged(plan(due), due, option="0") != ()  # whoever gives a number for this run means all of it


def test_the_guard_does_not_count_an_account_that_is_being_kept() -> None:
    kept = locked(days=3)
    assert judged(plan(kept), kept) == ()


@given(
    lock=st.sampled_from(Lock),
    since=st.none() | st.timedeltas().map(lambda age: NOW - age if abs(age) < LONG else None),
    days=st.integers(1, 3650),
)
def test_nothing_is_dropped_before_the_days_are_over(lock: Lock, since: datetime | None, days: int) -> None:
    made = plan(OURS._replace(lock=lock, locked_since=since), grace=GracePeriod(days, NOW))
    if any(action.verb in (Verb.DROP_USER, Verb.DROP_DATABASE) for action in made.actions):
        assert since is not None
        assert lock is Lock.OURS
        assert NOW - since >= timedelta(days=days)


@given(st.datetimes(timezones=st.just(UTC)).filter(lambda when: when.year >= 1000))
def test_a_stamp_is_read_back_to_the_second(when: datetime) -> None:
    assert read_stamp(stamp(when)) == when.replace(microsecond=0)


@pytest.mark.parametrize("text", [None, "", True, 5, "yesterday", "2026-11-24", "2026-13-24T10:00:00Z", ["x"]])
def test_what_is_no_stamp_is_unknown(text: object) -> None:
    assert read_stamp(text) is None
