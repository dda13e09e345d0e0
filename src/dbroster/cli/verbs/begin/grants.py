"""`dbroster grants`: the statements that make the admin account."""

import argparse
import shlex
from contextlib import suppress

from dbroster.cli.arguments import config_option, epilog
from dbroster.cli.choices import only, only_server, product
from dbroster.cli.output import say
from dbroster.cli.stopping import Connect
from dbroster.config.connections import read_connections
from dbroster.engines import OTHER_NAMES
from dbroster.errors import ConfigError
from dbroster.files.read import Files
from dbroster.model.connection import Connection
from dbroster.report.exit_codes import Exit
from dbroster.roster.parse import read_templates
from dbroster.run.reading.admin_script import Wanted, find, lines
from dbroster.run.sync import configured

HELP = "print the statements that make the admin account, for psql, mysql, mongosh or clickhouse-client"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add for which server, and whether with the password."""
    parser.epilog = epilog(
        "dbroster grants postgresql --show | psql -h db1 -U postgres", "0 printed; 2 the files can't be used"
    )
    parser.add_argument(
        "product", nargs="?", type=product, metavar="ENGINE",
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
    called = given.product or only(configured(files), "dbroster grants ENGINE")
    engine = OTHER_NAMES.get(called, called)
    connection = _connection(files, engine, given)
    wanted = Wanted(connection, read_templates(files, engine), called, given.show)
    words = ["dbroster", "grants", called, *(["--config", str(given.directory)] if given.typed else [])]
    words += ["--server", given.server] if given.server else []
    found = find(wanted, connect)
    say("".join(f"{line}\n" for line in lines(wanted, found, shlex.join([*words, "--show"]))))
    return Exit.IN_STEP


def _connection(files: Files, engine: str, given: argparse.Namespace) -> Connection:
    """Read it with the admin's password, which has to be there only if it shall be shown."""
    if not given.show:
        with suppress(ConfigError):
            return only_server(read_connections(files, engine, given.server))
    return only_server(read_connections(files, engine, given.server, passwords=given.show))
