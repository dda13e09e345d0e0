"""Runs of dbroster that need not import everything again: a process that has done so forks one for each run.

A short run spends most of its processor time on the start of Python and on imports, and the tests make two thousand
of them. What is forked runs the script itself, as a process with its own arguments, environment, output and signals.
`make soak` starts a fresh Python each time, and so do tests of how dbroster starts, and of terminals and streams.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

SERVER = Path(__file__).with_name("warm_server.py")
SOURCE = str(Path(__file__).resolve().parents[2] / "src")
FRESH = bool(os.environ.get("DBROSTER_SOAK"))
PATIENCE = 200.0
_MESSAGE = 1 << 16


def _read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """What Python reads of its environment once, when it starts."""
    given = {name: value for name, value in environment.items() if name.startswith(("PYTHON", "LC_", "LANG"))}
    return {"PYTHONPATH": SOURCE, **given}


_AT_START = _read_at_start({**os.environ, "PYTHONPATH": SOURCE})


def with_nothing_but_a_path() -> dict[str, str]:
    """An environment that says where programs are, and no more than Python has read at its start."""
    return {"PATH": os.environ["PATH"], **_AT_START}


@cache
def _server() -> socket.socket:
    """Start the process that forks; it ends when nobody can give it orders any more."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, "-P", str(SERVER), str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


class Forked:
    """A run in a forked process: as much of `subprocess.Popen` as the tests need."""

    def __init__(self, program: Sequence[str], environment: Mapping[str, str]) -> None:
        self._output = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - for `communicate`
        self._told, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        order = json.dumps({"program": program, "environment": dict(environment), "directory": str(Path.cwd())})
        with theirs:
            files = [*(file.fileno() for file in self._output), theirs.fileno()]
            socket.send_fds(_server(), [order.encode()], files)
        self.pid = int(self._told.recv(_MESSAGE))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        self._hear(0)
        return self.returncode

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait for its end; raises subprocess.TimeoutExpired."""
        self._hear(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return self.returncode

    def _hear(self, timeout: float) -> None:
        """Take the exit code, if it comes in time; not by `select`, which knows files up to number 1023 only."""
        if self.returncode is None:
            self._told.settimeout(timeout)
            with suppress(TimeoutError, BlockingIOError):
                self.returncode = int(self._told.recv(_MESSAGE))
                self._told.close()

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL it."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = PATIENCE) -> tuple[str, str]:
        """Wait for its end and return what it has written."""
        self.wait(timeout)
        said = []
        for file in self._output:
            with file:
                file.seek(0)
                said.append(file.read().decode())
        return said[0], said[1]


Process = Forked | subprocess.Popen[str]


def start(program: Sequence[str], environment: Mapping[str, str] | None = None) -> Process:
    """Start a script, or `-m dbroster`, with its arguments."""
    given = {"PYTHONPATH": SOURCE, **(os.environ if environment is None else environment)}
    if FRESH or _read_at_start(given) != _AT_START:
        pipe = subprocess.PIPE
        return subprocess.Popen([sys.executable, *program], stdout=pipe, stderr=pipe, text=True, env=given)
    return Forked(program, given)


def run(
    program: Sequence[str], environment: Mapping[str, str] | None = None, timeout: float = PATIENCE
) -> tuple[int, str, str]:
    """Run it to its end and return exit code, output and errors; what takes too long is killed."""
    process = start(program, environment)
    try:
        out, err = process.communicate(timeout=timeout)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return process.wait(), out, err
