"""A plan carried out on the fake server, for the tests of apply."""

from collections.abc import Callable, Iterator, Sequence
from threading import Event
from typing import ClassVar

from dbroster.engines.base import Handler
from dbroster.model.plan import Action, Plan, Verb
from dbroster.model.result import Outcome
from dbroster.passwords.secret import Secret
from dbroster.run.apply import Apply
from dbroster.run.sessions import Sessions
from tests.fake import FakeHandler, FakeServer, fake_connection
from tests.support.samples import PASSWORD


class Run:
    """One run of a plan; `told` is what the audit log would hold."""

    handler: ClassVar[type[FakeHandler]] = FakeHandler

    def __init__(self, server: FakeServer, jobs: int = 2) -> None:
        self.server = server
        self.jobs = jobs
        self.stop = Event()
        self.outcomes: list[Outcome] = []
        self.told: list[tuple[str, ...]] = []
        self.starting: Callable[[Sequence[Action]], None] = lambda _: None
        self.finished: Callable[[Sequence[Outcome]], None] = lambda _: None

    def connect(self) -> Handler:
        return self.handler.open(fake_connection(self.server))

    def __call__(self, *actions: Action, new: Sequence[str] = ()) -> list[tuple[str, ...]]:
        """Run, check that every action has one outcome, and return the outcomes in short."""
        plan = Plan(actions, new_users=frozenset(new))
        with Sessions(self.connect, self.jobs) as sessions:
            apply = Apply(
                sessions,
                self.handler,
                starting=self._start,
                finished=self._finish,
                stop=self.stop,
            )
            try:
                apply.run(plan)
            finally:
                self.outcomes = apply.outcomes
        assert {id(a) for a in actions} <= {id(o.action) for o in self.outcomes}
        assert len({id(o.action) for o in self.outcomes}) == len(self.outcomes)
        return self.short()

    def _start(self, actions: Sequence[Action]) -> None:
        self.starting(actions)
        self.told += [("started", a.verb.value, a.database or a.user) for a in actions]

    def _finish(self, outcomes: Sequence[Outcome]) -> None:
        self.finished(outcomes)
        self.told += [(o.status.value, o.action.verb.value, o.action.database or o.action.user) for o in outcomes]

    def short(self) -> list[tuple[str, ...]]:
        return [(o.status.value, o.action.verb.value, o.action.database or o.action.user) for o in self.outcomes]


def create(*users: str) -> Iterator[Action]:
    """Actions for new users with two databases each."""
    yield from (Action(Verb.CREATE_USER, user, None, Secret(PASSWORD)) for user in users)
    for verb in (Verb.CREATE_DATABASE, Verb.GRANT_PRIVILEGES):
        yield from (Action(verb, user, f"{user}_{name}") for user in users for name in ("data", "web"))


def remove(*users: str) -> Iterator[Action]:
    yield from (Action(Verb.LOCK_USER, user) for user in users)
    yield from (Action(Verb.DROP_DATABASE, user, f"{user}_{name}") for user in users for name in ("data", "web"))
    yield from (Action(Verb.DROP_USER, user) for user in users)


def statuses(short: list[tuple[str, ...]], user: str) -> list[str]:
    return [status for status, _, name in short if name.split("_")[0] == user]
