"""The status for programs: one JSON document, a row per user and server."""

import json
from datetime import datetime
from typing import Any

from dbroster.model.result import Result
from dbroster.model.standing import Standing
from dbroster.report.json_document import json_problem
from dbroster.report.status.view import View

JSON_VERSION = 1


def as_document(view: View) -> str:
    """Return one JSON document for all users and servers."""
    document = {
        "version": JSON_VERSION,
        "time": _time(view.now),
        "exit_code": int(view.code),
        "rows": [_row(result, row) for result, row in view.rows],
        "servers": [_server(result) for result in view.results],
        "unknown_users": list(view.unknown),
        "doubt": view.doubt,
    }
    return json.dumps(document, indent=2) + "\n"


def _row(result: Result, row: Standing) -> dict[str, Any]:
    return {
        "user": row.user,
        "engine": result.engine,
        "server": result.server,
        "listed": row.listed,
        "in_step": row.in_step,
        "account": row.account.value,
        "note": row.note,
        "locked_since": _time(row.locked_since),
        "kept_until": _time(row.kept_until),
        "password": row.password.value if row.password else None,
        "databases": {what: list(names) for what, names in row.databases._asdict().items()},
        "sizes": None if row.sizes is None else {name: row.sizes.get(name) for name in row.databases.found},
        "pending": [{**each._asdict(), "verb": each.verb.value} for each in row.pending],
        "problems": [json_problem(problem) for problem in row.problems],
        "last_change": {**row.change._asdict(), "when": _time(row.change.when)} if row.change else None,
    }


def _server(result: Result) -> dict[str, Any]:
    return {
        "engine": result.engine,
        "server": result.server,
        "product": result.product,
        "host": result.host,
        "problems": [json_problem(problem) for problem in result.problems],
        "refusals": list(result.refusals),
        "error": result.fatal,
        "plan": result.plan,
    }


def _time(when: datetime | None) -> str | None:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}" if when else None
