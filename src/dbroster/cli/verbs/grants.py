"""`dbroster grants`: the statements that make the admin account."""

import argparse
import shlex
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from dbroster.cli.arguments import config_option, engine_name, epilog
from dbroster.cli.output import say
from dbroster.cli.stopping import Connect
from dbroster.config.connections import read_connections
from dbroster.engines import OTHER_NAMES
from dbroster.errors import ConfigError
from dbroster.files.read import Files
from dbroster.model.connection import Connection
from dbroster.model.problems import Problem
from dbroster.report.exit_codes import Exit
from dbroster.roster.parse import read_templates
from dbroster.run.admin_script import Wanted, find, lines
from dbroster.run.sync import configured

HELP = "print the statements that make the admin account, for psql, mysql, mongosh or clickhouse-client"

Choice = TypeVar("Choice")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add for which server, and whether with the password."""
    parser.epilog = epilog(
        "dbroster grants postgresql --show | psql -h db1 -U postgres", "0 printed; 2 the files can't be used"
    )
    parser.add_argument(
        "product", nargs="?", type=_product, metavar="ENGINE",
        help="postgresql, mysql, mariadb, mongodb or clickhouse; default: the one that has a section",
    )  # fmt: skip
    config_option(parser)
    parser.add_argument("--server", metavar="NAME", help="this one of the servers that the section lists")
    parser.add_argument(
        "--show", action="store_true", help="with the password that connections.yaml names for the admin"
    )


def run(given: argparse.Namespace, connect: Connect) -> int:
    """Print them."""
    files = Files(given.directory)
    called = given.product or _only("engine", configured(files), str)
    engine = OTHER_NAMES.get(called, called)
    connection = _connection(files, engine, given)
    wanted = Wanted(connection, read_templates(files, engine), called, given.show)
    words = ["dbroster", "grants", called, "--config", str(given.directory)]
    words += ["--server", given.server] if given.server else []
    found = find(wanted, connect)
    say("".join(f"{line}\n" for line in lines(wanted, found, shlex.join([*words, "--show"]))))
    return Exit.IN_STEP


def _connection(files: Files, engine: str, given: argparse.Namespace) -> Connection:
    """Read it with the admin's password, which has to be there only if it shall be shown."""
    if not given.show:
        with suppress(ConfigError):
            return _only("server", read_connections(files, engine, given.server), _name)
    return _only("server", read_connections(files, engine, given.server, passwords=given.show), _name)


def _name(connection: Connection) -> str:
    return connection.server


def _only(what: str, choices: list[Choice], name: Callable[[Choice], str]) -> Choice:
    """Return the one that there is: a client that the statements are for works on one server."""
    if len(choices) != 1:
        how = "--server NAME" if what == "server" else "dbroster grants ENGINE"
        names = ", ".join(name(choice) for choice in choices)
        raise ConfigError([Problem(f"there are several: choose one with {how} ({names})")])
    return choices[0]


def _product(text: str) -> str:
    engine_name(OTHER_NAMES.get(text, text))
    return text
