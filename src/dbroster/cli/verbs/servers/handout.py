"""`dbroster handout`: what a user needs to begin."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from dbroster.cli.arguments import engine_name, epilog, files_options
from dbroster.cli.output import complain, say
from dbroster.cli.standard_streams import mutter
from dbroster.cli.stopping import Connect
from dbroster.engines import ENGINES
from dbroster.errors import ConfigError
from dbroster.files.read import Files
from dbroster.files.write import write_private_file
from dbroster.model.problems import Problem
from dbroster.model.way import Way
from dbroster.report.exit_codes import Exit
from dbroster.report.handout.client_files import client_files
from dbroster.report.handout.formats import HANDOUT_FORMATS, SUFFIXES
from dbroster.report.plain.text import printable, problem_text
from dbroster.roster.source import UsersSource
from dbroster.run.reading.handout import find

HELP = "tell a user's hosts, URIs and commands, one for each database; asks no server"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add who it is for, and where it goes."""
    parser.epilog = epilog(
        "dbroster handout bob --to bob.txt",
        "0 told or written; 1 the same, but not for every server; 2 nothing was told or written",
    )
    parser.add_argument("user", metavar="NAME", help="who is in the roster")
    files_options(parser)
    parser.add_argument(
        "--engine", dest="engines", action="append", default=[], type=engine_name, metavar="ENGINE",
        help=f"only this one of {', '.join(ENGINES)} (repeatable)",
    )  # fmt: skip
    parser.add_argument("--server", metavar="NAME", help="only this one of the servers that the section lists")
    parser.add_argument("--output", choices=tuple(HANDOUT_FORMATS), default="text", help="default: text")
    parser.add_argument(
        "--to", type=Path, metavar="FILE|DIR",
        help="write it there, with the password, so that nobody else may read it; a directory gets the clients' files, "
        "too",
    )  # fmt: skip
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument("--show", action="store_true", help="print the password as well, if there is no --to")
    secret.add_argument("--without-password", action="store_true", help="leave the password out, with --to as well")


def run(given: argparse.Namespace, _: Connect) -> int:
    """Print or write it."""
    secret = (given.show or given.to is not None) and not given.without_password
    source = UsersSource(Files(given.directory), given.identity)
    ways, problems = find(source, given.user, given.engines, given.server, secret=secret)
    grave = [problem for problem in problems if not problem.warning]
    if not ways:
        raise ConfigError(grave or [Problem(f"{given.user} has no database: no template is listed")])
    if given.to is None:
        say(HANDOUT_FORMATS[given.output](ways))
        if not (secret or given.without_password):
            mutter("the password is not shown: --show prints it, --to FILE writes it\n")
    else:
        _write(given, ways)
    mutter("".join(f"warning: {printable(problem_text(p))}\n" for p in problems if p.warning))
    complain(grave)
    return Exit.INCOMPLETE if grave else Exit.IN_STEP


def _write(given: argparse.Namespace, ways: Sequence[Way]) -> None:
    kept = {path.resolve() for path in given.directory.iterdir()}  # some may be links to files elsewhere
    for path, text in _files(given, ways).items():
        if path.parent.resolve() == given.directory.resolve() or path.resolve() in kept:
            raise ConfigError([Problem(f"{path} is in the config directory: name a file elsewhere")])
        write_private_file(path, text.encode())
        say(f"wrote {printable(str(path))}\n")


def _files(given: argparse.Namespace, ways: Sequence[Way]) -> Mapping[Path, str]:
    """Return what is to be written where: one file, or in a directory those of the clients as well."""
    text = HANDOUT_FORMATS[given.output](ways)
    if not given.to.is_dir():
        return {given.to: text}
    whole = given.to / f"{given.user}.{SUFFIXES.get(given.output, given.output)}"
    return {whole: text, **{given.to / f"{given.user}{name}": part for name, part in client_files(ways).items()}}
