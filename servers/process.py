"""Starting server processes: as whom, in which session, and watched by the guard."""

import os
import pwd
import random
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from servers import guard

ENOUGH_MEMORY = 4 * 1024**3


@dataclass(frozen=True)
class Account:
    """The operating system account that a server runs as; None means the caller's own."""

    uid: int | None = None
    gid: int | None = None

    def own(self, directory: Path) -> None:
        """Hand a directory and all that is in it to this account."""
        if self.uid is None or self.gid is None:
            return
        for path in (directory, *directory.rglob("*")):
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def account_for(program: Path) -> Account:
    """Root starts servers as `nobody`, unless the program lies where `nobody` cannot reach it (below /root, say)."""
    if os.geteuid() != 0 or not is_reachable(program.resolve()):
        return Account()
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


def given_programs(engine: str) -> Path | None:
    """The directory of a server's programs that $DBROSTER_TEST_POSTGRESQL_BIN, and so on, names."""
    given = os.environ.get(f"DBROSTER_TEST_{engine.upper()}_BIN")
    return Path(given).absolute() if given else None


def is_reachable(path: Path) -> bool:
    """Whether any account may come to this program or directory."""
    return all(part.stat().st_mode & stat.S_IXOTH for part in (path, *path.parents))


def new_directory(*, durable: bool, place: Path | None = None) -> Path:
    """An empty directory for a server, with a path short enough for a socket: in this place, if one is given.

    In memory if there is plenty (creating a PostgreSQL database there takes a third of the time), unless the data are
    meant to be durable: then it must lie on a disk, where the usual place for temporary files need not be.
    """
    memory = Path("/dev/shm")
    if place:
        parent = str(place)
    elif durable:
        parent = "/var/tmp"
    elif os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ENOUGH_MEMORY:
        parent = str(memory)
    else:
        parent = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="dbr-", dir=parent))


_CHANCE = random.SystemRandom()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on.

    Taken from below the range that the kernel uses for outgoing connections, so that a server which is stopped for a
    while finds its port free again. By chance of the system's own: a test runner gives the same seed to all that it
    starts side by side, and they would draw the same ports.
    """
    for _ in range(1000):
        port = _CHANCE.randrange(20000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port between 20000 and 32000")


def launch(
    command: Sequence[str],
    account: Account,
    directory: Path,
    log: IO[bytes],
    told: IO[bytes] | int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a server in the foreground of a session of its own: Ctrl-C in a terminal is for us, not for it."""
    return subprocess.Popen(
        command,
        cwd=directory,
        env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(directory), "LC_ALL": "C"},
        stdin=told,
        stdout=log,
        stderr=log,
        start_new_session=True,
        user=account.uid,
        group=account.gid,
        extra_groups=None if account.uid is None else [],
    )


def run(command: Sequence[str], account: Account, directory: Path, told: Path = Path(os.devnull)) -> None:
    """Run a helper of a server (initdb and the like) on a file to its end; a failure tells what it said."""
    log = directory / "initialise.log"
    with log.open("ab") as output, told.open("rb") as statements:
        code = launch(command, account, directory, output, statements).wait()
    if code != 0:
        said = log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{command[0]} failed with code {code}:\n{said}")


class _Guard:
    """The one watcher process of this program, started with the first server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def order(self, text: str) -> None:
        """Send an order (see `servers.guard`)."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._process = self._begin()
            assert self._process.stdin is not None
            self._process.stdin.write(text + "\n")
            self._process.stdin.flush()

    @staticmethod
    def _begin() -> subprocess.Popen[str]:
        command = [sys.executable, "-E", "-S", guard.__file__]
        return subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True)


WATCHER = _Guard()
"""Ends the servers of this program when the program is gone."""
