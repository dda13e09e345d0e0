"""Running a database's own programs: passwords by files in memory, output into files, errors in one sentence.

Each program ends: with its work, when it makes no progress for `timeout` seconds, with `waits.end_all`, or with this
process. Nothing in the environment tells it where to work.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from dbroster.engines.waits import breakable
from dbroster.errors import ConnectError, OperationError, Stalled
from dbroster.model.connection import Connection
from dbroster.passwords.secret import scrub

_SHOWN = 600  # characters of what a program says about its failure
_LOOK = 0.5  # seconds between two looks at a program's progress
_VERSION_TIMEOUT = 10  # seconds

ERROR = re.compile(r"^.*\berror\b.*", re.IGNORECASE | re.MULTILINE)

_DECIDING = ("PG", "MYSQL", "MARIADB", "LIBMYSQL")
"""How variables begin that would tell a client program where to work, as whom, and how."""

# a program on a leash: the system kills it when the thread that waits for it is gone, whatever has ended that
_LEASH = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); parent, *program = sys.argv[1:]; "
    "os.getppid() == int(parent) or sys.exit(1); os.execv(program[0], program)"
)


def find(*names: str) -> str | None:
    """Return the first of these programs that is installed."""
    return next((path for name in names if (path := shutil.which(name))), None)


def version(program: str) -> str:
    """Return what a program says of itself with --version; empty when it can't be run."""
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, errors="replace", check=False,
            stdin=subprocess.DEVNULL, timeout=_VERSION_TIMEOUT, env=_inherited(()),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


@contextmanager
def memory_file(text: str) -> Iterator[int]:
    """Yield a descriptor of a file that exists in memory only, for a program that wants a password in a file."""
    descriptor = os.memfd_create("dbroster", os.MFD_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, text.encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def run(
    arguments: Sequence[str],
    connection: Connection,
    *,
    environment: Mapping[str, str],
    secrets: Iterable[str] = (),
    descriptors: Sequence[int] = (),
    source: IO[bytes] | None = None,
    target: IO[bytes] | None = None,
    forced: re.Pattern[str] | None = None,
) -> str:
    """Run a program, from a file and into a file, and return what it has said.

    Raises OperationError if it failed, Stalled if it made no progress, ConnectError if another thread has ended it.
    Where `forced` is in what it has said, it may have failed: it went on after errors.
    It is in a session of its own, so that Ctrl-C lets it finish; its environment holds none of the secrets.
    """
    hidden = [secret for secret in secrets if secret]
    program = shutil.which(arguments[0])
    if program is None:
        raise OperationError(f"{arguments[0]} can't be run: it is not there")
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid()), program, *arguments[1:]],
                env={**_inherited(hidden), "LC_ALL": "C.UTF-8", **environment},
                stdin=source or subprocess.DEVNULL,
                stdout=target or said,
                stderr=said,
                pass_fds=descriptors,
                start_new_session=True,
            )
        except OSError as error:
            raise OperationError(f"{program} can't be run: {error.strerror}") from None
        code = _wait(process, program, connection, [file.fileno() for file in (source, target, said) if file])
        said.seek(0)
        text = said.read().decode(errors="replace")
    if code and not (forced and code > 0 and forced.search(text)):
        raise OperationError(_failure(program, code, scrub(_reason(text), hidden)), str(code))
    return scrub(text, hidden)


def _reason(text: str) -> str:
    """What a program has said from its first error on; before that stands what went well."""
    found = ERROR.search(text)
    return text[found.start() :] if found else text


def _inherited(hidden: Sequence[str]) -> dict[str, str]:
    """What of our environment a program gets: nothing that would decide where it works, and no secret."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(_DECIDING) and not any(secret in value for secret in hidden)
    }


def _wait(process: subprocess.Popen[bytes], program: str, connection: Connection, files: Sequence[int]) -> int:
    """Wait until a program has ended; end it when nothing has been read or written for too long."""
    ended = []

    def end() -> None:
        ended.append(True)
        _signal(process)

    name = Path(program).name
    try:
        with breakable(connection, end):
            code = _watch(process, connection.timeout, files)
    except BaseException:
        _kill(process)
        raise
    if ended:
        raise ConnectError(f"{name} was ended, since the run ends")
    if code is None:
        where = f"{connection.host}:{connection.port}"
        raise Stalled(
            f"{name} made no progress with {where} for {connection.timeout} s and was ended "
            "(the key `timeout` in connections.yaml)"
        )
    return code


def _watch(process: subprocess.Popen[bytes], patience: float, files: Sequence[int]) -> int | None:
    """Return the exit code, or None after ending a program without progress.

    Files are shared with the program, so their positions tell how far it has come.
    """
    before, since = None, time.monotonic()
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(min(_LOOK, patience))
        now = [(os.lseek(file, 0, os.SEEK_CUR), os.fstat(file).st_size) for file in files]
        if now != before:
            before, since = now, time.monotonic()
        elif time.monotonic() - since > patience:
            _kill(process)
            return None


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        _signal(process)
        process.wait()


def _signal(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and all that it has started; it leads a group of its own."""
    if process.returncode is None:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)


def _failure(program: str, code: int, text: str) -> str:
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"failed with exit code {code}"
    words = " ".join(text.split())[:_SHOWN]
    return f"{Path(program).name} {how}{f': {words}' if words else ''}"
