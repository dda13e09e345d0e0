"""`dbroster rename`: a user gets another name, in the roster and on every server, and keeps all data."""

import argparse
from collections.abc import Sequence
from functools import partial
from shlex import quote

from dbroster.cli.arguments import audit_option, common_options, epilog, fleet_option, typed_words
from dbroster.cli.output import complain, say, tell
from dbroster.cli.servers import OneServer, Tell, serve
from dbroster.cli.stopping import Connect
from dbroster.model.problems import Problem
from dbroster.model.result import Result, Status
from dbroster.report.exit_codes import Exit
from dbroster.roster.editing.change import Place, renaming, write_name
from dbroster.roster.editing.interrupts import Interrupts
from dbroster.roster.editing.judge import servers_of
from dbroster.run.rename import Rename, Wish
from dbroster.run.server_run import Options

HELP = "give a user another name, in the roster and on all servers, with all databases"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add who gets which name."""
    parser.epilog = epilog(
        "dbroster rename bob robert --dry-run",
        "0 renamed, or nothing is against it (with --dry-run); 1 begun, but not finished: run it again; 2 refused, "
        "nothing was changed; 4 changes are pending (with --dry-run --detailed-exitcode)",
    )
    parser.add_argument("old", metavar="OLD", help="the name that is in the roster")
    parser.add_argument("new", metavar="NEW", help="the name that nobody has so far")
    common_options(parser, choice=False)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    parser.add_argument(
        "--detailed-exitcode", action="store_true", help="with --dry-run: exit 4 when changes are pending"
    )
    audit_option(parser)
    fleet_option(parser)
    parser.set_defaults(engines=[], server=None)


def run(given: argparse.Namespace, connect: Connect) -> int:
    """Ask all servers first; then write into the roster that it is under way, do it, and write the new name."""
    place = Place(given.directory, given.identity, list(servers_of(given.directory)))
    found = renaming(place, given.old, given.new)
    wish = Wish(given.old, given.new, found.password, found.begun)
    if given.dry_run or not found.begun:
        told = tell if given.dry_run else _tell_refusal
        code = _serve(given, connect, wish, told, dry_run=True)
        if given.dry_run or code != Exit.IN_STEP:
            return code
    return _rename(given, connect, place, wish)


def _rename(given: argparse.Namespace, connect: Connect, place: Place, wish: Wish) -> int:
    with Interrupts():
        write_name(place, wish.old, wish.new, finished=False)
    if _serve(given, connect, wish._replace(begun=True), _tell_whether_done, dry_run=False) != Exit.IN_STEP:
        again = " ".join(map(quote, ("dbroster", "rename", wish.old, wish.new, *typed_words(given))))
        text = f"the rename is not finished, and no sync touches {wish.old} or {wish.new} until it is: {again}"
        complain([Problem(text)])
        return Exit.INCOMPLETE
    with Interrupts():
        done = write_name(place, wish.old, wish.new, finished=True)
    if given.output == "text" and not given.quiet:
        say(f"{wish.old} is {wish.new} now, in {done.file} and on all servers, with the same password\n")
    return Exit.IN_STEP


def _serve(given: argparse.Namespace, connect: Connect, wish: Wish, told: Tell, *, dry_run: bool) -> int:
    options = Options(given.directory, dry_run, audit_log=given.audit_log)
    return serve(given, options, connect, partial(_one, wish), told)


def _tell_refusal(results: Sequence[Result], given: argparse.Namespace, options: Options) -> int:
    """Say nothing before the changes, unless there will be none."""
    if not any(result.fatal for result in results):
        return Exit.IN_STEP
    code = tell(results, given, options)
    complain([Problem(f"nothing was changed: {given.old} keeps the name, in the roster and on all servers")])
    return code


def _tell_whether_done(results: Sequence[Result], given: argparse.Namespace, options: Options) -> int:
    """Tell what was done, and whether that was all; what else a report finds on a server hinders nothing."""
    tell(results, given, options)
    left = any(result.fatal or any(o.status is not Status.DONE for o in result.outcomes) for result in results)
    return Exit.INCOMPLETE if left else Exit.IN_STEP


def _one(wish: Wish, server: OneServer) -> Result:
    connection, roster = server.load()
    return Rename(connection, roster, server.options, *server.means, wish=wish).run()
