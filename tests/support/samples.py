"""Things that many unit tests need: users, rosters, config directories, terminals, full disks."""

import io
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dbroster.model.roster import Roster, User
from dbroster.passwords.secret import Secret

PASSWORD = "Correct-horse-7-battery"
OTHER_PASSWORD = "Another-staple-8-pony"

CONNECTIONS = """\
postgresql:
  host: 127.0.0.1
  username: admin
  password_env: HOME
"""


def user(name: str, password: str = PASSWORD, line: int = 1) -> User:
    return User(name, Secret(password), line)


def roster(*names: str, templates: tuple[str, ...] = ("web",), password: str = PASSWORD) -> Roster:
    """A roster as if each name stood on a line of its own."""
    users = {name: user(name, password, line) for line, name in enumerate(names, start=1)}
    return Roster(users, templates=templates)


def private(path: Path, text: str | bytes) -> Path:
    """Write a file that only its owner may read."""
    path.touch(mode=0o600)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o600)
    return path


def config(directory: Path, users: str = "", *, templates: str = "web\n", connections: str = CONNECTIONS) -> Path:
    """Write the files that a sync of PostgreSQL needs."""
    directory.mkdir(exist_ok=True, parents=True)
    private(directory / "users.txt", users)
    private(directory / "postgresql_databases.txt", templates)
    private(directory / "connections.yaml", connections)
    return directory


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """While the block runs, no file of this process can grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
