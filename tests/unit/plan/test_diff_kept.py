"""What a plan keeps: databases that are protected or not proven, and the account that is their owner."""

import pytest

from dbroster.model.state import ExistingDatabase, Lock
from tests.support.samples import roster
from tests.unit.plan.test_diff import OURS, WEB, actual, plan, short, texts

OLD = ExistingDatabase("bob_old", owner="bob", granted=True)


@pytest.mark.parametrize(
    ("database", "protected"), [(WEB._replace(droppable=False), ()), (WEB, ("bob_web",))], ids=["unproven", "protected"]
)
def test_an_account_outlives_a_database_that_must_stay(database: ExistingDatabase, protected: tuple[str, ...]) -> None:
    """C8: the conflict names the database, and the statement that mends it."""
    made = plan(roster(), actual(databases=(database, OLD)), protected=protected)
    assert short(made) == [("lock_user", "bob"), ("drop_database", "bob", "bob_old")]
    (conflict,) = made.conflicts
    assert (conflict.user, "bob_old" in conflict.text) == ("bob", False)
    assert 'drop it yourself: DROP DATABASE "bob_web";' in conflict.text
    assert ("take it off `protected`" in conflict.text) is bool(protected)
    again = plan(roster(), actual([OURS._replace(lock=Lock.OURS)], [database]), protected=protected)
    assert again.actions == ()
    assert again.conflicts == made.conflicts


def test_a_protected_database_of_a_user_who_stays_is_not_dropped() -> None:
    made = plan(roster("bob"), actual(databases=(WEB, OLD)), protected=("bob_old",))
    assert (made.actions, made.conflicts) == ((), ())


def test_a_protected_database_is_not_adopted() -> None:
    found = actual(databases=[ExistingDatabase("bob_web")])
    made = plan(roster("bob"), found, adopt={"bob"}, protected={"bob_web"})
    assert made.actions == ()
    assert "connections.yaml protects it" in texts(made)[0]
