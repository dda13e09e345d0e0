"""The chain of the audit log as it is written: by many at once, over rotation, kills, full disks and tampering."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dbroster.audit import hash_chain
from dbroster.audit.hash_chain import HashChain
from dbroster.audit.log_files import ORIGIN, check_log, digest, head_of, read_record
from dbroster.audit.verification import verify
from dbroster.errors import AuditError
from dbroster.model.result import Link
from tests.support.samples import full_disk

ROOT = Path(__file__).parents[3]
ENTRY = {"time": "2026-01-31T12:00:00.000Z", "action": "drop_user", "user": "bob", "status": "started"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def append(path: Path, count: int = 1) -> Link:
    """Append lines as a run of its own."""
    with HashChain(path) as log:
        return [log.append([ENTRY]) for _ in range(count)][-1]


def notes(path: Path) -> list[tuple[str, int, str]]:
    """Everything that a sound log has to tell."""
    verdict = verify(path)
    assert verdict.sound, verdict.findings
    return [(finding.file.name, finding.line, finding.text) for finding in verdict.findings]


def test_each_line_carries_the_hash_of_the_line_before(path: Path) -> None:
    last = append(path, 3)
    lines = path.read_bytes().splitlines()
    entries = [json.loads(line) for line in lines]
    assert [entry["number"] for entry in entries] == [1, 2, 3]
    assert [entry["previous"] for entry in entries] == [ORIGIN.digest, digest(lines[0]), digest(lines[1])]
    assert last == Link(3, digest(lines[2])) == read_record(head_of(path).read_bytes())
    assert head_of(path).stat().st_mode & 0o777 == 0o600


def test_lines_of_one_write_are_chained_too(path: Path) -> None:
    with HashChain(path) as log:
        assert log.append([ENTRY] * 5).number == 5
    assert notes(path) == []


def test_a_chain_goes_on_after_lines_that_are_older_than_it(path: Path) -> None:
    path.write_text('{"action": "create_user"}\n{"action": "drop_user"}\n')
    path.chmod(0o600)
    append(path, 2)
    assert notes(path) == [("audit.jsonl", 1, "unchained: from here on, older than the chain")]
    old = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([old[0], old[1].replace(b"drop", b"lock"), *old[2:], b""]))
    assert not verify(path).sound  # the last of the old lines is vouched for by the first of the chain


WRITER = """
import sys
from itertools import count
from pathlib import Path
from dbroster.audit.hash_chain import HashChain
path = Path(sys.argv[1])
log, written = HashChain(path), 0
for number in count():
    if path.with_name("stop").exists():
        break
    log.append([{"user": sys.argv[2], "n": number}] * (1 + number % 3))
    written += 1 + number % 3
