"""What a sync would refuse of a roster, by the rules of every server in connections.yaml."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from dbroster.config.connections import find_connections
from dbroster.engines import ENGINES
from dbroster.engines.base import Handler
from dbroster.errors import DbrosterError
from dbroster.files.read import MAX_SETTINGS, Files
from dbroster.model.connection import Connection
from dbroster.model.problems import Problem
from dbroster.passwords.policy import PasswordRules
from dbroster.roster.parse import parse_templates, parse_users
from dbroster.roster.validation import validate


class Server(NamedTuple):
    """A server by whose rules rosters are judged: those of the files, and its own if it is reached."""

    connection: Connection
    templates: tuple[str, ...]
    handler: Handler | None = None

    def rules(self) -> tuple[PasswordRules, ...]:
        """Rules for passwords."""
        return (self.connection.rules, *(self.handler.password_rules() if self.handler else ()))


def servers_of(directory: Path) -> Iterator[Server]:
    """Return the servers of all engines, as far as their sections can be read."""
    files = Files(directory)
    for engine in ENGINES:
        templates, _ = parse_templates(files.read(f"{engine}_databases.txt", MAX_SETTINGS).data, engine)
        for connection in find_connections(files, engine)[0]:
            yield Server(connection, templates)


def reached(
    servers: Sequence[Server], connect: Callable[[Connection], Handler], stack: ExitStack
) -> tuple[list[Server], list[Problem]]:
    """Log in to the servers until the stack is closed; those that can't be asked are judged by their files alone."""
    found, problems = [], []
    for server in servers:
        try:
            handler = stack.enter_context(connect(server.connection))
            handler.password_rules()
            found.append(server._replace(handler=handler))
        except DbrosterError as error:
            which = f"{server.connection.engine} {server.connection.server}"
            text = f"{which} could not be asked what it takes, so only the files were: {error}"
            problems.append(Problem(text, warning=True))
            found.append(server)
    return found, problems


def judge(directory: Path, data: bytes, name: str, servers: Sequence[Server] | None = None) -> list[Problem]:
    """Return every problem that a sync would find in the roster, by the rules of all servers of all engines."""
    roster = parse_users(data, name, directory)
    problems = [*roster.problems]
    for server in servers_of(directory) if servers is None else servers:
        wanted = roster._replace(templates=server.templates)
        problems += validate(wanted, server.connection, server.handler).problems
    return [problem for problem in dict.fromkeys(problems) if not problem.warning]
