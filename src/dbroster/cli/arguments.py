"""The command line's arguments: verbs, options, and what is wrong with them."""

import argparse
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from dbroster import __version__
from dbroster.cli.standard_streams import put
from dbroster.engines import ENGINES
from dbroster.model.connection import Removals
from dbroster.plan.guard import limit_of
from dbroster.plan.plan_digest import DIGITS

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

MAX_SERVERS = 16
"""Servers at once: enough to wait for many at a time, few enough to keep sessions, memory and open files bounded."""

EPILOG = """exit codes: 0 in step, or everything applied; 1 finished, but something failed, was skipped or is in
conflict; 2 could not start; 3 refused by the guard or by --expect, nothing was done; 4 changes are pending (with
--dry-run --detailed-exitcode)"""


class _Formatter(argparse.HelpFormatter):
    """Takes the width from the terminal itself, since argparse imports `shutil` for that, at the first option."""

    def __init__(self, prog: str, **more: Any) -> None:
        columns = os.environ.get("COLUMNS", "")
        width = int(columns) if columns.isdecimal() else 0
        with suppress(OSError):
            width = width or os.get_terminal_size(1).columns
        super().__init__(prog, **{"width": (width or 80) - 2, **more})


class _Parser(argparse.ArgumentParser):
    """A parser whose texts may get lost on a full or closed stream, while its exit code does not."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, formatter_class=_Formatter)

    def _print_message(self, message: str, file: "SupportsWrite[str] | None" = None) -> None:
        out: TextIO | None = sys.stdout  # None where there is none
        stream = out if file is out else sys.stderr
        if message and stream:
            put(stream, message)


def parser(engine: str | None) -> argparse.ArgumentParser:
    """Return the parser of `dbroster`, or with an engine named that of the engine's own script."""
    if engine:
        single = _Parser(
            description=f"Bring the accounts and databases on {engine} in step with users.txt.", epilog=EPILOG
        )
        _sync_options(single)
        _fleet_option(single)
        return single
    whole = _Parser(
        prog="dbroster", description="Keep developers' accounts and databases in step with users.txt.", epilog=EPILOG
    )
    whole.add_argument("--version", action="version", version=f"dbroster {__version__}")
    verbs = whole.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, text in (("sync", "bring servers in step with users.txt"), ("plan", "say what a sync would do")):
        sub = verbs.add_parser(verb, help=text, description=_sentence(text), epilog=EPILOG)
        _engine_argument(sub)
        _sync_options(sub)
        _fleet_option(sub)
    sub = verbs.add_parser("check", help="judge all files, and with --connect logins and privileges; changes nothing")
    _engine_argument(sub)
    _common_options(sub)
    sub.add_argument("--connect", action="store_true", help="log in too, and check the admin's privileges")
    _fleet_option(sub)
    sub.set_defaults(dry_run=True, detailed_exitcode=False, jobs=None, max_removals=None, adopt=[], audit_log=None)
    sub.set_defaults(expect=[])
    _audit_verb(verbs)
    _roster_verbs(verbs)
    _restore(verbs)
    return whole


def sync_command(given: argparse.Namespace, engine: str) -> tuple[str, ...]:
    """Return the words of a sync of one engine that does what these arguments ask for: no dry run, no other options."""
    program = Path(sys.argv[0])
    known = (Path(folder, "python3") for folder in os.get_exec_path())
    found = next((path for path in known if os.access(path, os.X_OK)), None)  # `shutil.which` takes long to import
    python = "python3" if str(found) == sys.executable else sys.executable
    words = [python, str(program)] if program.suffix == ".py" else [program.name or "dbroster"]
    if program.name == "__main__.py":
        words = [python, "-m", "dbroster"]
    if not program.stem.endswith(("_sync", "-sync")):
        words += ["sync", engine]
    named = (("--config", given.directory), ("--identity", given.identity), ("--audit-log", given.audit_log))
    words += [word for option, value in named if value is not None for word in (option, str(value))]
    return (*words, *(word for user in given.adopt for word in ("--adopt", user)))


def _sentence(text: str) -> str:
    """Begin with a capital letter and leave the others alone: `$VISUAL` is no word."""
    return f"{text[0].upper()}{text[1:]}."


