"""`dbroster encrypt`: make users.txt.age of users.txt, and remove users.txt only when that is safe on disk."""

from collections.abc import Sequence
from pathlib import Path

from dbroster.errors import ConfigError
from dbroster.files.read import Files, read_file
from dbroster.files.write import alone_in, create_file, failing, wipe_file, write_public_file
from dbroster.model.problems import Problem
from dbroster.model.roster import AGE_FILE, USERS_FILE
from dbroster.roster.age import RECIPIENTS_FILE, Identities, Recipients
from dbroster.roster.editing.judge import judge
from dbroster.roster.source import UsersSource


def encrypt(
    directory: Path, recipients: Sequence[str], recipients_file: Path | None, identity: Path | None = None
) -> str:
    """Encrypt the roster for the recipients, or those that are remembered already; returns what was done.

    Raises ConfigError when the roster is not fit for a sync or anything fails; users.txt is there and whole then.
    """
    users = UsersSource(Files(directory), identity).usable()
    if users.name != USERS_FILE:
        raise ConfigError([Problem(f"there is no {USERS_FILE} to encrypt: the roster comes from {users.name} already")])
    path, plain = directory / AGE_FILE, directory / USERS_FILE
    problems = [*_ties(plain), *judge(directory, users.data, USERS_FILE)]
    if problems:
        raise ConfigError(problems)
    keys = _recipients(directory, recipients, recipients_file)
    opened_by = _verified(data := keys.encrypt(users.data), users.data, identity, path)
    write_public_file(directory / RECIPIENTS_FILE, "".join(f"{text}\n" for text in keys.texts).encode())
    with failing(plain), alone_in(directory):
        if read_file(plain).data != users.data:
            raise ConfigError([Problem(f"{plain} was changed meanwhile; nothing was encrypted", USERS_FILE)])
        create_file(path, data)
        wipe_file(plain)
    count = f"{len(keys.texts)} recipient{'s' * (len(keys.texts) > 1)}"
    return (
        f"{AGE_FILE} was written for {count} ({opened_by}), who are listed in {RECIPIENTS_FILE}\n"
        f"{USERS_FILE} was removed; copies that a disk, a backup or a version control keeps are not"
    )


def _ties(path: Path) -> list[Problem]:
    """A file with two names would stay in clear under the other one."""
    if path.is_symlink():
        return [Problem(f"{path} is a link: encrypt where the file itself is", USERS_FILE)]
    if path.stat().st_nlink > 1:
        return [Problem(f"{path} has another name (a hard link), under which it would stay in clear", USERS_FILE)]
    return []


def _recipients(directory: Path, texts: Sequence[str], file: Path | None) -> Recipients:
    remembered = directory / RECIPIENTS_FILE
    if file is None and not texts and not remembered.exists():
        raise ConfigError([Problem("for whom? --recipient age1..., or --recipients-file FILE; both may be repeated")])
    listed = Recipients.read(file or remembered).texts if file or not texts else ()
    return Recipients.of([*texts, *listed], "--recipient")


def _verified(data: bytes, plain: bytes, identity: Path | None, path: Path) -> str:
    """Decrypt what was encrypted, before the plain text goes, if it can be done here."""
    identities = Identities.at_hand(identity)
    if identities is None:
        return "not opened again: no identity at hand"
    if identities.decrypt(data, path) != plain:
        raise ConfigError([Problem("what was encrypted is not what comes back; nothing was changed", AGE_FILE)])
    return f"opened again with {identities.path}"
