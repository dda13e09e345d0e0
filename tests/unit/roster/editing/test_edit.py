"""`dbroster edit` with real editors: small scripts that change the file, fail, hang, or leave copies about."""

import fcntl
import os
import shlex
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dbroster.cli.main import main
from dbroster.files import write
from dbroster.model.roster import AGE_FILE
from dbroster.roster.age import IDENTITY_VARIABLE, RECIPIENTS_FILE
from tests.support.samples import CONNECTIONS, OTHER_PASSWORD, PASSWORD, Terminal, config, private
from tests.support.vault import Key, age_key, files, holding, opened, sealed
from tests.support.waiting import running, wait_for_word

PLAIN = f"# the team\nann:{PASSWORD}\n".encode()
MORE = f"bob:{OTHER_PASSWORD}"


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Key:
    key = age_key(tmp_path)
    monkeypatch.setenv(IDENTITY_VARIABLE, str(key.path))
    return key


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where plain text may be while it is edited, and where all that is about it can be seen."""
    memory = tmp_path / "memory"
    memory.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(memory))
    monkeypatch.delenv("VISUAL", raising=False)
    return memory


@pytest.fixture
def directory(tmp_path: Path, key: Key, memory: Path) -> Path:
    """A config directory with an encrypted roster."""
    site = tmp_path / "config"
    site.mkdir()
    config(site)
    (site / "users.txt").unlink()
    (site / AGE_FILE).write_bytes(sealed(PLAIN, key))
    (site / RECIPIENTS_FILE).write_text(key.public + "\n")
    return site


Editor = Callable[[str], None]


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Editor:
    """Make a shell script the editor; `$1` is the file."""

    def write(script: str) -> None:
        path = tmp_path / "an editor"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        monkeypatch.setenv("EDITOR", shlex.quote(str(path)))

    return write


def edit(directory: Path, *options: str) -> int:
    return main(["edit", "--config", str(directory), *options])


# --- a change -------------------------------------------------------------------------------------------------------


def test_an_encrypted_roster_is_changed(
    directory: Path, key: Key, memory: Path, editor: Editor, capfd: pytest.CaptureFixture[str]
) -> None:
    editor(f"echo '{MORE}' >> \"$1\"")
    (directory / AGE_FILE).chmod(0o640)
    assert edit(directory) == 0
    assert opened(directory / AGE_FILE, key) == PLAIN + f"{MORE}\n".encode()
    assert stat.S_IMODE((directory / AGE_FILE).stat().st_mode) == 0o640
    assert capfd.readouterr().out == "users.txt.age was written\n"
    assert holding(PASSWORD, directory, memory) == []
    assert sorted(files(directory)) == ["connections.yaml", "postgresql_databases.txt", AGE_FILE, RECIPIENTS_FILE]


def test_plain_text_is_only_where_nobody_else_may_look(
    directory: Path, memory: Path, tmp_path: Path, editor: Editor
) -> None:
    editor(f'exec > {tmp_path}/modes; stat -c %a "$1" "$(dirname "$1")"; echo "$1"; pwd')
    assert edit(directory) == 0
    file_mode, directory_mode, place, current = (tmp_path / "modes").read_text().splitlines()
    assert (file_mode, directory_mode) == ("600", "700")
    assert Path(place).is_relative_to(memory)
    assert Path(place).parent == Path(current)
    assert list(memory.iterdir()) == []


def test_shared_memory_serves_where_there_is_no_session(
    directory: Path, tmp_path: Path, editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    editor(f'echo "$1" > {tmp_path}/place')
    assert edit(directory) == 0
    place = Path((tmp_path / "place").read_text().strip())
    assert place.is_relative_to("/dev/shm")
    assert not place.parent.exists()


def test_an_armored_roster_stays_armored(directory: Path, key: Key, editor: Editor) -> None:
    (directory / AGE_FILE).write_bytes(sealed(PLAIN, key, armored=True))
    editor(f"echo '{MORE}' >> \"$1\"")
    assert edit(directory) == 0
    assert (directory / AGE_FILE).read_bytes().startswith(b"-----BEGIN AGE ENCRYPTED FILE-----")
    assert opened(directory / AGE_FILE, key).endswith(f"{MORE}\n".encode())


def test_everybody_who_could_read_it_still_can(directory: Path, key: Key, tmp_path: Path, editor: Editor) -> None:
    colleague = age_key(tmp_path, "colleague")
    (directory / RECIPIENTS_FILE).write_text(f"{key.public}\n{colleague.public}\n")
    editor(f"echo '{MORE}' >> \"$1\"")
    assert edit(directory) == 0
    assert opened(directory / AGE_FILE, colleague) == opened(directory / AGE_FILE, key)


def test_a_plain_roster_is_changed_and_keeps_its_mode(
    directory: Path, memory: Path, editor: Editor, capfd: pytest.CaptureFixture[str]
) -> None:
    (directory / AGE_FILE).unlink()
    private(directory / "users.txt", PLAIN).chmod(0o640)
    before = (directory / "users.txt").stat().st_ino
    editor(f"echo '{MORE}' >> \"$1\"")
    assert edit(directory) == 0
    assert (directory / "users.txt").read_bytes() == PLAIN + f"{MORE}\n".encode()
    assert stat.S_IMODE((directory / "users.txt").stat().st_mode) == 0o640
    assert (directory / "users.txt").stat().st_ino != before
    assert capfd.readouterr().out == "users.txt was written\n"
    assert holding(PASSWORD, directory, memory) == [directory / "users.txt"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_plain_roster_keeps_its_owner_and_group(directory: Path, editor: Editor) -> None:
    (directory / AGE_FILE).unlink()
    os.chown(private(directory / "users.txt", PLAIN), 1234, 2345)
    editor(f"echo '{MORE}' >> \"$1\"")
    assert edit(directory) == 0
    status = (directory / "users.txt").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1234, 2345, 0o600)


def test_a_link_stays_a_link(directory: Path, key: Key, tmp_path: Path, editor: Editor) -> None:
    target = tmp_path / "elsewhere.age"
    (directory / AGE_FILE).rename(target)
    (directory / AGE_FILE).symlink_to(target)
    editor(f"echo '{MORE}' >> \"$1\"")
    assert edit(directory) == 0
    assert (directory / AGE_FILE).is_symlink()
    assert opened(target, key).endswith(f"{MORE}\n".encode())


def test_the_editor_may_have_arguments_and_visual_wins(
    directory: Path, key: Key, editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor("exit 9")
    monkeypatch.setenv("VISUAL", f"sed -i '$ a {MORE}'")
    assert edit(directory) == 0
    assert opened(directory / AGE_FILE, key).endswith(f"{MORE}\n".encode())


@pytest.mark.parametrize("before", [PLAIN, PLAIN.rstrip(b"\n")])
def test_an_editor_that_ends_no_last_line(
    before: bytes, directory: Path, editor: Editor, capfd: pytest.CaptureFixture[str]
) -> None:
    """A7: the next sync would take the file for one that was cut."""
    (directory / AGE_FILE).unlink()
    private(directory / "users.txt", before)
    editor(f"printf '\\n{MORE}' >> \"$1\"")
    assert edit(directory) == 0
    assert (directory / "users.txt").read_bytes() == before + f"\n{MORE}\n".encode()
    assert "dbroster added the line end that its last line lacked" in capfd.readouterr().out


# --- nothing changes ------------------------------------------------------------------------------------------------


def test_unchanged_content_writes_nothing(directory: Path, editor: Editor, capfd: pytest.CaptureFixture[str]) -> None:
    before = files(directory), (directory / AGE_FILE).stat().st_ino
    editor('cp "$1" "$1.new"; mv "$1.new" "$1"')
    assert edit(directory) == 0
    assert (files(directory), (directory / AGE_FILE).stat().st_ino) == before
    assert capfd.readouterr().out == "nothing was changed\n"


POLICY = "password_policy: {min_length: 30}"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("exit 1", "ended with exit code 1; nothing was changed"),
        ("kill -9 $$", "ended with signal 9; nothing was changed"),
        ("echo broken >> \"$1\"", "users.txt.age line 3: no colon"),
        ("echo 'bob:short' >> \"$1\"", "users.txt.age line 3: bob: the password has 5 characters"),
        ("echo 'root:Long-enough-77' >> \"$1\"", "users.txt.age line 3: root: the name of a system account"),
        ("printf 'bob:\\377\\n' >> \"$1\"", "users.txt.age line 3: not UTF-8"),
        ('rm "$1"', "does not exist"),
        ('rm "$1"; mkdir "$1"', "is not a regular file"),
        ('rm "$1"; mkfifo "$1"', "is not a regular file"),
        ('truncate -s 40M "$1"', "more than the"),
        ('cp "$1" "$1~"; cp "$1" "${1%/*}/.swap"; mkdir "${1%/*}/undo"; mv "$1" "${1%/*}/undo"; exit 3', "exit code 3"),
    ],
)  # fmt: skip
def test_what_no_sync_would_take_is_not_written(
    directory: Path, memory: Path, editor: Editor, capfd: pytest.CaptureFixture[str], script: str, expected: str
) -> None:
    before = files(directory)
    editor(script)
    assert edit(directory) == 2
    assert files(directory) == before
    assert list(memory.iterdir()) == []
    out, err = capfd.readouterr()
    assert expected in err
    assert out == ""
    assert PASSWORD not in err


def test_the_rules_of_every_server_are_asked(
    directory: Path, editor: Editor, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also when an admin's password, which only a sync needs, is not at hand here."""
    section = "{host: h, username: admin, password_env: NOT_SET_HERE, password_policy: {min_length: 30}}"
    private(directory / "connections.yaml", f"{CONNECTIONS}mysql: {section}\n")
    editor(f"echo '{MORE}' >> \"$1\"")
    assert edit(directory) == 2
    assert "users.txt.age line 3: bob: the password has 21 characters, at least 30" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("editor_text", "expected"),
    [
        ("'unbalanced", "can't be split"),
        ("/nowhere/ed", "the editor /nowhere/ed can't be started: No such file or directory; set VISUAL or EDITOR"),
        ("/", "can't be started: Permission denied"),
    ],
)  # fmt: skip
def test_no_editor(
    directory: Path, memory: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    editor_text: str, expected: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("EDITOR", editor_text)
    assert edit(directory) == 2
    assert expected in capfd.readouterr().err
    assert list(memory.iterdir()) == []


def test_somebody_else_was_faster(
    directory: Path, key: Key, tmp_path: Path, editor: Editor, capfd: pytest.CaptureFixture[str]
) -> None:
    """A5: neither change is lost."""
    theirs = private(tmp_path / "theirs", sealed(PLAIN + b"# theirs\n", key))
    editor(f"echo '{MORE}' >> \"$1\"; cp {theirs} {directory / AGE_FILE}")
    assert edit(directory) == 0
    said = "users.txt.age was written; what somebody else has changed in it meanwhile was kept\n"
    assert capfd.readouterr().out == said
    assert opened(directory / AGE_FILE, key) == PLAIN + b"# theirs\n" + f"{MORE}\n".encode()
    assert sorted(files(directory)) == ["connections.yaml", "postgresql_databases.txt", AGE_FILE, RECIPIENTS_FILE]


def test_other_commands_change_the_roster_while_the_editor_is_open(directory: Path, editor: Editor) -> None:
    """A5: an add, a new password and a removal meanwhile are as good as before."""
    (directory / AGE_FILE).unlink()
    roster = private(directory / "users.txt", PLAIN + f"eve:{PASSWORD}\nfay:{PASSWORD}\n".encode())
    verb = f"{sys.executable} -m dbroster"
    others = f"{verb} add cyd --config {directory}; {verb} remove eve --config {directory}"
    editor(f"echo '{MORE}' >> \"$1\"; {others}; {verb} passwd ann --config {directory}")
    assert edit(directory) == 0
    lines = dict(line.split(":") for line in roster.read_text().splitlines()[1:])
    assert list(lines) == ["ann", "fay", "cyd", "bob"]
    assert (lines["fay"], lines["bob"]) == (PASSWORD, OTHER_PASSWORD)
    assert lines["ann"] != PASSWORD


@pytest.mark.parametrize(
    ("mine", "theirs", "said"),
    [
        (f"s/{PASSWORD}/{OTHER_PASSWORD}/", "remove ann", "users.txt line 2: ann: both you and somebody else have"),
        ("/^ann/d", "passwd ann", "users.txt line 2: ann: both you and somebody else have changed or removed this"),
        (f"$ a cyd:{PASSWORD}", "add cyd", "users.txt line 4: cyd: the user stands in line 3 already, with another"),
    ],
)
def test_a_change_that_contradicts_another_one(
    directory: Path,
    editor: Editor,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    mine: str,
    theirs: str,
    said: str,
) -> None:
    """A5: a person decides, and sees both; without one, the roster stays as the other one has written it."""
    (directory / AGE_FILE).unlink()
    roster = private(directory / "users.txt", PLAIN)
    other = f"{sys.executable} -m dbroster {theirs} --config {directory}; cp {roster} {tmp_path}/theirs"
    editor(f"test -e {tmp_path}/theirs || {{ sed -i '{mine}' \"$1\"; {other}; }}")
    assert edit(directory) == 2
    assert said in capfd.readouterr().err
    assert roster.read_bytes() == (tmp_path / "theirs").read_bytes()

    private(roster, PLAIN)
    (tmp_path / "theirs").unlink()
    again = f"sed -i '/^cyd/d' \"$1\"; echo '{MORE}' >> \"$1\""
    editor(f"test -e {tmp_path}/theirs && {{ {again}; exit; }}; sed -i '{mine}' \"$1\"; {other}")
    at_terminal("e\n", monkeypatch)
    assert edit(directory) == 0
    out, err = capfd.readouterr()
    assert said in err
    assert "what somebody else has changed in it meanwhile was kept" in out
    assert roster.read_bytes().endswith(f"{MORE}\n".encode())


def test_what_somebody_else_has_left_half_is_not_merged(
    directory: Path, editor: Editor, capfd: pytest.CaptureFixture[str]
) -> None:
    """A7: a line that was cut would become whole."""
    (directory / AGE_FILE).unlink()
    roster = private(directory / "users.txt", PLAIN)
    editor(f"echo '{MORE}' >> \"$1\"; printf 'cyd:Corr' >> {roster}")
    assert edit(directory) == 2
    assert "was changed by somebody else meanwhile; it was left so" in capfd.readouterr().err
    assert roster.read_bytes() == PLAIN + b"cyd:Corr"


def test_somebody_who_holds_the_lock_for_ever(
    directory: Path, editor: Editor, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """C1: everybody who may read the directory can lock it."""
    monkeypatch.setattr(write, "PATIENCE", 0.1)
    before = files(directory)
    editor(f"echo '{MORE}' >> \"$1\"")
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert edit(directory) == 2
    finally:
        os.close(descriptor)
    assert f"another process holds {directory} locked; nothing was changed" in capfd.readouterr().err
    assert files(directory) == before


def test_who_edits_is_never_locked_out(
    directory: Path, tmp_path: Path, editor: Editor, capfd: pytest.CaptureFixture[str]
) -> None:
    before = (directory / AGE_FILE).read_bytes()
    (directory / RECIPIENTS_FILE).write_text(age_key(tmp_path, "colleague").public)
    editor(f"echo '{MORE}' >> \"$1\"")
    assert edit(directory) == 2
    assert "holds no identity that it was encrypted for" in capfd.readouterr().err
    assert (directory / AGE_FILE).read_bytes() == before


def test_without_recipients_the_editor_is_not_opened(
    directory: Path, tmp_path: Path, editor: Editor, capfd: pytest.CaptureFixture[str]
) -> None:
    (directory / RECIPIENTS_FILE).unlink()
    editor(f"touch {tmp_path}/opened")
    assert edit(directory) == 2
    assert f"{RECIPIENTS_FILE} does not exist" in capfd.readouterr().err
    assert not (tmp_path / "opened").exists()


def test_what_a_command_prints_can_t_be_edited(
    directory: Path, editor: Editor, capfd: pytest.CaptureFixture[str]
) -> None:
    (directory / AGE_FILE).unlink()
    private(directory / "connections.yaml", f"users_command: [echo, 'ann:x']\n{CONNECTIONS}")
    assert edit(directory) == 2
    assert "edit it with the tool it belongs to" in capfd.readouterr().err


def test_nothing_to_edit(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (directory / AGE_FILE).unlink()
    assert edit(directory) == 2
    assert "users.txt does not exist" in capfd.readouterr().err


def test_a_wrong_identity(directory: Path, tmp_path: Path, editor: Editor, capfd: pytest.CaptureFixture[str]) -> None:
    assert edit(directory, "--identity", str(age_key(tmp_path, "other").path)) == 2
    assert "holds no identity that it was encrypted for" in capfd.readouterr().err


# --- once more ------------------------------------------------------------------------------------------------------


def at_terminal(answers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answers))


def test_problems_can_be_mended_in_the_same_file(
    directory: Path,
    key: Key,
    tmp_path: Path,
    editor: Editor,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    editor(f'test -e {tmp_path}/second && sed -i \'s/^bob$/{MORE}/\' "$1" || echo bob >> "$1"; touch {tmp_path}/second')
    at_terminal("what?\ne\n", monkeypatch)
    assert edit(directory) == 0
    assert opened(directory / AGE_FILE, key) == PLAIN + f"{MORE}\n".encode()
    err = capfd.readouterr().err
    assert err.count("users.txt.age line 3: no colon") == 1
    assert err.count("e: edit again, q: give up") == 2


@pytest.mark.parametrize("answers", ["q\n", "Q\n", "e\nq\n", ""])
def test_giving_up(
    directory: Path,
    memory: Path,
    editor: Editor,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answers: str,
) -> None:
    before = files(directory)
    editor('echo bob >> "$1"')
    at_terminal(answers, monkeypatch)
    assert edit(directory) == 2
    assert "given up, nothing was changed" in capfd.readouterr().err
    assert files(directory) == before
    assert list(memory.iterdir()) == []


# --- signals --------------------------------------------------------------------------------------------------------


@contextmanager
def begun(
    directory: Path, tmp_path: Path, editor: Editor, script: str, first: str = ""
) -> "Iterator[subprocess.Popen[str]]":
    """Run `dbroster edit`, from when the editor is at work."""
    os.mkfifo(tmp_path / "ready")
    editor(f"{first}echo $$ > {tmp_path}/process; echo > {tmp_path}/ready; {script}")
    command = [sys.executable, "-m", "dbroster", "edit", "--config", str(directory)]
    with running(command) as process:
        wait_for_word(tmp_path / "ready", process)
        yield process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("stubborn", [False, True])
def test_a_signal_wipes_the_plain_text_and_ends_the_editor(
    directory: Path, memory: Path, tmp_path: Path, editor: Editor, number: signal.Signals, stubborn: bool
) -> None:
    before = files(directory)
    trap = "trap '' TERM; " * stubborn
    with begun(directory, tmp_path, editor, "echo 'bob:x' >> \"$1\"; exec sleep 100", trap) as process:
        assert len(holding(PASSWORD, memory)) == 1
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"{number.name}: broken off, nothing was changed" in err
    assert list(memory.iterdir()) == []
    assert files(directory) == before
    assert not Path(f"/proc/{(tmp_path / 'process').read_text().strip()}").exists()


def test_ctrl_c_belongs_to_the_editor(directory: Path, key: Key, tmp_path: Path, editor: Editor) -> None:
    os.mkfifo(tmp_path / "go")
    script = f"read word < {tmp_path}/go; echo '{MORE}' >> \"$1\""
    with (
        (tmp_path / "go").open("r+b", buffering=0) as go,  # waits for no reader
        begun(directory, tmp_path, editor, script, "trap '' INT; ") as process,
    ):
        process.send_signal(signal.SIGINT)
        go.write(b"now\n")
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert opened(directory / AGE_FILE, key).endswith(f"{MORE}\n".encode())


def test_the_signals_are_as_before_afterwards(directory: Path, editor: Editor) -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    before = [signal.getsignal(number) for number in numbers]
    editor("exit 1")
    assert edit(directory) == 2
    assert [signal.getsignal(number) for number in numbers] == before
