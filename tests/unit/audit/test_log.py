"""The audit log: a line before and after each change, flushed, private, complete or the run ends."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from dbroster.audit.log import AuditLog
from dbroster.audit.verification import verify
from dbroster.errors import AuditError
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Outcome, Status
from dbroster.passwords.secret import Secret
from dbroster.report.exit_codes import Exit
from dbroster.report.json_document import as_json
from dbroster.report.plain.text import as_text
from dbroster.report.report import Report
from tests.fake import FakeHandler
from tests.fake_server import FakeServer
from tests.support.fake_site import Site, code
from tests.support.samples import full_disk, roster

CREATE = Action(Verb.CREATE_USER, "bob", None, Secret("S3cr3t-password"), "in users.txt, not on the server")
DROP = Action(Verb.DROP_DATABASE, "bob", "bob_web", reason="its template is no longer listed")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def audit(path: Path) -> AuditLog:
    return AuditLog(path, "postgresql", "main")


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


@pytest.mark.parametrize(("before", "after"), [(None, 0o600), (0o600, 0o600), (0o640, 0o640), (0o644, 0o640)])
def test_the_log_is_private(tmp_path: Path, before: int | None, after: int) -> None:
    path = tmp_path / "audit.jsonl"
    if before is not None:
        path.touch()
        path.chmod(before)
    with audit(path):
        assert stat.S_IMODE(path.stat().st_mode) == after
        assert stat.S_IMODE((tmp_path / "audit.jsonl.head").stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["audit.jsonl", "audit.jsonl.head"])
@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
def test_a_log_that_others_may_write_is_refused(tmp_path: Path, name: str, mode: int) -> None:
    (tmp_path / name).touch()
    (tmp_path / name).chmod(mode)
    with pytest.raises(AuditError, match=rf"{name} has mode 0{mode:o}.*chmod 600"):
        audit(tmp_path / "audit.jsonl")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("name", ["audit.jsonl", "audit.jsonl.head"])
def test_a_log_of_somebody_else_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch(mode=0o600)
    os.chown(tmp_path / name, 65534, 65534)
    with pytest.raises(AuditError, match=rf"{name} belongs to another user \(uid 65534\)"):
        audit(tmp_path / "audit.jsonl")
    os.chown(tmp_path, 65534, 65534)  # to whom the whole directory belongs
    with audit(tmp_path / "audit.jsonl") as log:
        log.started([CREATE])


def test_a_symlink_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.touch(mode=0o644)
    (tmp_path / "audit.jsonl").symlink_to(target)
    with pytest.raises(AuditError, match="is a symbolic link"):
        audit(tmp_path / "audit.jsonl")
    assert stat.S_IMODE(target.stat().st_mode) == 0o644


@pytest.mark.timeout(10)  # a FIFO without a reader must not block
def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    before = Path("/dev/null").stat().st_mode
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "no" / "audit.jsonl", Path("/dev/null"), Path("/dev/full")):
        with pytest.raises(AuditError, match=re.escape(str(path))):
            audit(path)
    assert not Path("/dev/full.head").exists()
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
    assert len(whole) == (4 if room else 2)  # the line, the piece of one, the note of that, the line of the next run
    verdict = verify(path)
    assert verdict.sound
    assert [finding.text for finding in verdict.findings] == [
        "cut off when it was written, as the next line tells"
    ] * bool(room)


def test_threads_and_processes_never_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with audit(path) as first, audit(path) as second, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: (first, second)[number % 2].started([CREATE, DROP]), range(200)))
    assert len(lines(path)) == 400
    assert (verify(path).sound, verify(path).last.number) == (True, 400)


def test_what_takes_something_away_is_on_the_disk_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, on_disk, real = tmp_path / "audit.jsonl", [b""], os.fdatasync

    def spy(descriptor: int) -> None:
        real(descriptor)
        on_disk.append(path.read_bytes())

    monkeypatch.setattr(os, "fdatasync", spy)
    with audit(path) as log:
        log.started([CREATE])
        assert on_disk == [b""]
        for verb in (Verb.ADOPT, Verb.LOCK_USER, Verb.ARCHIVE_DATABASE, Verb.DROP_DATABASE, Verb.DROP_USER):
            log.started([CREATE, Action(verb, "bob")])
            assert on_disk[-1] == path.read_bytes()
        log.end([])
        assert on_disk[-1] == path.read_bytes()


# --- whole runs -----------------------------------------------------------------------------------------------------


class Preparing(FakeHandler):
    """An engine that creates its marker role when a run begins."""

    def prepare(self) -> None:
        with self._change(Verb.ADOPT, "marker role"):
            pass


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.connect = Preparing.open
    return site


def test_a_run_tells_where_the_log_ended(site: Site) -> None:
    assert site.run(roster("ann"), dry_run=True).audit is None
    result = site.run(roster("ann"))
    last = verify(site.directory / "audit.jsonl").last
    assert result.audit == last
    assert f"  audit log: line number 8 is {last.digest}\n" in as_text(result)
    (told,) = json.loads(as_json(Report([result], [], Exit.IN_STEP, dry_run=False)))["results"]
    assert told["audit"] == {"number": 8, "head": last.digest}
    again = site.run(roster("ann"))
    assert again.audit is None  # nothing was done, nothing was written
    assert [line["action"] for line in site.audit].count("run") == 2
    assert site.audit[-1]["reason"] == "3 done"


def test_a_log_that_was_cut_is_told_by_the_next_run(site: Site) -> None:
    site.run(roster("ann"))
    path = site.directory / "audit.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    result = site.run(roster("ann", "bob"))
    (problem,) = result.problems
    assert problem.warning
    assert "dbroster audit verify" in problem.text


def test_a_full_disk_means_no_change_at_all(site: Site) -> None:
    site.run(roster("ann"))
    before = len(site.server.changes())
    with full_disk((site.directory / "audit.jsonl").stat().st_size):
        result = site.run(roster("ann", "bob"))
    assert (code(result), {o.status for o in result.outcomes}) == (2, set())
    assert "can't be written" in (result.fatal or "")
    assert len(site.server.changes()) == before  # not even the marker role


def _directory(path: Path) -> None:
    path.mkdir()


def _symlink(path: Path) -> None:
    path.symlink_to("elsewhere")


def _of_others(path: Path) -> None:
    path.touch()
    path.chmod(0o666)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("name", ["audit.jsonl", "audit.jsonl.head"])
@pytest.mark.parametrize("make", [_directory, _symlink, _of_others, os.mkfifo])
def test_a_log_that_can_not_be_one_stops_the_run_before_the_server(
    site: Site, name: str, make: Callable[[Path], None]
) -> None:
    make(site.directory / name)
    result = site.run(roster("ann"))
    assert (code(result), result.outcomes, site.server.log) == (2, (), [])
    assert str(site.directory / name) in (result.fatal or "")
    assert {path.name for path in site.directory.iterdir()} == {name}


def test_a_device_as_log_stops_the_run_and_gets_no_files_beside_it(site: Site) -> None:
    result = site.run(roster("ann"), audit_log=Path("/dev/full"))
    assert (code(result), site.server.log) == (2, [])
    assert not [path for path in Path("/dev").iterdir() if path.name.startswith((".fake", "full."))]


READ_ONLY = """
import os, sys
from pathlib import Path
from dbroster.run import apply
from dbroster.audit import log as audit  # imported late, and the checkout may be closed to that user
from tests.support.samples import roster
from tests.support.fake_site import Site, code
os.setgroups([]); os.setgid(65534); os.setuid(65534)
site = Site(Path(sys.argv[1]))
result = site.run(roster("ann"))
print(code(result), len(site.server.changes()), result.fatal)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("found", [None, "audit.jsonl", "audit.jsonl.head"])
def test_a_directory_that_can_not_be_written(found: str | None) -> None:
    with TemporaryDirectory(dir="/tmp") as name:  # pytest's own directories can't be entered by others
        directory = Path(name)
        directory.chmod(0o755)
        lock = directory / ".fake-default.lock"
        for path in (lock, *([directory / found] if found else [])):
            path.touch(mode=0o600)
            os.chown(path, 65534, 65534)
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, name], capture_output=True, text=True, check=True, env=dict(os.environ)
        )
    said = done.stdout.split(maxsplit=2)
    assert said[:2] == ["2", "0"]
    assert "can't be opened: Permission denied" in said[2] or "belongs to another user" in said[2]


def test_full_in_the_middle_of_a_run(site: Site) -> None:
    """At whichever line the disk is full: what was done is told, nothing new begins, the next run converges."""
    names = [f"u{number}" for number in range(4)]
    for room in range(200, 8000, 440):
        site.server = FakeServer()
        for path in site.directory.iterdir():
            path.unlink()
        with full_disk(room):
            result = site.run(roster(*names), jobs=2)
        told = {(line["action"], line["user"]) for line in readable(site.directory) if line["status"] == "started"}
        done = {(o.action.verb.value, o.action.user) for o in result.outcomes if o.status is Status.DONE}
        assert done <= told
        changed = {statement.text for statement in site.server.changes()} - {"adopt marker role"}
        assert len(changed) == len(done)
        assert code(result) == 2
        assert code(site.run(roster(*names))) == 0
        assert site.run(roster(*names)).outcomes == ()
        assert verify(site.directory / "audit.jsonl").sound


def readable(directory: Path) -> list[dict[str, Any]]:
    whole = (directory / "audit.jsonl").read_bytes().rpartition(b"\n")[0]
    return [json.loads(line) for line in whole.splitlines()]
