"""`dbroster remove`: users leave the roster, without an editor."""

import argparse

from dbroster.cli.arguments import epilog
from dbroster.cli.roster_changes import EXIT_CODES, listed, options, tell, were
from dbroster.cli.stopping import Connect
from dbroster.cli.verbs.servers import sync
from dbroster.roster.editing.change import Place, remove
from dbroster.roster.editing.interrupts import Interrupts
from dbroster.roster.editing.judge import servers_of

HELP = "take users out of the roster; the next sync removes their accounts and databases"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add who leaves."""
    parser.epilog = epilog("dbroster remove bob --sync", EXIT_CODES)
    parser.add_argument("names", nargs="+", metavar="NAME", help="who leaves")
    options(parser)


def run(given: argparse.Namespace, connect: Connect) -> int:
    """Take them out and say so."""
    names = list(dict.fromkeys(given.names))
    with Interrupts():
        done = remove(Place(given.directory, given.identity, list(servers_of(given.directory))), names)
    tell(given, done, f"{listed(names)} {were(names)} removed from {done.file}")
    return sync.afterwards(given, connect)
