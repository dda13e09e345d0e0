"""Carrying out a plan: on parallel sessions, verb by verb, one outcome per action; knows no engine.

What is created goes from verb to verb in groups of users, each group on its own, so that the server can make accounts
for one group and databases for another at the same time. What is removed goes through each verb as a whole: all
accounts are shut before the first database is dropped. A failed action skips that user's later actions and nobody
else's, so an account being removed outlives every database that could not be dropped. So does a defect of dbroster's
own: a user may have made what brings it out. What a run created for a new user is taken back when the rest of it fails.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from threading import Event, Lock

from dbroster.engines.base import Handler
from dbroster.errors import AuditError, ServerError, Stalled, failure
from dbroster.model.plan import REMOVALS, TAKEN_BACK, Action, Plan, Verb
from dbroster.model.result import Outcome, Status
from dbroster.run.sessions import Sessions

RETRIES = 5  # new connections for one chunk after its connection broke
PAUSE = 0.5  # seconds before the first of them; doubled each time: 15.5 in all, enough for MongoDB to elect a primary

STALLED = 3
"""Users in a row whose databases the server does not finish with, until the run ends."""

_INSIDE = (Verb.ARCHIVE_DATABASE, Verb.DROP_DATABASE)
"""What takes as long as its user wants, by what is in the database."""

STOPPED = "the run was stopped"

Chunk = list[Action]


def foretell(plan: Plan) -> tuple[Outcome, ...]:
    """Return what a dry run says of each action: planned, must fail, or skipped since another one must fail before."""
    failed: dict[str, Action] = {}
    outcomes = []
    for place, action in enumerate(plan.actions):
        first = failed.get(action.user)
        if first and _step(first) != _step(action):
            outcomes.append(Outcome(action, Status.SKIPPED, _skipped(first.verb)))
        elif reason := plan.obstacles.get(place):
            failed.setdefault(action.user, action)
            outcomes.append(Outcome(action, Status.FAILED, reason))
        else:
            outcomes.append(Outcome(action, Status.PLANNED))
    return tuple(outcomes)


def _step(action: Action) -> tuple[Verb, bool]:
    """What is done at once: an account is adopted before its databases."""
    return action.verb, action.database is None


def _skipped(verb: Verb) -> str:
    return f"skipped, since {verb} failed for this user"


class Apply:
    """One run of a plan on one server.

    `starting` is told of each chunk before it is sent, `finished` of its outcomes; both may raise AuditError, which
    ends the run. `stop` asks to start nothing new. `forbids_removal` is asked before each step that takes something
    away, and says why it must not. `outcomes` grows as the run goes on, and at its end, however it ended, holds every
    action that was looked at, in the order of the plan, and then what was taken back.
    """

    def __init__(
        self,
        sessions: Sessions,
        handler: type[Handler],
        *,
        starting: Callable[[Sequence[Action]], None],
        finished: Callable[[Sequence[Outcome]], None],
        stop: Event,
        forbids_removal: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.outcomes: list[Outcome] = []
        self._sessions = sessions
        self._handler = handler
        self._starting = starting
        self._finished = finished
        self._stop = stop
        self._forbids_removal = forbids_removal
        self._broken = Event()
        self._keeping = Lock()
        self._failed: dict[str, Verb] = {}
        self._obstacles: dict[int, str] = {}
        self._stalled: set[str] = set()
        self._unaudited: AuditError | None = None

    def run(self, plan: Plan) -> None:
        """Perform the plan, and take back what was created for new users that could not be completed.

        Raises AuditError when the audit log can't be written; what runs is finished, nothing new is started.
        """
        self._obstacles = {id(plan.actions[place]): reason for place, reason in plan.obstacles.items()}
        try:
            with ThreadPoolExecutor(self._sessions.count, "dbroster") as pool:
                self._create(pool, plan)
                self._take_back(pool, plan)
                for verb in REMOVALS:
                    self._share(pool, self._allowed(plan.of(verb)))
        finally:
            self._sort(plan)
        if self._unaudited:
            raise self._unaudited

    def _allowed(self, removals: Chunk) -> list[Action]:
        """Return the removals that may be made, unless the files have changed and forbid all of them."""
        removals = self._not_failed(removals)
        if removals and (reason := self._forbids_removal() or self._sessions.unguarded()):
            self._keep([Outcome(action, Status.NOT_ATTEMPTED, reason) for action in removals])
            return []
        return removals

    def _create(self, pool: ThreadPoolExecutor, plan: Plan) -> None:
        """Take users through everything that is not a removal, in groups."""
        by_user: defaultdict[str, list[Action]] = defaultdict(list)
        for action in plan.actions:
            if action.verb not in REMOVALS:
                by_user[action.user].append(action)
        for _ in pool.map(self._create_group, self._groups(list(by_user.values()))):
            pass

    def _groups(self, users: Sequence[Chunk]) -> Iterator[Sequence[Chunk]]:
        """Cut into groups, of which every session gets as many, and as many as the engine wants."""
        at_once = self._handler.users_at_once * self._sessions.count
        rounds = max(self._handler.groups, -(-len(users) // at_once))
        size = max(1, -(-len(users) // (rounds * self._sessions.count)))
        yield from (users[start : start + size] for start in range(0, len(users), size))

    def _create_group(self, users: Sequence[Chunk]) -> None:
        """Take some users from verb to verb, in a worker's thread.

        One verb has two steps: an account is adopted before its databases, which are left alone when that fails.
        """
        for verb in (Verb.CREATE_USER, Verb.ADOPT, Verb.UPDATE_PASSWORD, *self._handler.creation_order):
            for of_account in (True, False):
                step = [a for own in users for a in own if a.verb is verb and (a.database is None) is of_account]
                for chunk in cut(self._not_failed(step), self._batch_size(verb), 1):
                    self._perform(chunk)

    def _share(self, pool: ThreadPoolExecutor, actions: Sequence[Action]) -> None:
        """Share actions of one verb among the sessions, and wait for all of them."""
        if actions:
            for _ in pool.map(self._perform, cut(actions, self._batch_size(actions[0].verb), self._sessions.count)):
                pass

    def _batch_size(self, verb: Verb) -> int:
        return self._handler.batch_sizes.get(verb, 1)

    def _not_failed(self, actions: Sequence[Action]) -> list[Action]:
        """Skip the actions of users that failed before, fail those that must, and return the others."""
        self._keep([self._skipped(action) for action in actions if action.user in self._failed])
        going_on = [action for action in actions if action.user not in self._failed]
        self._keep([Outcome(a, Status.FAILED, self._obstacles[id(a)]) for a in going_on if id(a) in self._obstacles])
        return [action for action in going_on if id(action) not in self._obstacles]

    def _sort(self, plan: Plan) -> None:
        places = {id(action): place for place, action in enumerate(plan.actions)}
        self.outcomes.sort(key=lambda outcome: places.get(id(outcome.action), len(places)))

    def _skipped(self, action: Action) -> Outcome:
        return Outcome(action, Status.SKIPPED, _skipped(self._failed[action.user]))

    # --- one chunk, in a worker's thread ----------------------------------------------------------------------------

    def _perform(self, chunk: Chunk) -> None:
        """Perform a chunk on a session of its own, with the audit log written before and after."""
        outcomes = [Outcome(action, Status.NOT_ATTEMPTED, STOPPED) for action in chunk]
        try:
            if not (self._stop.is_set() or self._broken.is_set()):
                self._starting(chunk)
                outcomes = self._persist(chunk)
        except AuditError as error:
            self._end(error)
        except BaseException:
            self._broken.set()
            raise
        self._keep(outcomes)

    def _keep(self, outcomes: Sequence[Outcome]) -> None:
        try:
            self._finished(outcomes)
        except AuditError as error:
            self._end(error)
        with self._keeping:
            self.outcomes += outcomes
            for outcome in outcomes:
                if outcome.status is Status.FAILED:
                    self._failed.setdefault(outcome.action.user, outcome.action.verb)

    def _end(self, error: AuditError) -> None:
        """Start nothing new; the error is raised at the end of the run, since what was done must be reported."""
        self._unaudited = error
        self._broken.set()

    def _persist(self, chunk: Chunk) -> list[Outcome]:
        """Do a chunk, whatever breaks meanwhile."""
        done: list[Outcome] = []
        try:
            self._go_on(chunk, done)
        except Exception as error:  # noqa: BLE001 - a defect, told without its message, which may hold a secret
            done += self._contain(chunk[len(done) :], error)
        return done

    def _go_on(self, chunk: Chunk, done: list[Outcome]) -> None:
        """Do what is left of a chunk on a new connection when its own broke; an action may safely be done again."""
        lost = ""
        for attempt in range(RETRIES + 1):
            try:
                with self._sessions.borrow() as handler:
                    for outcome in handler.performing(chunk[len(done) :]):
                        done.append(outcome)  # noqa: PERF402 - what was done is known, whatever comes after it
                self._stalled.clear()
                return
            except Stalled as error:
                if error.action and error.action.verb in _INSIDE and self._others_may_go_on(error.action.user):
                    done += self._without(chunk[len(done) :], error.action, str(error))
                    return
                lost = str(error)  # whoever waits that long would wait for every other action, too
                break
            except ServerError as error:
                if not (lost and self._stop.is_set()):  # a run that has to end opens no connection any more
                    lost = f"connection lost: {error}"
                if chunk[0].verb in REMOVALS and (reason := self._sessions.unguarded()):
                    lost += f"; {reason}"
                    break
                if attempt < RETRIES:
                    self._stop.wait(PAUSE * 2**attempt)
        self._broken.set()
        done += [Outcome(action, Status.FAILED, lost) for action in chunk[len(done) :]]

    def _contain(self, left: Chunk, error: Exception) -> list[Outcome]:
        """Fail the action that brings a defect out, and do the others one by one: their sessions know nothing of it."""
        if len(left) == 1:
            return [Outcome(left[0], Status.FAILED, failure(error))]
        outcomes: list[Outcome] = []
        for action in left:
            stopped = [Outcome(action, Status.NOT_ATTEMPTED, STOPPED)]
            outcomes += stopped if self._broken.is_set() else self._persist([action])
        return outcomes

    def _others_may_go_on(self, user: str) -> bool:
        """Whether a database that the server does not finish with is no reason to end the run."""
        self._stalled.add(user)
        return len(self._stalled) < STALLED and not self._stop.is_set() and self._sessions.can_be_opened()

    def _without(self, chunk: Chunk, stuck: Action, reason: str) -> list[Outcome]:
        """Fail one action, skip what its user has behind it, and do the rest of the chunk."""
        place = next(number for number, action in enumerate(chunk) if action is stuck)
        skipped = [action for action in chunk[place + 1 :] if action.user == stuck.user]
        rest = chunk[:place] + [action for action in chunk[place + 1 :] if action.user != stuck.user]
        text = f"{reason}; the server answers, so it is about this database"
        outcomes = [Outcome(stuck, Status.FAILED, text)]
        outcomes += [Outcome(action, Status.SKIPPED, _skipped(stuck.verb)) for action in skipped]
        return outcomes + (self._persist(rest) if rest else [])

    # --- rollback ---------------------------------------------------------------------------------------------------

    def _take_back(self, pool: ThreadPoolExecutor, plan: Plan) -> None:
        half_created = plan.new_users & self._users(Verb.CREATE_USER, Status.DONE) & self._users(None, Status.FAILED)
        for taken_back in (self._databases_taken_back, self._users_taken_back):
            self._share(pool, list(taken_back(half_created)))

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
    """Cut actions of one verb into chunks of about `size`, never parting one user's, and enough for every session."""
    per_session = -(-len(actions) // sessions)
    size = max(1, min(size, per_session))
    chunks: list[Chunk] = []
    for _, group in groupby(actions, key=lambda action: action.user):
        own = list(group)
        if not chunks or len(chunks[-1]) + len(own) > size:
            chunks.append([])
        chunks[-1] += own
    return chunks
