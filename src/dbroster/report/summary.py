"""Counts of what one run has done, and of what went wrong."""

from collections import Counter

from dbroster.model.plan import Verb
from dbroster.model.result import Result, Status
from dbroster.report.exit_codes import WENT_WRONG


def summary(result: Result) -> dict[str, int | float]:
    """Count what was done (in a dry run: what is planned), what went wrong, and the seconds of the whole run."""
    done = Counter(o.action.verb for o in result.outcomes if o.status in (Status.DONE, Status.PLANNED))
    wrong = Counter(o.status for o in result.outcomes)
    return {
        "users": result.users,
        **{verb.value: done[verb] for verb in Verb},
        **{status.value: wrong[status] for status in (*WENT_WRONG, Status.REFUSED)},
        "unchanged": result.unchanged,
        "seconds": round(result.seconds, 3),
    }
