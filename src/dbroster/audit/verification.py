"""Reading the audit log back: is the chain whole, over all files that logrotate has made of it?

Sound are also a log that begins in the middle (older files are gone), lines from before there was a chain, and what a
kill leaves: a line cut off, lines that the head does not know yet. Everything else is broken.
"""

import fcntl
import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbroster.audit.log_files import (
    ORIGIN,
    TORN,
    digest,
    entry_of,
    head_of,
    in_order,
    lines_of,
    log_files,
    number_of,
    opened,
    read_record,
)
from dbroster.errors import AuditError
from dbroster.model.result import Link


@dataclass(frozen=True, slots=True)
class Finding:
    """Something at one line of one file; what is not broken is worth knowing."""

    file: Path
    line: int
    text: str
    broken: bool = True


@dataclass(slots=True)
class Part:
    """One file of the log: how many lines, and the times of its first and its last one."""

    file: Path
    lines: int = 0
    first: str | None = None
    last: str | None = None


@dataclass(slots=True)
class Verdict:
    """What was found; `last` is the last line of the chain."""

    parts: list[Part] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    last: Link = ORIGIN

    @property
    def sound(self) -> bool:
        """Whether nothing is broken."""
        return not any(finding.broken for finding in self.findings)


def verify(path: Path, files: Sequence[Path] = (), noted: Collection[str] = ()) -> Verdict:
    """Check a log with all its files, or the files that are named, which need not be all.

    `noted` are hashes of lines that must be there. Raises AuditError for what can't be read.
    """
    head, sizes = _snapshot(path, files)
    whole = path in sizes or not files
    if not sizes and not (head and head.number):
        raise AuditError(f"there is no audit log {path}")
    walk = _Walk(noted, head)
    for file in in_order(sizes):
        walk.file(file, lines_of(file, sizes[file]))
    if whole:
        walk.compare_head(path)
    walk.look_for_noted(path)
    return walk.verdict


# --- files ----------------------------------------------------------------------------------------------------------


