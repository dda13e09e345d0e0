"""What a user needs to begin, by the files alone: no server is asked."""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from dbroster.config.connections import find_connections
from dbroster.engines import way_in
from dbroster.errors import ConfigError
from dbroster.files.permissions import place_problem
from dbroster.model.connection import Connection
from dbroster.model.loopback import is_loopback
from dbroster.model.names import did_you_mean
from dbroster.model.problems import Problem
from dbroster.model.roster import Roster
from dbroster.model.way import Visitor, Way
from dbroster.roster.parse import parse_users, read_roster
from dbroster.roster.source import UsersSource
from dbroster.roster.validation import validate
from dbroster.run.sync import configured


class Found(NamedTuple):
    """The ways of a user, with what keeps others from being told (or is worth knowing: a warning)."""

    ways: tuple[Way, ...]
    problems: tuple[Problem, ...]


def find(
    source: UsersSource, user: str, engines: Collection[str] = (), server: str | None = None, *, secret: bool
) -> Found:
    """Return the ways to every database of a user; `secret`: with the password.

    Raises ConfigError where the files can't be used at all, or nobody of this name is in them.
    """
    if others := place_problem(source.files.directory):
        raise ConfigError([Problem(others)])
    users = source.usable()
    _known(parse_users(users.data, users.name, source.files.directory), user)
    ways: list[Way] = []
    problems: list[Problem] = []
    for engine in engines or configured(source.files):
        try:
            roster = read_roster(source, engine)
        except ConfigError as error:
            problems += error.problems
            continue
        connections, wrong = find_connections(source.files, engine, server, passwords=False)
        problems += wrong
        for connection in [] if wrong else connections:
            judged = validate(roster, connection)
            problems += _problems(judged, connection, user)
            ways += _ways(judged, connection, user, secret=secret)
    return Found(tuple(ways), tuple(dict.fromkeys(problems)))


def _known(roster: Roster, user: str) -> None:
    """Raise ConfigError unless the roster has a line of the user that can be used."""
    if user in roster.users:
        return
    told = [problem for problem in roster.problems if problem.user == user and not problem.warning]
    text = f"{user} is not in {roster.file}{did_you_mean(user, roster.users)}"
    raise ConfigError(told or [Problem(text)])


def _problems(roster: Roster, connection: Connection, user: str) -> Iterator[Problem]:
    """Tell why the user has nothing there, and what of it may be of no use."""
    where = f"{connection.engine} {connection.server}"
    if user not in roster.users:
        for problem in roster.problems:
            if problem.user == user and not problem.warning:
                yield problem._replace(text=f"{problem.text}; so there is no account on {where}")
        return
    host = connection.handout.host or connection.host
    if is_loopback(host) and not connection.handout.host:
        text = f"{where}: {host} is reached from this machine only; set handout: {{host: NAME}} if users are elsewhere"
        yield Problem(text, warning=True)


def _ways(roster: Roster, connection: Connection, user: str, *, secret: bool) -> Iterator[Way]:
    if line := roster.users.get(user):
        for database in roster.databases(user):
            yield way_in(connection, Visitor(user, database, line.password if secret else None))
