"""What the audit log tells about one server, and how it is read: rotated, damaged, long, with a clock that jumps."""

import bz2
import gzip
import json
import lzma
import time
import tracemalloc
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dbroster.audit.history import History, read_history
from dbroster.audit.log import AuditLog
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Outcome, Status

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

Change = tuple[Verb, str, str | None]

CREATE = [(Verb.CREATE_USER, "bob", None), (Verb.CREATE_DATABASE, "bob", "bob_web"),
          (Verb.GRANT_PRIVILEGES, "bob", "bob_web")]  # fmt: skip
LOCK = [(Verb.LOCK_USER, "bob", None)]
REMOVE = [*LOCK, (Verb.DROP_DATABASE, "bob", "bob_web"), (Verb.DROP_USER, "bob", None)]
DROP_WEB = [(Verb.DROP_DATABASE, "bob", "bob_web")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def written(
    path: Path,
    changes: Sequence[Change],
    ago: timedelta = HOUR,
    *,
    permitted: str | None = None,
    status: Status | None = Status.DONE,
    server: str = "main",
) -> None:
    """Write a run that has made some changes, so long ago; without a status it was killed in each of them."""
    before = path.read_bytes() if path.exists() else b""
    with AuditLog(path, "postgresql", server) as log:
        log.begin("0" * 24, len(changes), permitted)
        for verb, user, database in changes:
            action = Action(verb, user, database, reason="for a reason")
            log.started([action])
            if status:
                log.finished([Outcome(action, status)])
    lines = [json.loads(line) for line in path.read_bytes().removeprefix(before).splitlines()]
    dated = [{**line, "time": (NOW - ago).isoformat().replace("+00:00", "Z")} for line in lines]
    path.write_bytes(before + "".join(json.dumps(line) + "\n" for line in dated).encode())


def read(path: Path, now: datetime = NOW) -> History:
    return read_history(path, "postgresql", "main", now)


# --- what it tells ----------------------------------------------------------------------------------------------------


def test_no_log_tells_nothing(path: Path) -> None:
    assert read(path) == History()


def test_a_life(path: Path) -> None:
    written(path, CREATE, 50 * HOUR)
    assert (read(path).known, read(path).standing, read(path).dropped) == ({"bob"}, {"bob_web": "bob"}, {})
    written(path, REMOVE, 2 * HOUR)
    history = read(path)
    assert (history.known, history.standing) == ({"bob"}, {})
    assert history.dropped_at("bob") == history.dropped_at("bob", "bob_web") == NOW - 2 * HOUR
    assert (history.accounts, history.databases) == ({"bob": 1}, {})  # of a leaver the databases don't count
    written(path, CREATE)
    history = read(path)
    assert (history.dropped_at("bob"), history.standing) == (None, {"bob_web": "bob"})
    assert history.accounts == {"bob": 1}


def test_archives_are_known(path: Path) -> None:
    """U4, A6: by those of this server that were finished, however long ago."""
    archive: list[Change] = [(Verb.ARCHIVE_DATABASE, "bob", "bob_web")]
    written(path, archive, 90 * HOUR, server="other")
    written(path, archive, 90 * HOUR, status=Status.FAILED)
    assert not read(path).archived
    written(path, archive, 90 * HOUR)
    assert read(path).archived


def test_archives_that_were_asked_for_are_known(path: Path) -> None:
    """X7, U4: archive_dir may vanish before anything was ever dropped."""
    with AuditLog(path, "postgresql", "main") as log:
        log.begin("0" * 24, 1)
    assert not read(path).archived
    with AuditLog(path, "postgresql", "main") as log:
        log.begin("0" * 24, 1, archiving=True)
    assert read(path).archived


def test_a_database_that_a_removal_has_left_still_stands(path: Path) -> None:
    written(path, CREATE)
    written(path, [*LOCK, (Verb.DROP_USER, "bob", None)])
    assert read(path).standing == {"bob_web": "bob"}


def test_databases_of_users_who_stay_are_counted(path: Path) -> None:
    written(path, DROP_WEB)
    written(path, DROP_WEB)
    assert (read(path).accounts, read(path).databases) == ({}, {"bob_web": 2})


def test_a_database_that_could_not_be_dropped_counts_once(path: Path) -> None:
    for _ in range(3):
        written(path, DROP_WEB, status=Status.FAILED)
    assert (read(path).databases, read(path).begun_databases) == ({"bob_web": 1}, {"bob_web"})
    written(path, DROP_WEB)
    assert (read(path).databases, read(path).begun_databases) == ({"bob_web": 1}, set())


def test_a_leaver_who_was_locked_elsewhere_is_told_by_the_drop(path: Path) -> None:
    written(path, REMOVE[1:])
    assert (read(path).accounts, read(path).databases) == ({"bob": 1}, {})


@pytest.mark.parametrize(
    ("ago", "counted"), [(timedelta(hours=24), False), (timedelta(hours=24, seconds=-1), True), (timedelta(), True)]
)
def test_only_the_last_24_hours_count(path: Path, ago: timedelta, *, counted: bool) -> None:
    written(path, [*REMOVE, (Verb.DROP_DATABASE, "ann", "ann_web")], ago)
    assert (bool(read(path).accounts), bool(read(path).databases)) == (counted, counted)


def test_what_was_permitted_does_not_count(path: Path) -> None:
    written(path, [*REMOVE, (Verb.DROP_DATABASE, "ann", "ann_web")], permitted="5")
    assert (read(path).accounts, read(path).databases) == ({}, {})
    written(path, [(Verb.DROP_USER, "cy", None)])
    assert read(path).accounts == {"cy": 1}


def test_a_removal_counts_when_it_begins(path: Path) -> None:
    written(path, LOCK, 30 * HOUR)
    written(path, REMOVE[1:])  # its days of grace were over
    assert read(path).accounts == {}
    assert read(path).dropped_at("bob") == NOW - HOUR


def test_a_lock_that_was_taken_back_does_not_count(path: Path) -> None:
    written(path, LOCK)
    assert read(path).accounts == {"bob": 1}
    written(path, [(Verb.UPDATE_PASSWORD, "bob", None)])
    assert read(path).accounts == {}
    written(path, [*LOCK, *DROP_WEB])
    written(path, [(Verb.UPDATE_PASSWORD, "bob", None)])  # killed before the account went; the database has gone
    assert read(path).accounts == {"bob": 1}


@pytest.mark.parametrize("status", [Status.FAILED, None])
def test_what_was_begun_counts_as_made(path: Path, status: Status | None) -> None:
    written(path, CREATE)
    written(path, REMOVE, status=status)
    written(path, REMOVE, status=status)
    history = read(path)
    assert history.accounts == {"bob": 1}
    assert (history.dropped_at("bob"), history.standing) == (None, {"bob_web": "bob"})  # nobody knows


def test_what_was_begun_long_ago_and_never_done_counts_anew(path: Path) -> None:
    written(path, [*LOCK, *DROP_WEB], 50 * HOUR, status=None)  # killed before anything came of it
    written(path, [(Verb.DROP_DATABASE, "ann", "ann_web")], 50 * HOUR, status=None)
    assert (read(path).begun, read(path).begun_databases) == (set(), set())
    written(path, [*LOCK, (Verb.DROP_DATABASE, "ann", "ann_web")])
    history = read(path)
    assert (history.accounts, history.databases, history.begun) == ({"bob": 1}, {"ann_web": 1}, {"bob"})


def test_what_a_run_takes_back_is_no_removal(path: Path) -> None:
    written(path, [*CREATE, *DROP_WEB, (Verb.DROP_USER, "bob", None)])
    assert (read(path).accounts, read(path).databases) == ({}, {})


def test_other_servers_are_others(path: Path) -> None:
    written(path, CREATE, server="other")
    written(path, REMOVE, server="other")
    assert read(path) == History(known={"bob"})  # but the people are the same


# --- clocks -----------------------------------------------------------------------------------------------------------


def test_a_date_in_the_future_counts(path: Path) -> None:
    written(path, REMOVE, -1000 * HOUR)
    assert read(path).accounts == {"bob": 1}


def test_a_clock_that_was_put_back_makes_nothing_old(path: Path) -> None:
    written(path, CREATE, 2 * HOUR)
    written(path, REMOVE, 10_000 * HOUR)  # the line above it is younger
    assert read(path).accounts == {"bob": 1}


def test_a_date_that_is_none_counts(path: Path) -> None:
    written(path, REMOVE, 100 * HOUR)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**line, "time": "x"}) + "\n" for line in lines))
    assert read(path).accounts == {"bob": 1}


