"""The data flow of one sync: files, server, plan, guard, changes, result."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from dbroster import engines
from dbroster.config.connections import CONNECTIONS_FILE, cut_short, has_no_server, has_section, read_connections
from dbroster.engines.base import Handler
from dbroster.errors import AuditError, ConfigError, DbrosterError, ServerError, failure
from dbroster.files.permissions import place_problem
from dbroster.files.read import Files
from dbroster.model.connection import Connection
from dbroster.model.plan import Plan, Verb
from dbroster.model.problems import Problem
from dbroster.model.result import Outcome, Result, Status
from dbroster.model.roster import Roster
from dbroster.model.state import Actual
from dbroster.plan.guard import Guard
from dbroster.plan.leftovers import Leftovers
from dbroster.plan.mass_changes import mass_changes
from dbroster.plan.plan_digest import plan_digest, unexpected
from dbroster.roster.parse import read_roster
from dbroster.roster.source import UsersSource
from dbroster.roster.validation import validate
from dbroster.run.rereading import Again, Rereading
from dbroster.run.server_run import ServerRun

if TYPE_CHECKING:
    from dbroster.audit.history import History
    from dbroster.audit.log import AuditLog


def load(
    source: UsersSource, engine: str, server: str | None = None, *, passwords: bool = True
) -> tuple[list[Connection], Roster]:
    """Read all files that a sync of this engine needs. Raises ConfigError with every problem in every one of them.

    Without `passwords` those of the admins are left out.
    """
    if not source.files.checkout and (others := place_problem(source.files.directory)):
        raise ConfigError([Problem(others)])
    problems: list[Problem] = []
    connections: list[Connection] = []
    roster = Roster()
    _ = source.users  # first: who waits for a program that prints them shares what is read from then on
    try:
        connections = read_connections(source.files, engine, server, passwords=passwords)
    except ConfigError as error:
        problems += error.problems
    try:
        roster = read_roster(source, engine)
    except ConfigError as error:
        problems += error.problems
    else:
        if problems:
            problems += roster.problems
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return connections, roster.doubted(cut_short(source.files))


def configured(files: Files) -> list[str]:
    """Return the engines that have a section in connections.yaml; all of them when it can't be read, to say why.

    Raises ConfigError for one that has no server yet.
    """
    if has_no_server(files):
        text = f"there is no server yet: add a section for {', '.join(engines.ENGINES)}"
        raise ConfigError([Problem(text, CONNECTIONS_FILE)])
    return [engine for engine in engines.ENGINES if has_section(files, engine)] or list(engines.ENGINES)


class Seen(NamedTuple):
    """What a plan was made of, and what earlier removals have left."""

    roster: Roster
    actual: Actual
    left: Leftovers


class Sync(ServerRun):
    """One sync of one server; `run` tells the story. What its plan was made of is in `seen`."""

    def __init__(self, *given: Any, again: Again | None = None, **more: Any) -> None:
        super().__init__(*given, **more)
        self.files = Rereading(self.connection, self.roster, again)
        self.seen: Seen | None = None

    def run(self) -> Result:
        """Bring the server in step with the roster, or say what would be done.

        Never raises for anything that is wrong with files, server or single actions: the result tells it.
        """
        result = self.blank()
        try:
            with ExitStack() as stack:
                return self.serve(result, self.reach(stack))
        except DbrosterError as error:
            return result._replace(fatal=str(error), users=len(self.roster.users), problems=self.problems(self.roster))

    def serve(self, result: Result, handler: Handler) -> Result:
        """Do it on a server that was reached."""
        server = handler.server()
        roster = validate(self.roster, self.connection, handler)
        actual = self.read(handler, roster)
        roster, plan = self._sound_plan(roster, actual, handler)
        plan = plan._replace(obstacles=self._obstacles(handler, plan))
        log = lru_cache(maxsize=1)(lambda: self._history(handler))
        guard = Guard(plan, roster, actual, self.connection.removals, self.options.max_removals, log)
        left = Leftovers(roster, actual, plan, self.connection.protected, handler.drop_words, log)
        self.seen = Seen(roster, actual, left)
        digest = plan_digest(self.connection, plan.actions)
        result = result._replace(
            product=server.product,
            host=server.host,
            users=len(roster.users),
            unchanged=plan.unchanged,
            problems=self.problems(
                roster,
                *plan.problems,
                *self._not_adopted(plan, actual),
                *mass_changes(plan),
                *self._not_carried(handler, plan),
                *left,
                *guard.warnings,
                *self.warnings(handler),
            ),
            conflicts=plan.conflicts,
            refusals=(*unexpected(digest, self.options.expect), *guard.refusals),
            permit=self._permission(guard, digest),
            plan=digest,
        )
        if result.refusals:
            return result._replace(outcomes=tuple(Outcome(action, Status.REFUSED) for action in plan.actions))
        if not plan.actions:
            return result
        if self.options.dry_run:
            from dbroster.run.apply import foretell

            return result._replace(outcomes=foretell(plan))
        return self._apply(result, plan, handler)

    def _sound_plan(self, roster: Roster, actual: Actual, handler: Handler) -> tuple[Roster, Plan]:
        """Make the plan; and make it again without what the files, or the server, give reason to doubt."""
        plan = self.plan(roster, actual, handler)
        if (still := self.files.before(plan.actions)) is not self.roster:
            roster = validate(still, self.connection, handler)
            plan = self.plan(roster, actual, handler)
        if not plan.actions:
            return roster, plan
        from dbroster.plan.glued_lines import glued, without_glued  # what follows is for runs that change something
        from dbroster.plan.possible_renames import renamed, reservations, template_reservations

        if two_in_one := glued(plan, roster, actual, handler.check_passwords):
            roster = without_glued(roster, two_in_one)
            plan = self.plan(roster, actual, handler)
        pairs = renamed(plan, still, actual, handler.check_passwords)
        texts = (*reservations(pairs, plan, self.connection), *template_reservations(plan, actual))
        told = [Problem(text, warning=True) for text in texts if self.options.max_removals is not None]
        return roster, plan._replace(reservations=texts, problems=(*plan.problems, *told))

    def _obstacles(self, handler: Handler, plan: Plan) -> dict[int, str]:
        """Find what of a plan the server must refuse, and what would be done for nothing."""
        obstacles = self.refused(handler, plan)
        return _in_vain(plan, obstacles) | obstacles

    def _not_carried(self, handler: Handler, plan: Plan) -> Iterator[Problem]:
        """Tell what the archives that this plan asks for would lose; whoever hides that can't stop the run by it."""
        for database in sorted(action.database or "" for action in plan.of(Verb.ARCHIVE_DATABASE)):
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

    def _not_adopted(self, plan: Plan, actual: Actual) -> Iterator[Problem]:
        """Tell whom nobody has to take over; a file may go on naming those who were taken over by an earlier run."""
        adopted = {action.user for action in plan.of(Verb.ADOPT)}
        managed = {user.name for user in actual.users.values() if user.managed}
        for name in sorted((self.options.adopt | self.options.adopt_from - managed) - adopted):
            option = "--adopt" if name in self.options.adopt else "--adopt-from"
            yield Problem(
                f"{option} had no effect: nothing foreign of that name may be taken over, or needs to be",
                user=name,
                warning=True,
            )

    def _apply(self, result: Result, plan: Plan, handler: Handler) -> Result:
        """Make the changes. The first handler holds the lock, so the work is done on sessions of its own."""
        from dbroster.audit.log import AuditLog
        from dbroster.run.apply import Apply  # what follows is imported when something is to be done, which is seldom
        from dbroster.run.sessions import Sessions

        jobs = self.options.jobs or self.connection.jobs or handler.jobs()
        self.task.total(len(plan.actions))
        fatal = None
        with (
            self.stage("apply"),
            AuditLog(self.options.audit_path, self.connection.engine, self.connection.server) as audit,
            Sessions(lambda: self.connect(self.connection), jobs, spare=handler) as sessions,
        ):
            archiving = self.connection.removals.archive_dir is not None
            audit.begin(result.plan or "", len(plan.actions), self.options.max_removals, archiving=archiving)
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
        return result._replace(
            outcomes=tuple(apply.outcomes),
            problems=result.problems + doubts,
            fatal=fatal,
            audit=audit.last,
        )

    def _finished(self, audit: "AuditLog") -> Callable[[Sequence[Outcome]], None]:
        def finished(outcomes: Sequence[Outcome]) -> None:
            audit.finished(outcomes)
            self.task.advance(len(outcomes))

        return finished


def _not_carried(handler: Handler, database: str) -> str | None:
    try:
        losses = list(handler.archiver().losses(database))
    except (ServerError, AuditError):
        raise
    except Exception as error:  # noqa: BLE001 - what a user has put into one database stops no other
        text = f"dbroster can't look into {database} now, to say what an archive of it will not hold: {failure(error)}"
        return f"{text}. If it can't be read after its user is locked, either, it is not dropped"
    return f"an archive of {database} does not hold: {'; '.join(losses)}" if losses else None


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
