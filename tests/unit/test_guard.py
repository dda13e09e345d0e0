"""The guard: how much one run may take away, at every border."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbroster.config import Removals
from dbroster.guard import Limit, limit_of, refusals, removed_users
from dbroster.model import Action, Plan, Roster, Verb
from tests.unit.samples import roster

DEFAULT = Limit(3, 10)
STAYS = roster("ann")


def removal(users: int, managed: int) -> Plan:
    """A plan that removes users of so many managed accounts, with two databases each."""
    names = [f"u{number}" for number in range(users)]
    actions = [
        action
        for name in names
        for action in (
            Action(Verb.LOCK_USER, name),
            Action(Verb.DROP_DATABASE, name, f"{name}_web"),
            Action(Verb.DROP_DATABASE, name, f"{name}_data"),
            Action(Verb.DROP_USER, name),
        )
    ]
    return Plan(tuple(actions), managed_users=managed, managed_databases=2 * managed)


def drops(databases: int, managed: int) -> Plan:
    """A plan that drops databases of users who stay."""
    actions = [Action(Verb.DROP_DATABASE, "ann", f"ann_{number}") for number in range(databases)]
    return Plan(tuple(actions), managed_users=5, managed_databases=managed)


@pytest.mark.parametrize("plan", [removal, drops])
@pytest.mark.parametrize(
    ("removed", "managed", "refused"),
    [
        (0, 0, False), (3, 3, False), (4, 4, True), (3, 1000, False), (4, 39, True), (4, 40, False), (5, 49, True),
        (5, 50, False), (10, 100, False), (11, 100, True), (100, 1000, False), (101, 1000, True),
    ],
)  # fmt: skip
def test_more_than_three_and_more_than_ten_percent(plan: object, removed: int, managed: int, refused: bool) -> None:
    found = refusals(plan(removed, managed), STAYS, DEFAULT)  # type: ignore[operator]
    assert bool(found) is refused
    if refused:
        (text,) = found
        assert f"{removed} of {managed} managed" in text
        assert "the larger of 3 and 10 %" in text
        assert "--max-removals" in text
        assert "removals:" in text


def test_databases_of_removed_users_count_as_their_users() -> None:
    assert refusals(removal(3, 3), STAYS, DEFAULT) == []


def test_an_account_that_is_locked_already_counts() -> None:
    plan = Plan(tuple(Action(Verb.DROP_USER, f"u{number}") for number in range(4)), managed_users=4)
    assert removed_users(plan) == {"u0", "u1", "u2", "u3"}
    assert refusals(plan, STAYS, DEFAULT)


def test_accounts_and_databases_are_both_told() -> None:
    plan = Plan(removal(4, 9).actions + drops(4, 9).actions, managed_users=9, managed_databases=9)
    assert len(refusals(plan, STAYS, DEFAULT)) == 2


@pytest.mark.parametrize("limit", [DEFAULT, Limit(1000, 0), Limit(0, 100)])
def test_a_roster_without_users_needs_all(limit: Limit) -> None:
    empty = Roster(templates=("web",))
    for managed, removed in ((1, 0), (1, 1), (50, 50)):
        (text,) = refusals(removal(removed, managed), empty, limit)
        assert f"no usable user, but {managed} managed accounts" in text
        assert "--max-removals all" in text
    assert refusals(Plan(), empty, limit) == []
    assert refusals(removal(50, 50), empty, Limit(None, 0)) == []


def test_an_empty_template_list_needs_all() -> None:
    bare = roster("ann", templates=())
    (text,) = refusals(drops(1, 1), bare, DEFAULT)
    assert "--max-removals all" in text
    assert refusals(drops(1, 1), bare, Limit(None, 0)) == []
    assert refusals(drops(0, 1), bare, DEFAULT) == []


@pytest.mark.parametrize(
    ("option", "limit"),
    [
        (None, Limit(7, 20)), ("0", Limit(0, 0)), ("25", Limit(25, 0)), ("0%", Limit(0, 0)), ("20%", Limit(0, 20)),
        ("100%", Limit(0, 100)), ("500%", Limit(0, 100)), ("all", Limit(None, 100)),
    ],
)  # fmt: skip
def test_forms_of_the_option(option: str | None, limit: Limit) -> None:
    assert limit_of(Removals(7, 20), option) == limit


@pytest.mark.parametrize("option", ["", "-1", "1.5", "x", "5 %", " 5", "%", "ALL", "５", "1e3", "9" * 20, "5%%", "5\n"])
def test_what_is_no_form_of_the_option(option: str) -> None:
    with pytest.raises(ValueError, match="a number, a percentage"):
        limit_of(Removals(), option)


def test_the_option_replaces_both_numbers() -> None:
    assert not refusals(removal(4, 4), STAYS, limit_of(Removals(), "4"))
    assert refusals(removal(5, 1000), STAYS, limit_of(Removals(), "4"))
    assert refusals(removal(1, 1000), STAYS, limit_of(Removals(), "0"))
    assert not refusals(removal(2, 10), STAYS, limit_of(Removals(), "20%"))
    assert refusals(removal(3, 10), STAYS, limit_of(Removals(), "20%"))


def test_connections_yaml_may_lift_the_limit() -> None:
    assert limit_of(Removals(max=None), None).allows(10**6, 1)


@pytest.mark.parametrize(
    ("limit", "text"), [(Limit(3, 10), "the larger of 3 and 10 %"), (Limit(5, 0), "5"), (Limit(0, 20), "20 %")]
)
def test_limits_in_words(limit: Limit, text: str) -> None:
    assert str(limit) == text


@given(st.integers(0, 50), st.integers(0, 500))
def test_the_rule_itself(removed: int, managed: int) -> None:
    assert DEFAULT.allows(removed, managed) is not (removed > max(3, managed / 10))
