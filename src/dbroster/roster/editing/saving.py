"""The roster as something that can be changed: what it holds, and how it is written, encrypted where it was."""

from collections.abc import Callable
from pathlib import Path

from dbroster.config.connections import USERS_COMMAND
from dbroster.errors import ConfigError
from dbroster.files.read import Files
from dbroster.files.write import replace_file
from dbroster.model.problems import Problem
from dbroster.model.roster import AGE_FILE, USERS_FILE
from dbroster.roster.age import RECIPIENTS_FILE, Identities, Recipients, is_armored
from dbroster.roster.source import Users, UsersSource

Save = Callable[[bytes], None]
"""Writes the roster anew, as a whole. Raises ChangedMeanwhile when it is not what was read any more."""


def changeable(directory: Path, identity: Path | None) -> tuple[Users, Save]:
    """Read the roster, and say how it is written. Raises ConfigError when it can't be read or written."""
    users = UsersSource(Files(directory), identity, strict=False).usable()
    if users.name == USERS_COMMAND:
        raise ConfigError([Problem(f"the roster is what {USERS_COMMAND} prints: edit it with the tool it belongs to")])
    return users, _encrypted(directory, identity, users) if users.name == AGE_FILE else _plain(directory, users)


def _encrypted(directory: Path, identity: Path | None, users: Users) -> Save:
    path = (directory / AGE_FILE).resolve()
    recipients = _recipients(directory)
    identities = Identities.find(identity)

    def save(data: bytes) -> None:
        encrypted = recipients.encrypt(data, armored=is_armored(users.stored))
        if identities.decrypt(encrypted, path) != data:
            raise ConfigError([Problem(f"{path} could not be written: what was encrypted is not what comes back")])
        replace_file(path, users.stored, encrypted)

    return save


def _recipients(directory: Path) -> Recipients:
    path = directory / RECIPIENTS_FILE
    if not path.exists():
        text = f"{path} does not exist: write the public keys for {AGE_FILE} into it, one per line"
        raise ConfigError([Problem(text, RECIPIENTS_FILE)])
    return Recipients.read(path)


def _plain(directory: Path, users: Users) -> Save:
    return lambda data: replace_file((directory / USERS_FILE).resolve(), users.stored, data)
