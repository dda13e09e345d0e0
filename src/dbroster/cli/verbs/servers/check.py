"""`dbroster check`: judge all files, and servers where that is asked for."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dbroster.cli.arguments import common_options, epilog, fleet_option
from dbroster.cli.servers import OneServer, serve
from dbroster.cli.standard_streams import mutter
from dbroster.cli.stopping import Connect
from dbroster.config.connections import CONNECTIONS_FILE
from dbroster.engines import ENGINES
from dbroster.errors import ConfigError
from dbroster.model.problems import Problem
from dbroster.model.result import Result
from dbroster.model.roster import AGE_FILE, USERS_FILE
from dbroster.report.exit_codes import Exit, gravest
from dbroster.run.reading.check import Check
from dbroster.run.server_run import Options

HELP = "judge all files, and with --connect logins and privileges; changes nothing"
FILES = (USERS_FILE, AGE_FILE, CONNECTIONS_FILE, *(f"{engine}_databases.txt" for engine in ENGINES))


class _Targets(argparse.Action):
    """Tell engines from files, which pre-commit names."""

    def __call__(
        self,
        _: argparse.ArgumentParser,
        given: argparse.Namespace,
        values: str | Sequence[Any] | None,
        __: str | None = None,
    ) -> None:
        texts = list(values or ())
        given.engines = [text for text in texts if text in ENGINES]
        given.files = [Path(text) for text in texts if text not in ENGINES]
        for path in given.files:
            if len(path.parts) == 1 and not os.path.lexists(path):
                known = f"choose from {', '.join(ENGINES)}, or name a file that is there"
                raise argparse.ArgumentError(self, f"unknown engine '{path}': {known}")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a check can be told."""
    parser.description = None
    parser.epilog = epilog(
        "dbroster check --connect",
        "0 sound; 1 there are problems, but a sync could begin; 2 a file can't be used, or with --connect a server",
    )
    parser.add_argument(
        "targets", nargs="*", action=_Targets, metavar="ENGINE|FILE",
        help=f"{', '.join(ENGINES)} (default: all with a section), or files: then their directories are judged",
    )  # fmt: skip
    common_options(parser)
    parser.add_argument("--connect", action="store_true", help="log in too, and check the admin's privileges")
    parser.add_argument(
        "--files-only", action="store_true", default=False,
        help="judge a checkout: whatever modes and owners, without users.txt if it is not there, running no program",
    )  # fmt: skip
    fleet_option(parser)


def run(given: argparse.Namespace, connect: Connect) -> int:
    """Judge the files of every server that is asked for, or the servers, too."""
    if given.connect and given.files_only:
        raise ConfigError([Problem("--files-only asks no server: leave --connect or --files-only out")])
    if given.files and given.directory:
        raise ConfigError([Problem("name files, or a directory with --config, not both")])
    given.passwords = given.connect  # whoever does not log in needs none
    codes = [_judge(given, connect, directory) for directory in _directories(given)]
    return gravest(codes) if codes else Exit.IN_STEP


def _judge(given: argparse.Namespace, connect: Connect, directory: Path) -> Exit:
    given.directory = directory
    return Exit(serve(given, Options(directory, dry_run=True), connect, _check))


def _directories(given: argparse.Namespace) -> list[Path]:
    """Return where the files are that were named; others than dbroster's are told."""
    if not given.files:
        return [given.directory]
    mutter("".join(f"{path} is no file of dbroster's: not judged\n" for path in given.files if path.name not in FILES))
    return list(dict.fromkeys(path.parent for path in given.files if path.name in FILES))


def _check(server: OneServer) -> Result:
    connection, roster = server.load()
    check = Check(connection, roster, server.options, *server.means)
    servers = len(server.names())
    return check.of_server(servers) if server.given.connect else check.of_files(servers)
