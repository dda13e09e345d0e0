"""`dbroster plan`: a sync that says what it would do."""

import argparse

from dbroster.cli.stopping import Connect
from dbroster.cli.verbs import sync

HELP = "say what a sync would do"
arguments = sync.arguments


def run(given: argparse.Namespace, connect: Connect) -> int:
    """Make a dry run."""
    given.dry_run = True
    return sync.run(given, connect)
