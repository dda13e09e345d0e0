"""What a status is made of, whatever its format, and how it is said."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from dbroster.model.plan import Verb
from dbroster.model.problems import Problem
from dbroster.model.result import Result
from dbroster.model.standing import Databases, Pending, Standing
from dbroster.model.state import PasswordCheck
from dbroster.report.exit_codes import Exit
from dbroster.report.labels import label
from dbroster.report.plain.text import problem_text

MEGABYTE = 1_000_000

PASSWORDS = {PasswordCheck.SAME: "in step", PasswordCheck.DIFFERENT: "differs", PasswordCheck.UNKNOWN: "unknown"}

_WOULD = {
    Verb.CREATE_USER: "create the account",
    Verb.ADOPT: "take over",
    Verb.UPDATE_PASSWORD: "set the password",
    Verb.CREATE_DATABASE: "create",
    Verb.GRANT_PRIVILEGES: "set the privileges on",
    Verb.LOCK_USER: "lock the account",
    Verb.ARCHIVE_DATABASE: "archive",
    Verb.DROP_DATABASE: "drop",
    Verb.DROP_USER: "drop the account",
}
_DONE = {
    Verb.CREATE_USER: "created",
    Verb.ADOPT: "taken over",
    Verb.UPDATE_PASSWORD: "password set",
    Verb.CREATE_DATABASE: "database created",
    Verb.GRANT_PRIVILEGES: "privileges set",
    Verb.LOCK_USER: "locked",
    Verb.ARCHIVE_DATABASE: "database archived",
    Verb.DROP_DATABASE: "database dropped",
    Verb.DROP_USER: "dropped",
    Verb.RESTORE_DATABASE: "database restored",
    Verb.RENAME_USER: "renamed",
    Verb.MOVE_DATABASE: "database moved",
}
_DONE_WORDS = {verb.value: text for verb, text in _DONE.items()}


class View(NamedTuple):
    """The status of all servers with the exit code of all, and how a person wants it.

    `asked`: the users that were asked for; of those nobody knows the `unknown`. `doubt`: why the dates of the last
    changes may be wrong.
    """

    results: Sequence[Result]
    code: Exit
    now: datetime
    asked: frozenset[str] = frozenset()
    unknown: tuple[str, ...] = ()
    doubt: str | None = None
    sizes: bool = False
    colour: bool = False
    quiet: bool = False

    @property
    def rows(self) -> list[tuple[Result, Standing]]:
        """Every row with its server, by user; quietly only those that are not in step."""
        rows = [(result, row) for result in self.results for row in result.rows if not (self.quiet and row.in_step)]
        return sorted(rows, key=lambda pair: pair[1].user)

    @property
    def counted(self) -> str:
        """How many rows are in step."""
        rows = [row for result in self.results for row in result.rows]
        wrong = sum(not row.in_step for row in rows)
        return f"{len(rows)} row{'s' * (len(rows) != 1)}, {wrong} not in step"


def server_name(result: Result) -> str:
    """Return engine and server in one word."""
    return label(result.engine, result.server).replace(" ", "/")


def minute(when: datetime | None) -> str:
    """Return a date for people; nothing if there is none."""
    return f"{when:%Y-%m-%d %H:%M} UTC" if when else ""


def databases_words(databases: Databases) -> str:
    """Return how many of the wanted databases are there, and how many are there besides."""
    there, missing, surplus, closed, foreign, left = map(len, databases)
    wanted = there + missing + closed + foreign
    found = str(there) if there == wanted else f"{there} of {wanted}"
    words = (found if wanted else "", f"{surplus} surplus" if surplus else "", f"{left} left" if left else "")
    return ", ".join(filter(None, words)) or "-"


def changed_words(row: Standing) -> str:
    """Return the last change for people; nothing if there is none."""
    if row.change is None:
        return ""
    return f"{row.change.when:%Y-%m-%d} {_DONE_WORDS.get(row.change.action, row.change.action)}"


def megabytes(row: Standing) -> str:
    """Return how large all databases of a user are together; nothing where the server does not tell."""
    sizes = [(row.sizes or {}).get(name) for name in row.databases.found]
    known = [size for size in sizes if size is not None]
    return f"{sum(known) / MEGABYTE:.1f}" if row.sizes is not None and len(known) == len(sizes) else ""


def details(row: Standing) -> Iterator[str]:
    """Say all that is not told by the cells of a table, one text each."""
    if row.locked_since:
        until = f", kept until {minute(row.kept_until)}" if row.kept_until else ""
        yield f"locked since {minute(row.locked_since)}{until}"
    yield from why(row)
    yield from _unnamed(row)


def why(row: Standing) -> Iterator[str]:
    """Say why a row is not as it should be, one text each."""
    if row.note and not row.problems:
        yield row.note
    yield from would_do(row.pending)
    for problem in row.problems:
        yield f"{_kind(problem)}: {problem_text(problem._replace(user=None))}"


def _unnamed(row: Standing) -> Iterator[str]:
    """Name the databases that are not as they should be, where no other text does (a line that can't be used)."""
    named = {each.name for each in row.pending}
    texts = " ".join(problem.text for problem in row.problems)
    for what, names in row.databases._asdict().items():
        if what != "there" and (rest := [name for name in names if name not in named and name not in texts]):
            yield f"{what}: {', '.join(rest)}"


def _kind(problem: Problem) -> str:
    return "warning" if problem.warning else "problem"


def would_do(pending: Sequence[Pending]) -> Iterator[str]:
    """Say what a sync would do, what is alike in one text; that a new database has no privileges yet goes without."""
    told = [each for each in pending if not (each.verb is Verb.GRANT_PRIVILEGES and each.reason == "new database")]
    for (verb, reason, obstacle), group in groupby(told, key=lambda each: (each.verb, each.reason, each.obstacle)):
        names = ", ".join(each.name for each in group if each.name)
        but = f" (but {obstacle})" if obstacle else ""
        yield f"a sync would {_WOULD.get(verb, verb.value)}{f' {names}' if names else ''}: {reason}{but}"


def beside_rows(view: View) -> dict[tuple[str, str], None]:
    """Return what is said at no row, each with its kind; what is wrong with the files, only once for all servers."""
    told = [
        (kind, text if of_files else f"{server_name(result)}: {text}")
        for result in view.results
        for kind, text, of_files in _of_server(view, result)
    ]
    nobody = "no line of the roster, and no account on any server that was asked"
    told += [("problem", f"{name}: {nobody}") for name in view.unknown]
    told += [("warning", f"the last changes may be older than they seem: {view.doubt}")] if view.doubt else []
    return dict.fromkeys(told)


def _of_server(view: View, result: Result) -> Iterator[tuple[str, str, bool]]:
    at_rows = {problem.text for row in result.rows for problem in row.problems}
    for problem in () if view.asked else result.problems:
        if problem.text not in at_rows:
            yield _kind(problem), problem_text(problem), problem.file is not None
    for refusal in result.refusals:
        yield "refused", f"a sync would do nothing here: {refusal}", False
    if result.fatal is not None:
        yield "error", result.fatal, False
