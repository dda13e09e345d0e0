"""The last change of each user, by the audit log: the latest run, and of all that it did what says it best."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from dbroster.audit.last_changes import last_changes
from dbroster.audit.log import AuditLog
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Outcome, Status
from dbroster.model.standing import Change


def done(path: Path, *actions: Action, status: Status = Status.DONE, server: str = "default") -> None:
    """Write what a run did."""
    with AuditLog(path, "mysql", server) as audit:
        audit.started(actions)
        audit.finished([Outcome(action, status) for action in actions])


def told(path: Path) -> dict[tuple[str, str], tuple[str, str | None]]:
    """Server and user: action and database; without any doubt."""
    changes, doubt = last_changes(path)
    assert doubt is None
    return {whose[1:]: (change.action, change.database) for whose, change in changes.items()}


def test_the_latest_run_counts_and_of_it_what_says_most(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    assert told(path) == {}
    new = (Action(Verb.CREATE_USER, "bob"), Action(Verb.CREATE_DATABASE, "bob", "bob_web"))
    done(path, *new, Action(Verb.GRANT_PRIVILEGES, "bob", "bob_web"))
    done(path, Action(Verb.CREATE_USER, "bob"), server="other")
    assert told(path) == {("default", "bob"): ("create_user", None), ("other", "bob"): ("create_user", None)}
    done(path, Action(Verb.GRANT_PRIVILEGES, "bob", "bob_web"))
    assert told(path)["default", "bob"] == ("grant_privileges", "bob_web")
    done(
        path, Action(Verb.LOCK_USER, "bob"), Action(Verb.DROP_DATABASE, "bob", "bob_web"), Action(Verb.DROP_USER, "bob")
    )
    assert told(path)["default", "bob"] == ("drop_user", None)
    done(path, Action(Verb.CREATE_USER, "bob"), status=Status.FAILED)
    assert told(path)["default", "bob"] == ("drop_user", None), "what failed changed nothing"


def test_files_that_were_rotated_away_are_read_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    done(path, Action(Verb.CREATE_USER, "ann"), Action(Verb.CREATE_USER, "bob"))
    (tmp_path / "audit.jsonl.1.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.write_bytes(b"")
    done(path, Action(Verb.UPDATE_PASSWORD, "bob"))
    assert told(path) == {("default", "ann"): ("create_user", None), ("default", "bob"): ("update_password", None)}


KEYS = st.sampled_from(["time", "engine", "server", "user", "action", "database", "run"])
VALUES = st.text() | st.integers() | st.none() | st.lists(st.text())


@given(st.dictionaries(KEYS, VALUES))
def test_no_line_stops_it(entry: dict[str, object]) -> None:
    good = {"time": "2026-11-26T10:00:00Z", "engine": "mysql", "server": "default", "user": "bob", "action": "adopt"}
    lines = [{**good, **entry, "status": "done"}, {**good, "status": "done"}]
    with TemporaryDirectory() as directory:
        path = Path(directory) / "audit.jsonl"
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        changes, doubt = last_changes(path)
    assert doubt is None
    assert changes["mysql", "default", "bob"] == Change(datetime(2026, 11, 26, 10, tzinfo=UTC), "adopt")
