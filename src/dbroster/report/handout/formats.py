"""The formats of a handout by their names; a new one is a module of its own and a line here."""

from collections.abc import Callable, Mapping, Sequence

from dbroster.model.way import Way
from dbroster.report.handout.document import as_document
from dbroster.report.handout.page import as_page
from dbroster.report.handout.text import as_text
from dbroster.report.handout.variables import as_variables

HANDOUT_FORMATS: Mapping[str, Callable[[Sequence[Way]], str]] = {
    "text": as_text,
    "env": as_variables,
    "json": as_document,
    "html": as_page,
}
SUFFIXES = {"text": "txt"}
"""Of file names, where that is not the format's name."""
