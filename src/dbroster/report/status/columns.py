"""The columns of a status where each fact has one of its own: for CSV and the page."""

from collections.abc import Iterator

from dbroster.model.result import Result
from dbroster.model.standing import Standing
from dbroster.report.status.view import PASSWORDS, View, changed_words, megabytes, minute, server_name, why

RARE = ("locked since", "kept until", "missing", "surplus", "closed", "foreign", "left")
"""Columns that are empty where all is well."""


def headings(view: View) -> list[str]:
    """Return what stands above the columns; the last one is for why a row is not as it should be."""
    sizes = ["MB"] if view.sizes else []
    since, until, *lists = RARE
    return ["user", "server", "account", since, until, "password", "databases", *lists, *sizes, "last change", "why"]


def rows(view: View) -> Iterator[tuple[Standing, list[str], list[str]]]:
    """Yield each row with its cells but for the last one, and with the texts of that one."""
    for result, row in view.rows:
        yield row, _cells(view, result, row), list(why(row))


def _cells(view: View, result: Result, row: Standing) -> list[str]:
    return [
        row.user,
        server_name(result),
        row.account.value,
        minute(row.locked_since),
        minute(row.kept_until),
        PASSWORDS[row.password] if row.password else "",
        *(", ".join(names) for names in row.databases),
        *([megabytes(row)] if view.sizes else []),
        changed_words(row),
    ]
