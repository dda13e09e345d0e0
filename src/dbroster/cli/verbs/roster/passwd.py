"""`dbroster passwd`: new passwords for users of the roster, without an editor."""

import argparse

from dbroster.cli.arguments import epilog
from dbroster.cli.roster_changes import EXIT_CODES, listed, password_options, set_passwords, tell, wanted_by, were
from dbroster.cli.stopping import Connect
from dbroster.cli.verbs.servers import sync
from dbroster.roster.editing.change import change_passwords

HELP = "give users of the roster a new password"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add whose password it is."""
    parser.epilog = epilog("dbroster passwd bob --sync", EXIT_CODES)
    parser.add_argument("names", nargs="+", metavar="NAME", help="who is in the roster")
    password_options(parser)


def run(given: argparse.Namespace, connect: Connect) -> int:
    """Change them and say so."""
    names = list(dict.fromkeys(given.names))
    done = set_passwords(given, connect, wanted_by(names, given), change_passwords)
    whose = "password" if len(names) == 1 else "passwords"
    tell(given, done, f"the {whose} of {listed(names)} {were(names)} changed in {done.file}", names)
    return sync.afterwards(given, connect)
