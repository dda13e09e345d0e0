"""One line for each user: what each kind of change is called, in which order, and what is cut."""

from typing import Any

import pytest

from dbroster.model.plan import NEW_USER, NOT_LISTED, OTHER_PASSWORD, TAKEN_BACK, Action, Verb
from dbroster.model.problems import Problem
from dbroster.model.result import Link, Outcome, Result, Status
from dbroster.report.exit_codes import Exit
from dbroster.report.plain.by_user import MOST
from dbroster.report.plain.text import as_text, as_texts
from dbroster.report.report import Report

DBS = ("analytics", "tools", "web")
D = Status.DONE


def did(verb: Verb, user: str, *names: str, why: str = "", status: Status = D, **more: Any) -> list[Outcome]:
    """What became of these databases of a user, or of the account."""
    actions = [Action(verb, user, f"{user}_{name}", reason=why) for name in names] or [Action(verb, user, reason=why)]
    return [Outcome(action, status, **more) for action in actions]


def new(user: str) -> list[Outcome]:
    made = did(Verb.CREATE_USER, user, why=NEW_USER) + did(Verb.CREATE_DATABASE, user, *DBS)
    return made + did(Verb.GRANT_PRIVILEGES, user, *DBS, why="new database")


def gone(user: str) -> list[Outcome]:
    dropped = did(Verb.DROP_DATABASE, user, *DBS, why="its user is not in users.txt")
    return did(Verb.LOCK_USER, user, why=NOT_LISTED) + dropped + did(Verb.DROP_USER, user, why=NOT_LISTED)


def changed(user: str) -> list[Outcome]:
    return did(Verb.UPDATE_PASSWORD, user, why=OTHER_PASSWORD)


def result(outcomes: list[Outcome], server: str = "default", **more: Any) -> Result:
    return Result("postgresql", server, more.pop("dry_run", False), outcomes=tuple(outcomes), **more)


def lines(outcomes: list[Outcome]) -> list[str]:
    return as_text(result(outcomes), quiet=True).splitlines()[1:]


def test_removals_stand_first_and_names_below_each_other() -> None:
    """D10: one line for each user, no `grant_privileges ... new database`."""
    assert lines(changed("eve") + new("annabel") + gone("bob")) == [
        "  - bob      removed: 3 databases dropped (analytics, tools, web)",
        "  + annabel  new: 3 databases",
        "  ~ eve      password changed",
    ]


@pytest.mark.parametrize(
    ("outcomes", "told"),
    [
        (did(Verb.LOCK_USER, "bob", why=NOT_LISTED), "- bob  locked (not in users.txt)"),
        (did(Verb.DROP_USER, "bob", why="no longer configured"), "- bob  removed (no longer configured)"),
        (
            did(Verb.ARCHIVE_DATABASE, "bob", "web") + gone("bob")[:1] + did(Verb.DROP_DATABASE, "bob", "web")
            + did(Verb.DROP_USER, "bob", why=NOT_LISTED),
            "- bob  removed: 1 database archived and dropped (web)",
        ),
        (
            did(Verb.DROP_DATABASE, "bob", "web", why="its template is no longer listed"),
            "- bob  1 database dropped (web), its template is no longer listed",
        ),
        (did(Verb.ARCHIVE_DATABASE, "bob", "web"), "- bob  1 database archived (web)"),
        (did(Verb.CREATE_USER, "bob", why="a part of the account is missing"),
         "~ bob  account created (a part of the account is missing)"),
        (did(Verb.UPDATE_PASSWORD, "bob", why="back in users.txt: opened again"),
         "~ bob  password changed (back in users.txt: opened again)"),
        (did(Verb.ADOPT, "bob", why="as --adopt says"), "+ bob  taken over (as --adopt says)"),
        (did(Verb.ADOPT, "bob", "web", "old", why="with its data"),
         "+ bob  2 databases taken over (web, old), with its data"),
        (did(Verb.CREATE_DATABASE, "bob", "web") + did(Verb.GRANT_PRIVILEGES, "bob", "web"),
         "~ bob  1 database created (web)"),
        (did(Verb.GRANT_PRIVILEGES, "bob", "web", why="privileges differ"),
         "~ bob  1 database granted anew (web), privileges differ"),
        (did(Verb.RESTORE_DATABASE, "bob", "web"), "+ bob  1 database restored (web)"),
        (changed("bob") + did(Verb.CREATE_DATABASE, "bob", "web"), "~ bob  password changed: 1 database created (web)"),
        (did(Verb.RENAME_USER, "bob", why="was rob, with rob_web"), "~ bob  renamed (was rob, with rob_web)"),
        (
            did(Verb.CREATE_USER, "bob", why="the new name of rob") + did(Verb.CREATE_DATABASE, "bob", "web")
            + did(Verb.GRANT_PRIVILEGES, "bob", "web") + did(Verb.MOVE_DATABASE, "bob", "web", why="from rob_web")
            + did(Verb.UPDATE_PASSWORD, "bob", why="that of rob"),
            "~ bob  account created (the new name of rob): 1 database moved (web)",
        ),
    ],
)  # fmt: skip
def test_the_words_of_each_change(outcomes: list[Outcome], told: str) -> None:
    assert lines(outcomes) == [f"  {told}"]


