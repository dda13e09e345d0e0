"""The closing table of several servers."""

from typing import Any

from dbroster.model.plan import Action, Verb
from dbroster.model.result import Outcome, Result, Status
from dbroster.report.exit_codes import Exit
from dbroster.report.plain.table import WIDTH, closing_table


def result(engine: str, server: str = "default", **more: Any) -> Result:
    return Result(engine, server, more.pop("dry_run", False), **more)


def outcomes(**numbers: int) -> tuple[Outcome, ...]:
    """So many outcomes of each verb that are done."""
    return tuple(Outcome(Action(Verb(verb), "bob"), Status.DONE) for verb, n in numbers.items() for _ in range(n))


def test_one_line_for_each_server_and_one_column_for_each_kind_of_change() -> None:
    wrong = tuple(Outcome(Action(Verb.DROP_USER, "bob"), s) for s in (Status.FAILED, Status.SKIPPED))
    table = closing_table(
        [
            result(
                "postgresql",
                users=20,
                unchanged=17,
                outcomes=outcomes(create_user=3, create_database=120, grant_privileges=126),
            ),
            result("mysql", "main", users=21, outcomes=outcomes(update_password=1) + wrong),
            result("mysql", "old", fatal="no server"),
        ],
        [Exit.IN_STEP, Exit.INCOMPLETE, Exit.NOT_STARTED],
    )
    assert table == (
        "all servers\n"
        "                                    create  update  create\n"
        "  engine      server   users  same    user  passwd      db  grant  failed  exit\n"
        "  postgresql  default     20    17       3       0     120      6       0     0\n"
        "  mysql       main        21     0       0       1       0      0       2     1\n"
        "  mysql       old          0     0       0       0       0      0       0     2\n"
    )


def test_without_named_servers_and_without_changes() -> None:
    table = closing_table([result("mysql", dry_run=True), result("mongodb", dry_run=True)], [Exit.IN_STEP] * 2)
    assert table == (
        "all servers (dry run)\n"
        "  engine   users  same  failed  exit\n"
        "  mysql        0     0       0     0\n"
        "  mongodb      0     0       0     0\n"
    )


def test_every_kind_of_change_at_once_is_not_too_wide() -> None:
    others = (Verb.RESTORE_DATABASE, Verb.RENAME_USER, Verb.MOVE_DATABASE)  # no sync does these
    of_a_sync = [verb for verb in Verb if verb not in others]
    every = outcomes(**{verb.value: 1 + (verb in (Verb.GRANT_PRIVILEGES, Verb.LOCK_USER)) for verb in of_a_sync})
    rows = closing_table([result("postgresql", "reports", outcomes=every)] * 2, [Exit.IN_STEP] * 2).splitlines()
    assert max(map(len, rows)) <= WIDTH
    assert all(len(row.split()) == len(of_a_sync) + 6 for row in rows[-2:])
