"""What a run has done, as a report tells it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from dbroster.model.plan import Action, Conflict
from dbroster.model.problems import Problem
from dbroster.model.standing import Standing


class Status(StrEnum):
    """How an action stands."""

    PLANNED = "planned"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_ATTEMPTED = "not_attempted"
    REFUSED = "refused"


class Outcome(NamedTuple):
    """What became of an action; `code` is the server's own error code, `seconds` its wall time.

    `note`: what has to be known of one that is done.
    """

    action: Action
    status: Status
    error: str | None = None
    code: str | None = None
    seconds: float = 0.0
    note: str | None = None


class Link(NamedTuple):
    """A line of the audit log: its number and its SHA-256, which the next line carries."""

    number: int
    digest: str


class Result(NamedTuple):
    """Everything that a report tells of one server. `fatal` says why nothing could be started.

    `plan` is the digest of the plan, `audit` the last line that this run has written to the audit log, `permit` the
    command that does what the guard has refused, `judgement` what a check says of files and server in one sentence,
    `rows` what a status tells of each user.
    """

    engine: str
    server: str
    dry_run: bool
    product: str | None = None
    host: str | None = None
    users: int = 0
    unchanged: int = 0
    outcomes: tuple[Outcome, ...] = ()
    problems: tuple[Problem, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    refusals: tuple[str, ...] = ()
    permit: str | None = None
    fatal: str | None = None
    plan: str | None = None
    audit: Link | None = None
    judgement: str | None = None
    rows: tuple[Standing, ...] = ()
    stages: Mapping[str, float] = {}

    @property
    def seconds(self) -> float:
        """Wall time of all stages."""
        return sum(self.stages.values())

    @property
    def pending(self) -> bool:
        """Whether a dry run found changes to make."""
        return any(outcome.status is Status.PLANNED for outcome in self.outcomes)
