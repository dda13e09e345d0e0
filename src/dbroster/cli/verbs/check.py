"""`dbroster check`: judge all files, and servers where that is asked for."""

import argparse

from dbroster.cli.arguments import common_options, engine_arguments, fleet_option
from dbroster.cli.servers import OneServer, serve
from dbroster.cli.stopping import Connect
from dbroster.model.result import Result
from dbroster.run.check import Check
from dbroster.run.server_run import Options

HELP = "judge all files, and with --connect logins and privileges; changes nothing"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a check can be told."""
    parser.description = None
    engine_arguments(parser)
    common_options(parser)
    parser.add_argument("--connect", action="store_true", help="log in too, and check the admin's privileges")
    fleet_option(parser)


def run(given: argparse.Namespace, connect: Connect) -> int:
    """Judge the files of every server that is asked for, or the servers, too."""
    return serve(given, Options(given.directory, dry_run=True), connect, _check)


def _check(server: OneServer) -> Result:
    connection, roster = server.load()
    check = Check(connection, roster, server.options, *server.means)
    return check.of_server() if server.given.connect else check.of_files()
