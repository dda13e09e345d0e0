"""The status as CSV; a spreadsheet takes no cell of it for a formula."""

import csv
import io

from dbroster.report.plain.text import printable
from dbroster.report.status.columns import headings, rows
from dbroster.report.status.view import View, beside_rows

_FORMULA = "=+-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"


def as_csv(view: View) -> str:
    """Return a line for each row; what is said at no row has a line of its own, with the last cell only."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    above = headings(view)
    writer.writerow(above)
    for _, cells, why in rows(view):
        writer.writerow(map(_cell, [*cells, "; ".join(why)]))
    for kind, said in beside_rows(view):
        writer.writerow([*[""] * (len(above) - 1), _cell(f"{kind}: {said}")])
    return text.getvalue()


def _cell(text: str) -> str:
    """Return a cell that is text for every program: an apostrophe stands before what could be a formula."""
    cell = printable(text.replace("\n", " "))
    return f"'{cell}" if cell.lstrip().startswith(tuple(_FORMULA)) else cell
