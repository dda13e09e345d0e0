"""A handout as a page: one file that loads nothing and runs nothing."""

from collections.abc import Iterator, Sequence
from html import escape

from dbroster.model.way import Way
from dbroster.report.handout.client_files import client_files
from dbroster.report.labels import label

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
th {{ text-align: left; vertical-align: top; padding-right: 1rem; font-weight: normal; opacity: .7 }}
code, pre {{ font-family: ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap; user-select: all }}
</style>
</head>
<body>
<h1>{title}</h1>
"""


def as_page(ways: Sequence[Way]) -> str:
    """Return the page."""
    users = ", ".join(dict.fromkeys(way.visitor.user for way in ways))
    parts = [_HEAD.format(title=escape(f"Databases of {users}")), *(_part(way) for way in ways)]
    for name, text in client_files(ways).items():
        what = escape(f"Add to ~/{name}, and chmod 600 ~/{name}")
        parts.append(f"<h2>{what}</h2>\n<pre>{escape(text)}</pre>\n")
    return "".join([*parts, "</body>\n</html>\n"])


def _part(way: Way) -> str:
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td><code>{escape(value)}</code></td></tr>\n" for name, value in _rows(way)
    )
    notes = "".join(f"<p>{escape(note)}</p>\n" for note in way.notes)
    title = escape(f"{way.visitor.database} on {label(way.engine, way.server)}")
    return f"<h2>{title}</h2>\n<table>\n{rows}</table>\n{notes}"


def _rows(way: Way) -> Iterator[tuple[str, str]]:
    yield from (("host", way.host), ("port", str(way.port)), ("user", way.visitor.user))
    if way.visitor.password:
        yield "password", way.visitor.password.reveal()
    yield "URI", way.uri
    yield from way.commands.items()
