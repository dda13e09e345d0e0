"""The table that closes the report of several servers: one line each, a column for every kind of change that occurs."""

from collections.abc import Iterable, Sequence

from dbroster.model.plan import Verb
from dbroster.model.result import Result
from dbroster.report.exit_codes import WENT_WRONG, Exit
from dbroster.report.report import told_counts

WIDTH, USUAL = 100, 80
_SHORT = {"database": "db", "password": "passwd", "privileges": ""}


def closing_table(results: Sequence[Result], codes: Sequence[Exit]) -> str:
    """Return the table; what failed, was skipped or was not attempted is in one column."""
    counts = [told_counts(result) for result in results]
    verbs = [verb for verb in Verb if any(count[verb.value] for count in counts)]
    columns = [["", "engine", *(result.engine for result in results)]]
    if any(result.server != "default" for result in results):
        columns.append(["", "server", *(result.server for result in results)])
    columns.append(["", "users", *(str(count["users"]) for count in counts)])
    columns.append(["", "same", *(str(count["unchanged"]) for count in counts)])
    columns += [[*_heading(verb), *(str(count[verb.value]) for count in counts)] for verb in verbs]
    columns.append(["", "failed", *(str(sum(count[status.value] for status in WENT_WRONG)) for count in counts)])
    columns.append(["", "exit", *(str(int(code)) for code in codes)])
    title = "all servers (dry run)" if any(result.dry_run for result in results) else "all servers"
    return "\n".join([title, *_rows(columns)]) + "\n"


def _heading(verb: Verb) -> tuple[str, str]:
    """Return a verb as two lines, the second one next to the numbers."""
    first, _, second = verb.value.partition("_")
    second = _SHORT.get(second, second)
    return (first, second) if second else ("", first)


def _rows(columns: Sequence[Sequence[str]]) -> Iterable[str]:
    """Lay the columns out: names to the left, numbers to the right; closer to each other where it gets too wide."""
    widths = [max(map(len, column)) for column in columns]
    gap = "  " if sum(widths) + 2 * len(widths) <= USUAL else " "
    for row in zip(*columns, strict=True):
        cells = [
            cell.rjust(width) if column[2].isdecimal() else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ]
        line = f"  {gap.join(cells)}".rstrip()
        if line:
            yield line
