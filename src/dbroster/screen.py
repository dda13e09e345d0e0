"""Which users of the roster one server can't or mustn't carry: names, composed database names, passwords."""

from collections.abc import Iterator, Sequence

from dbroster.config import Connection
from dbroster.engines.base import Handler
from dbroster.model import Problem, Roster, User
from dbroster.names import shared_databases
from dbroster.policy import PasswordRules, complaints, unprintable


def screen(roster: Roster, connection: Connection, handler: Handler | None = None) -> Roster:
    """Return the roster without the users that can't be managed here; they stay as they are, with a problem each.

    Without a handler, only what the files alone tell is judged.
    """
    rules = [connection.rules, *(handler.password_rules() if handler else ())]
    problems = [*_shared(roster, handler)]
    for user in roster.users.values():
        texts = [*_name_problems(user, roster, connection, handler), *_password_problems(user, rules, handler)]
        problems += [Problem(text, roster.file, user.line, user.name) for text in texts]
    return roster.without(sorted(problems, key=lambda problem: problem.line or 0))


def _shared(roster: Roster, handler: Handler | None) -> Iterator[Problem]:
    databases = {name: roster.databases(name) for name in roster.users}
    for name, (other, database) in shared_databases(databases, handler.fold_database if handler else str).items():
        who = f"the users {name} and {other}" if other != name else f"two templates of {name}"
        text = f"{who} would share the database {database}: rename a user or a template"
        yield Problem(text, roster.file, roster.users[name].line, name)


def _name_problems(user: User, roster: Roster, connection: Connection, handler: Handler | None) -> Iterator[str]:
    if user.name == connection.username:
        yield "this is the admin account that dbroster itself uses"
    if user.name in connection.protected:
        yield "the name is listed under `protected` in connections.yaml"
    for database in roster.databases(user.name):
        if database in connection.protected:
            yield f"the database {database} is listed under `protected` in connections.yaml"
    if handler is None:
        return
    refused = [handler.refuse_user(user.name), *map(handler.refuse_database, roster.databases(user.name))]
    yield from filter(None, refused)


def _password_problems(user: User, rules: Sequence[PasswordRules], handler: Handler | None) -> Iterator[str]:
    refused = unprintable(user.password) or (handler.refuse_password(user.password) if handler else None)
    if refused:
        yield refused
    for each in rules:
        yield from complaints(user.password, user.name, each)