# --- files ------------------------------------------------------------------------------------------------------------


def test_rotated_files_are_read_in_the_order_of_their_lines(path: Path) -> None:
    written(path, CREATE, 3 * HOUR)
    path.with_name("audit.jsonl.2.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.write_bytes(b"")
    written(path, REMOVE, 2 * HOUR)
    path.rename(path.with_name("audit.jsonl.1"))
    written(path, CREATE[:1])
    history = read(path)
    assert (history.known, history.standing, history.accounts) == ({"bob"}, {}, {"bob": 1})
    assert (history.dropped_at("bob"), history.dropped_at("bob", "bob_web")) == (None, NOW - 2 * HOUR)


@pytest.mark.parametrize("name", ["-2026-11-26", "-20261126-1790000000", ".2026-11-26.xz", "-20261126.bz2", ".1.gz"])
def test_whatever_name_logrotate_chooses(path: Path, name: str) -> None:
    """A6: the day is counted over all files."""
    written(path, REMOVE)
    lines = path.read_bytes()
    packed = {"gz": gzip.compress(lines), "xz": lzma.compress(lines), "bz2": bz2.compress(lines)}
    path.with_name(path.name + name).write_bytes(packed.get(name.rpartition(".")[2], lines))
    path.unlink()
    written(path, CREATE[:1])
    history = read(path)
    assert (history.accounts, history.doubts) == ({"bob": 1}, ())


def test_lines_that_are_missing_are_told(path: Path) -> None:
    """A6: at the beginning, between two files, at the end, and all; but not what is older than a day."""
    written(path, REMOVE)
    whole, lines = path.read_bytes(), len(path.read_bytes().splitlines())
    path.write_bytes(b"")
    assert read(path).doubts == (f"lines 1 to {lines} of the audit log {path} are missing",)
    path.unlink()
    assert read(path).doubts == (f"lines 1 to {lines} of the audit log {path} are missing",)
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:-2]))
    assert read(path).doubts == (f"lines {lines - 1} to {lines} of the audit log {path} are missing",)
    path.rename(path.with_name("audit.jsonl.1"))
    written(path, CREATE)
    assert read(path).doubts == (f"lines {lines - 1} to {lines} of the audit log {path} are missing",)
    path.with_name("audit.jsonl.1").unlink()
    assert read(path).doubts == (f"lines 1 to {lines} of the audit log {path} are missing",)
    assert read(path, NOW + 24 * HOUR).doubts == ()


