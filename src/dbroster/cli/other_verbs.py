"""Verbs that are no sync: each is a function from the arguments to an exit code, or raises what exit 2 is about."""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from io import TextIOWrapper
from select import select

from dbroster.audit import verification as verify
from dbroster.audit.log_files import AUDIT_FILE
from dbroster.cli.output import complain, say
from dbroster.cli.standard_streams import mutter
from dbroster.errors import ConfigError, DbrosterError, defect
from dbroster.model.problems import Problem
from dbroster.report.run_report import Exit
from dbroster.roster.edit import edit
from dbroster.roster.encrypt import encrypt
from dbroster.roster.interrupts import Interrupts


def run_verb(given: argparse.Namespace) -> int:
    """Run a verb of `VERBS` and return its exit code; whatever it raises is printed, and exit 2."""
    try:
        return VERBS[given.verb](given)
    except ConfigError as error:
        complain(error.problems)
    except DbrosterError as error:
        complain([Problem(str(error))])
    except Exception as error:  # noqa: BLE001 - a defect; its message may hold a secret
        complain([Problem(defect(error))])
    return Exit.NOT_STARTED


def _verify_audit(given: argparse.Namespace) -> Exit:
    verdict = verify.verify(given.directory / AUDIT_FILE, given.files, given.head)
    say(verify.as_text(verdict))
    return Exit.IN_STEP if verdict.sound else Exit.INCOMPLETE


def _encrypt(given: argparse.Namespace) -> Exit:
    with Interrupts():
        done = encrypt(given.directory, given.recipient, given.recipients_file, given.identity)
    say(f"{done}\n")
    return Exit.IN_STEP


def _edit(given: argparse.Namespace) -> Exit:
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


VERBS: dict[str, Callable[[argparse.Namespace], int]] = {"audit": _verify_audit, "encrypt": _encrypt, "edit": _edit}
