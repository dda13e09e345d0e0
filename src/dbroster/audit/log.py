"""The audit log of a run: a line before each change and one after it, in the chain of all runs; never a secret.

A change whose line can't be written is not made: AuditError ends the run (exit 2).
"""

import getpass
import os
import secrets
import socket
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dbroster.audit.hash_chain import HashChain
from dbroster.audit.log_files import ARCHIVING, PERMITTED, RUN
from dbroster.model.plan import REMOVALS, Action, Verb
from dbroster.model.result import Outcome, Status

_DESTRUCTIVE = frozenset({Verb.ADOPT, *REMOVALS})


class AuditLog(HashChain):
    """An open audit log of one run on one server; safe to write to from several threads.

    Every line is with the system before its change begins, so a kill of dbroster loses none. Before a change that
    takes something away it is on the disk as well, and so is the whole log at the end of the run: a power cut can
    only lose lines of changes that the next run finds and does again.
    """

    def __init__(self, path: Path, engine: str, server: str) -> None:
        super().__init__(path)
        self._common = {
            "run": secrets.token_hex(16),
            "os_user": _os_user(),
            "host": socket.gethostname(),
            "engine": engine,
            "server": server,
        }

    def begin(self, plan: str, actions: int, permitted: str | None = None, *, archiving: bool = False) -> None:
        """Write that the run begins, before anything on the server is touched. Raises AuditError.

        `permitted`: the removals that were permitted for this run; the guard does not count them on the next one.
        `archiving`: whether what is dropped is archived; a later run that archives nothing needs permission.
        """
        archives = f", {ARCHIVING}" if archiving else ""
        permission = f", {PERMITTED} {permitted}" if permitted else ""
        self.append([self._entry(RUN, "started", f"{actions} actions, plan {plan}{archives}{permission}")])

    def end(self, outcomes: Sequence[Outcome]) -> None:
        """Write how the run has ended. Raises AuditError."""
        counts = Counter(outcome.status.value for outcome in outcomes)
        well = counts.keys() <= {Status.DONE.value}
        told = ", ".join(f"{counts[s.value]} {s.value}" for s in Status if counts[s.value])
        self.append([self._entry(RUN, (Status.DONE if well else Status.FAILED).value, told)], durable=True)

    def started(self, actions: Sequence[Action]) -> None:
        """Write that these changes are about to be made. Raises AuditError."""
        durable = any(action.verb in _DESTRUCTIVE for action in actions)
        self.append([self._line(action, "started") for action in actions], durable=durable)

    def finished(self, outcomes: Sequence[Outcome]) -> None:
        """Write what became of the changes that were attempted. Raises AuditError."""
        attempted = [o for o in outcomes if o.status in (Status.DONE, Status.FAILED)]
        if attempted:
            self.append([self._line(o.action, o.status.value, o.code, o.error) for o in attempted])

    def _line(self, action: Action, status: str, code: str | None = None, error: str | None = None) -> dict[str, Any]:
        names = {"user": action.user, "database": action.database}
        return {**self._entry(action.verb.value, status, action.reason), **names, "code": code, "error": error}

    def _entry(self, action: str, status: str, reason: str) -> dict[str, Any]:
        return {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            **self._common,
            "action": action,
            "user": None,
            "database": None,
            "reason": reason,
            "status": status,
            "code": None,
            "error": None,
        }


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
