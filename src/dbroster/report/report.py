"""What a report is made of, whatever its format."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from dbroster.model.plan import Verb
from dbroster.model.result import Result, Status
from dbroster.report.exit_codes import WENT_WRONG, Exit


class Report(NamedTuple):
    """The results of all servers with an exit code each, the exit code of all, and how a person wants it.

    `quiet`: changes and problems only; `silent`, which is quiet as well: problems only.
    """

    results: Sequence[Result]
    codes: Sequence[Exit]
    code: Exit
    dry_run: bool = False
    colour: bool = False
    verbose: bool = False
    quiet: bool = False
    silent: bool = False


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


def is_idle(result: Result) -> bool:
    """Whether nothing was to be done, and nothing keeps anything from being done."""
    told = result.outcomes or result.refusals or result.judgement or result.conflicts or result.fatal is not None
    return not (told or any(not problem.warning for problem in result.problems))


def told_counts(result: Result) -> dict[str, int | float]:
    """Count as people do: the owner of a new database may use it, and who is removed was locked before."""
    counts = summary(result)
    for step, whole in ((Verb.GRANT_PRIVILEGES, Verb.CREATE_DATABASE), (Verb.LOCK_USER, Verb.DROP_USER)):
        counts[step.value] = max(counts[step.value] - counts[whole.value], 0)
    return counts
