"""The options that several verbs have, how they are told, and what is wrong with their values."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from dbroster.cli.standard_streams import put
from dbroster.engines import ENGINES
from dbroster.model.connection import Removals
from dbroster.plan.guard import limit_of
from dbroster.plan.plan_digest import DIGITS
from dbroster.report.formats import FORMATS

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

MAX_SERVERS = 16
"""Servers at once: enough to wait for many at a time, few enough to keep sessions, memory and open files bounded."""

SYNC_CODES = (
    "0 in step, or everything applied; 1 finished, but something failed, was skipped or is in conflict, or a line is a "
    "problem; 2 could not start; 3 refused by the guard or by --expect, nothing was done; 4 changes are pending (with "
    "--dry-run --detailed-exitcode)"
)


class _Formatter(argparse.HelpFormatter):
    """Takes the width from the terminal itself, since argparse imports `shutil` for that, at the first option."""

    def __init__(self, prog: str, **more: Any) -> None:
        columns = os.environ.get("COLUMNS", "")
        width = int(columns) if columns.isdecimal() else 0
        with suppress(OSError):
            width = width or os.get_terminal_size(1).columns
        super().__init__(prog, **{"width": (width or 80) - 2, **more})

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        return "\n".join(fill(part, width, indent) for part in text.splitlines())


class _Silent(argparse.Action):
    """Who wants less than a quiet report wants a quiet one as well."""

    def __call__(self, _: object, namespace: argparse.Namespace, *__: object) -> None:
        namespace.quiet = namespace.silent = True


class Parser(argparse.ArgumentParser):
    """A parser whose texts may get lost on a full or closed stream, while its exit code does not."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, formatter_class=_Formatter)

    def _print_message(self, message: str, file: "SupportsWrite[str] | None" = None) -> None:
        out: TextIO | None = sys.stdout  # None where there is none
        stream = out if file is out else sys.stderr
        if message and stream:
            put(stream, message)


def sentence(text: str) -> str:
    """Begin with a capital letter and leave the others alone: `$VISUAL` is no word."""
    return f"{text[0].upper()}{text[1:]}."


def epilog(example: str, codes: str) -> str:
    """Return what every help ends with."""
    return f"example: {example}\nexit codes: {codes}"


def audit_option(parser: argparse.ArgumentParser) -> None:
    """Where the audit log is."""
    parser.add_argument("--audit-log", type=Path, metavar="FILE", help="default: audit.jsonl in the config directory")


def engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Which engines are meant."""
    parser.add_argument(
        "engines",
        nargs="*",
        metavar="ENGINE",
        type=engine_name,
        help=f"{', '.join(ENGINES)}; default: all with a section",
    )


def engine_name(text: str) -> str:
    """Return the name of an engine that there is."""
    if text not in ENGINES:
        raise argparse.ArgumentTypeError(f"unknown engine {text!r}: choose from {', '.join(ENGINES)}")
    return text


def config_option(parser: argparse.ArgumentParser) -> None:
    """Where the files are."""
    parser.add_argument(
        "--config", "--config-path", dest="directory", type=Path, metavar="DIR",
        help="directory with users.txt, connections.yaml and the template lists (default: $DBROSTER_CONFIG, or "
        "./config, or /etc/dbroster)",
    )  # fmt: skip


def files_options(parser: argparse.ArgumentParser) -> None:
    """Where the files are, and what opens them."""
    config_option(parser)
    parser.add_argument(
        "--identity", type=Path, metavar="FILE",
        help="age or ssh key that opens users.txt.age (default: $DBROSTER_AGE_IDENTITY_FILE)",
    )  # fmt: skip


def files_words(given: argparse.Namespace) -> list[str]:
    """Return the arguments that say the same to another verb."""
    return ["--config", str(given.directory), *(["--identity", str(given.identity)] if given.identity else [])]


def typed_words(given: argparse.Namespace) -> list[str]:
    """Return those of them that were typed: a person's next command finds the same directory by itself, too."""
    return files_words(given)[0 if given.typed else 2 :]


def common_options(parser: argparse.ArgumentParser, formats: Iterable[str] = FORMATS, *, choice: bool = True) -> None:
    """What every verb that works on servers can be told; `choice`: of one server, too."""
    files_options(parser)
    if choice:
        parser.add_argument("--server", metavar="NAME", help="only this one of the servers that the section lists")
    parser.add_argument("--output", choices=tuple(formats), default="text", help="how to report (default: text)")
    parser.add_argument(
        "--quiet", action="store_true", help="report changes and problems only; nothing if there are none"
    )
    parser.add_argument("--silent", action=_Silent, nargs=0, help="report problems only, not what was changed")
    parser.add_argument(
        "--verbose", action="store_true", help="report each action on a line of its own, with its seconds"
    )
    parser.add_argument("--no-color", action="store_true", help="no colours, as with NO_COLOR in the environment")
    parser.set_defaults(detailed_exitcode=False, silent=False, passwords=True, files_only=False)


def sync_options(parser: argparse.ArgumentParser) -> None:
    """What a sync can be told."""
    common_options(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what a run would do, and change nothing")
    parser.add_argument(
        "--detailed-exitcode", action="store_true", help="with --dry-run: exit 4 when changes are pending"
    )
    parser.add_argument("--jobs", type=_number(64), metavar="N", help="parallel sessions per server")
    parser.add_argument(
        "--max-removals", type=_max_removals, metavar="N|N%|all",
        help="how many accounts, or databases of users who stay, this run may remove",
    )  # fmt: skip
    parser.add_argument(
        "--adopt", action="append", default=[], metavar="USER",
        help="take over an account of this name, and its databases, that dbroster did not create (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "--adopt-from", type=Path, metavar="FILE",
        help="the same for all accounts that FILE names, one per line (dbroster import writes one)",
    )  # fmt: skip
    parser.add_argument(
        "--expect", action="append", default=[], type=_plan, metavar="DIGEST",
        help="refuse a plan that is not the one of this digest, which a dry run has printed (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "--metrics", type=Path, metavar="FILE",
        help="write metrics of the run for Prometheus' textfile collector (FILE.prom)",
    )  # fmt: skip
    audit_option(parser)
    fleet_option(parser)


def fleet_option(parser: argparse.ArgumentParser) -> None:
    """How many servers are served at once."""
    parser.add_argument(
        "--max-servers", type=_number(256), default=MAX_SERVERS, metavar="N",
        help=f"servers at once, the others wait (default: {MAX_SERVERS})",
    )  # fmt: skip


def _number(most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"expected a number from 1 to {most}")
        return int(text)

    return number


def _plan(text: str) -> str:
    if not re.fullmatch(rf"[0-9a-f]{{{DIGITS}}}", text.lower()):
        raise argparse.ArgumentTypeError(f"expected the {DIGITS} hex digits that a dry run prints as its plan")
    return text.lower()


def _max_removals(text: str) -> str:
    try:
        limit_of(Removals(), text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text
