"""Archives of databases: where they lie, how one is written so that it is whole or absent, and how one is read again.

An archive is one file, `ARCHIVE_DIR/ENGINE-SERVER/DATABASE-TIME.EXTENSION`, with its manifest beside it
(`....EXTENSION.json`), which holds size and checksum. What is being written has `.partial` at its end.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from dbroster.errors import OperationError
from dbroster.files.lock import taken
from dbroster.files.permissions import closed_directory_problem
from dbroster.files.write import sync_directory
from dbroster.model.connection import Connection

PARTIAL = ".partial"
MANIFEST = ".json"
FORMAT = 1

_TIME = r"\d{8}T\d{6}\.\d{6}Z"
_CHUNK = 1024 * 1024
_MANIFEST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive holds, whose it was, and what its bytes must be.

    `counts` are rows, documents or entries; `settings` is what the engine's own format has no place for.
    """

    engine: str
    product: str
    server: str
    roster: str
    user: str
    database: str
    time: str
    method: str
    size: int
    sha256: str
    counts: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    dbroster_archive: int = FORMAT


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive that was read again: its file, and its manifest."""

    path: Path
    manifest: Manifest


@dataclass(slots=True)
class Draft:
    """An archive that is being written: `file` takes its bytes, `path` is where they are until it is whole.

    `kept` is where they are then.
    """

    path: Path
    file: IO[bytes]
    kept: Path | None = None
    counts: dict[str, int] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


# --- writing ----------------------------------------------------------------------------------------------------------


@contextmanager
def drafting(
    connection: Connection, product: str, user: str, database: str, extension: str, method: str
) -> Iterator[Draft]:
    """Yield a draft; when the block has ended well, it has become an archive, on the disk with manifest and name.

    If the last archive of the database holds the very same, the draft goes, and that one stays: a drop that fails in
    every run must not fill the disk.
    Raises OperationError when anything about that fails; then there is no archive and no draft.
    """
    partial = None
    try:
        directory = _make_directories(connection)
        _remove_stale(directory, database)
        time = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
        final = directory / f"{database}-{time}.{extension}"
        partial = final.with_name(final.name + PARTIAL)
        with _create(partial) as file:
            draft = Draft(partial, file)
            yield draft
            _sync(file)
        size, digest = _measure(partial)
        manifest = Manifest(
            connection.engine, product, connection.server, connection.roster, user, database, time, method,
            size, digest, draft.counts, draft.settings,
        )  # fmt: skip
        if same := _same(directory, manifest, extension):
            _discard(partial)
            draft.kept = same
            return
        _write_manifest(final, manifest)
        partial.rename(final)
        sync_directory(directory)
        draft.kept = final
    except OSError as error:
        _discard(partial)
        raise OperationError(f"the archive of {database} can't be written: {error.strerror or error}") from None
    except BaseException:
        _discard(partial)
        raise


def _same(directory: Path, manifest: Manifest, extension: str) -> Path | None:
    """Return the last archive of a database if it is whole and the same as a new one; its file then counts as new."""
    name = re.compile(rf"{re.escape(manifest.database)}-{_TIME}\.{re.escape(extension)}")
    last = max((path for path in directory.iterdir() if name.fullmatch(path.name)), default=None)
    if last is None:
        return None
    beside = last.with_name(last.name + MANIFEST)
    try:
        with _regular(beside) as file:
            kept = _parse(file.read(_MANIFEST_BYTES))
        if _comparable(kept) != _comparable(manifest) or _measure(last) != (manifest.size, manifest.sha256):
            return None
        for path in (last, beside):
            os.utime(path)
    except (OSError, ValueError):
        return None
    return last


def _comparable(manifest: Manifest) -> str:
    """All that a manifest says, but for its time."""
    return json.dumps({**asdict(manifest), "time": ""}, sort_keys=True)


def _make_directories(connection: Connection) -> Path:
    """Make what is missing, closed to others, and refuse what is open to them."""
    base = connection.removals.archive_dir
    if base is None:
        raise OperationError("there is no archive_dir in connections.yaml")
    directory = base / f"{connection.engine}-{connection.server}"
    for path in (base, directory):
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
            sync_directory(path.parent)
        problem = closed_directory_problem(path)
        if problem:
            raise OperationError(f"the archive can't be written: {problem}")
    return directory


def _create(path: Path) -> IO[bytes]:
    """Create a file that only we may read, and hold it against those who look for what a dead run has left."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    taken(descriptor)
    return os.fdopen(descriptor, "w+b")


