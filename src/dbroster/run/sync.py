"""The data flow of one sync: files, server, plan, guard, changes, result."""

import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from dbroster import engines
from dbroster.audit.hash_chain import AUDIT_FILE, check_log
from dbroster.config.connections import archive_warning, cut_short, has_section, read_connections, transport_warning
from dbroster.engines.base import Handler
from dbroster.errors import AuditError, ConfigError, DbrosterError, OperationError, PrivilegeError, ServerError
from dbroster.files.lock import lock_file
from dbroster.files.owners import place_problem
from dbroster.model.connection import Connection
from dbroster.model.plan import Plan, Verb
from dbroster.model.problems import Problem
from dbroster.model.result import Outcome, Result, Status
from dbroster.model.roster import Roster, User
from dbroster.model.state import Actual, ExistingUser, PasswordCheck
from dbroster.plan.diff import Differ
from dbroster.plan.grace_period import NO_GRACE, Grace
from dbroster.plan.guard import Guard
from dbroster.plan.leftovers import Leftovers
from dbroster.plan.mass_changes import mass_changes
from dbroster.plan.plan_digest import plan_digest, unexpected
from dbroster.report.progress import Task
from dbroster.roster.parse import read_roster
from dbroster.roster.screening import screen
from dbroster.roster.source import UsersSource
from dbroster.run.password_cache import Cache
from dbroster.run.rereading import Again, Rereading

if TYPE_CHECKING:
    from dbroster.audit.history import History
    from dbroster.audit.log import Audit

Connect = Callable[[Connection], Handler]
Clock = Callable[[Handler], datetime]


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for; `audit_log` is in the config directory unless it is named.

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

    @property
    def audit_path(self) -> Path:
        """Where the audit log is."""
        return self.audit_log or self.directory / AUDIT_FILE


def load(
    directory: Path, engine: str, server: str | None = None, source: UsersSource | None = None
) -> tuple[list[Connection], Roster]:
    """Read all files that a sync of this engine needs. Raises ConfigError with every problem in every one of them."""
    if others := place_problem(directory):
        raise ConfigError([Problem(others)])
    problems: list[Problem] = []
    connections: list[Connection] = []
    roster = Roster()
    try:
        connections = read_connections(directory, engine, server)
    except ConfigError as error:
        problems += error.problems
    try:
        roster = read_roster(directory, engine, source)
    except ConfigError as error:
        problems += error.problems
    else:
        if problems:
            problems += roster.problems
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return connections, roster.doubted(cut_short(directory))


def server_time(handler: Handler) -> datetime:
    """Return the time by the server's clock, which has dated the locks."""
    return handler.now()


def configured(directory: Path) -> list[str]:
    """Return the engines that have a section in connections.yaml; all of them when it can't be read, to say why."""
    return [engine for engine in engines.ENGINES if has_section(directory, engine)] or list(engines.ENGINES)


