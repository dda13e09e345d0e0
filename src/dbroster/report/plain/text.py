"""A report for people, with the same words for dry and real runs: one line for each user, or for each action."""

from collections.abc import Iterator, Sequence

from dbroster.model.plan import Verb
from dbroster.model.problems import Problem
from dbroster.model.result import Link, Outcome, Result, Status
from dbroster.report.exit_codes import WENT_WRONG, Exit
from dbroster.report.labels import label
from dbroster.report.report import Report, is_idle, told_counts

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
_SIGN_COLOURS = {"-": "31", "+": "32", "~": "33", "!": "1;31"}
_NAME_WIDTH = 24
_COUNTED = {
    Verb.CREATE_USER: "new",
    Verb.ADOPT: "taken over",
    Verb.UPDATE_PASSWORD: "passwords changed",
    Verb.LOCK_USER: "locked",
    Verb.DROP_USER: "removed",
    Verb.CREATE_DATABASE: "databases created",
    Verb.GRANT_PRIVILEGES: "databases granted anew",
    Verb.ARCHIVE_DATABASE: "databases archived",
    Verb.DROP_DATABASE: "databases dropped",
    Verb.RESTORE_DATABASE: "databases restored",
    Verb.RENAME_USER: "renamed",
    Verb.MOVE_DATABASE: "databases moved",
}


def as_texts(report: Report) -> str:
    """Return the reports of all servers, and where there are several the table that closes them."""
    if len(report.results) == 1 or report.verbose:
        told = [_of_one(result, report) for result in report.results]
    else:
        told = ["\n".join(_of_several(report)) + "\n" if report.results else ""]
    if len(report.results) > 1 and not report.quiet:
        from dbroster.report.plain.table import closing_table  # most runs have one server

        told.append(closing_table(report.results, report.codes) + _closing_all(report))
    return "\n".join(text for text in told if text.strip())


def as_text(
    result: Result, *, colour: bool = False, verbose: bool = False, quiet: bool = False, silent: bool = False
) -> str:
    """Return the report of one server."""
    return _of_one(result, Report([result], [], Exit.IN_STEP, result.dry_run, colour, verbose, quiet or silent, silent))


def _of_one(result: Result, report: Report) -> str:
    """Return the report of one server; a quiet one has changes and problems, a silent one problems; it may be empty."""
    lines = list(_action_lines(result, report) if report.verbose else _user_lines([result], report))
    trouble = [printable(line) for line in _trouble_lines(result, quiet=report.quiet)]
    if report.quiet and not lines and not trouble:
        return ""
    closing = () if report.quiet else _closing_lines(result)
    return "\n".join([printable(_headline(result)), *lines, *trouble, *closing]) + "\n"


def _of_several(report: Report) -> Iterator[str]:
    """Tell what changes for all servers together, and what is wrong once, if it is so with all of them."""
    lines = list(_user_lines(report.results, report))
    idle = not report.quiet and all(map(is_idle, report.results))
    if lines or idle:
        yield f"{len(report.results)} servers{' (dry run)' * report.dry_run}{': nothing to do' * idle}"
    yield from lines
    common, troubles = trouble_of_all(report)
    if common:
        yield "each server"
        yield from map(printable, common)
    for result, own in zip(report.results, troubles, strict=True):
        if own or (result.judgement and not report.quiet):
            yield printable(_headline(result))
            yield from map(printable, own)
        if result.judgement and not report.quiet and not result.fatal:
            yield f"  {_judgement(result)}"


def _closing_all(report: Report) -> str:
    """Tell what the next run may be held to, and the end of the audit log."""
    digests = plans_of(report)
    expect = f"  plan {' '.join(digests)}\n" if digests and not report.verbose else ""
    links = [result.audit for result in report.results if result.audit]
    return expect + (f"  {_audit(max(links))}\n" if links and not report.verbose else "")


def plans_of(report: Report) -> list[str]:
    """Return the digests of all plans that wait to be carried out."""
    plans = [result.plan for result in report.results if result.plan and (result.pending or result.refusals)]
    return list(dict.fromkeys(plans))


def _headline(result: Result) -> str:
    reached = f": {result.product} at {result.host}" if result.product else ""
    return f"{label(result.engine, result.server)}{reached}{' (dry run)' if result.dry_run else ''}"


