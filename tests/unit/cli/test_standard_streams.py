"""C9: whatever stdout and stderr are, a run ends with its own exit code, and without a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dbroster.errors import defect
from tests.support.samples import PASSWORD, config

CHECK = f"{sys.executable} -m dbroster check --config"
REDIRECTED = ["> /dev/full", ">&-", "2>&-", "2> /dev/full", ">&- 2>&-", "<&- >&- 2>&-", "> /dev/full 2>&1", "| true"]


def shell(command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    given = {**os.environ, **environment}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False, timeout=60, env=given
    )


@pytest.mark.parametrize("redirected", REDIRECTED)
@pytest.mark.parametrize(("users", "code"), [(f"ann:{PASSWORD}\n", 0), ("ann:\n", 1), (None, 2)])
def test_the_exit_code_survives(users: str | None, code: int, redirected: str, tmp_path: Path) -> None:
    """C9: of a run that is well, one with problems, and one that could not start; by turns as text and as JSON."""
    config(tmp_path, users or "")
    if users is None:
        (tmp_path / "connections.yaml").unlink()
    output = ("text", "json")[(code + REDIRECTED.index(redirected)) % 2]
    done = shell(f"{CHECK} {tmp_path} --output {output} {redirected}")
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    ("redirected", "reason"), [("> /dev/full", "No space left on device"), (">&-", "it is closed")]
)
def test_a_lost_report_is_said_on_stderr(redirected: str, reason: str, tmp_path: Path) -> None:
    """C9: with the exit code."""
    config(tmp_path, "ann:\n")
    done = shell(f"{CHECK} {tmp_path} {redirected}")
    assert f"the report could not be written to stdout: {reason}; the exit code is 1" in done.stderr


@pytest.mark.parametrize("redirected", REDIRECTED)
@pytest.mark.parametrize(
    ("arguments", "code"), [("--help", 0), ("--version", 0), ("nonsense", 2), ("edit --config /nowhere", 2)]
)
def test_verbs_and_errors_of_the_command_line(arguments: str, code: int, redirected: str) -> None:
    """C9: what argparse prints, too."""
    done = shell(f"{sys.executable} -m dbroster {arguments} {redirected}")
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "Exception ignored" not in done.stderr


def test_what_an_encoding_lacks_is_escaped(tmp_path: Path) -> None:
    """C9: a report with a word that a terminal's encoding has no letters for."""
    place = tmp_path / "dürectory"
    place.mkdir()
    done = shell(f"{CHECK} {place}", PYTHONIOENCODING="ascii")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "d\\xfcrectory" in done.stdout


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(28, "No space left on device", "/tmp/x"), "refused at /tmp/x: No space left on device"),
        (OSError(24, "Too many open files"), "refused: Too many open files"),
        (MemoryError(), "has no memory left"),
        (RuntimeError("can't start new thread"), "no thread can be started"),
        (RuntimeError("else"), "a defect in dbroster"),
    ],
)
def test_what_a_machine_runs_out_of_is_no_defect(error: Exception, told: str) -> None:
    """C9: wherever it happens."""
    with pytest.raises(type(error)) as caught:
        raise error
    assert told in defect(caught.value)
