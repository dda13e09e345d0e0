"""Reading the audit log back: every change of it is told with its place, and what logrotate does is not one."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbroster.audit.hash_chain import HashChain
from dbroster.audit.log_files import digest, head_of, log_files
from dbroster.audit.verification import as_text, verify
from dbroster.cli.main import main
from dbroster.errors import AuditError

SIZE = 9


def entries(first: int, count: int) -> list[dict[str, object]]:
    return [{"time": f"2026-01-31T12:00:{n:02}.000Z", "user": f"user{n}"} for n in range(first, first + count)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path)


def write(directory: Path) -> Path:
    """Write a log of three files with three lines each."""
    path = directory / "audit.jsonl"
    for number in (2, 1, 0):
        with HashChain(path) as log:
            for entry in entries(SIZE - 3 * number - 3, 3):
                log.append([entry])
        if number:
            path.rename(path.with_name(f"audit.jsonl.{number}"))
    return path


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def broken(path: Path, *files: Path) -> list[tuple[str, int, str]]:
    found = verify(path, files).findings
    return [(finding.file.name, finding.line, finding.text) for finding in found if finding.broken]


def test_a_sound_log_over_three_files(path: Path) -> None:
    verdict = verify(path)
    assert verdict.findings == []
    last = lines(path)[-1].removesuffix(b"\n")
    assert (verdict.last.number, verdict.last.digest) == (SIZE, digest(last))
    assert as_text(verdict) == (
        f"{path}.2: 3 lines, 2026-01-31T12:00:00.000Z to 2026-01-31T12:00:02.000Z\n"
        f"{path}.1: 3 lines, 2026-01-31T12:00:03.000Z to 2026-01-31T12:00:05.000Z\n"
        f"{path}: 3 lines, 2026-01-31T12:00:06.000Z to 2026-01-31T12:00:08.000Z\n"
        f"sound: 9 lines, the last one is number 9, {digest(last)}\n"
    )


def compress(path: Path) -> None:
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def name_by_date(path: Path) -> None:
    path.with_name("audit.jsonl.2").rename(path.with_name("audit.jsonl-20260130"))
    compress(path.with_name("audit.jsonl.1"))
    path.with_name("audit.jsonl.1.gz").rename(path.with_name("audit.jsonl-20260131.gz"))


@pytest.mark.parametrize(
    "rotate",
    [
        lambda path: compress(path.with_name("audit.jsonl.2")),
        name_by_date,
        lambda path: [
            path.with_name(f"audit.jsonl.{n}").rename(path.with_name(f"audit.jsonl.{n + 9}")) for n in (2, 1)
        ],
        lambda path: path.with_name("audit.jsonl.3").touch(),
        lambda path: path.rename(path.with_name("audit.jsonl.0")),
        lambda path: (path.rename(path.with_name("audit.jsonl.0")), path.touch(mode=0o600)),
    ],
)
def test_what_logrotate_does_is_sound(path: Path, rotate: Callable[[Path], object]) -> None:
    rotate(path)
    verdict = verify(path)
    assert (verdict.findings, verdict.last.number) == ([], SIZE)
    with HashChain(path) as log:
        log.append(entries(SIZE, 1))
    assert (verify(path).findings, verify(path).last.number) == ([], SIZE + 1)


def test_only_files_of_the_log_are_taken_for_it(path: Path) -> None:
    for name in ("audit.jsonl.bak", "audit.jsonl.1.old", "xaudit.jsonl.1", "audit_jsonl.1", "audit.jsonl.lock"):
        path.with_name(name).write_text("nonsense\n")
    assert {each.name for each in log_files(path)} == {"audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"}
    assert broken(path) == []


def test_a_log_whose_oldest_file_is_gone_begins_in_the_middle(path: Path) -> None:
    path.with_name("audit.jsonl.2").unlink()
    (finding,) = verify(path).findings
    assert not finding.broken
    assert "begins with line number 4" in finding.text


@pytest.mark.parametrize("which", [".1", ".2"])
def test_files_that_are_named_need_no_head(path: Path, which: str) -> None:
    assert broken(path, path.with_name(f"audit.jsonl{which}")) == []
    file = path.with_name("moved")
    path.with_name(f"audit.jsonl{which}").rename(file)
    rows = lines(file)
    file.write_bytes(rows[0] + rows[2])
    assert [place[:2] for place in broken(path, file)] == [("moved", 2)]


# --- tampering ------------------------------------------------------------------------------------------------------


def test_a_file_in_the_middle_that_is_missing(path: Path) -> None:
    path.with_name("audit.jsonl.1").unlink()
    assert broken(path) == [("audit.jsonl", 1, "lines number 4 to 6 are missing before it")]


def test_the_newest_file_is_missing(path: Path) -> None:
    path.unlink()
    assert broken(path) == [("audit.jsonl.head", 1, "lines number 7 to 9 are missing at the end")]
    for file in log_files(path):
        file.unlink()
    assert broken(path) == [("audit.jsonl.head", 1, "lines number 1 to 9 are missing at the end")]


def test_a_missing_head(path: Path) -> None:
    head_of(path).unlink()
    ((name, _, text),) = broken(path)
    assert (name, "missing" in text) == ("audit.jsonl.head", True)


def test_a_head_behind_the_log_is_what_a_kill_leaves(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with HashChain(path) as log:
        log.append(entries(0, 1))
        head = head_of(path).read_bytes()
        log.append(entries(1, 2))
    head_of(path).write_bytes(head)
    (finding,) = verify(path).findings
    assert (finding.broken, finding.text) == (False, "it is 2 lines behind, as after a kill")
    with HashChain(path) as log:
        assert log.append(entries(3, 1)).number == 4
    assert verify(path).findings == []


def edit(rows: list[bytes], at: int) -> None:
    rows[at] = rows[at].replace(b'"user', b'"eve-')


def remove(rows: list[bytes], at: int) -> None:
    del rows[at]


def repeat(rows: list[bytes], at: int) -> None:
    rows.insert(at, rows[at])


def swap(rows: list[bytes], at: int) -> None:
    other = at + 1 if at + 1 < len(rows) else at - 1
    rows[at], rows[other] = rows[other], rows[at]


def insert_a_forged_line(rows: list[bytes], at: int) -> None:
    real = json.loads(rows[at])
    rows.insert(at, json.dumps({**real, "user": "nobody"}).encode() + b"\n")


def insert_an_unchained_line(rows: list[bytes], at: int) -> None:
    rows.insert(at + 1, b'{"user": "nobody"}\n')


def insert_rubbish(rows: list[bytes], at: int) -> None:
    rows.insert(at, b"# nothing to see here\n")


def cut_short(rows: list[bytes], at: int) -> None:
    rows[at] = rows[at][:40] + b"\n"


def forge_number(rows: list[bytes], at: int) -> None:
    real = json.loads(rows[at])
    rows[at] = json.dumps({**real, "number": real["number"] + 100}).encode() + b"\n"


def claim_that_it_was_torn(rows: list[bytes], at: int) -> None:
    """Put rubbish in the place of a line, and let the one behind it say that it was cut off."""
    rows[at] = b"rubbish\n"
    if at + 1 < len(rows):
        rows[at + 1] = json.dumps({**json.loads(rows[at + 1]), "torn": digest(b"rubbish")}).encode() + b"\n"


ATTACKS = [
    edit, remove, repeat, swap, insert_a_forged_line, insert_an_unchained_line, insert_rubbish, cut_short,
    forge_number, claim_that_it_was_torn,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_attack_on_every_line_is_told(path: Path, attack: Callable[[list[bytes], int], None]) -> None:
    for name in ("audit.jsonl.2", "audit.jsonl.1", "audit.jsonl"):
        file = path.with_name(name)
        before = file.read_bytes()
        for at in range(3):
            rows = before.splitlines(keepends=True)
            attack(rows, at)
            file.write_bytes(b"".join(rows))
            first_of_all = (name, at) == ("audit.jsonl.2", 0)
            assert broken(path) or (attack is remove and first_of_all), (name, at)  # a log may begin anywhere
        file.write_bytes(before)
    assert broken(path) == []


@given(data=st.data())
def test_any_changed_byte_is_told(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    directory = tmp_path_factory.mktemp("log")
    path = write(directory)
    file = data.draw(st.sampled_from([path, path.with_name("audit.jsonl.1"), path.with_name("audit.jsonl.2")]))
    was = file.read_bytes()
    at = data.draw(st.integers(0, len(was) - 2))  # the very last line end may be missing after a full disk
    new = data.draw(st.integers(0, 255).filter(lambda byte: byte != was[at]))
    file.write_bytes(was[:at] + bytes([new]) + was[at + 1 :])
    assert not verify(path).sound


# --- noted hashes ---------------------------------------------------------------------------------------------------


def test_a_noted_hash_must_be_there(path: Path) -> None:
    hashes = [digest(line.removesuffix(b"\n")) for line in lines(path)]
    assert verify(path, noted=hashes).sound
    assert [f.text for f in verify(path, noted=["0" * 63 + "1"]).findings] == [f"no line has the hash {'0' * 63}1"]
    path.with_name("audit.jsonl.2").unlink()
    of_the_lost = json.loads(lines(path.with_name("audit.jsonl.1"))[0])["previous"]
    assert verify(path, noted=[of_the_lost]).sound


def test_a_log_that_was_written_anew_is_told_by_a_noted_hash_only(path: Path) -> None:
    noted = verify(path).last.digest
    for file in (*log_files(path), head_of(path)):
        file.unlink()
    with HashChain(path) as log:
        log.append(entries(100, SIZE))
    assert verify(path).sound
    assert not verify(path, noted=[noted]).sound


# --- what can't be read ---------------------------------------------------------------------------------------------


def spoil_head(path: Path) -> None:
    head_of(path).unlink()
    head_of(path).mkdir()


def cut_off(path: Path) -> None:
    compress(path.with_name("audit.jsonl.1"))
    packed = path.with_name("audit.jsonl.1.gz")
    packed.write_bytes(packed.read_bytes()[:-20])


@pytest.mark.timeout(10)  # a FIFO without a writer must not block
@pytest.mark.parametrize(
    "damage",
    [
        cut_off,
        lambda path: path.with_name("audit.jsonl.3.gz").write_bytes(b"not packed"),
        lambda path: path.with_name("audit.jsonl.3").mkdir(),
        lambda path: os.mkfifo(path.with_name("audit.jsonl.3")),
        lambda path: path.with_name("audit.jsonl.3").symlink_to("nowhere"),
        spoil_head,
    ],
)
def test_what_can_not_be_read_is_no_verdict(path: Path, damage: Callable[[Path], object]) -> None:
    damage(path)
    with pytest.raises(AuditError, match=r"audit\.jsonl\.(3|1\.gz|head)"):
        verify(path)


def test_no_log_at_all(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "none"):
        with pytest.raises(AuditError, match="there is no audit log"):
            verify(directory / "audit.jsonl")


def test_lines_without_end_and_hostile_texts(path: Path) -> None:
    path.write_bytes(
        b"x" * 3_000_000 + b'\n{"number": true, "time": "\\u001b[2J"}\n{"number": 1e99}\n[]\n{"number":' + b"[" * 9999
    )
    verdict = verify(path)
    assert not verdict.sound
    assert "\x1b" not in as_text(verdict)


# --- the command ----------------------------------------------------------------------------------------------------


def command(directory: Path, *arguments: str) -> int:
    return main(["audit", "verify", "--config", str(directory), *arguments])


def test_the_command_tells_sound_broken_and_unreadable(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = verify(path).last.digest
    assert command(path.parent, "--head", last.upper()) == 0
    assert f"sound: 9 lines, the last one is number 9, {last}\n" in capsys.readouterr().out
    assert command(path.parent, str(path), str(path.with_name("audit.jsonl.1"))) == 0
    assert command(path.parent, "--head", "f" * 64) == 1
    rows = lines(path)
    path.write_bytes(rows[0] + rows[2])
    assert command(path.parent) == 1
    said = capsys.readouterr().out
    assert f"  broken: {path} line 2: line number 8 is missing before it\n" in said
    assert "BROKEN: 8 lines" in said
    (path.parent / "none").mkdir()
    assert command(path.parent / "none") == 2
    assert "there is no audit log" in capsys.readouterr().err
    assert command(path.parent, "--config", str(path.parent), str(path.parent / "nothing")) == 2


@pytest.mark.parametrize("arguments", [["--head", "xyz"], ["--expect", "0" * 24], ["--server", "a"]])
def test_arguments_that_make_no_sense(path: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command(path.parent, *arguments)
    assert caught.value.code == 2
