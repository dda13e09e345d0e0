"""Running a database's own programs."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dbroster.engines import programs, waits
from dbroster.errors import ConnectError, OperationError, Stalled
from dbroster.model.connection import Connection
from tests.support.waiting import wait_until

SECRET = "Correct-horse-7-battery"
SERVER = Connection("fake", "default", "db.example", 1234, "admin", None, timeout=60)
HASTY = SERVER._replace(timeout=3)  # a busy machine needs a second to start a program
SILENT = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
PARENT = 'sleep 600 & echo $! > "$0-child"; echo $$ > "$0"; wait'


def test_a_program_reads_a_secret_from_a_file_that_is_on_no_disk() -> None:
    with programs.memory_file(SECRET) as file:
        said = programs.run(
            [sys.executable, "-c", f"import os; p='/proc/self/fd/{file}'; "
             "print(open(p).read()[::-1], oct(os.stat(p).st_mode & 0o777))"],
            SERVER, environment={}, secrets=[SECRET], descriptors=[file],
        )  # fmt: skip
    assert said.split() == [SECRET[::-1], "0o600"]


def test_the_environment_that_is_passed_on_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_PASSWORD", SECRET)
    code = "import os; print(sorted(os.environ))"
    said = programs.run([sys.executable, "-c", code], SERVER, environment={"GIVEN": "x"}, secrets=[SECRET])
    assert "'GIVEN'" in said
    assert "ADMIN_PASSWORD" not in said


def test_a_failure_tells_what_the_program_said_but_no_secret() -> None:
    code = f"import sys; print('bad password {SECRET}', file=sys.stderr); sys.exit(3)"
    with pytest.raises(OperationError) as caught:
        programs.run([sys.executable, "-c", code], SERVER, environment={}, secrets=[SECRET])
    assert "failed with exit code 3: bad password" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_program_that_is_killed_or_missing_is_a_failure() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(OperationError, match="SIGKILL"):
        programs.run([sys.executable, "-c", code], SERVER, environment={})
    with pytest.raises(OperationError, match="can't be run"):
        programs.run(["/nowhere/pg_dump"], SERVER, environment={})


def test_the_first_program_that_is_installed_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "second").write_text("#!/bin/sh\necho second 2.0\n")
    (tmp_path / "second").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found = programs.find("first-that-nobody-has", "second")
    assert found == str(tmp_path / "second")
    assert programs.version(found) == "second 2.0\n"
    assert programs.find("first-that-nobody-has") is None
    assert programs.version("/nowhere/pg_dump") == ""


def number(path: Path) -> int:
    """The process that has written its number into a file, as soon as it has."""
    wait_until(lambda: path.exists() and path.read_text() != "")
    return int(path.read_text())


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_program_without_progress_is_ended_with_all_that_it_has_started(tmp_path: Path) -> None:
    """C1: pg_dump and its like wait for a server that has stopped answering."""
    file = tmp_path / "number"
    with pytest.raises(Stalled, match=r"made no progress with db\.example:1234 for 3 s .*`timeout`"):
        programs.run(["sh", "-c", PARENT, str(file)], HASTY, environment={})
    assert not is_running(number(file))
    wait_until(lambda: not is_running(number(Path(f"{file}-child"))))


def test_a_program_with_progress_may_take_its_time(tmp_path: Path) -> None:
    """C1: only silence ends a program: the timeout is 3 s, and these two take longer."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"x" * 8)
    written = "for n in 1 2 3 4 5 6 7 8; do echo x; sleep 0.4; done"
    read = 'while [ -n "$(head -c 1)" ]; do sleep 0.4; done'
    with target.open("wb") as to, source.open("rb") as of, ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(programs.run, ["sh", "-c", written], HASTY, environment={}, target=to),
            pool.submit(programs.run, ["sh", "-c", read], HASTY, environment={}, source=of),
        ]
        for run in runs:
            run.result()
    assert target.stat().st_size == 16


def test_another_thread_ends_a_program(tmp_path: Path) -> None:
    """C1: a SIGTERM for the run ends the programs that it waits for, those of its own server only."""
    file, caught = tmp_path / "number", list[BaseException]()

    def work() -> None:
        try:
            programs.run([sys.executable, "-c", SILENT, str(file)], SERVER._replace(timeout=600), environment={})
        except ConnectError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    process = number(file)
    waits.end_all(SERVER._replace(server="another"))
    assert is_running(process)
    waits.end_all(SERVER)
    thread.join(10)
    assert not thread.is_alive()
    assert [str(error) for error in caught] == [f"{Path(sys.executable).name} was ended, since the run ends"]
    assert not is_running(process)


def test_a_program_does_not_outlive_us(tmp_path: Path) -> None:
    """C1: a SIGKILL for dbroster leaves no pg_dump behind, which would hold the database and the draft."""
    code = """if True:
        import sys
        from dbroster.model.connection import Connection
        from dbroster.engines import programs
        server = Connection("fake", "default", "db.example", 1234, "admin", None)
        programs.run([sys.executable, "-c", sys.argv[1], sys.argv[2]], server, environment={})
    """
    file = tmp_path / "number"
    with subprocess.Popen([sys.executable, "-c", code, SILENT, str(file)]) as run:
        process = number(file)
        run.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_running(process))


def test_the_environment_does_not_tell_a_program_where_to_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """C4: PGHOSTADDR, PGSERVICE, MYSQL_HOST and the like decide nothing."""
    names = (
        "PGHOSTADDR",
        "PGSERVICE",
        "PGOPTIONS",
        "MYSQL_HOST",
        "MYSQL_TCP_PORT",
        "MARIADB_TLS_X",
        "LIBMYSQL_PLUGINS",
    )
    for name in names:
        monkeypatch.setenv(name, "elsewhere")
    said = programs.run(
        [sys.executable, "-c", "import os; print(sorted(os.environ))"], SERVER, environment={"PGPORT": "1"}
    )
    assert "PGPORT" in said
    assert not [name for name in names if name in said]


def test_what_a_program_says_before_its_error_is_not_in_the_way() -> None:
    code = "import sys; print('well\\n' * 1000, 'ERROR: no such thing', file=sys.stderr); sys.exit(1)"
    with pytest.raises(OperationError, match="exit code 1: ERROR: no such thing"):
        programs.run([sys.executable, "-c", code], SERVER, environment={})
