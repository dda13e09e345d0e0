"""What a run tells: text for people and JSON for programs, with the same words for dry and real runs."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Any

from dbroster.model.plan import Verb
from dbroster.model.problems import Problem
from dbroster.model.result import Outcome, Result, Status

JSON_VERSION = 1
_COLOURS = {
    Status.PLANNED: "36",
    Status.DONE: "32",
    Status.FAILED: "31",
    Status.SKIPPED: "33",
    Status.NOT_ATTEMPTED: "33",
    Status.REFUSED: "33",
}
_TAKES = (Verb.LOCK_USER, Verb.DROP_DATABASE, Verb.DROP_USER)
_TAKEN = "35"
_WENT_WRONG = (Status.FAILED, Status.SKIPPED, Status.NOT_ATTEMPTED)


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
    wrong = any(outcome.status in _WENT_WRONG for outcome in result.outcomes)
    if wrong or result.conflicts or any(not problem.warning for problem in result.problems):
        return Exit.INCOMPLETE
    return Exit.IN_STEP


# --- JSON -----------------------------------------------------------------------------------------------------------


def as_json(results: Sequence[Result], code: Exit, *, dry_run: bool) -> str:
    """Return one JSON document for all servers."""
    document = {
        "version": JSON_VERSION,
        "dry_run": dry_run,
        "exit_code": int(code),
        "results": [_json_result(result) for result in results],
    }
    return json.dumps(document, indent=2)


def _json_result(result: Result) -> dict[str, Any]:
    return {
        "engine": result.engine,
        "server": result.server,
        "product": result.product,
        "actions": [_json_outcome(outcome) for outcome in result.outcomes],
        "problems": [_json_problem(problem) for problem in result.problems],
        "conflicts": [{"user": conflict.user, "text": conflict.text} for conflict in result.conflicts],
        "refusals": list(result.refusals),
        "permit": result.permit,
        "error": result.fatal,
        "plan": result.plan,
        "audit": {"number": result.audit.number, "head": result.audit.digest} if result.audit else None,
        "summary": summary(result),
    }


def _json_outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "action": outcome.action.verb.value,
        "user": outcome.action.user,
        "database": outcome.action.database,
        "reason": outcome.action.reason,
        "status": outcome.status.value,
        "error": outcome.error,
        "code": outcome.code,
        "seconds": round(outcome.seconds, 6),
        "note": outcome.note,
    }


def _json_problem(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.line,
        "user": problem.user,
        "text": problem.text,
        "warning": problem.warning,
    }


def summary(result: Result) -> dict[str, int | float]:
    """Count what was done (in a dry run: what is planned), what went wrong, and the seconds of the whole run."""
    done = Counter(o.action.verb for o in result.outcomes if o.status in (Status.DONE, Status.PLANNED))
    wrong = Counter(o.status for o in result.outcomes)
    return {
        "users": result.users,
        **{verb.value: done[verb] for verb in Verb},
        **{status.value: wrong[status] for status in (*_WENT_WRONG, Status.REFUSED)},
        "unchanged": result.unchanged,
        "seconds": round(result.seconds, 3),
    }


# --- text -----------------------------------------------------------------------------------------------------------


def as_text(result: Result, *, colour: bool = False, verbose: bool = False, quiet: bool = False) -> str:
    """Return the report of one server; a quiet one tells only what a person must look at, and may be empty.

    What was locked or dropped is something to look at.
    """
    outcomes = list(_outcome_lines(result, colour=colour, verbose=verbose, quiet=quiet))
    trouble = [printable(line) for line in _trouble_lines(result, quiet=quiet)]
    if quiet and not outcomes and not trouble:
        return ""
    closing = () if quiet else _closing_lines(result)
    return "\n".join([printable(_headline(result)), *outcomes, *trouble, *closing]) + "\n"


def _headline(result: Result) -> str:
    server = "" if result.server == "default" else f" {result.server}"
    reached = f": {result.product} at {result.host}" if result.product else ""
    return f"{result.engine}{server}{reached}{' (dry run)' if result.dry_run else ''}"


def _outcome_lines(result: Result, *, colour: bool, verbose: bool, quiet: bool) -> Iterator[str]:
    shown = [o for o in result.outcomes if not quiet or o.status in _WENT_WRONG or o.note or _takes(o)]
    names = [(o.action.database or o.action.user) for o in shown]
    width = max(map(len, names), default=0)
    for outcome, name in zip(shown, names, strict=True):
        status = f"{outcome.status.value:<13}"
        if colour:
            status = f"\x1b[{_colour(outcome)}m{status}\x1b[0m"
        seconds = f"{outcome.seconds:8.3f} s  " if verbose else ""
        tail = outcome.error or outcome.note or outcome.action.reason
        code = f" [{outcome.code}]" if outcome.code else ""
        text = printable(f"{name:<{width}}  {seconds}{tail}{code}".rstrip())
        yield f"  {status} {outcome.action.verb:<16}  {text}"


def _takes(outcome: Outcome) -> bool:
    """Whether something was locked or dropped, or would have been if it had not been refused."""
    return outcome.action.verb in _TAKES and outcome.status in (Status.DONE, Status.REFUSED)


def _colour(outcome: Outcome) -> str:
    takes = outcome.action.verb in _TAKES and outcome.status in (Status.PLANNED, Status.DONE)
    return _TAKEN if takes else _COLOURS[outcome.status]


def _trouble_lines(result: Result, *, quiet: bool) -> Iterator[str]:
    for problem in result.problems:
        if not (quiet and problem.warning):
            yield f"  {'warning' if problem.warning else 'problem'}: {problem_text(problem)}"
    for conflict in result.conflicts:
        yield f"  conflict: {conflict.user}: {conflict.text}"
    for refusal in result.refusals:
        yield f"  refused, nothing was done: {refusal}"
    if result.permit:
        yield f"  to do it all the same: {result.permit}"
    if result.fatal is not None:
        yield f"  error: {result.fatal}"


def problem_text(problem: Problem) -> str:
    """Return a problem with its place and user in front."""
    place = f"{problem.file} line {problem.line}: " if problem.line else f"{problem.file}: " if problem.file else ""
    return f"{place}{f'{problem.user}: ' if problem.user else ''}{problem.text}"


def _closing_lines(result: Result) -> Iterator[str]:
    counts = summary(result)
    changes = [f"{counts[verb.value]} {verb.value}" for verb in Verb if counts[verb.value]]
    wrong = [f"{counts[s.value]} {s.value}" for s in (*_WENT_WRONG, Status.REFUSED) if counts[s.value]]
    total = f"{counts['users']} users, {counts['unchanged']} unchanged"
    if result.judgement and not result.fatal:
        yield f"  {_judgement(result)}"
    elif result.outcomes or not (result.fatal or result.refusals):
        yield f"  {total}: {', '.join([*changes, *wrong] or ['nothing to do'])}"
    if result.plan:
        yield f"  plan {result.plan}"
    if result.audit:
        yield f"  audit log: line number {result.audit.number} is {result.audit.digest}"
    stages = ", ".join(f"{name} {seconds:.2f}" for name, seconds in result.stages.items())
    if stages:
        yield f"  {counts['seconds']:.2f} s ({stages})"


def _judgement(result: Result) -> str:
    """What is sound must not sound as if all were."""
    number = sum(not problem.warning for problem in result.problems)
    but = f"; {number} problem{'s' * (number > 1)} above" if number else "; dbroster plan tells what a sync would do"
    return f"{result.judgement}{but}"


def printable(line: str) -> str:
    """A server's text must not move a terminal's cursor, nor look like a line of ours."""
    line = line.replace("\t", " ")
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in line).replace("\n", "\n      ")