@dataclass
class Sync:
    """One sync of one server; `run` tells the story, and what it has learned so far is in the fields."""

    connection: Connection
    roster: Roster
    options: Options
    connect: Connect = engines.connect
    task: Task = field(default_factory=Task)
    stop: Event = field(default_factory=Event)
    stages: dict[str, float] = field(default_factory=dict)
    clock: Clock = server_time
    again: Again | None = None

    def __post_init__(self) -> None:
        self.files = Rereading(self.connection, self.roster, self.again)

    def run(self) -> Result:
        """Bring the server in step with the roster, or say what would be done.

        Never raises for anything that is wrong with files, server or single actions: the result tells it.
        """
        result = self._blank()
        try:
            with ExitStack() as stack:
                return self._run(result, self._reach(stack))
        except DbrosterError as error:
            return replace(result, fatal=str(error), users=len(self.roster.users), problems=self._problems(self.roster))

    def check_files(self) -> Result:
        """Judge what the files tell by themselves."""
        roster = screen(self.roster, self.connection)
        return replace(self._blank(), users=len(roster.users), problems=self._problems(roster))

    def check_connected(self) -> Result:
        """Judge the files, the login and the admin's privileges, and what this server can carry."""
        try:
            with ExitStack() as stack:
                handler = self._reach(stack)
                roster = screen(self.roster, self.connection, handler)
                server = handler.server()
                plan = self._plan(roster, self._read(handler, roster), handler)
                problems = self._problems(roster, *self._foreseen(handler, plan), *handler.warnings())
        except DbrosterError as error:
            return replace(self.check_files(), fatal=str(error))
        return replace(
            self._blank(), product=server.product, host=server.host, users=len(roster.users), problems=problems
        )

    def _blank(self) -> Result:
        return Result(self.connection.engine, self.connection.server, self.options.dry_run, stages=self.stages)

    def _run(self, result: Result, handler: Handler) -> Result:
        server = handler.server()
        roster = screen(self.roster, self.connection, handler)
        actual = self._read(handler, roster)
        roster, plan = self._sound_plan(roster, actual, handler)
        plan = replace(plan, obstacles=self._obstacles(handler, plan))
        log = lru_cache(maxsize=1)(lambda: self._history(handler))
        guard = Guard(plan, roster, actual, self.connection.removals, self.options.max_removals, log)
        left = Leftovers(roster, actual, plan, self.connection.protected, handler.drop_words, log)
        digest = plan_digest(self.connection, plan.actions)
        result = replace(
            result,
            product=server.product,
            host=server.host,
            users=len(roster.users),
            unchanged=plan.unchanged,
            problems=self._problems(
                roster,
                *plan.problems,
                *self._not_adopted(plan),
                *mass_changes(plan),
                *self._not_carried(handler, plan),
                *left,
                *guard.warnings,
                *handler.warnings(),
            ),
            conflicts=plan.conflicts,
            refusals=(*unexpected(digest, self.options.expect), *guard.refusals),
            permit=self._permission(guard, digest),
            plan=digest,
        )
        if result.refusals:
            return replace(result, outcomes=tuple(Outcome(action, Status.REFUSED) for action in plan.actions))
        if not plan.actions:
            return result
        if self.options.dry_run:
            from dbroster.run.apply import foretell

            return replace(result, outcomes=foretell(plan))
        return self._apply(result, plan, handler)

    def _reach(self, stack: ExitStack) -> Handler:
        """Connect, check what the admin may do, and keep every other sync out. Raises ServerError."""
        with self._stage("connect"):
            if not self.options.dry_run:
                check_log(self.options.audit_path)
                stack.enter_context(lock_file(self._file_beside_audit("lock")))
            handler = stack.enter_context(self.connect(self.connection))
            missing = handler.missing_privileges(self.roster.templates)
            if missing:
                raise PrivilegeError(missing)
            self._refuse_without_archiver(handler)
            if not self.options.dry_run:
                handler.acquire_lock()
            return handler

    def _refuse_without_archiver(self, handler: Handler) -> None:
        """Find out at the start, not at the first removal, that databases can't be archived here."""
        missing = handler.archiver().missing() if self.connection.removals.archive_dir else []
        if missing:
            texts = "\n".join(f"  {text}" for text in missing)
            raise ServerError(f"databases can't be archived, as removals.archive_dir asks for:\n{texts}")

    def _read(self, handler: Handler, roster: Roster) -> Actual:
        with self._stage("read"):
            users = handler.get_existing_users()
            databases = handler.get_existing_databases()
        with self._stage("check passwords"):
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

    def _sound_plan(self, roster: Roster, actual: Actual, handler: Handler) -> tuple[Roster, Plan]:
        """Make the plan; and make it again without what the files, or the server, give reason to doubt."""
        plan = self._plan(roster, actual, handler)
        if (still := self.files.before(plan.actions)) is not self.roster:
            roster = screen(still, self.connection, handler)
            plan = self._plan(roster, actual, handler)
        if not plan.actions:
            return roster, plan
        from dbroster.plan.glued_lines import glued, without_glued  # what follows is for runs that change something
        from dbroster.plan.possible_renames import renamed, reservations, template_reservations

        if two_in_one := glued(plan, roster, actual, handler.check_passwords):
            roster = without_glued(roster, two_in_one)
            plan = self._plan(roster, actual, handler)
        pairs = renamed(plan, still, actual, handler.check_passwords)
        texts = (*reservations(pairs, plan, self.connection), *template_reservations(plan, actual))
        told = [Problem(text, warning=True) for text in texts if self.options.max_removals is not None]
        return roster, replace(plan, reservations=texts, problems=(*plan.problems, *told))

    def _plan(self, roster: Roster, actual: Actual, handler: Handler) -> Plan:
        removals = self.connection.removals
        grace = Grace(removals.grace_days, self.clock(handler)) if removals.grace_days else NO_GRACE
        archive, protected = removals.archive_dir is not None, self.connection.protected
        own, fold = self.connection.roster, handler.fold_database
        differ = Differ(roster, actual, self.options.adopt, protected, fold, archive, grace, own, handler.drop_words)
        with self._stage("plan"):
            return differ.plan()

    def _obstacles(self, handler: Handler, plan: Plan) -> dict[int, str]:
        """Find what of a plan the server must refuse, and what would be done for nothing."""
        obstacles = _refused(handler, plan)
        return _in_vain(plan, obstacles) | obstacles

    def _foreseen(self, handler: Handler, plan: Plan) -> Iterator[Problem]:
        """Tell what of a plan the server must refuse, for a check, which shows no plan."""
        for place, reason in _refused(handler, plan).items():
            action = plan.actions[place]
            yield Problem(f"{action.verb} {action.database or action.user} can't be done: {reason}", user=action.user)

    def _not_carried(self, handler: Handler, plan: Plan) -> Iterator[Problem]:
        """Tell what the archives that this plan asks for would lose; whoever hides that can't stop the run by it."""
        for database in sorted(a.database for a in plan.actions if a.verb is Verb.ARCHIVE_DATABASE and a.database):
            if text := _not_carried(handler, database):
                yield Problem(text, warning=True)

    def _history(self, handler: Handler) -> "History":
        """Read the audit log; of two clocks the one that is behind counts, since a day must not be over too soon."""
        from dbroster.audit.history import read_history

        now = min(datetime.now(UTC), handler.now())
        return read_history(self.options.audit_path, self.connection.engine, self.connection.server, now)

    def _permission(self, guard: Guard, digest: str) -> str | None:
        """The command that does what the guard refuses, and nothing else."""
        if not guard.refusals or not self.options.command:
            return None
        server = () if self.connection.server == "default" else ("--server", self.connection.server)
        return shlex.join((*self.options.command, *server, "--max-removals", guard.permission, "--expect", digest))

    def _not_adopted(self, plan: Plan) -> Iterator[Problem]:
        adopted = {action.user for action in plan.actions if action.verb is Verb.ADOPT}
        for name in sorted(self.options.adopt - adopted):
            yield Problem(
                "--adopt had no effect: nothing foreign of that name may be taken over, or needs to be",
                user=name,
                warning=True,
            )

    def _problems(self, roster: Roster, *more: Problem) -> tuple[Problem, ...]:
        """Everything that a person should look at. The line that suspends removals has a problem of its own."""
        warnings = filter(None, (transport_warning(self.connection), archive_warning(self.connection)))
        suspended = f"nothing is removed in this run: {'; '.join(roster.suspended)}"
        return (
            *roster.problems,
            *more,
            *([Problem(suspended, warning=True)] if roster.suspended else ()),
            *warnings,
        )

    def _apply(self, result: Result, plan: Plan, handler: Handler) -> Result:
        """Make the changes. The first handler holds the lock, so the work is done on sessions of its own."""
        from dbroster.audit.log import Audit
        from dbroster.run.apply import Apply  # what follows is imported when something is to be done, which is seldom
        from dbroster.run.sessions import Sessions

        jobs = self.options.jobs or self.connection.jobs or handler.jobs()
        self.task.total(len(plan.actions))
        fatal = None
        with (
            self._stage("apply"),
            Audit(self.options.audit_path, self.connection.engine, self.connection.server) as audit,
            Sessions(lambda: self.connect(self.connection), jobs, spare=handler) as sessions,
        ):
            audit.begin(result.plan or "", len(plan.actions), self.options.max_removals)
            handler.prepare()
            apply = Apply(
                sessions, type(handler), starting=audit.started, finished=self._finished(audit), stop=self.stop,
                forbids_removal=self.files.forbids_removal,
            )  # fmt: skip
            try:
                apply.run(plan)
                audit.end(apply.outcomes)
            except AuditError as error:
                fatal = str(error)
        doubts = (Problem(audit.doubt, warning=True),) if audit.doubt else ()
        return replace(
            result,
            outcomes=tuple(apply.outcomes),
            problems=result.problems + doubts,
            fatal=fatal,
            audit=audit.last,
        )

    def _finished(self, audit: "Audit") -> Callable[[Sequence[Outcome]], None]:
        def finished(outcomes: Sequence[Outcome]) -> None:
            audit.finished(outcomes)
            self.task.advance(len(outcomes))

        return finished

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        self.task.stage(name)
        try:
            yield
        finally:
            self.stages[name] = self.stages.get(name, 0.0) + time.perf_counter() - began


