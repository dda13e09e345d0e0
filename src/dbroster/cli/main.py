"""The command line: a sync, plan or check of every server, each in a thread of its own; other_verbs.py has the rest."""

import argparse
import gc
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread

from dbroster import engines
from dbroster.cli.arguments import parser, sync_command
from dbroster.cli.output import tell
from dbroster.cli.standard_streams import open_all, settle
from dbroster.cli.stopping import Stopping, await_all
from dbroster.config.connections import server_names
from dbroster.errors import ConfigError, defect
from dbroster.files.read import Files
from dbroster.model.connection import Connection
from dbroster.model.result import Result
from dbroster.model.roster import Roster
from dbroster.report.progress import Progress, Task
from dbroster.roster.source import UsersSource
from dbroster.run.server_run import Connect, Options
from dbroster.run.sync import Sync, configured, load

_SYNCS = ("sync", "plan", "check", "restore")  # other_verbs.py has the rest, imported when they are asked for
_OBJECTS = 50_000


def main(arguments: Sequence[str] | None = None, engine: str | None = None, connect: Connect = engines.connect) -> int:
    """Run the command and return its exit code; with an engine named, as that engine's own script.

    Without arguments, those of the process are meant, which ends behind it.
    """
    if arguments is not None:
        return _main(arguments, engine, connect)
    open_all()
    gc.freeze()  # what was imported stays: to look through it for garbage again and again takes a tenth of a short run
    gc.set_threshold(_OBJECTS)
    try:
        return _main(sys.argv[1:], engine, connect)
    finally:
        settle()
        gc.freeze()  # nor when Python ends


def _main(arguments: Sequence[str], engine: str | None, connect: Connect) -> int:
    given = parser(engine).parse_args(arguments)
    if not engine and given.verb not in _SYNCS:
        from dbroster.cli.other_verbs import run_verb

        return run_verb(given)
    given.engines = [engine] if engine else given.engines
    if engine:
        given.verb = "sync"
    if given.verb == "plan":
        given.dry_run = True
    return tell(_results(given, connect), given)


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
    """Serve every server in a thread of its own, so many at once as are asked for, and return the results in order."""
    options = Options(
        given.directory, given.dry_run, given.jobs, given.max_removals, frozenset(given.adopt), given.audit_log,
        frozenset(given.expect),
    )  # fmt: skip
    progress = Progress(enabled=not given.quiet)
    users = UsersSource(Files(given.directory), given.identity)
    stopping = Stopping(connect)
    work = [
        _Work(engine, server, given, options, users, progress.task(f"{engine} {server or ''}".rstrip()), stopping)
        for engine in dict.fromkeys(given.engines) or configured(users.files)
        for server in ([given.server] if given.server else server_names(users.files, engine))
    ]
    with stopping.on_signals(lambda: tell([each.result_so_far() for each in work], given)):
        _serve(work, given.max_servers)
    progress.close()
    return [each.result_so_far() for each in work]


def _serve(work: Sequence["_Work"], at_once: int) -> None:
    """Do what `ThreadPoolExecutor` would, whose import takes as long as a login."""
    left = deque(work)

    def take() -> None:
        with suppress(IndexError):
            while True:
                left.popleft().run()

    threads = [Thread(target=take, name=f"dbroster-server_{number}") for number in range(min(at_once, len(work)))]
    for thread in threads:
        thread.start()
    await_all(threads)


@dataclass
class _Work:
    """One server; `server` is None where only reading the engine's section as a whole can tell what is there."""

    engine: str
    server: str | None
    given: argparse.Namespace
    options: Options
    users: UsersSource
    task: Task
    stopping: Stopping
    result: Result | None = None
    address: str = "the server"

    def run(self) -> Result:
        """Serve it; a defect in dbroster itself must not stop the others, and must not show what it held."""
        self.result = self._guarded()
        return self.result

    def result_so_far(self) -> Result:
        """The result, or that there is none: the run had to end before this server answered."""
        text = "did not answer before the run had to end; changes made so far are in the audit log: run again"
        return self.result or self._fatal(f"{self.address} {text}")

    def _guarded(self) -> Result:
        try:
            return self._run()
        except ConfigError as error:
            number = len(error.problems)
            text = f"nothing was done: {number} problem{'s' * (number > 1)} in the files"
            return self._fatal(text)._replace(problems=tuple(error.problems))
        except Exception as error:  # noqa: BLE001 - anything else is a defect; its message may hold a secret
            return self._fatal(defect(error, verbose=self.given.verbose))

    def _run(self) -> Result:
        if self.given.verb == "restore":
            return self._restore()
        (connection,), roster = load(self.users, self.engine, self.server)
        self.address = f"{connection.host}:{connection.port}"
        options = self.options._replace(command=sync_command(self.given, self.engine))
        what = (connection, roster, options, self.stopping.connect, self.task, self.stopping.wish)
        if self.given.verb == "check":
            from dbroster.run.check import Check

            return Check(*what).of_server() if self.given.connect else Check(*what).of_files()
        return Sync(*what, again=self._load_again).run()

    def _load_again(self) -> tuple[list[Connection], Roster]:
        return load(self.users.anew(), self.engine, self.server)

    def _restore(self) -> Result:
        """Bring an archive back; to one server only, so that one must be named where there are several."""
        from dbroster.run.restore import Restore, Wish

        names = server_names(self.users.files, self.engine)
        if len(names) > 1 and not self.given.server:
            return self._fatal(f"there are several servers: choose one with --server ({', '.join(map(str, names))})")
        (connection,), roster = load(self.users, self.engine, self.server)
        wish = Wish(self.given.archive, self.given.database, self.given.from_another)
        return Restore(connection, roster, wish, self.options, self.stopping.connect).run()

    def _fatal(self, text: str) -> Result:
        return Result(self.engine, self.server or "default", self.given.dry_run, fatal=text)


if __name__ == "__main__":
    sys.exit(main())