def _user_lines(results: Sequence[Result], report: Report) -> Iterator[str]:
    """One line for each user that changes; long lists are cut, but for removals."""
    if not any(result.outcomes for result in results):
        return
    from dbroster.report.plain.by_user import told_lines  # most runs change nothing

    told = told_lines(results, silent=report.silent)
    width = min(max((len(line.user) for line in told), default=0), _NAME_WIDTH)
    for line in told:
        text = printable(f"{line.sign} {line.user:<{width}}  {line.text}".rstrip())
        yield f"  \x1b[{_SIGN_COLOURS[line.sign]}m{text}\x1b[0m" if report.colour else f"  {text}"


def _action_lines(result: Result, report: Report) -> Iterator[str]:
    shown = [o for o in result.outcomes if not report.silent or o.status in (*WENT_WRONG, Status.REFUSED) or o.note]
    names = [(o.action.database or o.action.user) for o in shown]
    width = max(map(len, names), default=0)
    for outcome, name in zip(shown, names, strict=True):
        status = f"{outcome.status.value:<13}"
        if report.colour:
            status = f"\x1b[{_colour(outcome)}m{status}\x1b[0m"
        tail = outcome.error or outcome.note or outcome.action.reason
        code = f" [{outcome.code}]" if outcome.code else ""
        text = printable(f"{name:<{width}}  {outcome.seconds:8.3f} s  {tail}{code}".rstrip())
        yield f"  {status} {outcome.action.verb:<16}  {text}"


def _colour(outcome: Outcome) -> str:
    takes = outcome.action.verb in _TAKES and outcome.status in (Status.PLANNED, Status.DONE)
    return _TAKEN if takes else _COLOURS[outcome.status]


def trouble_of_all(report: Report) -> tuple[list[str], list[list[str]]]:
    """Return what is wrong with all of several servers, and what else with each."""
    troubles = [list(_trouble_lines(result, quiet=report.quiet)) for result in report.results]
    if len(troubles) < 2:
        return [], troubles
    common = [line for line in troubles[0] if all(line in trouble for trouble in troubles)]
    return common, [[line for line in trouble if line not in common] for trouble in troubles]


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
    if result.judgement and not result.fatal:
        yield f"  {_judgement(result)}"
    elif result.outcomes or not (result.fatal or result.refusals):
        told = ", ".join((*counts_of(result), *_obstacles(result))) or "nothing to do"
        yield f"  {_number(result.users, 'user')}, {result.unchanged} unchanged: {told}"
    if result.plan:
        yield f"  plan {result.plan}"
    if result.audit:
        yield f"  {_audit(result.audit)}"
    stages = ", ".join(f"{name} {seconds:.2f}" for name, seconds in result.stages.items())
    if stages:
        yield f"  {result.seconds:.2f} s ({stages})"


def counts_of(result: Result) -> Iterator[str]:
    """Count what is done and what is not."""
    counts = told_counts(result)
    for verb, text in _COUNTED.items():
        number = counts[verb.value]
        if number:
            yield f"{number} {text.replace('s ', ' ', 1) if number == 1 else text}"
    for status in (*WENT_WRONG, Status.REFUSED):
        if counts[status.value]:
            yield f"{counts[status.value]} {status.value.replace('_', ' ')}"


def _obstacles(result: Result) -> Iterator[str]:
    """Count what keeps somebody from being served."""
    problems = sum(not problem.warning for problem in result.problems)
    counts = {"conflict": len(result.conflicts), "problem": problems}
    yield from (_number(number, what) for what, number in counts.items() if number)


def _number(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _audit(link: Link) -> str:
    return f"audit log: line number {link.number} is {link.digest}"


def _judgement(result: Result) -> str:
    """What is sound must not sound as if all were."""
    number = sum(not problem.warning for problem in result.problems)
    but = f"; {_number(number, 'problem')} above" if number else "; dbroster plan tells what a sync would do"
    return f"{result.judgement}{but}"


def printable(line: str) -> str:
    """A server's text must not move a terminal's cursor, nor look like a line of ours."""
    line = line.replace("\t", " ")
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in line).replace("\n", "\n      ")
