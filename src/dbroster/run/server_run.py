"""What every run on one server has in common: reaching it, reading it, and making a plan of what would change."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from shlex import join
from threading import Event
from typing import NamedTuple, TypeVar

from dbroster import engines
from dbroster.audit.log_files import AUDIT_FILE, check_log
from dbroster.config.connections import archive_warning, transport_warning
from dbroster.engines.base import Handler
from dbroster.errors import LoginRefused, OperationError, PrivilegeError, ServerError, failure
from dbroster.files.lock import lock_file
from dbroster.model.connection import Connection
from dbroster.model.plan import Plan
from dbroster.model.problems import Problem
from dbroster.model.result import Result
from dbroster.model.roster import Roster, User
from dbroster.model.state import Actual, ExistingUser, PasswordCheck, Server
from dbroster.plan.diff import Differ
from dbroster.plan.grace_period import NO_GRACE, GracePeriod
from dbroster.report.progress import Task
from dbroster.run.password_cache import Cache

Connect = Callable[[Connection], Handler]
Clock = Callable[[Handler], datetime]
T = TypeVar("T")


class Options(NamedTuple):
    """What the command line asks for; `audit_log` is in the config directory unless it is named.

    `adopt` names foreign accounts that may be taken over, `adopt_from` those that a file names.
    `expect` holds the digests that a plan may have; empty: any. `command`: the words of a sync that does what this one
    does, to be told to people.
    """

    directory: Path
    dry_run: bool = False
    jobs: int | None = None
    max_removals: str | None = None
    adopt: frozenset[str] = frozenset()
    audit_log: Path | None = None
    expect: frozenset[str] = frozenset()
    command: tuple[str, ...] = ()
    adopt_from: frozenset[str] = frozenset()

    @property
    def adopted(self) -> frozenset[str]:
        """All who may be taken over."""
        return self.adopt | self.adopt_from

    @property
    def audit_path(self) -> Path:
        """Where the audit log is."""
        return self.audit_log or self.directory / AUDIT_FILE


def server_time(handler: Handler) -> datetime:
    """Return the time by which days of grace end: of the server's clock and ours the one that is behind."""
    return min(handler.now(), datetime.now(UTC))


