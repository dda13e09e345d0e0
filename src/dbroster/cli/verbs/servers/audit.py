"""`dbroster audit verify`: whether the audit log is whole."""

import argparse
import re
from pathlib import Path

from dbroster.audit.log_files import AUDIT_FILE
from dbroster.audit.verification import as_text, verify
from dbroster.cli.arguments import config_option, epilog, sentence
from dbroster.cli.output import say
from dbroster.cli.stopping import Connect
from dbroster.report.exit_codes import Exit

HELP = "what belongs to the audit log"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the one thing that there is to do with an audit log."""
    parser.description = None
    codes = "0 sound; 1 broken; 2 could not be read"
    parser.epilog = told = epilog("dbroster audit verify", codes)
    inner = parser.add_subparsers(dest="audit_verb", required=True, metavar="verify")
    text = "check that no line of the audit log was changed, put in or taken away"
    sub = inner.add_parser("verify", help=text, description=sentence(text), epilog=told)
    config_option(sub)
    sub.add_argument(
        "files", nargs="*", type=Path, metavar="FILE",
        help="these files instead of audit.jsonl with those that it was rotated to",
    )  # fmt: skip
    sub.add_argument(
        "--head", action="append", default=[], type=_hash, metavar="HASH",
        help="the hash of a line, noted after a run, that must be there (repeatable)",
    )  # fmt: skip


def run(given: argparse.Namespace, _: Connect) -> int:
    """Read the audit log back and say what is wrong with it."""
    verdict = verify((given.directory or Path()) / AUDIT_FILE, given.files, given.head)
    say(as_text(verdict))
    return Exit.IN_STEP if verdict.sound else Exit.INCOMPLETE


def _hash(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text.lower()):
        raise argparse.ArgumentTypeError("expected 64 hex digits")
    return text.lower()
