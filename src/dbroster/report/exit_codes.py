"""The exit code of a run, judged by its results."""

from collections.abc import Iterable
from enum import IntEnum

from dbroster.model.result import Result, Status

WENT_WRONG = (Status.FAILED, Status.SKIPPED, Status.NOT_ATTEMPTED)


class Exit(IntEnum):
    """The exit codes."""

    IN_STEP = 0
    INCOMPLETE = 1
    NOT_STARTED = 2
    REFUSED = 3
    PENDING = 4


_GRAVITY = (Exit.IN_STEP, Exit.INCOMPLETE, Exit.PENDING, Exit.NOT_STARTED, Exit.REFUSED)


def gravest(codes: Iterable[Exit]) -> Exit:
    """Return the one that stands for several servers; changes pending on one never hide that another is refused."""
    return max(codes, key=_GRAVITY.index, default=Exit.IN_STEP)


def exit_code(result: Result, *, detailed: bool) -> Exit:
    """Judge one result; `detailed` tells a dry run with changes to make from one without."""
    if result.fatal is not None:
        return Exit.NOT_STARTED
    if result.refusals:
        return Exit.REFUSED
    if detailed and result.pending:
        return Exit.PENDING
    wrong = any(outcome.status in WENT_WRONG for outcome in result.outcomes)
    if wrong or result.conflicts or any(not problem.warning for problem in result.problems):
        return Exit.INCOMPLETE
    return Exit.IN_STEP


def standing_code(result: Result, *, of_users: bool) -> Exit:
    """Judge what a status has found: whether anything is not in step; `of_users`: with the users that it shows only."""
    if result.fatal is not None:
        return Exit.NOT_STARTED
    wrong = any(not problem.warning for problem in result.problems) or result.outcomes or result.conflicts
    apart = any(not row.in_step for row in result.rows)
    return Exit.INCOMPLETE if apart or (wrong and not of_users) else Exit.IN_STEP