def test_damaged_lines_are_passed_over(path: Path) -> None:
    written(path, CREATE)
    whole = path.read_bytes()
    path.write_bytes(b'\0\xff{"action": "drop_user"\n' + b"[" * 5000 + b"\n" + whole + b'{"action": "drop_user", "us')
    assert read(path).standing == {"bob_web": "bob"}
    path.write_bytes(b'{"action": "drop_user", "engine": "postgresql", "server": "main", "user": 5}\n' + whole)
    assert read(path).accounts == {}


def test_files_that_can_not_be_read_are_told(path: Path) -> None:
    written(path, REMOVE)
    path.with_name("audit.jsonl.1.gz").write_bytes(gzip.compress(path.read_bytes())[:-9])
    path.with_name("audit.jsonl.2").mkdir()
    history = read(path)
    assert history.accounts == {"bob": 1}
    assert len(history.doubts) == 2
    assert "audit.jsonl.1.gz" in " ".join(history.doubts)


def test_a_million_lines_take_seconds_and_little_memory(path: Path) -> None:
    written(path, [*CREATE, *[(Verb.GRANT_PRIVILEGES, "bob", "bob_web")] * 45, *REMOVE], 100 * HOUR)
    block = path.read_bytes()
    rounds = 1_000_000 // len(block.splitlines()) // 20  # a twentieth of it here: the time is linear
    path.write_bytes(block * rounds)
    began = time.process_time()
    assert read(path).known == {"bob"}
    assert (time.process_time() - began) * 20 < 60
    tracemalloc.start()
    try:
        read(path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
