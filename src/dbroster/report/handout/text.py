"""A handout for people."""

from collections.abc import Iterator, Sequence

from dbroster.model.way import Way
from dbroster.report.handout.client_files import client_files
from dbroster.report.labels import label
from dbroster.report.plain.text import printable


def as_text(ways: Sequence[Way]) -> str:
    """Return a part for each database, then those for the clients' files."""
    lines = [line for way in ways for line in _lines(way)]
    for name, text in client_files(ways).items():
        lines += [f"add to ~/{name} (chmod 600 ~/{name}):", *(f"  {line}" for line in text.splitlines()), ""]
    return "".join(f"{printable(line)}\n" for line in lines)


def _lines(way: Way) -> Iterator[str]:
    yield f"{way.visitor.database} on {label(way.engine, way.server)}"
    password = [("password", way.visitor.password.reveal())] if way.visitor.password else []
    where = [("host", way.host), ("port", str(way.port)), ("user", way.visitor.user), *password, ("URI", way.uri)]
    for name, value in [*where, *way.commands.items(), *(("note", note) for note in way.notes)]:
        yield f"  {name:<9} {value}"
    yield ""