def _not_carried(handler: Handler, database: str) -> str | None:
    try:
        losses = list(handler.archiver().losses(database))
    except OperationError as error:
        text = f"dbroster can't look into {database} now, to say what an archive of it will not hold: {error}"
        return f"{text}. If it can't be read after its user is locked, either, it is not dropped"
    return f"an archive of {database} does not hold: {'; '.join(losses)}" if losses else None


def _refused(handler: Handler, plan: Plan) -> dict[int, str]:
    """Ask the engine, when there is something to do, what of it the server must refuse.

    Who keeps the engine from looking can't stop the run by it: then each action finds out by itself.
    """
    try:
        foreseen = handler.foresee(plan.actions) if plan.actions else []
    except OperationError:
        foreseen = []
    return {place: reason for place, reason in enumerate(foreseen) if reason}


def _in_vain(plan: Plan, obstacles: Mapping[int, str]) -> dict[int, str]:
    """Find archives of users one of whose databases can't be dropped, and new users who can't be completed.

    A failed archive keeps all databases of its user, so each run would archive them again, until the disk is full. A
    new user would be created and taken back.
    """
    reasons: dict[tuple[Verb, str], str] = {}
    for place, reason in obstacles.items():
        action = plan.actions[place]
        what, user = action.database, action.user
        if action.verb is Verb.DROP_DATABASE:
            text = f"nothing of {user} is archived, since {what} can't be dropped: {reason}"
            reasons.setdefault((Verb.ARCHIVE_DATABASE, user), text)
        elif user in plan.new_users and what:
            text = f"{user} is not created, since {action.verb} {what} must fail: {reason}"
            reasons.setdefault((Verb.CREATE_USER, user), text)
    return {
        place: reasons[action.verb, action.user]
        for place, action in enumerate(plan.actions)
        if (action.verb, action.user) in reasons
    }