class ServerRun:
    """A run on one server; what it has learned so far is in the fields."""

    def __init__(
        self,
        connection: Connection,
        roster: Roster,
        options: Options,
        connect: Connect = engines.connect,
        task: Task | None = None,
        stop: Event | None = None,
        clock: Clock = server_time,
    ) -> None:
        self.connection, self.roster, self.options = connection, roster, options
        self.connect, self.clock = connect, clock
        self.task, self.stop = task or Task(), stop or Event()
        self.stages: dict[str, float] = {}
        self.unseen: list[Problem] = []
        """What could not be looked at, and why."""
        self.reached: Server | None = None

    def blank(self) -> Result:
        """Return the result of a run that has learned nothing yet."""
        return Result(self.connection.engine, self.connection.server, self.options.dry_run, stages=self.stages)

    def reach(self, stack: ExitStack) -> Handler:
        """Connect, check what the admin may do, and keep every other sync out. Raises ServerError."""
        with self.stage("connect"):
            if not self.options.dry_run:
                check_log(self.options.audit_path)
                stack.enter_context(lock_file(self._file_beside_audit("lock")))
            handler = stack.enter_context(self._connected())
            self.reached = handler.server()
            missing = handler.missing_privileges(self.roster.templates)
            if missing:
                raise PrivilegeError(missing)
            self._refuse_without_archiver(handler)
            if not self.options.dry_run:
                handler.acquire_sync_lock()
            return handler

    def _connected(self) -> Handler:
        """Log in; who is refused may have made no admin account yet. Raises ServerError."""
        try:
            return self.connect(self.connection)
        except LoginRefused as error:
            server = () if self.connection.server == "default" else ("--server", self.connection.server)
            words = ("dbroster", "grants", self.connection.engine, "--config", str(self.options.directory), *server)
            text = f"if there is no such account yet, this tells how to make it: {join(words)}"
            raise LoginRefused(f"{str(error).rstrip()}\n{text}") from None

    def _refuse_without_archiver(self, handler: Handler) -> None:
        """Find out at the start, not at the first removal, that databases can't be archived here."""
        missing = handler.archiver().missing() if self.connection.removals.archive_dir else []
        if missing:
            texts = "\n".join(f"  {text}" for text in missing)
            raise ServerError(f"databases can't be archived, as removals.archive_dir asks for:\n{texts}")

    def read(self, handler: Handler, roster: Roster) -> Actual:
        """Read what stands on the server, and ask whether the passwords of the roster are the server's."""
        with self.stage("read"):
            users = handler.get_existing_users()
            databases = handler.get_existing_databases()
        with self.stage("check passwords"):
            known = [user for user in roster.users.values() if user.name in users and users[user.name].managed]
            answers = self._check_passwords(handler, known, users)
            return Actual(users, databases, answers, dict(handler.doubts))

    def _check_passwords(
        self, handler: Handler, known: Sequence[User], existing: Mapping[str, ExistingUser]
    ) -> dict[str, PasswordCheck]:
        """Ask the engine about those whose answer is not remembered."""
        cache = Cache(self._file_beside_audit("cache"), self.connection, enabled=not self.roster.encrypted)
        entries = {user.name: cache.entry(user, existing[user.name]) for user in known}
        answers = {name: PasswordCheck.SAME for name, entry in entries.items() if cache.knows(entry)}
        asked = [user for user in known if user.name not in answers]
        if asked:
            answers |= handler.check_passwords(asked, existing)
        if not self.options.dry_run:
            cache.keep(entry for name, entry in entries.items() if answers.get(name) is PasswordCheck.SAME)
        return answers

    def _file_beside_audit(self, suffix: str) -> Path:
        """A file of dbroster's own for this server."""
        return self.options.audit_path.parent / f".{self.connection.engine}-{self.connection.server}.{suffix}"

    def plan(self, roster: Roster, actual: Actual, handler: Handler) -> Plan:
        """Make the plan: what is desired against what is there."""
        archive, protected = self.connection.removals.archive_dir is not None, self.connection.protected
        own, fold = self.connection.roster, handler.fold_database
        differ = Differ(
            roster, actual, self.options.adopted, protected, fold,
            archive=archive, grace=self.grace(handler), own=own, drop_words=handler.drop_words,
        )  # fmt: skip
        with self.stage("plan"):
            return differ.plan()

    def grace(self, handler: Handler) -> GracePeriod:
        """How long accounts are kept here, and what time it is there."""
        days = self.connection.removals.grace_days
        return GracePeriod(days, self.clock(handler)) if days else NO_GRACE

    def refused(self, handler: Handler, plan: Plan) -> dict[int, str]:
        """Ask the engine, when there is something to do, what of it the server must refuse.

        Who keeps the engine from looking can't stop the run by it: then each action finds out by itself.
        """
        foreseen = self._look(lambda: handler.foresee(plan.actions)) if plan.actions else ()
        return {place: reason for place, reason in enumerate(foreseen) if reason}

    def warnings(self, handler: Handler) -> Sequence[Problem]:
        """What the DBA should know of this server."""
        return self._look(handler.warnings)

    def _look(self, at: Callable[[], Sequence[T]]) -> Sequence[T]:
        """Look at what users may have made: whatever they have made of it, it stops no run."""
        try:
            return at()
        except ServerError:
            raise
        except Exception as error:  # noqa: BLE001 - told without its message, which may hold a secret
            self.unseen.append(Problem(failure(error), warning=isinstance(error, OperationError)))
            return ()

    def problems(self, roster: Roster, *more: Problem) -> tuple[Problem, ...]:
        """Everything that a person should look at. The line that suspends removals has a problem of its own."""
        warnings = filter(None, (transport_warning(self.connection), archive_warning(self.connection)))
        suspended = f"nothing is removed in this run: {'; '.join(roster.suspended)}"
        return (
            *roster.problems,
            *more,
            *([Problem(suspended, warning=True)] if roster.suspended else ()),
            *warnings,
            *self.unseen,
        )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Tell a person what the run is at, and keep how long it took."""
        began = time.perf_counter()
        self.task.stage(name)
        try:
            yield
        finally:
            self.stages[name] = self.stages.get(name, 0.0) + time.perf_counter() - began
