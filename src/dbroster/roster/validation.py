"""Which users of the roster one server can't or mustn't carry: names, composed database names, passwords."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice

from dbroster.engines.base import Handler
from dbroster.model.connection import Connection, EngineOptions
from dbroster.model.names import shared_databases
from dbroster.model.problems import Problem
from dbroster.model.roster import Roster, User
from dbroster.passwords.policy import PasswordRules, complaints, unprintable
from dbroster.roster.parse import MOST, more_lines


def validate(roster: Roster, connection: Connection, handler: Handler | None = None) -> Roster:
    """Return the roster without the users that can't be managed here; they stay as they are, with a problem each.

    The problems are those of the first lines; when there are many, the last one says how many lines have more. Without
    a handler, only what the files alone tell is judged.
    """
    rules = [connection.rules, *(handler.password_rules() if handler else ())]
    shared = _shared(roster, handler)
    out: set[str] = set()
    told: list[Problem] = []
    untold = 0
    for user in sorted(roster.users.values(), key=lambda user: user.line):
        texts = chain(
            shared.get(user.name, ()),
            _name_problems(user, roster, connection, handler),
            _password_problems(user, rules, handler or connection.options),
        )
        found = list(islice(texts, MOST if len(told) < MOST else 1))  # a million texts would fill the memory
        if not found:
            continue
        out.add(user.name)
        if len(told) < MOST:
            told += [Problem(text, roster.file, user.line, user.name) for text in found]
        else:
            untold += 1
    return roster.without(out, [*told, *([more_lines(untold, untold, roster.file)] if untold else ())])


def _shared(roster: Roster, handler: Handler | None) -> dict[str, tuple[str]]:
    databases = {name: roster.databases(name) for name in roster.users}
    shared = shared_databases(databases, handler.fold_database if handler else str)
    return {name: (_shared_text(name, other, database),) for name, (other, database) in shared.items()}


def _shared_text(name: str, other: str, database: str) -> str:
    who = f"the users {name} and {other}" if other != name else f"two templates of {name}"
    return f"{who} would share the database {database}: rename a user or a template"


def _name_problems(user: User, roster: Roster, connection: Connection, handler: Handler | None) -> Iterator[str]:
    if user.name == connection.username:
        yield "this is the admin account that dbroster itself uses"
    if user.name in connection.protected:
        yield "the name is listed under `protected` in connections.yaml"
    databases = roster.databases(user.name)
    for database in databases:
        if database in connection.protected:
            yield f"the database {database} is listed under `protected` in connections.yaml"
    judge = handler or connection.options
    refused = judge.refuse_user(user.name)
    if refused:  # its databases would only say so again, each in its own words
        yield refused
        return
    yield from filter(None, map(judge.refuse_database, databases))


def _password_problems(user: User, rules: Sequence[PasswordRules], judge: Handler | EngineOptions) -> Iterator[str]:
    refused = unprintable(user.password) or judge.refuse_password(user.password)
    if refused:
        yield refused
    for each in rules:
        yield from complaints(user.password, user.name, each)