def test_a_failure_says_which_step_and_why_and_what_was_left_out() -> None:
    failed: dict[str, Any] = {"status": Status.FAILED, "error": "permission denied", "code": "42501"}
    skipped: dict[str, Any] = {"status": Status.SKIPPED, "error": "skipped, since drop_database failed"}
    outcomes = did(Verb.LOCK_USER, "bob", why=NOT_LISTED) + did(Verb.DROP_DATABASE, "bob", "web", **failed)
    outcomes += did(Verb.DROP_DATABASE, "bob", "tools", **skipped) + did(Verb.DROP_USER, "bob", **skipped)
    outcomes += did(Verb.GRANT_PRIVILEGES, "ann", "web", note="but not on its views")
    assert lines(outcomes) == [
        "  - bob  locked (not in users.txt)",
        "  ~ ann  1 database granted anew (web)",
        "  ! bob  failed to drop bob_web: permission denied [42501]",
        "  ! bob  skipped: drop bob_tools, drop the account: skipped, since drop_database failed",
        "  ! ann  grant privileges on ann_web: but not on its views",
    ]


def test_what_was_taken_back_is_neither_new_nor_removed() -> None:
    outcomes = did(Verb.CREATE_USER, "ann", why=NEW_USER) + did(Verb.CREATE_DATABASE, "ann", "web")
    outcomes += did(Verb.CREATE_DATABASE, "ann", "tools", status=Status.FAILED, error="no space")
    outcomes += did(Verb.DROP_DATABASE, "ann", "web", why=TAKEN_BACK) + did(Verb.DROP_USER, "ann", why=TAKEN_BACK)
    assert lines(outcomes) == ["  ! ann  failed to create ann_tools: no space", f"  ! ann  {TAKEN_BACK}"]


def test_long_lists_are_cut_but_removals_never_are() -> None:
    many = [f"u{number}" for number in range(300)]
    told = lines([o for name in many for o in new(name)])
    assert (len(told), told[-1].split()[:4]) == (MOST - 1, ["+", "...", "and", "290"])
    assert "--verbose" in told[-1]
    assert len(lines([o for name in many for o in gone(name)])) == 300
    assert len(lines([o for name in many[:MOST] for o in new(name)])) == MOST


def test_300_users_on_3_servers_with_10_changes_are_under_20_lines_of_80_columns() -> None:
    """D10: it was 7,522 lines."""
    outcomes = [o for n in range(3) for o in gone(f"developer{n}")] + [o for n in range(4) for o in new(f"dev{n}")]
    outcomes += [o for n in range(3) for o in changed(f"d{n}")]
    for dry_run in (False, True):
        more: dict[str, Any] = {"users": 300, "unchanged": 293, "plan": "0" * 24, "dry_run": dry_run}
        if not dry_run:
            more["audit"] = Link(80, "f" * 64)
        results = [result(outcomes, server, **more) for server in ("eu", "us", "asia")]
        told = as_texts(Report(results, [Exit.IN_STEP] * 3, Exit.IN_STEP, dry_run=dry_run)).splitlines()
        assert len(told) < 20
        assert [line for line in told if " developer0 " in line] == [
            "  - developer0  removed: 3 databases dropped (analytics, tools, web)"
        ]
        assert max(map(len, told[:-1])) <= 80, told


def test_several_servers_tell_a_change_once_and_where_it_is_not_the_same() -> None:
    warned = {"problems": (Problem("no colon", "users.txt", 2),)}
    results = [
        result(new("ann") + gone("bob"), "a", **warned),
        result(new("ann"), "b", **warned),
        result([], "c", fatal="no route", **warned),
    ]
    told = as_texts(Report(results, [Exit.INCOMPLETE] * 3, Exit.INCOMPLETE)).splitlines()
    assert told[:7] == [
        "3 servers",
        "  - bob  removed: 3 databases dropped (analytics, tools, web) (on postgresql a)",
        "  + ann  new: 3 databases (on postgresql a, postgresql b)",
        "each server",
        "  problem: users.txt line 2: no colon",
        "postgresql c",
        "  error: no route",
    ]
    many = [result(new("ann"), f"s{number}") for number in range(20)]
    told = as_texts(Report([*many, result([], "z")], [Exit.IN_STEP] * 21, Exit.IN_STEP)).splitlines()
    assert told[1] == "  + ann  new: 3 databases (on postgresql s0, postgresql s1, postgresql s2 and 17 more)"


def test_several_servers_with_nothing_to_do() -> None:
    results = [result([], "a"), result([], "b")]
    assert as_texts(Report(results, [Exit.IN_STEP] * 2, Exit.IN_STEP)).startswith("2 servers: nothing to do\n\nall")
    assert as_texts(Report(results, [Exit.IN_STEP] * 2, Exit.IN_STEP, quiet=True)) == ""
    dead = result([], "b", fatal="no route")
    assert "nothing to do" not in as_texts(Report([results[0], dead], [Exit.NOT_STARTED] * 2, Exit.NOT_STARTED))
