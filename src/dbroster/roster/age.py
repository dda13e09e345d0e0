"""Files in the age format (https://age-encryption.org/v1), by the optional library pyrage.

An identity is a secret key that opens a file, a recipient the public key that it was encrypted for; both may be ssh
keys. pyrage is imported when it is needed; without it everything but users.txt.age works. No text here is ever taken
from a key, nor from what a file holds.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from dbroster.errors import ConfigError
from dbroster.files.permissions import mode_problem, writers_problem
from dbroster.files.read import is_utf8, read_file
from dbroster.model.problems import Problem
from dbroster.model.roster import AGE_FILE

RECIPIENTS_FILE = f"{AGE_FILE}.recipients"
IDENTITY_VARIABLE = "DBROSTER_AGE_IDENTITY_FILE"
_ARMOR = b"-----BEGIN AGE ENCRYPTED FILE-----"
_HEADERS = (_ARMOR, b"age-encryption.org/")


def is_armored(data: bytes) -> bool:
    """Whether an age file is written in letters, to be sent by mail."""
    return data.lstrip().startswith(_ARMOR)


@dataclass(frozen=True, slots=True)
class Identities:
    """The secret keys of one file."""

    path: Path
    keys: Sequence[Any] = field(repr=False)

    @classmethod
    def find(cls, path: Path | None) -> "Identities":
        """Read the file that --identity or the environment names. Raises ConfigError, also when there is none."""
        named = path or _named()
        if named is None:
            text = f"{AGE_FILE} needs an identity: --identity FILE, or {IDENTITY_VARIABLE} in the environment"
            raise ConfigError([Problem(text, AGE_FILE)])
        content = read_file(named)
        problem = content.problem or mode_problem(named, content.mode, "a secret key")
        if not problem and content.data.startswith(_HEADERS):
            problem = Problem(f"{named} is encrypted itself; dbroster can't ask for its passphrase", named.name)
        if problem:
            raise ConfigError([problem])
        if content.data.startswith(b"-----BEGIN"):
            return cls(named, [_ssh_identity(content.data, named)])
        keys = [_age_identity(text, named, number) for number, text in _lines(content.data, named)]
        if not keys:
            raise ConfigError([Problem(f"{named} holds no identity", named.name)])
        return cls(named, keys)

    @classmethod
    def at_hand(cls, path: Path | None) -> "Identities | None":
        """Read them as `find` does, if any are named at all."""
        return cls.find(path) if path or _named() else None

    def decrypt(self, data: bytes, path: Path) -> bytes:
        """Return the plain text of the file that `path` holds. Raises ConfigError."""
        pyrage = _pyrage()
        try:
            return bytes(pyrage.decrypt(data, list(self.keys)))
        except pyrage.DecryptError as error:
            reason = str(error)
        if "No matching keys" in reason:
            text = f"{path} can't be decrypted: {self.path} holds no identity that it was encrypted for"
        else:
            text = f"{path} can't be decrypted: it is damaged, cut short, or no age file"
        raise ConfigError([Problem(text, path.name)])


@dataclass(frozen=True, slots=True)
class Recipients:
    """The public keys that a file is encrypted for, as texts to remember and as keys to use."""

    texts: tuple[str, ...]
    keys: Sequence[Any] = field(repr=False)

    @classmethod
    def of(cls, texts: Iterable[str], where: str) -> "Recipients":
        """Take public keys as they are written; `where` names their place in a problem. Raises ConfigError."""
        wanted = tuple(dict.fromkeys(text.strip() for text in texts))
        if not wanted:
            raise ConfigError([Problem(f"{where} names no recipient: a public key, age1... or ssh-...")])
        return cls(wanted, [_recipient(text, where, number) for number, text in enumerate(wanted, start=1)])

    @classmethod
    def read(cls, path: Path) -> "Recipients":
        """Read a file with one public key per line; blank lines and `#` as in users.txt. Raises ConfigError."""
        content = read_file(path)
        problem = content.problem or writers_problem(path, content.mode, "says who may decrypt the roster")
        if problem:
            raise ConfigError([problem])
        return cls.of((text for _, text in _lines(content.data, path)), str(path))

    def encrypt(self, data: bytes, *, armored: bool = False) -> bytes:
        """Return the age file. Raises ConfigError."""
        pyrage = _pyrage()
        try:
            return bytes(pyrage.encrypt(data, list(self.keys), armored=armored))
        except pyrage.EncryptError as error:
            text = f"nothing was encrypted: {error}"
        raise ConfigError([Problem(text, AGE_FILE)])


def _named() -> Path | None:
    value = os.environ.get(IDENTITY_VARIABLE)
    return Path(value) if value else None


def _pyrage(part: str = "pyrage") -> Any:
    try:
        return import_module(part)
    except ImportError:
        text = f"{AGE_FILE} needs the library pyrage, which is not installed: pip install pyrage"
    raise ConfigError([Problem(text, AGE_FILE)])


def _lines(data: bytes, path: Path) -> Iterator[tuple[int, str]]:
    """Number the lines of a file with keys, but for blank ones and comments."""
    if not is_utf8(data):
        raise ConfigError([Problem(f"{path} is not UTF-8", path.name)])
    for number, line in enumerate(data.decode("utf-8").splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()


def _ssh_identity(data: bytes, path: Path) -> Any:
    pyrage = _pyrage()
    try:
        return _pyrage("pyrage.ssh").Identity.from_buffer(data)
    except pyrage.IdentityError:
        text = f"{path} can't be used: an ssh key must be ed25519 or rsa, without a passphrase"
    raise ConfigError([Problem(text, path.name)])


def _age_identity(text: str, path: Path, number: int) -> Any:
    pyrage = _pyrage()
    try:
        return _pyrage("pyrage.x25519").Identity.from_str(text)
    except pyrage.IdentityError:
        problem = Problem("not an identity: expected AGE-SECRET-KEY-1...", path.name, number)
    raise ConfigError([problem])


def _recipient(text: str, where: str, number: int) -> Any:
    pyrage = _pyrage()
    module = _pyrage("pyrage.ssh" if text.startswith("ssh-") else "pyrage.x25519")
    try:
        return module.Recipient.from_str(text)
    except pyrage.RecipientError:
        problem = f"{where}: recipient {number} is no public key that can be used: expected age1..., ssh-ed25519 ... "
    raise ConfigError([Problem(f"{problem}or ssh-rsa ...")])
