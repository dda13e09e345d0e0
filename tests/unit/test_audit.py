"""The audit log: a line before and after each change, flushed, private, complete or the run ends."""

import json
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dbroster.audit import Audit
from dbroster.errors import AuditError
from dbroster.model import Action, Outcome, Status, Verb
from dbroster.secret import Secret
from tests.unit.samples import full_disk

CREATE = Action(Verb.CREATE_USER, "bob", None, Secret("S3cr3t-password"), "in users.txt, not on the server")
DROP = Action(Verb.DROP_DATABASE, "bob", "bob_web", reason="its template is no longer listed")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def audit(path: Path) -> Audit:
    return Audit(path, "postgresql", "main")


def test_a_line_stands_before_the_change_is_made(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with audit(path) as log:
        log.started([CREATE])
        (before,) = lines(path)  # not only when the log is closed
        log.finished([Outcome(CREATE, Status.FAILED, "the role exists", "42710")])
        _, after = lines(path)
    assert (before["status"], before["code"], before["error"]) == ("started", None, None)
    assert (after["status"], after["code"], after["error"]) == ("failed", "42710", "the role exists")
    for line in (before, after):
        assert (line["engine"], line["server"], line["action"]) == ("postgresql", "main", "create_user")
        assert (line["user"], line["database"], line["reason"]) == ("bob", None, "in users.txt, not on the server")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
        assert line["os_user"]
        assert line["host"]
    assert before["run"] == after["run"]


def test_each_run_has_a_name_of_its_own_and_is_appended(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for _ in range(2):
        with audit(path) as log:
            log.started([CREATE, DROP])
    assert len(lines(path)) == 4
    assert len({line["run"] for line in lines(path)}) == 2


def test_only_what_was_attempted_gets_a_second_line(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with audit(path) as log:
        log.finished([Outcome(DROP, status) for status in Status])
        log.finished([])
    assert [line["status"] for line in lines(path)] == ["done", "failed"]


def test_invariant_2_no_secret_and_no_second_line_from_hostile_texts(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with audit(path) as log:
        log.started([CREATE])
        log.finished([Outcome(CREATE, Status.FAILED, 'x\n{"status": "done"}\u2028\x1b[2J\0\ud800')])
    assert "S3cr3t" not in path.read_text()
    assert path.read_bytes().isascii()
    assert path.read_bytes().count(b"\n") == 2
    assert len(lines(path)) == 2


@pytest.mark.parametrize("before", [None, 0o644, 0o666])
def test_the_log_is_private(tmp_path: Path, before: int | None) -> None:
    path = tmp_path / "audit.jsonl"
    if before is not None:
        path.touch()
        path.chmod(before)
    with audit(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_symlink_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.touch(mode=0o644)
    (tmp_path / "audit.jsonl").symlink_to(target)
    with pytest.raises(AuditError, match="can't be opened"):
        audit(tmp_path / "audit.jsonl")
    assert stat.S_IMODE(target.stat().st_mode) == 0o644


@pytest.mark.timeout(10)  # a FIFO without a reader must not block
def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    before = Path("/dev/null").stat().st_mode
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "no" / "audit.jsonl", Path("/dev/null")):
        with pytest.raises(AuditError, match=re.escape(str(path))):
            audit(path)
    assert Path("/dev/null").stat().st_mode == before


@pytest.mark.parametrize("room", [0, 20])
def test_a_full_disk(tmp_path: Path, room: int) -> None:
    path = tmp_path / "audit.jsonl"
    with audit(path) as log:
        log.started([CREATE])
        with full_disk(path.stat().st_size + room), pytest.raises(AuditError, match=r"audit\.jsonl can't be written"):
            log.started([DROP])
    cut = path.read_bytes()
    with audit(path) as log:  # the next run begins a line of its own
        log.started([CREATE])
    assert path.read_bytes().startswith(cut)
    whole = path.read_text().splitlines()
    assert json.loads(whole[0])["action"] == json.loads(whole[-1])["action"] == "create_user"
    assert len(whole) == (3 if room else 2)


def test_threads_and_processes_never_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with audit(path) as first, audit(path) as second, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: (first, second)[number % 2].started([CREATE, DROP]), range(200)))
    assert len(lines(path)) == 400
