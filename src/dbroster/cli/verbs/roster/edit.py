"""`dbroster edit`: change the roster with an editor."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from io import TextIOWrapper
from select import select

from dbroster.cli.arguments import epilog, files_options
from dbroster.cli.output import complain, say
from dbroster.cli.standard_streams import mutter
from dbroster.cli.stopping import Connect
from dbroster.errors import ConfigError
from dbroster.model.problems import Problem
from dbroster.report.exit_codes import Exit
from dbroster.roster.editing.edit import edit
from dbroster.roster.editing.interrupts import Interrupts

HELP = "change users.txt or users.txt.age with $VISUAL or $EDITOR; only what a sync would take is written"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add where the roster is."""
    parser.epilog = epilog("dbroster edit", "0 written, or nothing was changed; 2 failed, nothing was written")
    files_options(parser)


def run(given: argparse.Namespace, _: Connect) -> int:
    """Let a person edit it and say what was done."""
    with Interrupts() as interrupts:
        done = edit(given.directory, given.identity, partial(_ask_to_edit_again, interrupts), interrupts)
    say(f"{done}\n")
    return Exit.IN_STEP


def _ask_to_edit_again(interrupts: Interrupts, problems: Sequence[Problem]) -> None:
    if not sys.stdin.isatty():
        raise ConfigError(problems)
    complain(problems)
    answer = ""
    while answer != "e":
        mutter("e: edit again, q: give up (nothing is changed then)? ")
        with interrupts.waiting():
            while isinstance(sys.stdin, TextIOWrapper) and not select([sys.stdin], [], [], 0.5)[0]:
                pass  # in short turns: a signal that comes just before one long wait would only be noticed after it
            answer = sys.stdin.readline() or "q"
        answer = answer.strip().casefold()
        if answer == "q":
            raise ConfigError([Problem("given up, nothing was changed")])
