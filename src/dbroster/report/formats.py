"""The formats of a report by their names; a new one is a module of its own and a line here."""

from collections.abc import Callable, Mapping

from dbroster.report.json_document import as_json
from dbroster.report.plain.text import as_texts
from dbroster.report.report import Report


def _as_markdown(report: Report) -> str:
    from dbroster.report.markdown import as_markdown  # for merge requests only

    return as_markdown(report)


FORMATS: Mapping[str, Callable[[Report], str]] = {"text": as_texts, "json": as_json, "markdown": _as_markdown}
