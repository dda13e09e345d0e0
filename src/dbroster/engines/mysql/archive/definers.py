"""Whose rights views, triggers, routines and events of an archive work with: nobody can make them for somebody else."""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from dbroster.archive import Archive

_MAKING = (b"CREATE ", b"/*!", b"/*M!")
"""How lines begin that make something. Rows stand behind INSERT, and have no line of their own."""

_PIECE = 1024 * 1024


@contextmanager
def defined_by(archive: Archive, user: str, account: Callable[[], str]) -> Iterator[IO[bytes]]:
    """Yield an archive in which what its own user has defined is defined by another one, by the account of a login."""
    with archive.path.open("rb") as source:
        if archive.manifest.user == user:
            yield source
            return
        with tempfile.TemporaryFile(dir=archive.path.parent) as target:
            _copy(source, target, archive.manifest.user, account())
            target.seek(0)
            yield target


def _copy(source: IO[bytes], target: IO[bytes], old: str, account: str) -> None:
    before = re.compile(rb"DEFINER=`%s`@`[^`\n]*`" % re.escape(old.encode()))
    name, _, host = account.rpartition("@")
    after = b"DEFINER=`%s`@`%s`" % (name.encode(), host.encode())
    begins = True
    while piece := source.readline(_PIECE):  # a row may be as long as the memory
        if begins and piece.startswith(_MAKING):
            piece = before.sub(lambda _: after, piece, count=1)
        target.write(piece)
        begins = piece.endswith(b"\n")
