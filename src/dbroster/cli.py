"""The command line: arguments, report, exit code; the only place that prints or exits."""

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from dbroster import __version__, engines
from dbroster.config import Removals
from dbroster.engines import ENGINES
from dbroster.errors import ConfigError
from dbroster.guard import limit_of
from dbroster.model import Problem, Result
from dbroster.progress import Progress
from dbroster.report import as_json, as_text, exit_code, gravest
from dbroster.sync import Connect, Options, Sync, configured, load

EPILOG = """exit codes: 0 in step, or everything applied; 1 finished, but something failed, was skipped or is in
conflict; 2 could not start; 3 refused by the guard, nothing was done; 4 changes are pending (with --dry-run
--detailed-exitcode)"""


def main(arguments: Sequence[str] | None = None, engine: str | None = None, connect: Connect = engines.connect) -> int:
    """Run the command and return its exit code; with an engine named, as that engine's own script."""
    given = _parser(engine).parse_args(arguments)
    given.engines = [engine] if engine else given.engines
    if engine:
        given.verb = "sync"
    if given.verb == "plan":
        given.dry_run = True
    results = _results(given, connect)
    code = gravest(exit_code(r, detailed=given.detailed_exitcode) for r in results)
    if given.output == "json":
        _say(as_json(results, code, dry_run=given.dry_run) + "\n")
    else:
        colour = sys.stdout.isatty() and not given.no_color and "NO_COLOR" not in os.environ
        texts = [as_text(r, colour=colour, verbose=given.verbose, quiet=given.quiet) for r in results]
        _say("\n".join(filter(None, texts)))
    return int(code)


def _say(text: str) -> None:
    """Print a report; a reader who has gone away (`| head`) is no failure of what was done."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that Python's own flush at exit succeeds


def mysql_sync() -> int:
    """Run as `mysql-sync`."""
    return main(engine="mysql")


def postgresql_sync() -> int:
    """Run as `postgresql-sync`."""
    return main(engine="postgresql")


def clickhouse_sync() -> int:
    """Run as `clickhouse-sync`."""
    return main(engine="clickhouse")


def mongodb_sync() -> int:
    """Run as `mongodb-sync`."""
    return main(engine="mongodb")


# --- arguments ------------------------------------------------------------------------------------------------------


def _parser(engine: str | None) -> argparse.ArgumentParser:
    if engine:
        parser = argparse.ArgumentParser(
            description=f"Bring the accounts and databases on {engine} in step with users.txt.", epilog=EPILOG
        )
        _sync_options(parser)
        return parser
    parser = argparse.ArgumentParser(
        prog="dbroster", description="Keep developers' accounts and databases in step with users.txt.", epilog=EPILOG
    )
    parser.add_argument("--version", action="version", version=f"dbroster {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, text in (("sync", "bring servers in step with users.txt"), ("plan", "say what a sync would do")):
        sub = verbs.add_parser(verb, help=text, description=f"{text.capitalize()}.", epilog=EPILOG)
        _engine_argument(sub)
        _sync_options(sub)
    sub = verbs.add_parser("check", help="judge all files, and with --connect logins and privileges; changes nothing")
    _engine_argument(sub)
    _common_options(sub)
    sub.add_argument("--connect", action="store_true", help="log in too, and check the admin's privileges")
    sub.set_defaults(dry_run=True, detailed_exitcode=False, jobs=None, max_removals=None, adopt=[], audit_log=None)
    return parser


def _engine_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "engines", nargs="*", metavar="ENGINE", type=_engine, help=f"{', '.join(ENGINES)}; default: all with a section"
    )


def _engine(text: str) -> str:
    if text not in ENGINES:
        raise argparse.ArgumentTypeError(f"unknown engine {text!r}: choose from {', '.join(ENGINES)}")
    return text


def _common_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", "--config-path", dest="directory", type=Path, required=True, metavar="DIR",
        help="directory with users.txt, connections.yaml and the template lists",
    )  # fmt: skip
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
    parser.add_argument("--jobs", type=_jobs, metavar="N", help="parallel sessions per server")
    parser.add_argument(
        "--max-removals", type=_max_removals, metavar="N|N%|all",
        help="how many accounts, or databases of users who stay, this run may remove",
    )  # fmt: skip
    parser.add_argument(
        "--adopt", action="append", default=[], metavar="USER",
        help="take over an account of this name, and its databases, that dbroster did not create (repeatable)",
    )  # fmt: skip
    parser.add_argument("--audit-log", type=Path, metavar="FILE", help="default: audit.jsonl in the config directory")


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError("expected a number from 1 to 64")
    return int(text)


def _max_removals(text: str) -> str:
    try:
        limit_of(Removals(), text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


# --- running --------------------------------------------------------------------------------------------------------


def _results(given: argparse.Namespace, connect: Connect) -> list[Result]:
    """Load the files, run every server in a thread of its own, and return the results in the files' order."""
    options = Options(
        given.directory, given.dry_run, given.jobs, given.max_removals, frozenset(given.adopt), given.audit_log
    )
    progress = Progress(enabled=not given.quiet)
    work: list[Sync | Result] = []
    with _stopping() as stop:
        for engine in dict.fromkeys(given.engines) or configured(given.directory):
            try:
                connections, roster = load(given.directory, engine, given.server)
            except ConfigError as error:
                work.append(_unusable(engine, given, error.problems))
                continue
            for connection in connections:
                task = progress.task(f"{engine} {connection.server}".removesuffix(" default"))
                work.append(Sync(connection, roster, options, connect, task, stop))
        run = Sync.run if given.verb != "check" else Sync.check_connected if given.connect else Sync.check_files
        with ThreadPoolExecutor(max(len(work), 1), "dbroster-server") as pool:
            results = list(
                pool.map(lambda each: each if isinstance(each, Result) else _guarded(run, each, given), work)
            )
    progress.close()
    return results


def _unusable(engine: str, given: argparse.Namespace, problems: Sequence[Problem]) -> Result:
    text = f"nothing was done: {len(problems)} problem{'s' * (len(problems) > 1)} in the files"
    return Result(engine, given.server or "default", given.dry_run, problems=tuple(problems), fatal=text)


def _guarded(run: Callable[[Sync], Result], sync: Sync, given: argparse.Namespace) -> Result:
    """Run one server; a defect in dbroster itself must not stop the others, and must not show what it held."""
    try:
        return run(sync)
    except Exception as error:  # noqa: BLE001 - anything else is a defect; its message may hold a secret
        place = traceback.extract_tb(error.__traceback__)[-1]
        text = f"a defect in dbroster, please report it: {type(error).__name__} in {place.name}, line {place.lineno}"
        if given.verbose:
            text += "".join(
                f"\n    {p.filename}:{p.lineno} {p.name}" for p in traceback.extract_tb(error.__traceback__)
            )
        return Result(sync.connection.engine, sync.connection.server, given.dry_run, fatal=text)


@contextmanager
def _stopping() -> Iterator[Event]:
    """Turn the first SIGTERM or Ctrl-C into a wish to stop: what runs is finished and reported, nothing new begins."""
    stop = Event()

    def ask(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)  # a kill at any moment loses nothing, so the second one may be just that
        name = signal.Signals(number).name
        sys.stderr.write(f"{name}: finishing what runs, starting nothing new (once more to break off)\n")

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
