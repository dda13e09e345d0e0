"""A report for a merge request: tables, and every action in a list that opens on a click.

Whatever comes from files or servers stands in `<code>`, each character that means something written as an entity:
there it is neither a mention, nor a link, a reference, an element, or the end of a cell.
"""

from collections.abc import Iterator

from dbroster.model.plan import REMOVALS
from dbroster.model.result import Result
from dbroster.report.labels import label
from dbroster.report.plain.by_user import CHANGED, NEW, REMOVED, WRONG, Line, told_lines
from dbroster.report.plain.text import counts_of, plans_of, printable, trouble_of_all
from dbroster.report.report import Report, is_idle

MOST_ACTIONS = 200
"""Actions in the list, removals first: comments may hold 65,536 characters."""

_WORDS = {REMOVED: "**removal**", NEW: "new", CHANGED: "change", WRONG: "**failed**"}
_PLAIN = frozenset(" ,.;:/=%")


def as_markdown(report: Report) -> str:
    """Return the report of all servers; a quiet one may be empty."""
    parts = [list(part) for part in (_users(report), _trouble(report))]
    if report.quiet and not any(parts):
        return ""
    if not report.quiet:
        parts += [list(part) for part in (_servers(report), _actions(report), _expect(report))]
    return "\n\n".join([_heading(report), *("\n".join(part) for part in parts if part)]) + "\n"


def code(text: str) -> str:
    """Return a text that is shown as it is, wherever it comes from."""
    lines = printable(text).split("\n")
    return "<br>".join(f"<code>{''.join(map(_entity, line.strip()))}</code>" for line in lines if line.strip())


def _entity(char: str) -> str:
    return char if char.isalnum() or char in _PLAIN else f"&#{ord(char)};"


def _heading(report: Report) -> str:
    number = len(report.results)
    servers = _label(report.results[0]) if number == 1 else f"{number} servers"
    what = "what a sync would do" if report.dry_run else "what was done"
    return f"### dbroster: {what} on {code(servers)}"


def _label(result: Result) -> str:
    return label(result.engine, result.server)


def _users(report: Report) -> Iterator[str]:
    lines = told_lines(report.results, silent=report.silent)
    if not report.quiet and all(map(is_idle, report.results)):
        yield "Nothing to do."
    if lines:
        yield from _head("", "user", "what")
        yield from map(_user, lines)


def _user(line: Line) -> str:
    return _row(_WORDS[line.sign], code(line.user), code(line.text))


def _trouble(report: Report) -> Iterator[str]:
    common, own = trouble_of_all(report)
    yield from (f"* {code(text.strip())}" for text in common)
    for result, texts in zip(report.results, own, strict=True):
        of = f"{code(_label(result))} " if len(own) > 1 else ""
        yield from (f"* {of}{code(text.strip())}" for text in texts)


def _servers(report: Report) -> Iterator[str]:
    yield from _head("server", "users", "unchanged", "changes", "exit", "plan")
    for result, exit_code in zip(report.results, report.codes, strict=True):
        named = f"{_label(result)}: {result.product}" if result.product else _label(result)
        changes = result.judgement or ", ".join(counts_of(result))
        users = (str(result.users), str(result.unchanged))
        yield _row(code(named), *users, code(changes), str(int(exit_code)), code(result.plan or ""))


def _actions(report: Report) -> Iterator[str]:
    every = [(result, outcome) for result in report.results for outcome in result.outcomes]
    every.sort(key=lambda pair: pair[1].action.verb not in REMOVALS)
    if not every:
        return
    yield f"<details><summary>{len(every)} actions</summary>\n"
    yield from _head("server", "status", "action", "on", "why")
    for result, outcome in every if report.verbose else every[:MOST_ACTIONS]:
        action = outcome.action
        why = outcome.error or outcome.note or action.reason
        name = action.database or action.user
        yield _row(*map(code, (_label(result), outcome.status.value, action.verb.value, name, why)))
    if len(every) > MOST_ACTIONS and not report.verbose:
        yield f"\n{len(every) - MOST_ACTIONS} more, which `--verbose` tells."
    yield "\n</details>"


def _expect(report: Report) -> Iterator[str]:
    if digests := plans_of(report):
        yield f"To run this plan and no other: `{' '.join(f'--expect {digest}' for digest in digests)}`"


def _head(*cells: str) -> Iterator[str]:
    yield _row(*cells)
    yield _row(*("---" for _ in cells))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
