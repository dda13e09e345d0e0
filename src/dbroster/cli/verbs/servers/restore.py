"""`dbroster restore`: bring an archived database back."""

import argparse
from pathlib import Path

from dbroster.cli.arguments import audit_option, common_options, engine_name, epilog
from dbroster.cli.servers import OneServer, serve
from dbroster.cli.stopping import Connect
from dbroster.engines import ENGINES
from dbroster.model.result import Result
from dbroster.run.restore import Restore, Wish
from dbroster.run.server_run import Options

HELP = "bring an archived database back"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a restore can be told."""
    parser.description = "Bring an archive that was made before a database was dropped back, for its user."
    parser.epilog = epilog(
        "dbroster restore postgresql config/archives/*/bob_web-*.dump",
        "0 restored; 1 something failed; 2 could not start, nothing was changed",
    )
    parser.add_argument("engines", nargs=1, metavar="ENGINE", type=engine_name, help=", ".join(ENGINES))
    parser.add_argument("archive", metavar="ARCHIVE", type=Path, help="the file; its manifest must lie beside it")
    common_options(parser)
    parser.add_argument("--database", metavar="NAME", help="restore into this database of the roster, not its own")
    parser.add_argument(
        "--from-another", action="store_true", help="accept an archive of another user, or of another roster"
    )
    audit_option(parser)
    parser.set_defaults(max_servers=1)


def run(given: argparse.Namespace, connect: Connect) -> int:
    """Bring an archive back; to one server only, so that one must be named where there are several."""
    return serve(given, Options(given.directory, audit_log=given.audit_log), connect, _restore)


def _restore(server: OneServer) -> Result:
    names = server.names()
    if len(names) > 1 and not server.given.server:
        return server.fatal(f"there are several servers: choose one with --server ({', '.join(map(str, names))})")
    connection, roster = server.load()
    wish = Wish(server.given.archive, server.given.database, server.given.from_another)
    return Restore(connection, roster, server.options, *server.means, wish=wish).run()
