"""`dbroster status`: who has what, where, and what is not as it should be."""

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime

from dbroster.audit.last_changes import last_changes
from dbroster.cli.arguments import audit_option, common_options, engine_name, epilog, fleet_option
from dbroster.cli.output import in_colour, say
from dbroster.cli.servers import OneServer, serve
from dbroster.cli.stopping import Connect
from dbroster.engines import ENGINES
from dbroster.model.result import Result
from dbroster.report.exit_codes import Exit, gravest, standing_code
from dbroster.report.status.formats import STATUS_FORMATS
from dbroster.report.status.view import View
from dbroster.run.reading.look import Look
from dbroster.run.server_run import Options

HELP = "tell who has what, where, and what is not as it should be; changes nothing"
CODES = "0 in step; 1 something is not in step, or has to be mended; 2 a server could not be asked"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a status can be told."""
    parser.epilog = epilog("dbroster status ann bob", CODES)
    parser.add_argument("users", nargs="*", metavar="USER", help="only these users; others' accounts, too")
    common_options(parser, STATUS_FORMATS)
    parser.add_argument(
        "--engine", dest="engines", action="append", default=[], type=engine_name, metavar="ENGINE",
        help=f"only this one of {', '.join(ENGINES)} (repeatable)",
    )  # fmt: skip
    parser.add_argument("--sizes", action="store_true", help="tell the megabytes of the databases, too")
    audit_option(parser)
    fleet_option(parser)


def run(given: argparse.Namespace, connect: Connect) -> int:
    """Look at every server that is asked for; no lock is taken, and nothing is written."""
    options = Options(given.directory, dry_run=True, audit_log=given.audit_log)
    return serve(given, options, connect, _look, _tell)


def _look(server: OneServer) -> Result:
    connection, roster = server.load()
    asked, sizes = frozenset(server.given.users), server.given.sizes
    return Look(connection, roster, server.options, *server.means, asked=asked, sizes=sizes).run()


def _tell(results: Sequence[Result], given: argparse.Namespace, options: Options) -> int:
    """Print the status, and return the exit code."""
    asked = frozenset(given.users)
    reached = [result for result in results if result.fatal is None]
    unknown = sorted(asked - {row.user for result in reached for row in result.rows}) if reached else []
    codes = [standing_code(result, of_users=bool(asked)) for result in results]
    code = gravest([*codes, *([Exit.INCOMPLETE] if unknown else [])])
    changes, doubt = last_changes(options.audit_path)
    dated = [
        result._replace(
            rows=tuple(
                row._replace(change=changes.get((result.engine, result.server, row.user))) for row in result.rows
            )
        )
        for result in results
    ]
    view = View(
        dated,
        code,
        datetime.now(UTC),
        asked,
        tuple(unknown),
        doubt,
        given.sizes,
        colour=in_colour(given),
        quiet=given.quiet,
    )
    say(STATUS_FORMATS[given.output](view), f"; the exit code is {int(code)}")
    return int(code)
