"""Carrying out a plan: phase by phase, on parallel sessions, one outcome per action; knows no engine.

All actions of a phase are independent of each other, except that those of one user stay together on one session. A
failed action skips that user's later actions and nobody else's, so an account being removed outlives every database
that could not be dropped. What a run created for a new user is taken back when the rest of it fails.
"""

from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from threading import Event

from dbroster.engines.base import Handler
from dbroster.errors import AuditError, ServerError
from dbroster.model import Action, Outcome, Plan, Status, Verb
from dbroster.sessions import Sessions

RETRIES = 3  # new connections for one chunk after its connection broke
PAUSE = 0.5  # seconds before the first of them; doubled each time

TAKEN_BACK = "taken back: this new user could not be completed"

Chunk = list[Action]


class Apply:
    """One run of a plan on one server.

    `starting` is told of each chunk before it is sent, `finished` of its outcomes; both may raise AuditError, which
    ends the run. `stop` asks to start nothing new. `outcomes` grows as the run goes on, and at its end, however it
    ended, holds every action of the plan.
    """

    def __init__(
        self,
        sessions: Sessions,
        handler: type[Handler],
        *,
        starting: Callable[[Sequence[Action]], None],
        finished: Callable[[Sequence[Outcome]], None],
        stop: Event,
    ) -> None:
        self.outcomes: list[Outcome] = []
        self._sessions = sessions
        self._handler = handler
        self._starting = starting
        self._finished = finished
        self._stop = stop
        self._broken = Event()
        self._failed: dict[str, Verb] = {}
        self._unaudited: AuditError | None = None

    def run(self, plan: Plan) -> None:
        """Perform the plan in phases, and take back what was created for new users that could not be completed.

        Raises AuditError when the audit log can't be written; what runs is finished, nothing new is started.
        """
        with ThreadPoolExecutor(self._sessions.count, "dbroster") as pool:
            for verb in (Verb.CREATE_USER, Verb.ADOPT, Verb.UPDATE_PASSWORD, *self._handler.creation_order):
                self._phase(pool, plan, verb)
            half_created = (
                plan.new_users & self._users(Verb.CREATE_USER, Status.DONE) & self._users(None, Status.FAILED)
            )
            self._chunks(pool, list(self._databases_taken_back(half_created)))
            self._chunks(pool, list(self._users_taken_back(half_created)))
            for verb in (Verb.LOCK_USER, Verb.ARCHIVE_DATABASE, Verb.DROP_DATABASE, Verb.DROP_USER):
                self._phase(pool, plan, verb)
        if self._unaudited:
            raise self._unaudited

    def _phase(self, pool: ThreadPoolExecutor, plan: Plan, verb: Verb) -> None:
        """Skip the actions of users that failed before, and perform the others.

        One verb has both: an account is adopted before its databases, which are left alone when that fails.
        """
        for of_account in (True, False):
            actions = [a for a in plan.actions if a.verb is verb and (a.database is None) is of_account]
            skipped = [self._skipped(action) for action in actions if action.user in self._failed]
            self._finished(skipped)
            self._keep(skipped)
            self._chunks(pool, [action for action in actions if action.user not in self._failed])

    def _chunks(self, pool: ThreadPoolExecutor, actions: Sequence[Action]) -> None:
        """Share actions of one verb among the sessions."""
        if actions:
            size = self._handler.batch_sizes.get(actions[0].verb, 1)
            for outcomes in pool.map(self._perform, cut(actions, size, self._sessions.count)):
                self._keep(outcomes)

    def _keep(self, outcomes: Sequence[Outcome]) -> None:
        self.outcomes += outcomes
        for outcome in outcomes:
            if outcome.status is Status.FAILED:
                self._failed.setdefault(outcome.action.user, outcome.action.verb)

    def _skipped(self, action: Action) -> Outcome:
        return Outcome(action, Status.SKIPPED, f"skipped, since {self._failed[action.user]} failed for this user")

    # --- one chunk, in a worker's thread ----------------------------------------------------------------------------

    def _perform(self, chunk: Chunk) -> list[Outcome]:
        """Perform a chunk on a session of its own, with the audit log written before and after."""
        outcomes = [Outcome(action, Status.NOT_ATTEMPTED, "the run was stopped") for action in chunk]
        try:
            if not (self._stop.is_set() or self._broken.is_set()):
                self._starting(chunk)
                outcomes = self._persist(chunk)
            self._finished(outcomes)
        except AuditError as error:  # raised at the end of the run: what was done until then must be reported
            self._unaudited = error
            self._broken.set()
        except BaseException:
            self._broken.set()
            raise
        return outcomes

    def _persist(self, chunk: Chunk) -> list[Outcome]:
        """Repeat a chunk on a new connection when its own broke; every action may safely be done again."""
        for attempt in range(RETRIES + 1):
            try:
                with self._sessions.borrow() as handler:
                    return handler.perform_all(chunk)
            except ServerError as error:
                lost = f"connection lost: {error}"
                if attempt < RETRIES:
                    self._stop.wait(PAUSE * 2**attempt)
        self._broken.set()
        return [Outcome(action, Status.FAILED, lost) for action in chunk]

    # --- rollback ---------------------------------------------------------------------------------------------------

    def _databases_taken_back(self, half_created: Set[str]) -> Iterator[Action]:
        """Databases that this run created for new users which could not be completed."""
        for outcome in self.outcomes:
            action = outcome.action
            created = action.verb is Verb.CREATE_DATABASE and outcome.status is Status.DONE
            if created and action.user in half_created:
                yield Action(Verb.DROP_DATABASE, action.user, action.database, reason=TAKEN_BACK)

    def _users_taken_back(self, half_created: Set[str]) -> Iterator[Action]:
        """The new users themselves, unless one of their databases could not be taken back."""
        stuck = {o.action.user for o in self.outcomes if o.action.reason == TAKEN_BACK and o.status is not Status.DONE}
        for user in sorted(half_created - stuck):
            yield Action(Verb.DROP_USER, user, reason=TAKEN_BACK)

    def _users(self, verb: Verb | None, status: Status) -> set[str]:
        return {o.action.user for o in self.outcomes if o.status is status and verb in (None, o.action.verb)}


def cut(actions: Sequence[Action], size: int, sessions: int) -> list[Chunk]:
    """Cut a phase into chunks of about `size` actions, never parting one user's, and enough for every session."""
    per_session = -(-len(actions) // sessions)
    size = max(1, min(size, per_session))
    chunks: list[Chunk] = [[]]
    for _, group in groupby(actions, key=lambda action: action.user):
        own = list(group)
        if chunks[-1] and len(chunks[-1]) + len(own) > size:
            chunks.append([])
        chunks[-1] += own
    return chunks