print(written)
"""


def writer(path: Path, name: str = "a") -> subprocess.Popen[str]:
    """Start a process that appends until a file `stop` stands beside the log, and then tells its lines."""
    command = [sys.executable, "-c", WRITER, str(path), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT / "src")})


def grown(path: Path, size: int = 20_000) -> None:
    """Wait until the writers have written so much."""
    while not path.exists() or path.stat().st_size < size:
        os.sched_yield()


def rename(path: Path, kept: Path) -> None:
    path.rename(kept)


def copy_and_truncate(path: Path, kept: Path) -> None:
    """What logrotate copies and cuts; lines that are written between the two would be lost, and missed."""
    with HashChain(path) as log, log.alone():
        kept.write_bytes(path.read_bytes())
        os.truncate(path, 0)


@pytest.mark.parametrize("rotate", [rename, copy_and_truncate])
def test_four_processes_make_one_chain_while_it_is_rotated(path: Path, rotate: Callable[[Path, Path], None]) -> None:
    processes = [writer(path, name) for name in "abcd"]
    for number in (3, 2, 1):
        grown(path)
        rotate(path, path.with_name(f"audit.jsonl.{number}"))
    grown(path)
    path.with_name("stop").touch()
    written = [int(process.communicate()[0]) for process in processes]
    verdict = verify(path)
    assert verdict.findings == []
    assert verdict.last.number == sum(part.lines for part in verdict.parts) == sum(written)
    assert [part.file.name for part in verdict.parts] == [f"audit.jsonl{end}" for end in (".3", ".2", ".1", "")]


def test_threads_and_several_logs_of_one_process_make_one_chain(path: Path) -> None:
    with HashChain(path) as first, HashChain(path) as second, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: (first, second)[number % 2].append([ENTRY]), range(400)))
    assert notes(path) == []
    assert verify(path).last.number == 400


def test_a_writer_that_is_killed_leaves_a_sound_chain(path: Path) -> None:
    for kill in range(1, 6):
        process = writer(path)
        grown(path, kill * 10_000)
        process.kill()
        process.communicate()
        before = verify(path)
        assert before.sound
        assert append(path).number > before.last.number > 0
        assert verify(path).sound


# --- a line that is cut off -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [1, 5, 100])
def test_a_piece_of_a_line_is_told_from_a_changed_line(path: Path, left: int) -> None:
    append(path, 2)
    with path.open("ab") as file:
        file.write(path.read_bytes()[:left])
    assert notes(path) == [("audit.jsonl", 3, "cut off when it was written, by a kill or a full disk")]
    append(path, 2)
    assert notes(path) == [("audit.jsonl", 3, "cut off when it was written, as the next line tells")]
    lines = path.read_bytes().splitlines()
    note = json.loads(lines[3])
    assert (note["number"], note["status"], note["user"]) == (3, "torn", None)
    lines[2] += b"x"
    path.write_bytes(b"\n".join([*lines, b""]))
    assert [(f.line, f.text) for f in verify(path).findings if f.broken] == [
        (3, "it is no line of an audit log: changed, or put in")
    ]


def test_a_line_of_which_only_the_end_is_missing_is_a_line(path: Path) -> None:
    append(path, 3)
    path.write_bytes(path.read_bytes()[:-1])
    assert notes(path) == []
    append(path)
    assert notes(path) == []


def test_a_piece_at_the_end_of_a_rotated_file(path: Path) -> None:
    append(path, 2)
    with path.open("ab") as file:
        file.write(b'{"number": 3, "prev')
    path.rename(path.with_name("audit.jsonl.1"))
    append(path, 2)
    assert notes(path) == [("audit.jsonl.1", 3, "cut off when it was written, by a kill or a full disk")]


def test_a_line_that_was_cut_off_by_somebody_is_missed_for_ever(path: Path) -> None:
    append(path, 3)
    path.write_bytes(path.read_bytes()[:-20])  # the head knows that it was whole
    append(path, 2)
    verdict = verify(path)
    assert [finding.text for finding in verdict.findings if finding.broken] == ["line number 3 is missing before it"]


@pytest.mark.parametrize("keep", [1, 2])
def test_lines_that_were_taken_away_at_the_end_are_missed_for_ever(path: Path, keep: int) -> None:
    append(path, 3)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:keep]))
    with HashChain(path) as log:
        assert "does not end with the line that audit.jsonl.head names" in (log.doubt or "")
    append(path, 2)
    missing = "line number 3 is missing before it" if keep == 2 else "lines number 2 to 3 are missing before it"
    assert [finding.text for finding in verify(path).findings] == [missing]


def test_a_last_line_that_was_changed_is_told_for_ever(path: Path) -> None:
    append(path, 3)
    data = path.read_bytes()
    start = data.rindex(b'"user"')
    path.write_bytes(data[:start] + data[start:].replace(b"bob", b"eve"))
    append(path)
    assert [(f.line, f.broken) for f in verify(path).findings] == [(3, True)]


@pytest.mark.parametrize("name", ["plain", "empty", "rotated"])
def test_a_log_in_order_raises_no_doubt(path: Path, name: str) -> None:
    append(path, 2)
    if name == "empty":
        os.truncate(path, 0)
    if name == "rotated":
        path.rename(path.with_name("audit.jsonl.1"))
    with HashChain(path) as log:
        assert log.doubt is None


# --- what can't be written ------------------------------------------------------------------------------------------


def test_a_disk_that_is_full_at_once(path: Path) -> None:
    append(path)
    before = path.read_bytes(), head_of(path).read_bytes()
    with (
        full_disk(path.stat().st_size),
        HashChain(path) as log,
        pytest.raises(AuditError, match="can't be written"),
    ):
        log.append([ENTRY])
    assert (path.read_bytes(), head_of(path).read_bytes()) == before


FILL = """
import sys
from pathlib import Path
from dbroster.audit.hash_chain import HashChain
from dbroster.errors import AuditError
from dbroster.audit.verification import verify
path = Path(sys.argv[1])
log = HashChain(path)
for durable in (False, True):
    written = 0
    try:
        while True:
            log.append([{"user": "bob", "text": "x" * 700}], durable=durable)
            written += 1
    except AuditError as error:
        print(written, error)
