"""The command line: arguments, report, exit code; the only place that prints or exits."""

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

from dbroster import engines
from dbroster.arguments import parser
from dbroster.errors import ConfigError
from dbroster.model import Problem, Result
from dbroster.progress import Progress
from dbroster.report import as_json, as_text, exit_code, gravest
from dbroster.sync import Connect, Options, Sync, configured, load


def main(arguments: Sequence[str] | None = None, engine: str | None = None, connect: Connect = engines.connect) -> int:
    """Run the command and return its exit code; with an engine named, as that engine's own script."""
    given = parser(engine).parse_args(arguments)
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
