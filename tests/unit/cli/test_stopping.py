"""SIGTERM: what runs is finished, then broken off, and then the process ends without it."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event

import pytest

from dbroster.cli import stopping
from dbroster.cli.stopping import Stopping
from dbroster.engines.base import Handler
from dbroster.errors import ConnectError
from dbroster.model.connection import Connection
from tests.fake import FakeHandler, FakeServer, fake_connection
from tests.support.bounded import within
from tests.support.samples import PASSWORD, private
from tests.support.waiting import wait_until

PROGRAM = """
import sys
from pathlib import Path
from threading import Event
from dbroster.cli.main import main
from dbroster.errors import ConnectError
from tests.fake import FakeHandler, FakeServer, fake_connection

class Silent(FakeHandler):
    aborted = Event()
    def get_existing_users(self):
        print("reading", file=sys.stderr, flush=True)
        self.aborted.wait()
        raise ConnectError("broken off")
    def abort(self):
        if {polite}:
            self.aborted.set()

def connect(connection):
    return Silent.open(fake_connection(FakeServer()))

sys.exit(main(["sync", "postgresql", "--config", sys.argv[1]], connect=connect))
"""


def config(directory: Path) -> None:
    private(directory / "users.txt", f"ann:{PASSWORD}\n")
    private(directory / "postgresql_databases.txt", "web\n")
    private(directory / "connections.yaml", "postgresql: {host: 127.0.0.1, username: admin, password: secret}\n")


def test_one_signal_ends_a_program_that_prints_the_roster(tmp_path: Path) -> None:
    """C1: it is in a session of its own, so nobody else would end it."""
    config(tmp_path)
    (tmp_path / "users.txt").unlink()
    program = "users_command: [sh, -c, 'echo $$ > pid; echo waiting >&2; mkfifo gate; cat gate']"
    private(tmp_path / "connections.yaml", f"{program}\n{(tmp_path / 'connections.yaml').read_text()}")
    command = [sys.executable, "-m", "dbroster", "sync", "postgresql", "--config", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_until((tmp_path / "gate").exists)
        with within(10):
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "users_command in connections.yaml: it was ended by SIGKILL" in out
    assert not Path("/proc", (tmp_path / "pid").read_text().strip(), "fd").exists()


@pytest.mark.parametrize("polite", [True, False])
def test_one_signal_ends_a_run_whose_server_is_silent(tmp_path: Path, polite: bool) -> None:
    """C1: within ten seconds, with a report that names the server, also when its driver can't be broken off."""
    config(tmp_path)
    command = [sys.executable, "-c", PROGRAM.format(polite=polite), str(tmp_path)]
    pipe, environment = subprocess.PIPE, {"PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        assert process.stderr
        assert process.stderr.readline() == "reading\n"
        with within(10):
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=60)
    assert process.returncode == 2, (out, err)
    assert "SIGTERM" in err
    assert out.startswith("postgresql")
    assert ("broken off" if polite else "127.0.0.1:5432 did not answer before the run had to end") in out


UNSEEN = """
import signal, sys, threading
from dbroster.cli import stopping
stopping.FINISH = 0.5

def send():
    # join waits in a function of its own up to Python 3.12
    waiting = "_wait_for_tstate_lock" if hasattr(threading.Thread, "_wait_for_tstate_lock") else "join"
    while sys._current_frames()[threading.main_thread().ident].f_code.co_name != waiting:
        continue
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
"""


def test_a_signal_that_wakes_nobody_ends_the_run_as_well(tmp_path: Path) -> None:
    """C1: one that comes just before the main thread begins to wait; here another thread takes it."""
    config(tmp_path)
    program = PROGRAM.format(polite=True).replace('print("reading", file=sys.stderr, flush=True)', "send()")
    environment = {"PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", UNSEEN + program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == 2, done
    assert "SIGTERM" in done.stderr
    assert "broken off" in done.stdout


class Counting(FakeHandler):
    """A fake that notes how often it was broken off."""

    aborts = 0

    def abort(self) -> None:
        self.aborts += 1


def test_every_open_connection_is_broken_off_and_no_new_one_opened() -> None:
    """C1: also one that was being opened in that very moment."""
    server, opening = FakeServer(), Event()

    def connect(connection: Connection) -> Handler:
        if opening.is_set():
            stop.break_off()
        return Counting.open(connection)

    stop = Stopping(connect)
    first, second = (stop.connect(fake_connection(server)) for _ in range(2))
    opening.set()
    third = stop.connect(fake_connection(server))
    assert [getattr(handler, "aborts", None) for handler in (first, second, third)] == [1, 1, 1]
    with pytest.raises(ConnectError, match="told to end"):
        stop.connect(fake_connection(server))


def test_a_run_that_ends_by_itself_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "FINISH", 0.2)
    stop = Stopping(Counting.open)
    handler = stop.connect(fake_connection(FakeServer()))
    with stop.on_signals(lambda: 1):
        signal.raise_signal(signal.SIGTERM)
        assert stop.wish.wait(5)
    time.sleep(0.3)  # longer than FINISH
    assert isinstance(handler, Counting)
    assert handler.aborts == 0
