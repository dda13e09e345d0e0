"""notify_command and --metrics: when they are told, what they get, and that their failure is a warning."""

import json
import os
import signal
import stat
import time
from pathlib import Path

import pytest

from dbroster.model.plan import Verb
from dbroster.run import notify
from tests.support.command import ANN, TWO, Command
from tests.support.samples import CONNECTIONS, PASSWORD, config, private

SCRIPT = """\
#!/bin/sh
cat > told.json
env > told.env
pwd > told.pwd
echo this is no part of the report
"""


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    command = Command(config(tmp_path, TWO), capsys)
    tell_by(command, SCRIPT)
    return command


def tell_by(command: Command, script: str) -> None:
    """Let a script be told."""
    path = private(command.directory / "tell", script)
    path.chmod(0o700)
    private(command.directory / "connections.yaml", f"notify_command: [{path}]\n{CONNECTIONS}")


def told(command: Command) -> dict[str, object]:
    """Return what the script was told, or nothing; the next run begins anew."""
    path = command.directory / "told.json"
    document: dict[str, object] = json.loads(path.read_text()) if path.exists() else {}
    path.unlink(missing_ok=True)
    return document


def test_the_program_reads_the_json_report_of_a_change(command: Command) -> None:
    assert command("sync", "--output", "json") == 0
    assert told(command) == command.document  # what it prints is no part of our output
    assert (command.directory / "told.pwd").read_text().strip() == str(command.directory.resolve())
    assert command.err == ""


def test_it_is_told_of_changes_failures_and_refusals_and_of_nothing_else(command: Command) -> None:
    assert command("sync", "--dry-run") == 0
    assert command("check") == 0
    assert told(command) == {}
    command("sync")
    assert told(command)
    private(command.directory / "users.txt", TWO + "broken\n")
    assert command("sync") == 1  # nothing was changed, and nothing failed
    assert told(command) == {}
    private(command.directory / "users.txt", "")
    assert command("sync") == 3
    assert told(command)["exit_code"] == 3
    private(command.directory / "users.txt", TWO + f"eve:{PASSWORD}\n")
    command.server().fail(Verb.CREATE_USER, "eve")
    assert command("sync") == 1
    assert told(command)["exit_code"] == 1
    command.server().lacking = ["GRANT x"]
    assert command("sync") == 2
    assert told(command)["exit_code"] == 2


def test_it_gets_no_secret(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBROSTER_X", "S3cr3t-of-ours")
    monkeypatch.setenv("ADMIN_WORD", "S3cr3t-of-the-admin")
    monkeypatch.setenv("OTHER_WORD", "for the program")
    path = command.directory / "connections.yaml"
    private(path, path.read_text().replace("HOME", "ADMIN_WORD"))
    assert command("sync") == 0
    environment = (command.directory / "told.env").read_text()
    assert "S3cr3t" not in environment
    assert "OTHER_WORD=for the program" in environment
    assert PASSWORD not in json.dumps(told(command))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("#!/bin/sh\nexit 7\n", "failed with exit code 7"),
        ("#!/nowhere\n", "can't be started"),
        ("#!/bin/sh\necho $$ > told.pid\nexec sleep 600\n", "was not done after 0.5 seconds, and was ended"),
    ],
)
def test_its_failure_is_a_warning(command: Command, monkeypatch: pytest.MonkeyPatch, script: str, said: str) -> None:
    monkeypatch.setattr(notify.notify, "__defaults__", (0.5,))
    tell_by(command, script)
    began = time.monotonic()
    assert command("sync", "--quiet") == 0
    assert time.monotonic() - began < 60
    assert command.err.startswith("warning: notify_command in connections.yaml: ")
    assert said in command.err
    pid = command.directory / "told.pid"
    if pid.exists():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), signal.SIG_DFL)


def test_ctrl_c_meanwhile_ends_the_program_and_changes_no_exit_code(command: Command) -> None:
    """X8: a traceback, and the exit code of a run that was broken off."""
    tell_by(command, "#!/bin/sh\ncat > told.json\nkill -INT $PPID\nexec sleep 600\n")
    assert command("sync", "--quiet") == 0
    assert "was not done before Ctrl-C, and was ended" in command.err


def test_a_wrong_one_is_a_problem_before_anything_is_done(command: Command) -> None:
    private(command.directory / "connections.yaml", f"notify_command: mail\n{CONNECTIONS}")
    assert command("check") == 2
    assert "notify_command: expected a list of texts" in command.out
    assert command("sync") == 2
    assert command.servers == {}


def test_metrics_are_written_after_each_run_and_their_failure_is_a_warning(command: Command) -> None:
    path = command.directory / "dbroster.prom"
    assert command("sync", "--metrics", str(path)) == 0
    assert 'dbroster_actions{engine="postgresql",server="default",status="done"} 6\n' in path.read_text()
    assert command("sync", "--metrics", str(path)) == 0
    assert 'dbroster_actions{engine="postgresql",server="default",status="done"} 0\n' in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert command("sync", "--metrics", str(command.directory)) == 0
    assert command.err.startswith(f"warning: {command.directory} is not a regular file")
    private(command.directory / "users.txt", ANN)
    assert command("plan", "--metrics", str(path)) == 2
    assert "--metrics is for runs" in command.err
