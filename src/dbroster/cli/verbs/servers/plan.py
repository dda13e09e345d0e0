"""`dbroster plan`: a sync that says what it would do."""

import argparse

from dbroster.cli.arguments import SYNC_CODES, epilog
from dbroster.cli.stopping import Connect
from dbroster.cli.verbs.servers import sync

HELP = "say what a sync would do; changes nothing"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a sync can be told."""
    sync.arguments(parser)
    parser.epilog = epilog("dbroster plan --output markdown", SYNC_CODES)


def run(given: argparse.Namespace, connect: Connect) -> int:
    """Make a dry run."""
    given.dry_run = True
    return sync.run(given, connect)
