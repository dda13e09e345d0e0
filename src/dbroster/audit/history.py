"""What the audit log tells about one server: whom dbroster has made there, what it has dropped, and when.

The log is read when a question is asked, which a run that changes nothing never does. It is read as it is: lines that
are damaged or missing are passed over. Where the log is unsure, the answer is the one that makes the guard careful: a
change that was begun counts as made, and a date that can't be true counts as now.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dbroster.audit.log_files import (
    ARCHIVING,
    PERMITTED,
    RUN,
    entry_of,
    head_of,
    in_order,
    lines_of,
    log_files,
    number_of,
    read_record,
)
from dbroster.errors import AuditError
from dbroster.model.plan import Verb

DAY = timedelta(hours=24)
_MAKES = frozenset({Verb.CREATE_USER, Verb.ADOPT, Verb.UPDATE_PASSWORD, Verb.RENAME_USER})
_TOLD = (
    RUN,
    *_MAKES,
    Verb.MOVE_DATABASE,
    Verb.CREATE_DATABASE,
    Verb.LOCK_USER,
    Verb.ARCHIVE_DATABASE,
    Verb.DROP_DATABASE,
    Verb.DROP_USER,
)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_ACTION = re.compile(rb'"action": "(%s)"' % "|".join(_TOLD).encode())


@dataclass(frozen=True, slots=True)
class History:
    """What a log tells of one server.

    `known`: accounts that it has ever named, on any server. `dropped`: accounts and databases that dbroster has dropped
    and not made again, with the time. `standing`: databases that it has made and not dropped, with their users.
    `accounts` and `databases`: what runs without permission have removed in the last 24 hours, and how often; of
    databases only those of users who stayed. `begun`, `begun_databases`: what of it was begun and perhaps not finished:
    a run that goes on with it removes nothing more. `archived`: whether it has, or would have. `moving`: both names of
    whom a rename that was not finished has given databases of another name. `doubts`: which of its files can't be read.
    """

    known: Set[str] = frozenset()
    dropped: Mapping[tuple[str, str | None], datetime] = field(default_factory=dict)
    standing: Mapping[str, str] = field(default_factory=dict)
    accounts: Mapping[str, int] = field(default_factory=dict)
    databases: Mapping[str, int] = field(default_factory=dict)
    begun: Set[str] = frozenset()
    begun_databases: Set[str] = frozenset()
    archived: bool = False
    moving: Set[str] = frozenset()
    doubts: tuple[str, ...] = ()

    def dropped_at(self, user: str, database: str | None = None) -> datetime | None:
        """Return when dbroster has dropped an account, or a user's database, if it has not made it again since."""
        return self.dropped.get((user, database))


def read_history(path: Path, engine: str, server: str, now: datetime) -> History:
    """Read the log at a path with the files that it was rotated to; never raises."""
    told = _Told(now)
    doubts: list[str] = []
    with _noted(doubts):
        length = _length(path)  # before the files are looked at, to which others may append
        read = 0
        for file, size in _files(path, doubts):
            with _noted(doubts):
                ends = _hear_all(told, lines_of(file, size), engine, server)
                if ends is None:
                    continue
                first, last = ends
                if number_of(first) > read + 1 and told.recently(first):
                    doubts.append(f"lines {read + 1} to {number_of(first) - 1} of the audit log {path} are missing")
                read = number_of(last) or length
        if read < length:
            doubts.append(f"lines {read + 1} to {length} of the audit log {path} are missing")
    return told.history(tuple(doubts))


def _length(path: Path) -> int:
    """The number of the last line, by the head file; 0 where that does not tell."""
    with suppress(OSError):
        head = read_record(head_of(path).read_bytes())
        return head.number if head else 0
    return 0


def _hear_all(
    told: "_Told", lines: Iterable[bytes], engine: str, server: str
) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """Take a file in, and return its first and its last line; None of an empty one."""
    first = last = b""
    for line in lines:
        first, last = first or line, line
        _hear(told, line, engine, server)
    return (entry_of(first) or {}, entry_of(last) or {}) if last else None


def _hear(told: "_Told", line: bytes, engine: str, server: str) -> None:
    """Take a line in, if it is one of this server; its text is looked at before it is taken apart, which costs more."""
    if _ACTION.search(line) is None:
        return
    entry = entry_of(line)
    if entry is None:
        return
    told.name(entry)
    if entry.get("engine") == engine and entry.get("server") == server:
        told.line(entry)


def _files(path: Path, doubts: list[str]) -> Iterator[tuple[Path, int]]:
    """Yield the files in the order of their lines, with their sizes, but those that can't be read."""
    sizes: dict[Path, int] = {}
    for file in log_files(path):
        with _noted(doubts):
            size = file.stat().st_size
            in_order({file: size})
            sizes[file] = size
    yield from ((file, sizes[file]) for file in in_order(sizes))


@contextmanager
def _noted(doubts: list[str]) -> Iterator[None]:
    """Pass over what can't be read, and note it."""
    try:
        yield
    except (AuditError, OSError) as error:
        doubts.append(str(error))


@dataclass(slots=True)
class _Removal:
    """An account that is being removed: since when, whether that counts, and what is known to have happened to it."""

    since: datetime
    counted: bool
    locked: bool = False
    lost: bool = False


