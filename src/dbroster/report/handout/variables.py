"""A handout for a shell: `set -a; . FILE`."""

import re
from collections.abc import Iterator, Sequence
from shlex import quote

from dbroster.model.way import Way
from dbroster.report.labels import label


def as_variables(ways: Sequence[Way]) -> str:
    """Return a line per variable; no two databases have the same ones."""
    return "".join(
        f"{name}_{key}={quote(value)}\n" for name, way in _named(ways) for key, value in _values(way).items()
    )


def _named(ways: Sequence[Way]) -> Iterator[tuple[str, Way]]:
    """Give each database a prefix: engine, server where it has a name, template."""
    taken: set[str] = set()
    for way in ways:
        template = way.visitor.database.removeprefix(f"{way.visitor.user}_")
        words = f"{label(way.engine, way.server)}_{template}"
        first = name = re.sub("[^A-Z0-9]", "_", words.upper())
        number = 1
        while name in taken:
            number += 1
            name = f"{first}_{number}"
        taken.add(name)
        yield name, way


def _values(way: Way) -> dict[str, str]:
    visitor = way.visitor
    password = {"PASSWORD": visitor.password.reveal()} if visitor.password else {}
    where = {"HOST": way.host, "PORT": str(way.port), "DATABASE": visitor.database, "USER": visitor.user}
    return {**where, **password, "URL": way.uri}