def _audit_verb(verbs: "argparse._SubParsersAction[_Parser]") -> None:
    audit = verbs.add_parser("audit", help="what belongs to the audit log")
    inner = audit.add_subparsers(dest="audit_verb", required=True, metavar="verify")
    text = "check that no line of the audit log was changed, put in or taken away"
    sub = inner.add_parser(
        "verify", help=text, description=_sentence(text),
        epilog="exit codes: 0 sound; 1 broken; 2 could not be read",
    )  # fmt: skip
    _config_option(sub)
    sub.add_argument(
        "files", nargs="*", type=Path, metavar="FILE",
        help="these files instead of audit.jsonl with those that it was rotated to",
    )  # fmt: skip
    sub.add_argument(
        "--head", action="append", default=[], type=_hash, metavar="HASH",
        help="the hash of a line, noted after a run, that must be there (repeatable)",
    )  # fmt: skip


def _roster_verbs(verbs: "argparse._SubParsersAction[_Parser]") -> None:
    """Add the verbs that change the roster itself."""
    text = "encrypt users.txt to users.txt.age, and remove users.txt"
    sub = verbs.add_parser("encrypt", help=text, description=_sentence(text))
    _files_options(sub)
    sub.add_argument(
        "--recipient", action="append", default=[], metavar="KEY",
        help="public key (age1... or ssh-...) of who may decrypt it (repeatable; default: who could so far)",
    )  # fmt: skip
    sub.add_argument("--recipients-file", type=Path, metavar="FILE", help="file with one public key per line")
    text = "change users.txt or users.txt.age with $VISUAL or $EDITOR; only what a sync would take is written"
    _files_options(verbs.add_parser("edit", help=text, description=_sentence(text)))


def _restore(verbs: "argparse._SubParsersAction[_Parser]") -> None:
    sub = verbs.add_parser(
        "restore", help="bring an archived database back",
        description="Bring an archive that was made before a database was dropped back, for its user.", epilog=EPILOG,
    )  # fmt: skip
    sub.add_argument("engines", nargs=1, metavar="ENGINE", type=_engine, help=", ".join(ENGINES))
    sub.add_argument("archive", metavar="ARCHIVE", type=Path, help="the file; its manifest must lie beside it")
    _common_options(sub)
    sub.add_argument("--database", metavar="NAME", help="restore into this database of the roster, not its own")
    sub.add_argument(
        "--from-another", action="store_true", help="accept an archive of another user, or of another roster"
    )
    _audit_option(sub)
    sub.set_defaults(dry_run=False, detailed_exitcode=False, jobs=None, max_removals=None, adopt=[], expect=[])
    sub.set_defaults(max_servers=1)


def _audit_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--audit-log", type=Path, metavar="FILE", help="default: audit.jsonl in the config directory")


def _engine_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "engines", nargs="*", metavar="ENGINE", type=_engine, help=f"{', '.join(ENGINES)}; default: all with a section"
    )


def _engine(text: str) -> str:
    if text not in ENGINES:
        raise argparse.ArgumentTypeError(f"unknown engine {text!r}: choose from {', '.join(ENGINES)}")
    return text


def _config_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", "--config-path", dest="directory", type=Path, required=True, metavar="DIR",
        help="directory with users.txt, connections.yaml and the template lists",
    )  # fmt: skip


def _files_options(parser: argparse.ArgumentParser) -> None:
    _config_option(parser)
    parser.add_argument(
        "--identity", type=Path, metavar="FILE",
        help="age or ssh key that opens users.txt.age (default: $DBROSTER_AGE_IDENTITY_FILE)",
    )  # fmt: skip


def _common_options(parser: argparse.ArgumentParser) -> None:
    _files_options(parser)
    parser.add_argument("--server", metavar="NAME", help="only this one of the servers that the section lists")
    parser.add_argument("--output", choices=("text", "json"), default="text", help="how to report (default: text)")
    parser.add_argument("--quiet", action="store_true", help="report only what a person must look at")
    parser.add_argument("--verbose", action="store_true", help="report the seconds of each action, too")
    parser.add_argument("--no-color", action="store_true", help="no colours, as with NO_COLOR in the environment")


def _sync_options(parser: argparse.ArgumentParser) -> None:
    _common_options(parser)
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
        "--expect", action="append", default=[], type=_plan, metavar="DIGEST",
        help="refuse a plan that is not the one of this digest, which a dry run has printed (repeatable)",
    )  # fmt: skip
    _audit_option(parser)


def _fleet_option(parser: argparse.ArgumentParser) -> None:
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


def _hash(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text.lower()):
        raise argparse.ArgumentTypeError("expected 64 hex digits")
    return text.lower()


def _max_removals(text: str) -> str:
    try:
        limit_of(Removals(), text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text
