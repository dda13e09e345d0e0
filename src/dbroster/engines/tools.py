"""Running a database's own programs: passwords by files in memory, output into files, errors in one sentence."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

from dbroster.errors import OperationError
from dbroster.secret import scrub

_SHOWN = 600  # characters of what a program says about its failure


def find(*names: str) -> str | None:
    """Return the first of these programs that is installed."""
    return next((path for name in names if (path := shutil.which(name))), None)


def version(program: str) -> str:
    """Return what a program says of itself with --version; empty when it can't be run."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, errors="replace", check=False)
    except OSError:
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
    *,
    environment: Mapping[str, str],
    secrets: Iterable[str] = (),
    descriptors: Sequence[int] = (),
    source: IO[bytes] | None = None,
    target: IO[bytes] | None = None,
) -> str:
    """Run a program, from a file and into a file, and return what it has said. Raises OperationError if it failed.

    It is in a session of its own, so that Ctrl-C lets it finish; its environment holds none of the secrets.
    """
    hidden = [secret for secret in secrets if secret]
    inherited = {key: value for key, value in os.environ.items() if not any(secret in value for secret in hidden)}
    with tempfile.TemporaryFile() as said:
        try:
            done = subprocess.run(
                arguments,
                env={**inherited, "LC_ALL": "C.UTF-8", **environment},
                stdin=source or subprocess.DEVNULL,
                stdout=target or said,
                stderr=said,
                pass_fds=descriptors,
                start_new_session=True,
                check=False,
            )
        except OSError as error:
            raise OperationError(f"{arguments[0]} can't be run: {error.strerror}") from None
        said.seek(0)
        text = said.read(_SHOWN * 4 if done.returncode else -1).decode(errors="replace")
    if done.returncode:
        raise OperationError(_failure(arguments[0], done.returncode, scrub(text, hidden)), str(done.returncode))
    return text


def _failure(program: str, code: int, text: str) -> str:
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"failed with exit code {code}"
    words = " ".join(text.split())[:_SHOWN]
    return f"{os.path.basename(program)} {how}{f': {words}' if words else ''}"  # noqa: PTH119 - a name, not a path
