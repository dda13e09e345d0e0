"""The audit log: one JSON line before each change and one after it, appended and flushed; never a secret.

A change whose line can't be written is not made: AuditError ends the run (exit 2).
"""

import getpass
import json
import os
import socket
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self
from uuid import uuid4

from dbroster.errors import AuditError
from dbroster.model import Action, Outcome, Status

AUDIT_FILE = "audit.jsonl"


class Audit:
    """An open audit log of one run on one server; safe to write to from several threads."""

    def __init__(self, path: Path, engine: str, server: str) -> None:
        self._path = path
        self._lock = Lock()
        self._common = {
            "run": uuid4().hex,
            "os_user": _os_user(),
            "host": socket.gethostname(),
            "engine": engine,
            "server": server,
        }
        self._descriptor = _open(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def started(self, actions: Sequence[Action]) -> None:
        """Write that these changes are about to be made. Raises AuditError."""
        self._write([self._line(action, "started") for action in actions])

    def finished(self, outcomes: Sequence[Outcome]) -> None:
        """Write what became of the changes that were attempted. Raises AuditError."""
        attempted = [o for o in outcomes if o.status in (Status.DONE, Status.FAILED)]
        if attempted:
            self._write([self._line(o.action, o.status.value, o.code, o.error) for o in attempted])

    def _line(self, action: Action, status: str, code: str | None = None, error: str | None = None) -> str:
        entry = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            **self._common,
            "action": action.verb.value,
            "user": action.user,
            "database": action.database,
            "reason": action.reason,
            "status": status,
            "code": code,
            "error": error,
        }
        return json.dumps(entry, ensure_ascii=True) + "\n"

    def _write(self, lines: Sequence[str]) -> None:
        """Append in one write, so that lines of several processes never mix."""
        data = "".join(lines).encode()
        with self._lock:
            try:
                written = os.write(self._descriptor, data)
            except OSError as error:
                raise AuditError(f"the audit log {self._path} can't be written: {error.strerror}") from None
        if written != len(data):
            raise AuditError(f"the audit log {self._path} can't be written: the disk is full")


def _open(path: Path) -> int:
    """Open the log to append to it, on a line of its own even where a full disk has cut the last one."""
    try:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags, 0o600)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):  # nor would /dev/null survive the chmod
            os.close(descriptor)
            raise AuditError(f"the audit log {path} is not a regular file")
        os.fchmod(descriptor, 0o600)
        if status.st_size and os.pread(descriptor, 1, status.st_size - 1) != b"\n":
            os.write(descriptor, b"\n")
    except OSError as error:
        raise AuditError(f"the audit log {path} can't be opened: {error.strerror}") from None
    return descriptor


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
