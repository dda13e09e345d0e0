"""The guard: how much runs may take away, at every border, with and without permission."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbroster.audit.history import History
from dbroster.model.connection import Removals
from dbroster.model.roster import Roster
from dbroster.model.state import Actual, ExistingDatabase, ExistingUser, Lock
from dbroster.plan.diff import Differ
from dbroster.plan.grace_period import GracePeriod
from dbroster.plan.guard import Guard, Limit, limit_of
from tests.support.samples import roster

DATE = datetime(2026, 11, 20, 13, tzinfo=UTC)


def people(count: int) -> list[str]:
    return [f"u{number:03}" for number in range(count)]


def state(users: Sequence[str], templates: Sequence[str] = ("web",)) -> Actual:
    names = [(user, f"{user}_{template}") for user in users for template in templates]
    return Actual(
        {user: ExistingUser(user, managed=True, roster="default") for user in users},
        {name: ExistingDatabase(name, user, granted=True) for user, name in names},
    )


def guard(
    wanted: Roster,
    actual: Actual,
    option: str | None = None,
    *,
    removals: Removals = Removals(),
    history: History = History(),
    reservations: tuple[str, ...] = (),
) -> Guard:
    plan = Differ(wanted, actual).plan()._replace(reservations=reservations)
    return Guard(plan, wanted, actual, removals, option, lambda: history)


def leaving(removed: int, managed: int, option: str | None = None, **more: object) -> Guard:
    names = people(managed)
    return guard(roster("new", *names[removed:]), state(names), option, **more)  # type: ignore[arg-type]


# --- accounts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("removed", "managed", "refused"),
    [
        (0, 0, False), (0, 1, False), (1, 1, True), (1, 2, False), (2, 2, True), (2, 4, True), (3, 3, True),
        (2, 19, True), (2, 20, False), (3, 20, True), (10, 100, False), (11, 100, True), (100, 1000, False),
    ],
)  # fmt: skip
def test_more_than_one_and_more_than_ten_percent(removed: int, managed: int, *, refused: bool) -> None:
    """A6: 2 of 4, 3 of 3, or the only one need permission."""
    found = leaving(removed, managed).refusals
    assert bool(found) is refused
    if refused:
        (text,) = found
        assert f"{removed} of {managed} managed accounts would be removed (u000" in text
        assert f"permit it with --max-removals {removed}" in text
        assert ("the larger of 1 and 10 %" in text) is (removed > 1)
        assert leaving(removed, managed, str(removed)).refusals == ()
        assert leaving(removed, managed, str(removed - 1)).refusals


def test_a_part_of_an_account_is_a_removal_but_not_the_last_account() -> None:
    parts = {"u000": ExistingUser("u000", managed=True, roster="default", surplus=("u000@old",))}
    history = History(dropped={("u000@old", None): DATE})  # the host has come and gone before
    assert guard(roster("u000"), state(("u000",))._replace(users=parts), history=history).refusals == ()
    both = {**parts, "u001": parts["u000"]._replace(name="u001", surplus=("u001@old",))}
    (text,) = guard(roster("u000", "u001"), state(people(2))._replace(users=both)).refusals
    assert "2 of 2 managed accounts would be removed (u000@old, u001@old)" in text


def test_databases_of_removed_users_count_as_their_users() -> None:
    assert guard(roster("a", templates=("t1", "t2", "t3")), state(("a", "b"), ("t1", "t2", "t3"))).refusals == ()


def test_an_account_that_dbroster_has_locked_was_judged_then() -> None:
    actual = state(people(4))
    locked = {name: user._replace(lock=Lock.OURS) for name, user in actual.users.items() if name != "u003"}
    found = guard(roster("u003"), actual._replace(users={**actual.users, **locked}))
    assert found.refusals == ()
    assert found.permission == "3"


def test_days_of_grace_that_are_not_given_any_more_need_permission() -> None:
    """Q5, A6: the end of connections.yaml is lost, or the key; whoever was locked to be kept would go at once."""
    actual = state(people(4))
    locked = {"u000": actual.users["u000"]._replace(lock=Lock.OURS, locked_since=DATE)}
    actual = actual._replace(users={**actual.users, **locked})
    (text,) = guard(roster(*people(4)[1:]), actual).refusals
    assert text.startswith("u000 would be kept for days of grace, but removals.grace_days is not set any more; permit")
    assert guard(roster(*people(4)[1:]), actual, "1").refusals == ()
    assert guard(roster(*people(4)[1:]), actual, removals=Removals(grace_days=7)).refusals == ()


def test_archives_that_are_not_made_any_more_need_permission(tmp_path: Path) -> None:
    """U4, A6: the line archive_dir is lost from connections.yaml; what goes now would be in no archive."""
    actual, wanted, before = state(people(4)), roster(*people(4)[1:]), History(archived=True)
    (text,) = guard(wanted, actual, history=before).refusals
    assert text.startswith("u000_web would be dropped without an archive, but earlier runs were to archive those")
    assert guard(wanted, actual, "1", history=before).refusals == ()
    for meant in (Removals(archive_dir=tmp_path), Removals(unarchived=True), Removals(grace_days=7)):
        actual = state(people(4))
        plan = Differ(wanted, actual, grace=GracePeriod(meant.grace_days, DATE)).plan()
        assert Guard(plan, wanted, actual, meant, None, lambda: before).refusals == ()
    assert guard(wanted, actual).refusals == ()


def test_who_is_locked_already_makes_no_limit_larger() -> None:
    """Q6, A6: of 20 accounts 17 went and are locked; two of three, or all three, are many. The same for databases."""
    actual = state(people(20), ("app", "web"))
    locked = {name: actual.users[name]._replace(lock=Lock.OURS, locked_since=DATE) for name in people(20)[3:]}
    actual = actual._replace(users={**actual.users, **locked})
    kept = Removals(grace_days=7)
    for staying in ((), ("u000",)):
        wanted = roster("new", *staying, templates=("app", "web"))
        (text,) = guard(wanted, actual, removals=kept).refusals
        assert f"{3 - len(staying)} of 3 managed accounts would be removed" in text
    (text,) = guard(roster("u000", "u001", "u002", templates=("web",)), actual, removals=kept).refusals
    assert "3 of 6 managed databases would be dropped" in text
    assert "more than the limit for one run" in text


def test_names_are_told_but_not_without_end() -> None:
    (text,) = leaving(30, 40).refusals
    assert "(u000, u001, u002, u003, u004, u005, u006, u007, u008, u009, and 20 more)" in text


@pytest.mark.parametrize("option", [None, "1000", "100%"])
def test_a_roster_without_users_needs_all(option: str | None) -> None:
    for managed in (1, 50):
        found = guard(Roster(templates=("web",)), state(people(managed)), option)
        (text,) = found.refusals
        assert f"users.txt holds no usable user, but {managed} managed account{'s' * (managed > 1)} " in text
        assert "--max-removals all" in text
        assert found.permission == "all"
    assert guard(Roster(), state(()), option).refusals == ()
    assert guard(Roster(templates=("web",)), state(people(50)), "all").refusals == ()


def test_whose_accounts_they_look_like() -> None:
    """A6: two directories that both say `roster: default`."""
    other_team = guard(roster("xi", "yo"), state(("al", "bo", "cy")))
    (text,) = other_team.refusals
    assert "none of them was ever in this directory's audit log: another team's?" in text
    assert "Give each team its own `roster:` name" in text
    (text,) = guard(roster("xi"), state(("al",))).refusals
    assert "al was never in this directory's audit log" in text
    (text,) = guard(roster("xi"), state(("al", "bo")), history=History(known={"al"})).refusals
    assert "of these, none of bo was ever in this directory's audit log" in text
    (text,) = guard(roster("xi"), state(("al", "bo")), history=History(known={"al", "bo"})).refusals
    assert "audit log" not in text
    (text,) = guard(Roster(), state(("al", "bo"))).refusals
    assert "none of them was ever in this directory's audit log" in text


# --- databases of users who stay --------------------------------------------------------------------------------------


def without_template(users: int, templates: Sequence[str], left: Sequence[str], **more: object) -> Guard:
    names = people(users)
    return guard(roster(*names, templates=tuple(left)), state(names, templates), **more)  # type: ignore[arg-type]


def test_a_whole_template_needs_permission() -> None:
    """A6: all 12 `*_analytics` of 12 x 10, one cut line in the template list."""
    templates = [f"t{number}" for number in range(9)] + ["analytics"]
    found = without_template(12, templates, [*templates[:-1], "analyt"])
    (text,) = found.refusals
    assert "12 of 120 managed databases would be dropped from users who stay (u000_analytics" in text
    assert "all that there are of the template analytics" in text
    assert "analyt would be made anew and empty" in text
    assert found.permission == "12"
    assert without_template(12, templates, templates[:-1], option="12").refusals == ()
    assert without_template(12, templates, templates[:-1], option="10%").refusals == ()
    assert without_template(12, templates, templates[:-1], option="11").refusals


def test_one_database_of_one_user_needs_none() -> None:
    assert without_template(1, ("web", "old"), ("web",)).refusals == ()
    assert without_template(1, ("web", "old", "older"), ("web",)).refusals


def test_a_template_that_a_leaver_had_too_is_a_whole_one() -> None:
    found = guard(roster("a", templates=("web",)), state(("a", "b"), ("web", "old")))
    (text,) = found.refusals
    assert "1 of 4 managed databases" in text
    assert "template old" in text


def test_the_last_one_of_an_interrupted_run_goes_on() -> None:
    actual = state(people(3), ("web",))
    databases = {**actual.databases, "u000_old": ExistingDatabase("u000_old", "u000", granted=True)}
    assert guard(roster(*people(3)), actual._replace(databases=databases)).refusals == ()


def test_what_was_never_finished_is_no_loss() -> None:
    """A run that was killed while it made the databases of a new template, which is then taken off the list again."""
    actual = state(people(3), ("web", "new"))
    unfinished = {
        name: each._replace(usable=False) if name.endswith("_new") else each for name, each in actual.databases.items()
    }
    assert guard(roster(*people(3)), actual).refusals
    assert guard(roster(*people(3)), actual._replace(databases=unfinished)).refusals == ()


def test_an_empty_template_list_needs_all() -> None:
    bare = roster("u000", templates=())
    found = guard(bare, state(("u000",)))
    (text,) = found.refusals
    assert "the template list is empty, but 1 managed database is on the server" in text
    assert found.permission == "all"
    assert guard(bare, state(("u000",)), "1").refusals
    assert guard(bare, state(("u000",)), "all").refusals == ()
    assert guard(bare, state(("u000",), ())).refusals == ()


def test_accounts_and_databases_are_both_told() -> None:
    found = guard(roster(*people(9)[4:], templates=("web",)), state(people(9), ("web", "old")))
    assert len(found.refusals) == 2
    assert found.permission == "5"


# --- days -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "refused"), [(0, False), (2, False), (3, True), (9, True)])
def test_more_than_three_and_more_than_thirty_percent_in_a_day(before: int, *, refused: bool) -> None:
    """A6: 40 users to 15 in 8 cron runs: little by little is told, too."""
    gone = {f"gone{number}": 1 for number in range(before)}
    found = leaving(1, 10 - before, history=History(accounts=gone, known={*gone, *people(10)}))
    assert bool(found.refusals) is (refused or before == 9)
    if 2 < before < 9:
        (text,) = found.refusals
        assert f"more than the limit for a day, with {before} in the last 24 hours (gone0" in text
        assert "(the larger of 3 and 30 %)" in text
        assert leaving(1, 10 - before, "1", history=History(accounts=gone)).refusals == ()


def test_a_share_of_a_day_is_one_of_what_was_there() -> None:
    gone = {f"gone{number}": 1 for number in range(11)}
    assert leaving(1, 29, history=History(accounts=gone)).refusals == ()  # 12 of 40
    assert leaving(2, 29, history=History(accounts=gone)).refusals


def test_who_comes_and_goes_counts_each_time() -> None:
    assert leaving(1, 5, history=History(accounts={"u000": 3}, known={"u000"})).refusals


def test_what_was_begun_is_not_counted_twice() -> None:
    history = History(accounts={"u000": 1, "x": 1, "y": 1}, begun={"u000"})
    assert leaving(1, 5, history=history).refusals == ()


def test_databases_of_a_day() -> None:
    one = roster("a")._replace(templates=("web",))
    history = History(databases={"x_old": 1, "y_old": 1, "z_old": 1})
    (text,) = guard(one, state(("a",), ("web", "old")), history=history).refusals
    assert "with 3 in the last 24 hours (x_old, y_old, z_old)" in text
    begun = replace(history, databases={"a_old": 3}, begun_databases={"a_old"})
    assert guard(one, state(("a",), ("web", "old")), history=begun).refusals == ()


# --- what came back, and what others have reservations about ----------------------------------------------------------


def test_what_came_back_needs_permission() -> None:
    """A6: a restored backup brings a leaver back, with a claim that holds; the audit log knows."""
    history = History(known={"u000"}, dropped={("u000", None): DATE, ("u001", None): DATE})
    (text,) = leaving(1, 20, history=history).refusals
    assert "u000 (dropped on 2026-11-20 13:00 UTC) came back" in text
    assert "--max-removals 1" in text
    assert leaving(1, 20, "1", history=history).refusals == ()
    assert leaving(0, 20, history=history).refusals == ()
    databases = History(dropped={("a", "a_old"): DATE})
    (text,) = guard(roster("a"), state(("a",), ("web", "old")), history=databases).refusals
    assert "a_old (dropped on" in text


def test_reservations_need_permission() -> None:
    (text,) = leaving(1, 20, reservations=("u000 seems to be renamed to new",)).refusals
    assert text == "u000 seems to be renamed to new; permit it with --max-removals 1"
    assert leaving(1, 20, "1", reservations=("u000 seems to be renamed to new",)).refusals == ()


# --- limits -----------------------------------------------------------------------------------------------------------


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


def test_the_option_replaces_all_numbers() -> None:
    assert not leaving(4, 5, "4").refusals
    assert leaving(5, 1000, "4").refusals
    assert leaving(1, 1000, "0").refusals
    assert not leaving(2, 10, "20%").refusals
    assert leaving(3, 10, "20%").refusals


def test_connections_yaml_may_lift_the_limits() -> None:
    free = Removals(max=None, max_per_day=None)
    assert leaving(50, 50, removals=free).refusals == ()
    assert guard(Roster(), state(people(9)), removals=free).refusals == ()
    assert without_template(12, ("web", "old"), ("web",), removals=free).refusals == ()
    assert leaving(50, 50, removals=free._replace(max_per_day=3)).refusals
    assert without_template(12, ("web", "old"), ("web",), removals=free._replace(max=50)).refusals


@pytest.mark.parametrize(
    ("limit", "text"), [(Limit(3, 10), "the larger of 3 and 10 %"), (Limit(5, 0), "5"), (Limit(0, 20), "20 %")]
)
def test_limits_in_words(limit: Limit, text: str) -> None:
    assert str(limit) == text


@given(st.integers(0, 50), st.integers(0, 500))
def test_the_rule_itself(removed: int, managed: int) -> None:
    assert Limit(1, 10).allows(removed, managed) is not (removed > max(1, managed / 10))
