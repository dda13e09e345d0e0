"""Steps on one server, one after the other, each audited before and after: when one fails, the rest is skipped."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from dbroster.audit.log import AuditLog
from dbroster.engines.base import Handler
from dbroster.errors import AuditError, OperationError, ServerError, failure
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Outcome, Result, Status
from dbroster.plan.plan_digest import plan_digest
from dbroster.run.server_run import ServerRun

Own = Mapping[Verb, Callable[[Action], None]]
"""How the verbs are done that a sync does not have."""


def carry_out(
    run: ServerRun, result: Result, handler: Handler, steps: Sequence[Action], own: Own, permitted: str | None = None
) -> Result:
    """Do the steps and return the result; what could not be audited, or was cut off, is why it ended.

    `permitted`: how many removals the guard need not count on the next run.
    """
    result = result._replace(plan=plan_digest(run.connection, steps))
    outcomes: list[Outcome] = []
    fatal = None
    with AuditLog(run.options.audit_path, run.connection.engine, run.connection.server) as audit:
        audit.begin(result.plan or "", len(steps), permitted)
        try:
            for outcome in _each(run, handler, audit, steps, own):
                outcomes.append(outcome)  # noqa: PERF402 - what was done is told, whatever comes after it
            audit.end(outcomes)
        except (AuditError, ServerError) as error:
            fatal = str(error)
    return result._replace(outcomes=tuple(outcomes), fatal=fatal, audit=audit.last)


def _each(run: ServerRun, handler: Handler, audit: AuditLog, steps: Sequence[Action], own: Own) -> Iterator[Outcome]:
    failed = False
    for action in steps:
        if failed:
            yield Outcome(action, Status.SKIPPED, "skipped, since an earlier step failed")
            continue
        if run.stop.is_set():
            yield Outcome(action, Status.NOT_ATTEMPTED, "the run was stopped")
            continue
        audit.started([action])
        outcome = _done(handler, action, own)
        audit.finished([outcome])
        failed = outcome.status is not Status.DONE
        yield outcome


def _done(handler: Handler, action: Action, own: Own) -> Outcome:
    try:
        return _by(own[action.verb], action) if action.verb in own else handler.perform_all([action])[0]
    except ServerError:
        raise
    except Exception as error:  # noqa: BLE001 - told without its message, which may hold a secret
        return Outcome(action, Status.FAILED, failure(error))


def _by(work: Callable[[Action], None], action: Action) -> Outcome:
    began = time.perf_counter()
    try:
        work(action)
    except (OperationError, ServerError) as error:
        code = error.code if isinstance(error, OperationError) else None
        return Outcome(action, Status.FAILED, str(error), code, time.perf_counter() - began)
    return Outcome(action, Status.DONE, seconds=time.perf_counter() - began)
