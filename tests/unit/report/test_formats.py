"""Text, JSON and exit codes: the same words for dry and real runs, and nothing hostile reaches a terminal."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbroster.model.plan import Action, Conflict, Verb
from dbroster.model.problems import Problem
from dbroster.model.result import Outcome, Result, Status
from dbroster.passwords.secret import Secret
from dbroster.report.exit_codes import Exit, exit_code, gravest
from dbroster.report.json_document import as_json
from dbroster.report.markdown import as_markdown
from dbroster.report.plain.text import as_text, as_texts, printable, problem_text
from dbroster.report.report import Report, summary

CREATE = Action(Verb.CREATE_USER, "bob", None, Secret("S3cr3t-password"), "in users.txt, not on the server")
GRANT = Action(Verb.GRANT_PRIVILEGES, "bob", "bob_web", reason="new database")
PROBLEM = Problem("the password is empty", "users.txt", 3, "eve")
WARNING = Problem("no TLS", "connections.yaml", warning=True)


def result(**more: Any) -> Result:
    defaults: dict[str, Any] = {"product": "PostgreSQL 15.18", "host": "db:5432", "stages": {"read": 0.25}}
    return Result(**{"engine": "postgresql", "server": "default", "dry_run": False, **defaults, **more})


def outcome(status: Status = Status.DONE, action: Action = CREATE, **more: Any) -> Outcome:
    return Outcome(action, status, **more)


# --- exit codes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({}, 0),
        ({"outcomes": (outcome(),)}, 0),
        ({"problems": (WARNING,)}, 0),
        ({"outcomes": (outcome(Status.PLANNED),)}, 0),
        ({"outcomes": (outcome(Status.FAILED),)}, 1),
        ({"outcomes": (outcome(), outcome(Status.SKIPPED))}, 1),
        ({"outcomes": (outcome(Status.NOT_ATTEMPTED),)}, 1),
        ({"problems": (PROBLEM,)}, 1),
        ({"conflicts": (Conflict("root", "x"),)}, 1),
        ({"fatal": "no server"}, 2),
        ({"fatal": "the audit log is full", "outcomes": (outcome(),)}, 2),
        ({"refusals": ("too many",)}, 3),
        ({"refusals": ("too many",), "problems": (PROBLEM,)}, 3),
    ],
)
def test_exit_codes(more: dict[str, Any], code: int) -> None:
    assert exit_code(result(**more), detailed=False) == code


def test_changes_that_are_pending_have_a_code_when_asked_for() -> None:
    pending = result(outcomes=(outcome(Status.PLANNED),))
    assert exit_code(pending, detailed=True) == 4
    assert exit_code(result(), detailed=True) == 0
    assert exit_code(result(refusals=("x",)), detailed=True) == 3


@pytest.mark.parametrize(
    ("codes", "expected"), [((), 0), ((0, 0), 0), ((0, 1), 1), ((1, 4), 4), ((4, 2), 2), ((2, 3, 4), 3), ((3, 0), 3)]
)
def test_of_several_servers_the_gravest_counts(codes: tuple[int, ...], expected: int) -> None:
    assert gravest(map(Exit, codes)) == expected


# --- JSON -----------------------------------------------------------------------------------------------------------


def test_the_json_document_has_the_shape_of_the_design() -> None:
    found = result(
        outcomes=(outcome(seconds=0.004), outcome(Status.FAILED, GRANT, error="no", code="42501")),
        problems=(PROBLEM,),
        conflicts=(Conflict("root", "an account root exists"),),
        users=3,
        unchanged=2,
    )
    document = json.loads(as_json(Report([found], [], Exit.INCOMPLETE, dry_run=False)))
    assert (document["version"], document["dry_run"], document["exit_code"]) == (1, False, 1)
    (part,) = document["results"]
    assert (part["engine"], part["server"], part["product"]) == ("postgresql", "default", "PostgreSQL 15.18")
    first, second = part["actions"]
    assert first == {"action": "create_user", "user": "bob", "database": None, "status": "done", "error": None,
                     "seconds": 0.004, "reason": "in users.txt, not on the server", "code": None,
                     "note": None}  # fmt: skip
    assert (second["action"], second["database"], second["error"], second["code"]) == (
        "grant_privileges", "bob_web", "no", "42501",
    )  # fmt: skip
    assert part["problems"] == [
        {"file": "users.txt", "line": 3, "user": "eve", "text": "the password is empty", "warning": False}
    ]
    assert part["conflicts"] == [{"user": "root", "text": "an account root exists"}]
    assert part["summary"] == {
        "users": 3, "create_user": 1, "adopt": 0, "update_password": 0, "create_database": 0, "grant_privileges": 0,
        "lock_user": 0, "archive_database": 0, "drop_database": 0, "drop_user": 0, "restore_database": 0,
        "rename_user": 0, "move_database": 0,
        "failed": 1, "skipped": 0,
        "not_attempted": 0, "refused": 0, "unchanged": 2, "seconds": 0.25,
    }  # fmt: skip


def test_json_of_no_server_and_of_several() -> None:
    assert json.loads(as_json(Report([], [], Exit.IN_STEP, dry_run=True)))["results"] == []
    assert (
        len(json.loads(as_json(Report([result(), result(server="b")], [], Exit.IN_STEP, dry_run=True)))["results"]) == 2
    )


def test_a_dry_run_counts_what_is_planned() -> None:
    assert summary(result(outcomes=(outcome(Status.PLANNED),)))["create_user"] == 1
    assert summary(result(outcomes=(outcome(Status.FAILED),)))["create_user"] == 0


# --- text -----------------------------------------------------------------------------------------------------------


def test_the_report_of_a_run() -> None:
    found = result(
        outcomes=(outcome(), outcome(Status.FAILED, GRANT, error="permission denied", code="42501")),
        problems=(PROBLEM, WARNING),
        conflicts=(Conflict("root", "an account root exists"),),
        users=3,
    )
    assert as_text(found) == (
        "postgresql: PostgreSQL 15.18 at db:5432\n"
        "  + bob  new\n"
        "  ! bob  failed to grant privileges on bob_web: permission denied [42501]\n"
        "  problem: users.txt line 3: eve: the password is empty\n"
        "  warning: connections.yaml: no TLS\n"
        "  conflict: root: an account root exists\n"
        "  3 users, 0 unchanged: 1 new, 1 failed, 1 conflict, 1 problem\n"
        "  0.25 s (read 0.25)\n"
    )


def test_a_dry_run_has_the_same_words() -> None:
    done = as_text(result(outcomes=(outcome(), outcome(action=GRANT))))
    planned = as_text(result(dry_run=True, outcomes=(outcome(Status.PLANNED), outcome(Status.PLANNED, GRANT))))
    assert planned == done.replace("db:5432", "db:5432 (dry run)")


def test_nothing_to_do() -> None:
    assert "2 users, 2 unchanged: nothing to do" in as_text(result(users=2, unchanged=2, plan="0" * 24))


def test_a_check_does_not_say_that_there_is_nothing_to_do() -> None:
    """D1: it has compared nothing."""
    sound = as_text(result(judgement="2 users and 1 template are sound"))
    assert "2 users and 1 template are sound; dbroster plan tells what a sync would do" in sound
    assert "nothing to do" not in sound


def test_a_check_that_has_found_problems_does_not_sound_as_if_all_were_well() -> None:
    problems = (Problem("weak"), Problem("in the clear", warning=True))
    told = as_text(result(judgement="2 users and 1 template are sound", problems=problems))
    assert "2 users and 1 template are sound; 1 problem above" in told
    assert "are sound" not in as_text(result(judgement="2 users and 1 template are sound", fatal="no route"))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"fatal": "no server"}, "error: no server"),
        ({"refusals": ("too many",)}, "refused, nothing was done: too many"),
        ({"conflicts": (Conflict("root", "is there"),), "users": 1}, "  1 user, 0 unchanged: 1 conflict\n"),
        ({"problems": (PROBLEM, PROBLEM, WARNING), "users": 2}, "  2 users, 0 unchanged: 2 problems\n"),
    ],
)
def test_what_could_not_be_done_is_not_called_nothing_to_do(more: dict[str, Any], told: str) -> None:
    for servers in (1, 2):
        found = [result(**more)] * servers
        report = Report(found, [Exit.INCOMPLETE] * servers, Exit.INCOMPLETE)
        assert "nothing to do" not in as_texts(report).lower() + as_markdown(report).lower()
    assert told in as_text(result(**more))


def test_a_named_server_is_named() -> None:
    assert as_text(result(server="eu-1")).startswith("postgresql eu-1: PostgreSQL")


def test_quiet_tells_changes_and_problems_and_silent_problems_only() -> None:
    assert as_text(result(problems=(WARNING,)), quiet=True) == ""
    found = result(outcomes=(outcome(), outcome(Status.SKIPPED, GRANT)), problems=(PROBLEM, WARNING))
    for verbose, quiet, silent in (
        (False, ["postgresql:", "+", "!", "problem:"], ["postgresql:", "!", "problem:"]),
        (True, ["postgresql:", "done", "skipped", "problem:"], ["postgresql:", "skipped", "problem:"]),
    ):
        assert [line.split()[0] for line in as_text(found, quiet=True, verbose=verbose).splitlines()] == quiet
        assert [line.split()[0] for line in as_text(found, silent=True, verbose=verbose).splitlines()] == silent
    for more in ({"fatal": "x"}, {"refusals": ("x",)}, {"conflicts": (Conflict("root", "x"),)}):
        assert as_text(result(**more), quiet=True)
        assert as_text(result(**more), silent=True)


def test_quiet_always_tells_what_was_locked_or_dropped() -> None:
    """A6, D4: drops are never silent, however quiet a run is."""
    taken = [Action(Verb.LOCK_USER, "bob"), Action(Verb.DROP_DATABASE, "bob", "bob_web"), Action(Verb.DROP_USER, "bob")]
    for status in (Status.DONE, Status.REFUSED):
        outcomes = tuple(outcome(status, action) for action in taken)
        lines = as_text(result(outcomes=outcomes), quiet=True).splitlines()
        assert lines[1:] == ["  - bob  removed: 1 database dropped (web)" + " (refused)" * (status is Status.REFUSED)]
        many = [Action(Verb.DROP_USER, f"user{number}") for number in range(300)]
        removed = result(outcomes=[outcome(status, action) for action in many])
        assert as_text(removed, quiet=True).count("\n  - user") == 300


def test_a_refusal_shows_what_it_refuses_and_the_command_that_would_do_it() -> None:
    """C8: the guard shows the plan that it refuses."""
    drop = Action(Verb.DROP_DATABASE, "ann", "ann_web", reason="its template is no longer listed")
    found = result(
        outcomes=(outcome(Status.REFUSED), outcome(Status.REFUSED, drop)),
        refusals=("too many",),
        permit="dbroster sync postgresql --config c --max-removals 1",
        users=3,
    )
    assert as_text(found) == (
        "postgresql: PostgreSQL 15.18 at db:5432\n"
        "  - ann  1 database dropped (web), its template is no longer listed (refused)\n"
        "  + bob  new (refused)\n"
        "  refused, nothing was done: too many\n"
        "  to do it all the same: dbroster sync postgresql --config c --max-removals 1\n"
        "  3 users, 0 unchanged: 2 refused\n"
        "  0.25 s (read 0.25)\n"
    )
    (part,) = json.loads(as_json(Report([found], [], Exit.REFUSED, dry_run=True)))["results"]
    assert [action["status"] for action in part["actions"]] == ["refused", "refused"]
    assert (part["permit"], part["summary"]["refused"], part["summary"]["drop_database"]) == (found.permit, 2, 0)


def test_what_is_taken_away_is_red_and_nothing_else_is() -> None:
    """D10: drops had the colour of creations."""
    drop = Action(Verb.DROP_USER, "bob", reason="not in users.txt")
    for status in (Status.PLANNED, Status.DONE, Status.REFUSED):
        for verbose, red in ((False, "\x1b[31m"), (True, "\x1b[35m")):
            if not verbose or status is not Status.REFUSED:
                told = as_text(result(outcomes=(outcome(status, drop),)), colour=True, verbose=verbose)
                assert red in told
                assert verbose or re.search(r"^  \x1b\[31m- bob  removed( \(refused\))?\x1b\[0m$", told, re.MULTILINE)
            assert red not in as_text(result(outcomes=(outcome(status),)), colour=True, verbose=verbose)


def test_verbose_tells_the_seconds() -> None:
    found = result(outcomes=(outcome(seconds=1.5),))
    assert "1.500 s" in as_text(found, verbose=True)
    assert "1.500 s" not in as_text(found)


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("verbose", [False, True])
def test_colours(status: Status, *, verbose: bool) -> None:
    found = result(outcomes=(outcome(status),))
    coloured = as_text(found, colour=True, verbose=verbose)
    assert coloured.count("\x1b[") == 2
    assert "\x1b" not in as_text(found, verbose=verbose)
    for code in ("31", "1;31", "32", "33", "36", "0"):
        coloured = coloured.replace(f"\x1b[{code}m", "")
    assert coloured == as_text(found, verbose=verbose)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("x"), "x"),
        (Problem("x", "users.txt"), "users.txt: x"),
        (Problem("x", "users.txt", 3), "users.txt line 3: x"),
        (Problem("x", "users.txt", 3, "eve"), "users.txt line 3: eve: x"),
        (Problem("x", user="eve"), "eve: x"),
    ],
)
def test_problems_begin_with_their_place(problem: Problem, text: str) -> None:
    assert problem_text(problem) == text


# --- hostile texts --------------------------------------------------------------------------------------------------

HOSTILE = st.text(st.sampled_from("ab\x1b[2J\x9b\r\n\t\0\x07\u202e\u2028\u200b\ud800\x85é")) | st.text()


@given(text=HOSTILE, colour=st.booleans(), verbose=st.booleans(), several=st.booleans())
def test_no_text_moves_a_terminal_s_cursor_or_looks_like_a_line_of_ours(
    text: str, *, colour: bool, verbose: bool, several: bool
) -> None:
    action = Action(Verb.CREATE_DATABASE, text, text, reason=text)
    found = result(
        product=text,
        host=text,
        server=text,
        outcomes=(Outcome(action, Status.DONE), Outcome(action, Status.FAILED, text, text)),
        problems=(Problem(text, text, 1, text),),
        conflicts=(Conflict(text, text),),
        refusals=(text,),
        fatal=text,
    )
    results = [found, found._replace(problems=())] if several else [found]
    codes = [Exit.IN_STEP] * len(results)
    told = as_texts(Report(results, codes, Exit.IN_STEP, colour=colour, verbose=verbose, quiet=several))
    for code in ("31", "1;31", "32", "33", "0"):
        told = told.replace(f"\x1b[{code}m", "") if colour else told
    assert all(char.isprintable() or char == "\n" for char in told)
    own = [line for line in told.splitlines()[1:] if line.startswith("  ") and not line.startswith("   ")]
    if not several:
        assert len(own) == 8
    told.encode()
    as_json(Report([found], [], Exit.IN_STEP, dry_run=False)).encode("ascii")


def test_lines_that_an_error_needs_stay_lines() -> None:
    assert "\n      GRANT a;\n      GRANT b;" in as_text(result(fatal="grant it:\nGRANT a;\nGRANT b;"))


def test_invariant_2_no_secret_in_any_report() -> None:
    found = result(outcomes=(outcome(), outcome(Status.FAILED, error="x")))
    texts = [as_text(found, verbose=True), as_json(Report([found], [], Exit.IN_STEP, dry_run=False)), repr(found)]
    assert all("S3cr3t" not in text for text in texts)


def test_a_tab_in_a_servers_text_is_a_blank() -> None:
    """C8: PostgreSQL indents its hints with one."""
    assert printable("refused\n\tIs the server running?") == "refused\n       Is the server running?"
