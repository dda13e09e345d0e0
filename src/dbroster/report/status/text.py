"""The status as a table for people: a row per user and server, and under it what is not as it should be."""

from collections.abc import Iterator, Sequence
from textwrap import fill

from dbroster.model.result import Result
from dbroster.model.standing import Standing
from dbroster.report.plain.text import printable
from dbroster.report.status.view import (
    PASSWORDS,
    View,
    beside_rows,
    changed_words,
    databases_words,
    details,
    megabytes,
    server_name,
)

WIDTH = 80
_RED = "31"


def as_table(view: View) -> str:
    """Return the table, what is wrong with servers and files, and a line that counts; quietly only what is wrong."""
    parts = [*_table(view), *_beside(view)]
    if not view.quiet:
        parts += [view.counted]
    return "".join(f"{line}\n" for line in parts)


def _table(view: View) -> Iterator[str]:
    rows = view.rows
    if not rows:
        return
    cells = [["user", "server", "account", "password", "databases", *(["MB"] if view.sizes else []), "last change"]]
    cells += [[printable(cell) for cell in _cells(view, result, row)] for result, row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    yield _line(cells[0], widths)
    for (_, row), line in zip(rows, cells[1:], strict=True):
        text = _line(line, widths)
        yield f"\x1b[{_RED}m{text}\x1b[0m" if view.colour and not row.in_step else text
        yield from map(_below, details(row))


def _below(text: str) -> str:
    """Return what stands under a row; what may hold a statement to be pasted is not broken."""
    line = printable(f"    {text}")
    return (
        line
        if text.startswith(("problem: ", "warning: "))
        else fill(line, WIDTH, subsequent_indent=" " * 8, break_long_words=False)
    )


def _cells(view: View, result: Result, row: Standing) -> list[str]:
    password = PASSWORDS[row.password] if row.password else "-"
    sizes = [megabytes(row) or "?"] if view.sizes else []
    databases = databases_words(row.databases)
    return [row.user, server_name(result), row.account.value, password, databases, *sizes, changed_words(row)]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _beside(view: View) -> Iterator[str]:
    for kind, text in beside_rows(view):
        if not (view.quiet and kind == "warning"):
            yield printable(f"{kind}: {text}")
