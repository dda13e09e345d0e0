"""`dbroster encrypt`: make users.txt.age of users.txt."""

import argparse
from pathlib import Path

from dbroster.cli.arguments import epilog, files_options
from dbroster.cli.output import say
from dbroster.cli.stopping import Connect
from dbroster.report.exit_codes import Exit
from dbroster.roster.editing.encrypt import encrypt
from dbroster.roster.editing.interrupts import Interrupts

HELP = "encrypt users.txt to users.txt.age, and remove users.txt"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add who may decrypt it."""
    parser.epilog = epilog(
        "dbroster encrypt --recipient age1... --identity ~/dbroster.key",
        "0 encrypted; 2 not encrypted, users.txt is there as it was",
    )
    files_options(parser)
    parser.add_argument(
        "--recipient", action="append", default=[], metavar="KEY",
        help="public key (age1... or ssh-...) of who may decrypt it (repeatable; default: who could so far)",
    )  # fmt: skip
    parser.add_argument("--recipients-file", type=Path, metavar="FILE", help="file with one public key per line")


def run(given: argparse.Namespace, _: Connect) -> int:
    """Encrypt it and say what was done."""
    with Interrupts():
        say(f"{encrypt(given.directory, given.recipient, given.recipients_file, given.identity)}\n")
    return Exit.IN_STEP
