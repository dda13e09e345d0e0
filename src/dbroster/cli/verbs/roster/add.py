"""`dbroster add`: new users in the roster, without an editor."""

import argparse
from collections.abc import Collection
from pathlib import Path

from dbroster.cli.arguments import epilog
from dbroster.cli.roster_changes import (
    EXIT_CODES,
    Given,
    listed,
    password_options,
    set_passwords,
    tell,
    wanted_by,
    were,
)
from dbroster.cli.stopping import Connect
from dbroster.cli.verbs.servers import sync
from dbroster.errors import ConfigError
from dbroster.model.problems import Problem
from dbroster.roster.editing.change import add
from dbroster.roster.editing.names_file import read_names

HELP = "add users to the roster, each with a new password"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add whom to add."""
    parser.epilog = epilog("dbroster add bob carla --sync", EXIT_CODES)
    parser.add_argument("names", nargs="*", metavar="NAME", help="who is new")
    parser.add_argument(
        "--from", type=Path, dest="names_file", metavar="FILE",
        help="CSV file with a user per row: the name, and a password if it is not to be a new one; with a header "
        "(name, password), other columns are left out",
    )  # fmt: skip
    password_options(parser)


def run(given: argparse.Namespace, connect: Connect) -> int:
    """Add them and say so."""
    wanted, more = _wanted(given)
    done = set_passwords(given, connect, wanted, add)
    names = list(wanted)
    text = f"{listed(names)} {were(names)} added to {done.file}, with {_which(wanted.values())}{more}"
    tell(given, done, text, names)
    return sync.afterwards(given, connect)


def _wanted(given: argparse.Namespace) -> tuple[Given, str]:
    if not given.names_file:
        if not given.names:
            raise ConfigError([Problem("whom? Name users, or a file that does: --from FILE")])
        return wanted_by(given.names, given), ""
    if given.password_stdin:
        raise ConfigError([Problem("--password-stdin is for one NAME, without --from; nothing was changed")])
    found = read_names(given.names_file)
    ignored = f"; other columns of {given.names_file} were left out" if found.ignored else ""
    return {**dict.fromkeys(given.names), **found.passwords}, ignored


def _which(passwords: Collection[object]) -> str:
    """Say where the passwords are from."""
    new = sum(password is None for password in passwords)
    if new in (0, len(passwords)):
        what = "a new password" if new else "the given password"
        return what if len(passwords) == 1 else f"{what} each"
    return f"a new password for {new} and a given one for {len(passwords) - new} of them"
