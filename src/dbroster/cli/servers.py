"""Serving every server that is asked for, each in a thread of its own, and telling one report of them all."""

import argparse
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event, Thread

from dbroster.cli.output import report_of, tell
from dbroster.cli.passing_on import pass_on
from dbroster.cli.stopping import Connect, Stopping, await_all
from dbroster.config.connections import server_names
from dbroster.errors import ConfigError, defect
from dbroster.files.read import Files
from dbroster.model.connection import Connection
from dbroster.model.result import Result
from dbroster.model.roster import Roster
from dbroster.report.progress import Progress, Task
from dbroster.roster.source import UsersSource
from dbroster.run.server_run import Options
from dbroster.run.sync import configured, load

Work = Callable[["OneServer"], Result]
Tell = Callable[[Sequence[Result], argparse.Namespace, Options], int]


def serve(given: argparse.Namespace, options: Options, connect: Connect, work: Work, tell: Tell = tell) -> int:
    """Do the work of a verb on every server, so many at once as are asked for; return the exit code of all.

    Whoever is told to end reports on what is finished by then.
    """
    progress = Progress(enabled=not given.quiet)
    users = UsersSource(Files(given.directory, checkout=given.files_only), given.identity)
    stopping = Stopping(connect)
    servers = [
        OneServer(engine, name, given, options, users, progress.task(f"{engine} {name or ''}".rstrip()), stopping, work)
        for engine in dict.fromkeys(given.engines) or configured(users.files)
        for name in ([given.server] if given.server else server_names(users.files, engine))
    ]

    def results() -> list[Result]:
        return [each.result_so_far() for each in servers]

    def report() -> int:
        return tell(results(), given, options)

    with stopping.on_signals(report):
        _serve(servers, given.max_servers)
    progress.close()
    code = report()
    pass_on(report_of(results(), given, options), given, users.files)
    return code


def _serve(servers: Sequence["OneServer"], at_once: int) -> None:
    """Do what `ThreadPoolExecutor` would, whose import takes as long as a login."""
    left = deque(servers)

    def take() -> None:
        with suppress(IndexError):
            while True:
                left.popleft().run()

    threads = [Thread(target=take, name=f"dbroster-server_{number}") for number in range(min(at_once, len(servers)))]
    for thread in threads:
        thread.start()
    await_all(threads)


class OneServer:
    """One server; `name` is None where only reading the engine's section as a whole can tell what is there."""

    def __init__(
        self,
        engine: str,
        name: str | None,
        given: argparse.Namespace,
        options: Options,
        users: UsersSource,
        task: Task,
        stopping: Stopping,
        work: Work,
    ) -> None:
        self.engine, self.name = engine, name
        self.given, self.options, self.users = given, options, users
        self.task, self.stopping, self.work = task, stopping, work
        self.result: Result | None = None
        self.address = "the server"

    def run(self) -> None:
        """Serve it; a defect in dbroster itself must not stop the others, and must not show what it held."""
        try:
            self.result = self.work(self)
        except ConfigError as error:
            number = len(error.problems)
            text = f"nothing was done: {number} problem{'s' * (number > 1)} in the files"
            self.result = self.fatal(text)._replace(problems=tuple(error.problems))
        except Exception as error:  # noqa: BLE001 - anything else is a defect; its message may hold a secret
            self.result = self.fatal(defect(error, verbose=self.given.verbose))

    def result_so_far(self) -> Result:
        """The result, or that there is none: the run had to end before this server answered."""
        text = "did not answer before the run had to end; changes made so far are in the audit log: run again"
        return self.result or self.fatal(f"{self.address} {text}")

    def load(self) -> tuple[Connection, Roster]:
        """Read all files of this server. Raises ConfigError."""
        (connection,), roster = load(self.users, self.engine, self.name, passwords=self.given.passwords)
        self.address = f"{connection.host}:{connection.port}"
        return connection, roster

    def load_again(self) -> tuple[list[Connection], Roster]:
        """Read them once more from disk."""
        return load(self.users.anew(), self.engine, self.name)

    def names(self) -> Sequence[str | None]:
        """What the servers of this engine are called."""
        return server_names(self.users.files, self.engine)

    @property
    def means(self) -> tuple[Connect, Task, Event]:
        """How a run connects, tells how far it is, and learns that it shall end."""
        return self.stopping.connect, self.task, self.stopping.wish

    def fatal(self, text: str) -> Result:
        """The result of a run that could not start."""
        return Result(self.engine, self.name or "default", self.options.dry_run, fatal=text)
