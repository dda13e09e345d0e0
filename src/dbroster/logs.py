"""The files of an audit log: the log itself and what logrotate has made of it, line by line, in the log's order."""

import gzip
import os
import re
import stat
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from dbroster.chain import MAX_LINE, entry_of, number_of
from dbroster.errors import AuditError


def log_files(path: Path) -> list[Path]:
    """Return an audit log and the files that it was rotated to, in no order."""
    name = re.compile(re.escape(path.name) + r"([.-]\d+(\.gz)?)?")
    return [each for each in path.parent.iterdir() if name.fullmatch(each.name)] if path.parent.is_dir() else []


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
            plain = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if path.suffix == ".gz" else file
            left = None if path.suffix == ".gz" else size
            while line := plain.readline(MAX_LINE if left is None else min(left, MAX_LINE)):
                left = None if left is None else left - len(line)
                yield line
    except (OSError, EOFError, zlib.error) as error:
        raise AuditError(f"{path} can't be read: {error}") from None


def _first_number(path: Path, size: int) -> int:
    """The number of its first line in the chain tells the place of a file, whatever its name."""
    numbers = (number_of(entry_of(line) or {}) for line in lines_of(path, size))
    return next(filter(None, numbers), 0)


def _age(path: Path) -> tuple[int, int]:
    """Order files that are older than the chain by their names: dates, then numbers from the oldest, then the log."""
    match = re.search(r"([.-])(\d+)(\.gz)?$", path.name)
    if match is None:
        return 2, 0
    return (0, int(match[2])) if match[1] == "-" else (1, -int(match[2]))
