"""A handout for programs: one JSON document."""

import json
from collections.abc import Sequence
from typing import Any

from dbroster.model.way import Way
from dbroster.report.handout.client_files import client_files

JSON_VERSION = 1


def as_document(ways: Sequence[Way]) -> str:
    """Return one JSON document for all databases of a user."""
    document = {"version": JSON_VERSION, "databases": [_way(way) for way in ways], "files": dict(client_files(ways))}
    return json.dumps(document, indent=2) + "\n"


def _way(way: Way) -> dict[str, Any]:
    return {
        "engine": way.engine,
        "server": way.server,
        "database": way.visitor.database,
        "host": way.host,
        "port": way.port,
        "user": way.visitor.user,
        "password": way.visitor.password.reveal() if way.visitor.password else None,
        "uri": way.uri,
        "commands": dict(way.commands),
        "notes": list(way.notes),
    }
