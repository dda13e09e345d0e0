"""Archives that dbroster writes itself: zip files with a member for each table or collection, named after it."""

import struct
import zipfile
import zlib
from abc import ABC
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar
from urllib.parse import quote

from dbroster.archive import Archive, Draft
from dbroster.engines.archiver import Archiver
from dbroster.errors import OperationError

DAMAGED = (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, OverflowError,
           struct.error, zipfile.BadZipFile, zlib.error)  # fmt: skip
"""What reading a damaged zip file, and the JSON and the rows in it, can raise."""


class ZipArchiver(Archiver, ABC):
    """What engines have in common whose archives are zip files."""

    extension: ClassVar[str] = "zip"
    damaged: ClassVar[tuple[type[Exception], ...]] = DAMAGED

    @contextmanager
    def _writing(self, draft: Draft, database: str) -> Iterator[zipfile.ZipFile]:
        """Yield the file to be written, and read all of it again: each member has a checksum of its own."""
        with zipfile.ZipFile(draft.file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
            yield file
        draft.file.flush()
        try:
            with zipfile.ZipFile(draft.path) as written:
                damaged = written.testzip()
        except DAMAGED as error:
            damaged = type(error).__name__
        if damaged:
            raise OperationError(f"the archive of {database} can't be read again: {damaged}")

    @contextmanager
    def _reading(self, archive: Archive) -> Iterator[tuple[zipfile.ZipFile, list[str]]]:
        """Yield the file, and a list of failures that keep nothing else away, to be told in the end."""
        failures: list[str] = []
        try:
            with zipfile.ZipFile(archive.path) as file:
                yield file, failures
        except self.damaged as error:
            raise OperationError(f"{archive.path} can't be read: {type(error).__name__}") from None
        if failures:
            raise OperationError(f"not everything is back: {'; '.join(failures)}")


def member(database: str, name: str) -> str:
    """What a member of an archive is called, but for its ending; names may hold bytes that are no UTF-8."""
    return f"{database}/{quote(name, safe='', errors='surrogateescape')}"


def write_text(file: zipfile.ZipFile, name: str, text: str) -> None:
    """Write a member without the time of day, so that an archive of the same is the same."""
    file.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED, 1)