def _remove_stale(directory: Path, database: str) -> None:
    """Remove drafts of this database that nobody is writing any more, and manifests that have no archive."""
    name = re.compile(rf"{re.escape(database)}-{_TIME}\.\w+(\{MANIFEST})?(\{PARTIAL})?")
    for path in [path for path in directory.iterdir() if name.fullmatch(path.name)]:
        if path.suffix == PARTIAL and _is_abandoned(path):
            path.unlink(missing_ok=True)
    for path in [path for path in directory.iterdir() if name.fullmatch(path.name)]:
        archive = path.with_suffix("")
        being_written = archive.with_name(archive.name + PARTIAL)
        if path.suffix == MANIFEST and not archive.exists() and not being_written.exists():
            path.unlink(missing_ok=True)


def _is_abandoned(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        return taken(descriptor)
    finally:
        os.close(descriptor)


def _write_manifest(archive: Path, manifest: Manifest) -> None:
    final = archive.with_name(archive.name + MANIFEST)
    partial = final.with_name(final.name + PARTIAL)
    try:
        with _create(partial) as file:
            file.write(json.dumps(asdict(manifest), indent=2).encode() + b"\n")
            _sync(file)
        partial.rename(final)
    except BaseException:
        _discard(partial)
        raise


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _discard(path: Path | None) -> None:
    """Remove a draft and its manifest; what can't be removed is stale, and goes next time."""
    if path:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        if not path.name.endswith(MANIFEST + PARTIAL):
            with suppress(OSError):
                path.with_name(path.name.removesuffix(PARTIAL) + MANIFEST).unlink(missing_ok=True)


def _regular(path: Path) -> IO[bytes]:
    """Open a file that has an end; a FIFO would be waited for. Raises OSError and ValueError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{path.name} is not a regular file")
    return os.fdopen(descriptor, "rb")


def _measure(path: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with _regular(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


# --- reading ----------------------------------------------------------------------------------------------------------


def read_archive(path: Path) -> Archive:
    """Read the manifest beside an archive, and compare size and checksum. Raises OperationError."""
    beside = path.with_name(path.name + MANIFEST)
    try:
        with _regular(beside) as file:
            manifest = _parse(file.read(_MANIFEST_BYTES))
        size, digest = _measure(path)
    except (OSError, ValueError) as error:
        reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else f"{beside}: {error}"
        raise OperationError(f"{path} can't be used as an archive: {reason}") from None
    if (size, digest) != (manifest.size, manifest.sha256):
        raise OperationError(f"{path} is damaged: its size or its SHA-256 is not what {beside.name} says")
    return Archive(path, manifest)


def _parse(data: bytes) -> Manifest:
    """Read a manifest. Raises ValueError for what is none, without quoting it."""
    try:
        document: Any = json.loads(data)
        manifest = Manifest(**document)
    except (ValueError, TypeError, RecursionError):
        raise ValueError("this is no manifest of dbroster") from None
    texts = (manifest.engine, manifest.roster, manifest.user, manifest.database, manifest.sha256)
    maps = (manifest.counts, manifest.settings)
    if manifest.dbroster_archive != FORMAT or not (
        all(isinstance(text, str) for text in texts) and all(isinstance(found, dict) for found in maps)
    ):
        raise ValueError("this manifest is of another version of dbroster")
    return manifest
