"""The files of an audit log: what its lines and its head say; the log itself and what logrotate has made of it."""

import hashlib
import json
import os
import re
import stat
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from dbroster.errors import AuditError
from dbroster.files.permissions import log_problem
from dbroster.model.result import Link

RUN = "run"
PERMITTED = "removals permitted by --max-removals"
ARCHIVING = "with archives"
"""What three entries say that are read again: by `audit`, and by `history`, which a run without changes may need."""
AUDIT_FILE = "audit.jsonl"
HEAD_SUFFIX = ".head"
ORIGIN = Link(0, "0" * 64)
TORN = "torn"
MAX_LINE = 1024 * 1024
_RECORD = re.compile(rb"(\d{20}) ([0-9a-f]{64})\n")
_ROTATED = re.compile(r"([.-])(\d[\d-]*)(\.(gz|xz|bz2))?$")
"""What logrotate puts behind the name: a number, or a date in one of many forms; and what it is packed with."""


def digest(line: bytes) -> str:
    """Return the hash that the next line carries; `line` is without its line end."""
    return hashlib.sha256(line).hexdigest()


def entry_of(line: bytes) -> dict[str, Any] | None:
    """Return what a line says, None if it is no line of an audit log."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def number_of(entry: Mapping[str, Any]) -> int:
    """Return the number of a line; 0 for one that was written before there was a chain."""
    number = entry.get("number")
    return number if type(number) is int and number > 0 else 0


def read_record(data: bytes) -> Link | None:
    """Return what a head file says; a new one is empty. None if that is not what dbroster writes."""
    match = _RECORD.fullmatch(data)
    if match is None:
        return None if data else ORIGIN
    return Link(int(match[1]), match[2].decode())


def head_of(path: Path) -> Path:
    """Return the head file of a log."""
    return path.with_name(path.name + HEAD_SUFFIX)


def check_log(path: Path) -> None:
    """Raise AuditError where something at the path, or at that of its head, can't be an audit log; makes no file."""
    for each in (path, head_of(path)):
        try:
            with suppress(FileNotFoundError):
                judge(each, os.lstat(each))
        except OSError as error:
            raise AuditError(f"the audit log {each} can't be opened: {error.strerror}") from None


def judge(path: Path, status: os.stat_result) -> None:
    """Raise AuditError where nothing that is written to a file of the log could be believed."""
    problem = log_problem(path, status)
    if problem:
        raise AuditError(f"the audit log {problem}")


def log_files(path: Path) -> list[Path]:
    """Return an audit log and the files that it was rotated to, in no order."""
    if not path.parent.is_dir():
        return []
    begins = (each for each in path.parent.iterdir() if each.name.startswith(path.name))
    return [each for each in begins if each == path or _ROTATED.match(each.name, len(path.name))]


def in_order(sizes: Mapping[Path, int]) -> list[Path]:
    """Return files, given with their sizes, in the order of their lines. Raises AuditError for what can't be read."""
    return sorted(sizes, key=lambda each: (_first_number(each, sizes[each]), *_age(each)))


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file of the log for reading; a device or a FIFO is none. Raises AuditError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise AuditError(f"{path} can't be read: {getattr(error, 'strerror', error)}") from None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise AuditError(f"{path} can't be read: it is not a regular file")
        yield file


def lines_of(path: Path, size: int) -> Iterator[bytes]:
    """Yield the lines with their ends, no longer than one may be."""
    import lzma  # a run that changes nothing reads no log

    try:
        with opened(path) as file:
            plain = _unpacked(file, path.suffix)
            left = None if plain is not file else size
            while line := plain.readline(MAX_LINE if left is None else min(left, MAX_LINE)):
                left = None if left is None else left - len(line)
                yield line
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise AuditError(f"{path} can't be read: {error}") from None


def _unpacked(file: BinaryIO, suffix: str) -> IO[bytes]:
    import bz2
    import gzip
    import lzma

    if suffix == ".gz":
        return cast(IO[bytes], gzip.GzipFile(fileobj=file))
    if suffix == ".xz":
        return lzma.LZMAFile(file)
    return bz2.BZ2File(file) if suffix == ".bz2" else file


def _first_number(path: Path, size: int) -> int:
    """The number of its first line in the chain tells the place of a file, whatever its name."""
    numbers = (number_of(entry_of(line) or {}) for line in lines_of(path, size))
    return next(filter(None, numbers), 0)


def _age(path: Path) -> tuple[int, int]:
    """Order files that are older than the chain by their names: dates, then numbers from the oldest, then the log."""
    match = _ROTATED.search(path.name)
    if match is None:
        return 2, 0
    number = int(match[2].replace("-", ""))
    return (0, number) if match[1] == "-" else (1, -number)
