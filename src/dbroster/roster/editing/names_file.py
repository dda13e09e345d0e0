"""A file with names of users, and passwords where somebody has chosen them: `dbroster add --from names.csv`.

CSV in UTF-8 (RFC 4180), one user per row. If the first row has a column `name`, `username` or `user`, it is a header:
the names are taken from that column, passwords from the column `password`, and nothing else. Without a header the first
column has the names and the second one, if there is one, the passwords. An empty password asks for a new one. Blank
rows, and rows that begin with #, are left out. No text of a problem holds anything of the file but user names.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dbroster.errors import ConfigError
from dbroster.files.permissions import mode_problem
from dbroster.files.read import is_utf8, read_file
from dbroster.model.names import NAME_RULE, is_name
from dbroster.model.problems import Problem
from dbroster.passwords.secret import Secret

_NAMES = ("name", "username", "user")
_PASSWORD = "password"  # noqa: S105 - what a column is called


class Names(NamedTuple):
    """Who stands in the file, each with the password or None, and how many columns were not looked at."""

    passwords: dict[str, Secret | None]
    ignored: int


class _Columns(NamedTuple):
    """Where name and password stand in a row; `width`: how many columns a row may have, None: any number."""

    name: int = 0
    password: int | None = 1
    width: int | None = 2
    ignored: int = 0


def read_names(path: Path) -> Names:
    """Read the file. Raises ConfigError with every row that can't be used."""
    content = read_file(path)
    if not content.problem and not is_utf8(content.data):
        content = content._replace(problem=Problem(f"{path} is not UTF-8", path.name))
    if content.problem:
        raise ConfigError([content.problem])
    columns, rows = _with_columns(list(_rows(content.data.decode("utf-8-sig"), path)))
    passwords: dict[str, Secret | None] = {}
    problems = [_take(passwords, row, columns) for _, row in rows]
    found = [Problem(text, path.name, number) for (number, _), text in zip(rows, problems, strict=True) if text]
    if any(passwords.values()) and (unsafe := mode_problem(path, content.mode)):
        found.append(unsafe)
    if found or not passwords:
        raise ConfigError(found or [Problem(f"{path} names nobody", path.name)])
    return Names(passwords, columns.ignored)


def _rows(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Return the rows that say something, with the lines that they end in."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells) and not cells[0].startswith("#"):
                yield reader.line_num, cells
    except csv.Error:
        raise ConfigError([Problem("not CSV: a quote has no end, or something stands behind it", path.name,
                                   reader.line_num)]) from None  # fmt: skip


def _with_columns(rows: list[tuple[int, list[str]]]) -> tuple[_Columns, list[tuple[int, list[str]]]]:
    titles = [cell.casefold() for cell in rows[0][1]] if rows else []
    name = next((titles.index(title) for title in _NAMES if title in titles), None)
    if name is None:
        return _Columns(), rows
    password = titles.index(_PASSWORD) if _PASSWORD in titles else None
    return _Columns(name, password, None, len(titles) - 1 - (password is not None)), rows[1:]


def _take(passwords: dict[str, Secret | None], row: list[str], columns: _Columns) -> str | None:
    """Take a row, or say why it can't be used."""
    name, password = _cell(row, columns.name), _cell(row, columns.password)
    if columns.width and len(row) > columns.width:
        return "more than two columns: a first row `name,password` says which of them are meant"
    if not is_name(name):
        return f"not a user name ({NAME_RULE})"
    if name in passwords:
        return f"{name} stands there twice"
    passwords[name] = Secret(password) if password else None
    return None


def _cell(row: list[str], place: int | None) -> str:
    return row[place] if place is not None and place < len(row) else ""
