"""The files of an audit log: the log itself and what logrotate has made of it, line by line, in the log's order."""

import bz2
import gzip
import lzma
import os
import re
import stat
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

from dbroster.audit.hash_chain import MAX_LINE, entry_of, number_of
from dbroster.errors import AuditError

_ROTATED = re.compile(r"([.-])(\d[\d-]*)(\.(gz|xz|bz2))?$")
"""What logrotate puts behind the name: a number, or a date in one of many forms; and what it is packed with."""


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
