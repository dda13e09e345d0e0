"""Bad bytes in what programs write: the encrypted roster, its keys, cache, audit log, and an archive's manifest."""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from dbroster.archive import MANIFEST, drafting
from dbroster.audit.log_files import AUDIT_FILE, head_of
from dbroster.model.connection import Removals
from dbroster.model.roster import AGE_FILE
from dbroster.roster.age import RECIPIENTS_FILE
from tests.fake import fake_connection
from tests.fake_server import digest
from tests.support.bad_input import ANN, Target
from tests.support.samples import OTHER_PASSWORD, PASSWORD, private
from tests.support.vault import age_key, sealed, ssh_key

BOB = f"bob:{PASSWORD}\n".encode()
CACHE_FILE = ".postgresql-default.cache"
STORED = ("age", "keys", "cache", "audit", "manifest")


class StoredTarget(Target):
    """The target of bad input, with a key for the roster, and everything that a good run leaves."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._key = age_key(directory)
        self._ssh = ssh_key(directory, "ed25519")
        self._secret = self._key.path.read_bytes()
        self._sealed = sealed(ANN, self._key, self._ssh)
        self._archive = self._made_archive()
        self._manifest = self._archive.with_name(self._archive.name + MANIFEST)
        self.seeds = self._seeds()

    def attack(self, kind: str, data: bytes) -> None:
        """Put bytes into one kind of file, as they are and in disguise, and run what reads it."""
        if kind not in STORED:
            return super().attack(kind, data)
        attacks: dict[str, Callable[[bytes], None]] = {
            "age": self._age, "keys": self._keys, "cache": self._cache, "audit": self._audit, "manifest": self._restore,
        }  # fmt: skip
        try:
            attacks[kind](data)
        finally:
            self._tidy()

    def _age(self, data: bytes) -> None:
        sound = sealed(ANN + data, self._key)
        for content in (data, _damaged(self._sealed, data), _damaged(sound, data), sound):
            self._encrypt(content)
            self.survives("sync", "postgresql", "--identity", str(self._key.path))

    def _keys(self, data: bytes) -> None:
        for content in (data, self._secret + data, _damaged(self._secret, data)):
            self._encrypt(self._sealed)
            private(self._key.path, content)
            self.survives("sync", "postgresql", "--identity", str(self._key.path))
            self._tidy()
            recipients = private(self.directory / "public", content)
            self.survives("encrypt", "--recipients-file", str(recipients))
            self._tidy()

    def _cache(self, data: bytes) -> None:
        """Whatever it holds, a password that is another one is never taken for the same."""
        for content in (data, self.seeds["cache"][0] + data, _damaged(self.seeds["cache"][0], data)):
            private(self.directory / CACHE_FILE, content)
            self.server.accounts["ann"].stored = digest(OTHER_PASSWORD)
            assert "  ~ ann  password changed" in self.survives("plan", "postgresql")[1]
            self.server.accounts["ann"].stored = digest(PASSWORD)
            assert "nothing to do" in self.survives("plan", "postgresql")[1]

    def _audit(self, data: bytes) -> None:
        """What can't be believed is told, and nothing is changed without a log."""
        log = self.directory / AUDIT_FILE
        rotated, packed = log.with_name(f"{AUDIT_FILE}.1"), log.with_name(f"{AUDIT_FILE}.2.gz")
        whole, record, archived = self.seeds["audit"][:3]
        bad = [
            (log, data), (log, _damaged(whole, data)), (head_of(log), data), (rotated, data), (packed, data),
            (packed, _damaged(archived, data)),
        ]  # fmt: skip
        for path, content in [(log, whole), (head_of(log), record), bad[sum(data) % len(bad)]]:
            private(path, content)
        self.survives("audit", "verify")
        self.write(users=ANN + BOB)
        before = len(self.server.changes())
        code, said = self.survives("sync", "postgresql")
        assert (code, len(self.server.changes())) == (2, before) or "bob_web" in self.server.databases, said
        self.survives("audit", "verify")

    def _restore(self, data: bytes) -> None:
        manifest = self._manifest.read_bytes()
        try:
            for content in (data, _damaged(manifest, data)):
                self._manifest.write_bytes(content)
                self.survives("restore", "postgresql", str(self._archive))
                self.server.databases["ann_web"].rows.clear()
        finally:
            self._manifest.write_bytes(manifest)

    # --- the scene --------------------------------------------------------------------------------------------------

    def _encrypt(self, content: bytes) -> None:
        (self.directory / "users.txt").unlink(missing_ok=True)
        private(self.directory / AGE_FILE, content)

    def _tidy(self) -> None:
        for name in (AGE_FILE, RECIPIENTS_FILE, CACHE_FILE):
            (self.directory / name).unlink(missing_ok=True)
        for path in self.directory.glob(f"{AUDIT_FILE}*"):
            path.unlink()
        self.write()
        private(self._key.path, self._secret)
        self.forget_others()

    def _made_archive(self) -> Path:
        removals = Removals(archive_dir=self.directory / "archives")
        with drafting(fake_connection(self.server, engine="postgresql", removals=removals), "Fake 1.0", "ann",
                      "ann_web", "rows", "json") as draft:  # fmt: skip
            draft.file.write(b'["one"]')
        return next((self.directory / "archives").rglob("*.rows"))

    def _seeds(self) -> dict[str, list[bytes]]:
        """Sound files of every kind, as a run leaves them."""
        self.write(users=ANN + BOB)
        code, said = self.survives("sync", "postgresql")
        assert code == 0, said
        log = (self.directory / AUDIT_FILE).read_bytes()
        record = head_of(self.directory / AUDIT_FILE).read_bytes()
        cache = (self.directory / CACHE_FILE).read_bytes()
        self._tidy()
        manifest = self._manifest.read_bytes()
        armored = sealed(ANN, self._key, armored=True)
        return {
            "age": [self._sealed, armored, BOB, b"\0\1\2" * 9],
            "keys": [self._secret, self._key.public.encode(), self._ssh.path.read_bytes(), self._ssh.public.encode()],
            "cache": [cache, cache[:30], b"\0\1\2"],
            "audit": [log, record, gzip.compress(log), log[: len(log) // 2], b"{}\n"],
            "manifest": [manifest, json.dumps([json.loads(manifest)]).encode(), b"{}", b"\0\1\2"],
        }


def _damaged(sound: bytes, data: bytes) -> bytes:
    """Change bytes of a sound file: three bytes of the data say where and how; an odd rest cuts its end off."""
    changed = bytearray(sound)
    for place, flip in _changes(data):
        changed[place % len(changed)] ^= flip
    return bytes(changed[: len(changed) - len(data) % 3])


def _changes(data: bytes) -> Iterator[tuple[int, int]]:
    for start in range(0, len(data) - 2, 3):
        yield int.from_bytes(data[start : start + 2]), data[start + 2]
