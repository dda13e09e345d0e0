"""What dbroster has changed last for each user, by the audit log; damaged lines are passed over."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dbroster.audit.log_files import entry_of, in_order, lines_of, log_files
from dbroster.errors import AuditError
from dbroster.model.plan import Verb
from dbroster.model.standing import Change

Whose = tuple[str, str, str]
"""Engine, server and user."""

_TELLING = (
    Verb.RENAME_USER, Verb.DROP_USER, Verb.CREATE_USER, Verb.ADOPT, Verb.LOCK_USER, Verb.UPDATE_PASSWORD,
    Verb.MOVE_DATABASE, Verb.RESTORE_DATABASE, Verb.DROP_DATABASE, Verb.CREATE_DATABASE, Verb.ARCHIVE_DATABASE,
    Verb.GRANT_PRIVILEGES,
)  # fmt: skip
_RANK = {verb.value: rank for rank, verb in enumerate(_TELLING)}
"""Of all that one run has done for a user, the first of these says it best."""


def last_changes(path: Path) -> tuple[Mapping[Whose, Change], str | None]:
    """Return the last change of each user on each server, and why that may not be all."""
    found: dict[Whose, tuple[object, Change]] = {}
    try:
        for file, size in _files(path):
            for line in lines_of(file, size):
                _hear(found, line)
    except (AuditError, OSError) as error:
        return {whose: change for whose, (_, change) in found.items()}, str(error)
    return {whose: change for whose, (_, change) in found.items()}, None


def _files(path: Path) -> Iterator[tuple[Path, int]]:
    sizes = {file: file.stat().st_size for file in log_files(path)}
    yield from ((file, sizes[file]) for file in in_order(sizes))


def _hear(found: dict[Whose, tuple[object, Change]], line: bytes) -> None:
    """Take a line in, if it is of a change that was made."""
    if b'"status": "done"' not in line:
        return
    entry = entry_of(line) or {}
    change, run = _change(entry), entry.get("run")
    whose = str(entry.get("engine")), str(entry.get("server")), str(entry.get("user"))
    if change is None or change.action not in _RANK:
        return
    before = found.get(whose)
    if before is None or before[0] != run or _RANK[change.action] <= _RANK[before[1].action]:
        found[whose] = run, change


def _change(entry: Mapping[str, Any]) -> Change | None:
    database = entry.get("database")
    try:
        when = datetime.fromisoformat(str(entry.get("time"))).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return Change(when, str(entry.get("action")), database if isinstance(database, str) else None)