class _Told:
    """Takes the lines of one server in, in their order."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._clock = _LONG_AGO
        self._run: object = None
        self._permitted = False
        self._new: set[tuple[str, str | None]] = set()  # made by the run at hand: to take that back is no removal
        self._pending: dict[str, list[str]] = {}  # databases dropped by the run at hand, whose users may yet go
        self._begun: dict[str, datetime] = {}
        self._gone: set[str] = set()  # whom the run at hand has dropped
        self._known: set[str] = set()
        self._removals: dict[str, _Removal] = {}
        self._dropped: dict[tuple[str, str | None], datetime] = {}
        self._standing: dict[str, str] = {}
        self._accounts: Counter[str] = Counter()
        self._databases: Counter[str] = Counter()
        self._archived = False
        self._moving: dict[str, str] = {}
        self._locked = ""

    def history(self, doubts: tuple[str, ...]) -> History:
        """Return what was heard."""
        self._settle()
        return History(
            known=self._known,
            dropped=self._dropped,
            standing=self._standing,
            accounts=+self._accounts,
            databases=+self._databases,
            begun={user for user, removal in self._removals.items() if removal.locked or self._recent(removal.since)},
            begun_databases={name for name, since in self._begun.items() if self._recent(since)},
            archived=self._archived,
            moving=self._moving.keys() | self._moving.values(),
            doubts=doubts,
        )

    def recently(self, entry: Mapping[str, Any]) -> bool:
        """Whether a line is of the last 24 hours; one without a date may be."""
        return self._recent(_moment(entry.get("time"), self._now))

    def name(self, entry: Mapping[str, Any]) -> None:
        """Take in whom a line names, whatever the server: these are the people of this directory."""
        user = entry.get("user")
        if isinstance(user, str) and entry.get("database") is None:
            self._known.add(user)

    def line(self, entry: Mapping[str, Any]) -> None:
        """Take a line in."""
        when = self._when(entry.get("time"))
        if entry.get("run") != self._run:
            self._settle()
            self._run, self._permitted = entry.get("run"), False
        action, user, database = entry.get("action"), entry.get("user"), entry.get("database")
        if action == RUN:
            said = str(entry.get("reason")) if entry.get("status") == "started" else ""
            self._permitted |= PERMITTED in said
            self._archived |= ARCHIVING in said
        elif isinstance(user, str) and isinstance(database, str | None):
            self._change(str(action), user, database, done=entry.get("status") == "done", when=when)

    def _when(self, text: object) -> datetime:
        """Return the time of a line: never before the lines above it, in case that the clock was put back."""
        when = _moment(text, self._now)
        if when >= self._now:
            return when
        self._clock = max(self._clock, when)
        return self._clock

    def _recent(self, when: datetime) -> bool:
        return self._now - when < DAY

    def _settle(self) -> None:
        """End a run: what it has dropped, and whose users have stayed, were databases of users who stay."""
        for names in self._pending.values():
            self._databases.update(names)
        self._pending.clear()
        self._new.clear()
        for user in self._gone:
            self._removals.pop(user, None)
        self._gone.clear()

    def _change(self, action: str, user: str, database: str | None, *, done: bool, when: datetime) -> None:
        if action in _MAKES or action == Verb.CREATE_DATABASE:
            self._made(action, user, database)
        elif action == Verb.DROP_DATABASE and database is not None:
            self._database_dropped(user, database, when, done=done)
        elif action == Verb.ARCHIVE_DATABASE:
            self._archived |= done
        elif action == Verb.MOVE_DATABASE:
            self._moving[user] = self._locked  # a rename locks whom it takes databases from, and nobody else
        elif action == Verb.LOCK_USER:
            self._locked = user
            self._removed(user, when).locked |= done
        elif action == Verb.DROP_USER and (user, None) not in self._new:
            self._pending.pop(user, None)
            self._removed(user, when).lost = True
            self._gone |= {user} if done else set()
        if action == Verb.DROP_USER:  # which is how a rename ends
            self._moving = {new: old for new, old in self._moving.items() if user not in (new, old)}
        if done and action in (Verb.DROP_DATABASE, Verb.DROP_USER):
            self._dropped[user, database] = when

    def _made(self, action: str, user: str, database: str | None) -> None:
        """An account or a database was made, taken over, or opened again."""
        self._dropped.pop((user, database), None)
        if action != Verb.UPDATE_PASSWORD:
            self._new.add((user, database))
        if database is not None:
            self._standing[database] = user
            self._begun.pop(database, None)
            return
        removal = self._removals.pop(user, None)
        if removal and removal.counted and not removal.lost:
            self._accounts[user] -= 1  # it was locked and nothing else

    def _counts(self, when: datetime) -> bool:
        return self._recent(when) and not self._permitted

    def _removed(self, user: str, when: datetime) -> _Removal:
        """An account is being removed: that counts once, when it begins; again only if nothing came of it for a day."""
        before = self._removals.get(user)
        if before is None or not (before.locked or when - before.since < DAY):
            self._removals[user] = _Removal(when, self._counts(when))
            self._accounts[user] += self._counts(when)
        return self._removals[user]

    def _database_dropped(self, user: str, database: str, when: datetime, *, done: bool) -> None:
        if done:
            self._standing.pop(database, None)
            self._begun.pop(database, None)
        elif user in self._removals:
            self._removals[user].lost = True
        elif (user, database) not in self._new and when - self._begun.get(database, _LONG_AGO) >= DAY:
            self._begun[database] = when
            if self._counts(when):
                self._pending.setdefault(user, []).append(database)


def _moment(text: object, now: datetime) -> datetime:
    """Read a date; what is none is now."""
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError:
        return now
    return now if when.tzinfo is None else when