def _snapshot(path: Path, files: Sequence[Path]) -> tuple[Link | None, dict[Path, int]]:
    """Return head and sizes of one moment; nobody can append in between, and what comes later is not looked at."""
    try:
        descriptor = os.open(head_of(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None, _sizes(files or log_files(path))
    except OSError as error:
        raise AuditError(f"{head_of(path)} can't be read: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        sizes = _sizes(files or log_files(path))
        head = read_record(os.pread(descriptor, 200, 0))
    except OSError as error:
        raise AuditError(f"{head_of(path)} can't be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if head is None:
        raise AuditError(f"{head_of(path)} is not what dbroster writes")
    return head, sizes


def _sizes(files: Sequence[Path]) -> dict[Path, int]:
    sizes = {}
    for file in files:
        with opened(file) as stream:
            sizes[file] = os.fstat(stream.fileno()).st_size
    return sizes


# --- the chain ------------------------------------------------------------------------------------------------------


class _Walk:
    """Goes through all lines once, in order."""

    def __init__(self, noted: Collection[str], head: Link | None) -> None:
        self.verdict = Verdict()
        self._last: Link | None = None
        self._place = (Path(), 0)
        self._piece: tuple[Path, int, bytes] | None = None
        self._unchained = 0
        self._head = head
        self._noted = set(noted)
        self._digest_at_head: str | None = None

    def file(self, path: Path, lines: Iterator[bytes]) -> None:
        """Go through one file."""
        part = Part(path)
        self.verdict.parts.append(part)
        for line in lines:
            part.lines += 1
            entry = entry_of(line)
            self._line(path, part.lines, line.removesuffix(b"\n"), entry, whole=line.endswith(b"\n"))
            part.last = _time(entry) or part.last
            part.first = part.first or part.last

    def _line(self, path: Path, number: int, line: bytes, entry: dict[str, Any] | None, *, whole: bool) -> None:
        self._settle(entry)
        place = (path, number)
        if entry is None:
            if whole:
                self._piece = (*place, line)
            else:  # the end of a file
                self._tell(place, "cut off when it was written, by a kill or a full disk", broken=False)
            return
        if number_of(entry):
            self._linked(place, entry)
            self._last = Link(number_of(entry), digest(line))
        elif self._last and self._last.number:
            self._tell(place, "it has no place in the chain: put in, or written by an older dbroster")
            return
        else:
            if self._last is None:
                self._tell(place, "unchained: from here on, older than the chain", broken=False)
            self._last = Link(0, digest(line))
        self._seen(place, entry)

    def _settle(self, entry: dict[str, Any] | None) -> None:
        """Judge a piece that is no line by the line behind it, which tells of it if it was cut off."""
        if self._piece is None:
            return
        path, number, piece = self._piece
        self._piece = None
        if entry is not None and entry.get(TORN) == digest(piece):
            self._tell((path, number), "cut off when it was written, as the next line tells", broken=False)
        else:
            self._tell((path, number), "it is no line of an audit log: changed, or put in")

    def _linked(self, place: tuple[Path, int], entry: dict[str, Any]) -> None:
        """Compare a line with the one before it."""
        number, previous = number_of(entry), entry.get("previous")
        last = self._last
        if last is None:
            if number > 1:
                self._tell(place, f"the log begins with line number {number}; older ones are not here", broken=False)
        elif number > last.number + 1:
            self._tell(place, f"{_numbers(last.number + 1, number - 1)} missing before it")
        elif number <= last.number:
            self._tell(place, f"it has number {number}, after number {last.number}: put in, or out of order")
        elif previous != last.digest:
            self._tell(self._place, "it is not what the next line says: one of the two was changed")

    def _seen(self, place: tuple[Path, int], entry: dict[str, Any]) -> None:
        link = self._last or ORIGIN
        self._place = place
        self.verdict.last = link
        self._noted -= {link.digest, str(entry.get("previous"))}
        if self._head and link.number == self._head.number:
            self._digest_at_head = link.digest

    def _tell(self, place: tuple[Path, int], text: str, *, broken: bool = True) -> None:
        self.verdict.findings.append(Finding(*place, text, broken))

    # --- the end ----------------------------------------------------------------------------------------------------

    def compare_head(self, path: Path) -> None:
        """Compare the last line with the head file, which tells what is missing at the end."""
        self._settle(None)
        head, last = self._head, self.verdict.last
        place = (head_of(path), 1)
        if head is None:
            if last.number:
                self._tell(place, "it is missing, so that nothing tells whether lines are missing at the end")
        elif head.number > last.number:
            self._tell(place, f"{_numbers(last.number + 1, head.number)} missing at the end")
        elif head.number and self._digest_at_head != head.digest:
            self._tell(place, f"line number {head.number} is not the one that was written")
        elif head.number < last.number:
            self._tell(place, f"it is {last.number - head.number} lines behind, as after a kill", broken=False)

    def look_for_noted(self, path: Path) -> None:
        """Tell which of the noted hashes belong to no line."""
        self._settle(None)
        for hash_ in sorted(self._noted):
            self._tell((path, 0), f"no line has the hash {hash_}")


def _numbers(first: int, last: int) -> str:
    return f"line number {first} is" if first == last else f"lines number {first} to {last} are"


def _time(entry: dict[str, Any] | None) -> str | None:
    time = (entry or {}).get("time")
    return time if isinstance(time, str) and re.fullmatch(r"[\dT:.Z+-]{1,40}", time) else None


# --- text -----------------------------------------------------------------------------------------------------------


def as_text(verdict: Verdict) -> str:
    """Return what was found, for people."""
    lines = []
    for part in verdict.parts:
        times = f", {part.first} to {part.last}" if part.first else ""
        lines.append(f"{part.file}: {part.lines} lines{times}")
    for finding in verdict.findings:
        place = f"{finding.file} line {finding.line}" if finding.line else str(finding.file)
        lines.append(f"  {'broken' if finding.broken else 'note'}: {place}: {finding.text}")
    total = sum(part.lines for part in verdict.parts)
    state = "sound" if verdict.sound else "BROKEN"
    lines.append(f"{state}: {total} lines, the last one is number {verdict.last.number}, {verdict.last.digest}")
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines) + "\n"