path.with_name("ballast").unlink()
log.append([{"user": "after"}])
verdict = verify(path)
print(verdict.sound, [finding.text for finding in verdict.findings])
"""


def test_a_file_system_that_is_really_full(tmp_path: Path) -> None:
    """A tmpfs of 64 KiB, in a mount namespace of its own; where the system allows none, the limit above must do."""
    mount = 'mount -t tmpfs -o size=64k tmpfs "$1" && head -c 16384 /dev/zero >"$1/ballast"'
    script = mount + ' && exec "$2" -c "$3" "$1/audit.jsonl"'
    command = ["unshare", "-rm", "sh", "-c", script, "sh", str(tmp_path), sys.executable, FILL]
    if subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)], check=False).returncode:
        pytest.skip("this system lets nobody mount a file system of the own")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT / "src")})
    first, second, last = done.stdout.splitlines()
    assert int(first.split()[0]) > 10
    assert second.startswith("0 ")
    for line in (first, second):
        assert "audit.jsonl can't be written: " in line
    assert last.startswith("True [")
    assert "cut off when it was written" in last


def test_a_lock_that_somebody_keeps_does_not_hang_a_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_chain, "PATIENCE", 0.05)
    with HashChain(path) as first, HashChain(path) as second:
        with first.alone(), pytest.raises(AuditError, match=r"audit\.jsonl\.head is locked by another process"):
            second.append([ENTRY])
        assert second.append([ENTRY]).number == 1


@pytest.mark.parametrize("text", ["7", "x" * 86, "-0000000000000000001 " + "0" * 64 + "\n"])
def test_a_head_that_is_none_stops_everything(path: Path, text: str) -> None:
    append(path)
    head_of(path).write_text(text)
    with pytest.raises(AuditError, match=r"audit\.jsonl\.head is not what dbroster writes"):
        append(path)
    with pytest.raises(AuditError, match=r"audit\.jsonl\.head is not what dbroster writes"):
        verify(path)


def test_a_head_that_is_lost_while_a_run_is_at_work(path: Path) -> None:
    with HashChain(path) as first, HashChain(path) as second:
        first.append([ENTRY])
        head_of(path).unlink()
        second.append([ENTRY])
        first.append([ENTRY])
    assert notes(path) == []
    assert verify(path).last.number == 3


def test_what_is_no_audit_log_is_not_read_to_its_beginning(path: Path) -> None:
    path.touch(mode=0o600)
    os.truncate(path, 10**12)  # a hole without a line end
    with pytest.raises(AuditError, match="no audit log"):
        append(path)


def test_checking_makes_no_file(path: Path) -> None:
    check_log(path)
    check_log(path.parent / "no" / "audit.jsonl")
    assert list(path.parent.iterdir()) == []
    head_of(path).mkdir()
    with pytest.raises(AuditError, match=r"audit\.jsonl\.head is not a regular file"):
        check_log(path)
