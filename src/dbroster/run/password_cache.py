"""The password cache: which passwords were found right before, so that the slow computation is spared.

One file per server. Each line is an HMAC, under the file's own random key, of a user, the password, what the server
stores of it, and every setting that the answer hangs on; so a change of any of these misses. The file may be deleted
at any time, and one that is not exactly as it should be is ignored and made anew: no problem with it is ever an error.
It stands beside users.txt in every respect: who reads it can guess passwords quickly, who may write it could have
written users.txt.
"""

import hmac
import os
import re
import secrets
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from dbroster import __version__
from dbroster.files.read import MAX_BYTES
from dbroster.model.connection import Connection
from dbroster.model.roster import User
from dbroster.model.state import ExistingUser
from dbroster.passwords.verifiers.algorithms import QUICK

_HEAD = b"dbroster verification cache 1\n"
_WHOLE = re.compile(re.escape(_HEAD) + rb"(?:[0-9a-f]{64}\n)+")


class Cache:
    """What is remembered of one server; reads its file once, when it is made.

    Nothing is ever known of an account without verifiers (its password is checked by a login), nor is one kept whose
    verifiers are checked as quickly as the cache would be. When it is not `enabled` (an encrypted roster), it knows
    nothing, and `keep` removes the file.
    """

    def __init__(self, path: Path, connection: Connection, *, enabled: bool = True) -> None:
        self._path = path
        self._enabled = enabled
        # an update of dbroster may judge verifiers in another way
        settings = __version__, connection.engine, connection.server, connection.roster
        self._settings = repr((*settings, connection.options))
        key, *entries = _read(path) or (secrets.token_hex(32).encode(),)
        self._key = bytes.fromhex(key.decode())
        self._entries = frozenset(entries)

    def entry(self, user: User, existing: ExistingUser) -> bytes | None:
        """Return the line that stands for an account, as it is now, with this password; None for one never kept."""
        if not self._enabled or not _is_slow(existing):
            return None
        stored = [(str(verifier.algorithm), verifier.value.reveal()) for verifier in existing.verifiers]
        message = repr((self._settings, user.name, user.password.reveal(), stored))  # quoted, so never ambiguous
        return hmac.digest(self._key, message.encode(), "sha256").hex().encode()

    def knows(self, entry: bytes | None) -> bool:
        """Whether the password was found to be that of the account in an earlier run."""
        return entry in self._entries

    def keep(self, found: Iterable[bytes | None]) -> None:
        """Remember the entries of those who have their passwords, and forget all others."""
        entries = frozenset(entry for entry in found if entry)
        with suppress(OSError):
            if not entries:
                self._path.unlink(missing_ok=True)
            elif entries != self._entries:
                _write(self._path, self._key, entries)


def _is_slow(existing: ExistingUser) -> bool:
    return any(verifier.algorithm not in QUICK for verifier in existing.verifiers)


def _read(path: Path) -> list[bytes] | None:
    """Return key and entries; None when there is no such file, or when it is not one that `_write` has made."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        data = os.read(descriptor, status.st_size) if _is_ours(status) else b""
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return data.removeprefix(_HEAD).split() if _WHOLE.fullmatch(data) else None


def _is_ours(status: os.stat_result) -> bool:
    # no name at all is left when it was replaced since it was opened
    private = status.st_mode == stat.S_IFREG | 0o600 and status.st_nlink <= 1
    return private and status.st_uid == os.geteuid() and status.st_size <= MAX_BYTES


def _write(path: Path, key: bytes, entries: Iterable[bytes]) -> None:
    """Replace the file as a whole. The lock file lets in one writer at a time, so one name for the new file will do."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            file.write(_HEAD + b"".join(line + b"\n" for line in (key.hex().encode(), *sorted(entries))))
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
