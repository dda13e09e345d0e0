"""A report for people, with the same words for dry and real runs."""

from collections.abc import Iterator

from dbroster.model.plan import Verb
from dbroster.model.problems import Problem
from dbroster.model.result import Outcome, Result, Status
from dbroster.report.exit_codes import WENT_WRONG
from dbroster.report.report import Report, summary

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


def as_texts(report: Report) -> str:
    """Return the reports of all servers, and where there are several the table that closes them."""
    told = [as_text(r, colour=report.colour, verbose=report.verbose, quiet=report.quiet) for r in report.results]
    if len(report.results) > 1 and not report.quiet:
        from dbroster.report.table import closing_table  # most runs have one server

        told.append(closing_table(report.results, report.codes))
    return "\n".join(filter(None, told))


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
    shown = [o for o in result.outcomes if not quiet or o.status in WENT_WRONG or o.note or _takes(o)]
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
    wrong = [f"{counts[s.value]} {s.value}" for s in (*WENT_WRONG, Status.REFUSED) if counts[s.value]]
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
