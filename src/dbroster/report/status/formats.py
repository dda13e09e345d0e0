"""The formats of a status by their names; a new one is a module of its own and a line here."""

from collections.abc import Callable, Mapping

from dbroster.report.status.document import as_document
from dbroster.report.status.page import as_page
from dbroster.report.status.spreadsheet import as_csv
from dbroster.report.status.text import as_table
from dbroster.report.status.view import View

STATUS_FORMATS: Mapping[str, Callable[[View], str]] = {
    "text": as_table,
    "json": as_document,
    "csv": as_csv,
    "html": as_page,
}
