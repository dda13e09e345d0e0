"""Running a database's own programs."""

import os
import sys
from pathlib import Path

import pytest

from dbroster.engines import tools
from dbroster.errors import OperationError

SECRET = "Correct-horse-7-battery"


def test_a_program_reads_a_secret_from_a_file_that_is_on_no_disk() -> None:
    with tools.memory_file(SECRET) as file:
        said = tools.run(
            [sys.executable, "-c", f"import os; p='/proc/self/fd/{file}'; "
             "print(open(p).read()[::-1], oct(os.stat(p).st_mode & 0o777))"],
            environment={}, secrets=[SECRET], descriptors=[file],
        )  # fmt: skip
    assert said.split() == [SECRET[::-1], "0o600"]


def test_the_environment_that_is_passed_on_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_PASSWORD", SECRET)
    code = "import os; print(sorted(os.environ))"
    said = tools.run([sys.executable, "-c", code], environment={"GIVEN": "x"}, secrets=[SECRET])
    assert "'GIVEN'" in said
    assert "ADMIN_PASSWORD" not in said


def test_a_failure_tells_what_the_program_said_but_no_secret() -> None:
    code = f"import sys; print('bad password {SECRET}', file=sys.stderr); sys.exit(3)"
    with pytest.raises(OperationError) as caught:
        tools.run([sys.executable, "-c", code], environment={}, secrets=[SECRET])
    assert "failed with exit code 3: bad password" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_program_that_is_killed_or_missing_is_a_failure() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(OperationError, match="SIGKILL"):
        tools.run([sys.executable, "-c", code], environment={})
    with pytest.raises(OperationError, match="can't be run"):
        tools.run(["/nowhere/pg_dump"], environment={})


def test_the_first_program_that_is_installed_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "second").write_text("#!/bin/sh\necho second 2.0\n")
    (tmp_path / "second").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found = tools.find("first-that-nobody-has", "second")
    assert found == str(tmp_path / "second")
    assert tools.version(found) == "second 2.0\n"
    assert tools.find("first-that-nobody-has") is None
    assert tools.version("/nowhere/pg_dump") == ""
